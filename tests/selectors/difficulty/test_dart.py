"""Curation against the rule written out with exact fractions, and where it differs from the original."""

import math
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.difficulty.outcome import outcome
from winnow.pipeline.errors import UsageError

VERDICTS = st.sampled_from(["correct", "correct", "wrong", "unjudged"])
ROWS = st.lists(
    st.tuples(st.sampled_from("pqrs"), VERDICTS, st.sampled_from(["a", "b", "c", None])),
    min_size=1,
    max_size=40,
)


def table(rows: list[tuple[str, str, str | None]]) -> dict[str, Any]:
    return {
        "prompt_id": [p for p, _, _ in rows],
        "verdict": [v for _, v, _ in rows],
        "completion": [t for _, _, t in rows],
    }


def answers(**prompts: str) -> dict[str, Any]:
    """One letter an answer: c(orrect), w(rong), u(njudged); all texts differ."""
    words = {"c": "correct", "w": "wrong", "u": "unjudged"}
    rows = [(name, words[v]) for name, letters in prompts.items() for v in letters]
    return table([(name, v, f"text {at}") for at, (name, v) in enumerate(rows)])


def contributed(columns: dict[str, Any], **parameters: Any) -> dict[str, int]:
    found = outcome("dart", columns, **parameters)
    return dict(Counter(columns["prompt_id"][at] for at in found.selected))


