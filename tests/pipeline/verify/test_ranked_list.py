"""The verifier `ranked_list`: reading lists, and both metrics against oracles."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.ranked_list import RankedList, read_items
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = RankedList()

FORMS = [
    lambda items: "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1)),
    lambda items: "\n".join(f"{i}) **{item}**" for i, item in enumerate(items, 1)),
    lambda items: "Here:\n" + "\n".join(f"- {item}" for item in items) + "\n\nThat is all.",
    lambda items: json.dumps(items),
    lambda items: f"<answer>{', '.join(items)}</answer>",
    lambda items: f"<answer>\n{chr(10).join(items)}\n</answer>",
    lambda items: f"\\boxed{{{', '.join(items)}}}",
    lambda items: f"The answer is {' > '.join(items)}.",
]
ITEMS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(ITEMS, st.sampled_from("abcdefgh"), st.integers(1, 6), st.sampled_from(FORMS))
def test_reciprocal_rank_against_an_oracle(
    items: list[str], gold: str, limit: int, form: object
) -> None:
    assert callable(form)
    different = list(dict.fromkeys(items))[:limit]
    expected = 1 / (different.index(gold) + 1) if gold in different else 0.0
    verdict = VERIFIER.verify(form(items), Task([], gold, {"limit": limit}))
    assert verdict.reward == pytest.approx(expected)
    assert (verdict.verdict == "correct") == (expected == 1)


@settings(max_examples=200, deadline=None)
@given(
    ITEMS,
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5), min_size=1),
    st.integers(1, 8),
)
def test_discounted_gain_against_every_definition(
    items: list[str], gains: dict[str, int], limit: int
) -> None:
    def dcg(order: list[str]) -> float:
        return sum(gains.get(item, 0) / math.log2(i + 2) for i, item in enumerate(order[:limit]))

    best = dcg(sorted(gains, key=lambda item: -gains[item]))
    expected = dcg(list(dict.fromkeys(items))) / best
    task = Task([], json.dumps(gains), {"metric": "ndcg", "limit": limit})
    verdict = VERIFIER.verify(FORMS[0](items), task)
    assert verdict.reward == pytest.approx(expected)
    assert 0 <= expected <= 1 + 1e-12
    assert (verdict.verdict == "correct") == (expected == pytest.approx(1))


def test_a_longer_list_never_pays_beyond_the_limit() -> None:
    items = [f"city {i}" for i in range(50)]
    text = FORMS[0]([*items, "Paris"])
    assert VERIFIER.verify(text, Task([], "Paris")).reward == 0
    assert VERIFIER.verify(text, Task([], "city 9")).reward == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1. a\n2. b\n   1. deeper\n3. c", ["a", "b", "c"]),
        ("First:\n* a\n* b\nSecond:\n* c", ["c"]),
        ("10. ten\n11. eleven", ["ten", "eleven"]),
        ("(1) a\n(2) b", ["a", "b"]),
        ("2.5 is a number\nand 3.5 too", []),
        ("a; b; c", ["a", "b", "c"]),
        ("<answer></answer>", []),
    ],
)
def test_what_a_list_is(text: str, items: list[str]) -> None:
    assert read_items(text) == items


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200), st.text(max_size=50))
def test_any_text_gets_a_verdict(text: str, answer: str) -> None:
    verdict = judged("ranked_list", text, Task([], answer))
    assert not (verdict.detail or "").startswith("verifier_error")


@pytest.mark.parametrize(
    "text",
    ["1. " * 50_000, "- a\n" * 50_000, "[" * 50_000, ",".join("a" * 100_000), " " * 100_000 + "x",
     "**" * 50_000, "1. " + "*" * 20_000 + "a", "a - " * 50_000],
)  # fmt: skip
def test_hostile_answers_are_wrong(text: str) -> None:
    assert judged("ranked_list", text, Task([], "Paris")).verdict == "wrong"