@given(
    ROWS,
    st.sampled_from(["uniform", "prop2diff", "vanilla"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["wrong", "left_out"]),
    st.integers(1, 6),
)
@settings(deadline=None, max_examples=150)
def test_against_the_rule(
    rows: list[tuple[str, str, str | None]],
    allocation: str,
    cover: bool,
    deduplicate: bool,
    unjudged: str,
    most: int,
) -> None:
    drawn: dict[str, Counter[str]] = defaultdict(Counter)
    for prompt, verdict, _ in rows:
        drawn[prompt][verdict] += 1
    fail: dict[str, Fraction | None] = {}
    for prompt, count in drawn.items():
        raw = count.total() - (count["unjudged"] if unjudged == "left_out" else 0)
        fail[prompt] = 1 - Fraction(count["correct"], raw) if raw else None
    hardest = max((f for f in fail.values() if f is not None), default=Fraction(0))
    target: dict[str, float | None] = {}
    for prompt, f in fail.items():
        if allocation == "vanilla" or (allocation == "prop2diff" and f is None):
            target[prompt] = None
        elif allocation == "uniform":
            target[prompt] = most
        else:
            assert f is not None
            share = math.ceil(most * f / hardest) if hardest else 0
            target[prompt] = max(1, share) if cover else share

    reasons = []
    seen: set[tuple[str, str]] = set()
    taken: Counter[str] = Counter()
    for prompt, verdict, text in rows:
        limit = target[prompt]
        if verdict != "correct":
            reasons.append(verdict)
        elif deduplicate and text is not None and (prompt, text) in seen:
            reasons.append("duplicate")
        elif limit is not None and taken[prompt] >= limit:
            reasons.append("over_target")
        else:
            taken[prompt] += 1
            reasons.append("selected")
        if verdict == "correct" and text is not None:
            seen.add((prompt, text))

    found = outcome(
        "dart", table(rows), allocation=allocation, cover=cover, deduplicate=deduplicate,
        unjudged=unjudged, k_u=most, k_p=most,
    )  # fmt: skip
    assert found.column("reason") == reasons
    for (prompt, _, _), row in zip(rows, found.rows, strict=True):
        f = fail[prompt]
        assert row["fail_rate"] == row["score"] == (None if f is None else pytest.approx(float(f)))
        assert row["target"] == target[prompt]
    kept = [at for at, reason in enumerate(reasons) if reason == "selected"]
    number: Counter[str] = Counter()
    keyed = []
    for at in kept:
        prompt = rows[at][0]
        keyed.append((Fraction(2 * number[prompt] + 1, 2 * taken[prompt]), prompt, at))
        number[prompt] += 1
    assert found.order == [at for *_, at in sorted(keyed, key=_turn)]


def _turn(key: tuple[Fraction, str, int]) -> tuple[Fraction, str]:
    return key[:2]


def test_prop2diff_and_uniform() -> None:
    columns = answers(easy="c" * 8, middle="c" * 6 + "w" * 2, hard="c" * 2 + "w" * 6)
    assert contributed(columns) == {"easy": 1, "middle": 6, "hard": 2}
    assert outcome("dart", columns).column("target")[::8] == [1, 64, 192]
    assert contributed(columns, k_p=6) == {"easy": 1, "middle": 2, "hard": 2}
    assert contributed(columns, cover=False, k_p=6) == {"middle": 2, "hard": 2}
    assert contributed(columns, allocation="uniform", k_u=3) == {"easy": 3, "middle": 3, "hard": 2}
    assert contributed(columns, allocation="vanilla") == {"easy": 8, "middle": 6, "hard": 2}


def test_the_published_defaults() -> None:
    columns = answers(p="c" * 250 + "w")
    assert contributed(columns, allocation="uniform") == {"p": 40}
    assert contributed(columns) == {"p": 192}


def test_prompts_that_never_fail() -> None:
    columns = answers(p="ccc", q="cc")
    assert contributed(columns) == {"p": 1, "q": 1}
    assert contributed(columns, cover=False) == {}


def test_a_prompt_that_is_never_solved_still_sets_the_scale() -> None:
    columns = answers(never="wwww", half="ccww")
    assert outcome("dart", columns, k_p=4).column("target") == [4] * 4 + [2] * 4


def test_equal_texts_of_different_prompts_are_no_duplicates() -> None:
    rows: list[tuple[str, str, str | None]] = [
        ("p", "correct", "x"), ("q", "correct", "x"), ("p", "wrong", "y"), ("p", "correct", "y"),
        ("p", "correct", "x"), ("q", "correct", None), ("q", "correct", None),
    ]  # fmt: skip
    found = outcome("dart", table(rows), allocation="vanilla")
    assert sorted(found.selected) == [0, 1, 3, 5, 6]
    original = outcome("dart", table(rows), allocation="vanilla", deduplicate=False)
    assert sorted(original.selected) == [0, 1, 3, 4, 5, 6]


def test_counts_beside_the_rows() -> None:
    """Where only right answers are in the table, the counts alone know the difficulty."""
    columns = answers(p="cccc", q="cccc") | {"n": [8] * 8, "n_correct": [4] * 4 + [7] * 4}
    found = outcome("dart", columns, k_p=4)
    assert found.column("fail_rate") == [0.5] * 4 + [0.125] * 4
    assert contributed(columns, k_p=4) == {"p": 4, "q": 1}
    assert contributed(columns, k_p=4, fail_rate_from="rows") == {"p": 1, "q": 1}
    columns |= {"n_wrong": [4] * 4 + [0] * 4}
    found = outcome("dart", columns, unjudged="left_out")
    assert found.column("fail_rate") == [0.5] * 4 + [0.0] * 4, "one of q's was not judged"
    del columns["n"]
    assert outcome("dart", columns).column("fail_rate") == [0.0] * 8, "n is not there"
    with pytest.raises(UsageError, match="no column 'n'"):
        outcome("dart", columns, fail_rate_from="counts")


def test_a_prompt_with_several_references() -> None:
    """p's 8 answers are right for one of two tasks or for neither; q has one task. By the counts of
    its tasks p would fail in 3/4 and 7/8 of its answers; it fails in 5/8."""
    columns = answers(p="ccc" + "w" * 5, q="cccc") | {
        "task_id": [*"aab", *"aaaaa", *"cccc"],
        "n": [8] * 12,
        "n_correct": [2, 2, 1, 2, 2, 2, 2, 2, 4, 4, 4, 4],
    }
    found = outcome("dart", columns)
    assert found.column("fail_rate") == [0.625] * 8 + [0.5] * 4
    columns["n_correct"][:8] = [2] * 8
    assert outcome("dart", columns).column("fail_rate")[0] == 0.625, "equal counts, still two tasks"
    assert outcome("dart", columns | {"task_id": ["a"] * 12}).column("fail_rate")[0] == 0.75
    columns["n_correct"][2] = 1
    with pytest.raises(UsageError, match="row r002: n_correct 1: other rows.*fail_rate_from=rows"):
        outcome("dart", columns, fail_rate_from="counts")


def test_counts_of_no_judged_answer() -> None:
    """Right answers beside them contradict them; without any, nothing is known."""
    counted = {"n_correct": [0, 0, 0, 1], "n_wrong": [0, 0, 0, 3]}
    columns = answers(p="uuu", q="c") | counted
    found = outcome("dart", columns, unjudged="left_out", k_p=1)
    assert found.column("fail_rate") == [None] * 3 + [0.75] and found.selected == [3]
    columns = answers(p="ccc", q="c") | counted
    with pytest.raises(UsageError, match="row r000: n_correct 0: .*this answer was judged"):
        outcome("dart", columns, unjudged="left_out", k_p=1)


def test_a_seeded_draw_instead_of_the_first() -> None:
    columns = answers(p="c" * 200)
    assert outcome("dart", columns, allocation="uniform", k_u=5).selected == [0, 1, 2, 3, 4]
    drawn = [
        outcome("dart", columns, seed=s, allocation="uniform", k_u=5, which="random").selected
        for s in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5 and sorted(drawn[0]) != [0, 1, 2, 3, 4]


def test_a_smaller_budget_keeps_the_shares() -> None:
    columns = answers(a="c" * 40 + "w" * 4, b="c" * 20 + "w" * 2)
    assert contributed(columns, allocation="vanilla", budget=30) == {"a": 20, "b": 10}


@pytest.mark.parametrize(
    ("change", "parameters", "message"),
    [
        ({"verdict": ["correct", "right"]}, {}, "row r001: verdict"),
        ({"n": [8, 8], "n_correct": [4, 5]}, {}, "row r001: n_correct 5: other rows"),
        ({"n": [8, 8], "n_correct": [9, 9]}, {}, "row r000: n_correct 9: is above n"),
        ({"n": [0, 0], "n_correct": [0, 0]}, {}, "row r000: n 0"),
        ({"n": [8, 8], "n_correct": [-1, -1]}, {}, "row r000: n_correct"),
        ({}, {"k_p": 0}, "k_p"),
    ],
)
def test_what_makes_no_sense(
    change: dict[str, Any], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        outcome("dart", answers(p="cc") | change, **parameters)
