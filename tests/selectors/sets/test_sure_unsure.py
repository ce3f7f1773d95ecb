"""Whether the policy knows an answer."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.sets.made_up import by_task, ledger, signals
from winnow.pipeline.recipe import SureUnsureSet
from winnow.selectors.sets.sure_unsure import entropy, halves, sure_unsure


def test_the_first_answer_s_verdict_decides() -> None:
    config = SureUnsureSet(question="Sure?", sure="Yes.", unsure="No.")
    found = sure_unsure(config, signals({"a": "cw", "b": "wc", "d": "uc", "e": "w"}))
    rows = by_task(found)
    assert {task: row["sure"] for task, row in rows.items()} == {"a": True, "b": False, "e": False}
    assert ledger(found)["d"] == ("dropped", "first_answer_unjudged")
    assert [(m["role"], m["content"]) for m in rows["b"]["messages"]] == [
        ("user", "question b"),
        ("assistant", "1"),  # the reference, not what the policy said
        ("user", "Sure?"),
        ("assistant", "No."),
    ]
    assert rows["a"]["messages"][-1]["content"] == "Yes."
    assert (rows["a"]["first_rollout_id"], rows["a"]["entropy"]) == ("a0", None)


def test_every_row_survives_and_a_part_of_the_reference_is_not_the_reference() -> None:
    # The verdict counts: "12" holds the reference "1" and is wrong.
    tasks = dict.fromkeys("abdefg", "w")
    found = sure_unsure(SureUnsureSet(), signals(tasks, texts={"a0": "12", "b0": "no full stop"}))
    assert found.rows.num_rows == 6
    assert not by_task(found)["a"]["sure"]


def test_unknown_answers_become_refusals() -> None:
    config = SureUnsureSet(method="unknown", refusals=("pass", "skip"))
    rows = by_task(sure_unsure(config, signals({"a": "c", **dict.fromkeys("bdefgh", "w")})))
    assert rows["a"]["messages"][1:] == [{"role": "assistant", "content": "1"}]
    said = {rows[task]["messages"][-1]["content"] for task in "bdefgh"}
    assert said == {"pass", "skip"}
    again = by_task(sure_unsure(config, signals({"b": "w"})))
    assert again["b"]["messages"] == rows["b"]["messages"], "drawn by the task's name alone"


def test_the_lower_half_of_the_entropies_is_sure() -> None:
    said = {
        **{f"a{i}": "1" for i in range(4)},
        **{f"b{i}": str(i // 2) for i in range(4)},
        **{f"d{i}": str(i) for i in range(4)},
        **{f"e{i}": ("1", "1", "1", None)[i] for i in range(4)},
    }
    tasks = {"a": "cccc", "b": "ccww", "d": "cwww", "e": "cccw", "f": "cw"}
    found = sure_unsure(SureUnsureSet(method="uncertain"), signals(tasks, extracted=said))
    rows = by_task(found)
    assert rows["a"]["entropy"] == 0.0
    assert rows["b"]["entropy"] == pytest.approx(math.log(2))
    assert rows["d"]["entropy"] == pytest.approx(math.log(4))
    assert rows["e"]["entropy"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert {task: row["sure"] for task, row in rows.items()} == {
        "a": True, "b": False, "d": False, "e": True,
    }  # fmt: skip
    assert ledger(found)["f"] == ("dropped", "min_answers")
    assert (rows["a"]["n_answers"], rows["a"]["first_rollout_id"]) == (4, None)


def test_a_verifier_that_reads_no_answers_cannot_tell() -> None:
    config = SureUnsureSet(method="uncertain", min_answers=2)
    found = sure_unsure(config, signals({"a": "cw"}))
    assert ledger(found) == {"a": ("dropped", "no_extracted_answers")}
    said = {"a0": '{"judge": "x"}', "a1": '{"judge": "y"}'}
    found = sure_unsure(config, signals({"a": "cw"}, extracted=said, verifier="judge"))
    assert ledger(found) == {"a": ("dropped", "no_extracted_answers")}


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=12))
def test_halves_never_split_equal_entropies(values: list[float]) -> None:
    sure = halves(values)
    assert sure.count(True) >= len(values) // 2
    for one, is_sure in zip(values, sure, strict=True):
        for other, is_too in zip(values, sure, strict=True):
            assert not (is_too and not is_sure and one <= other)
    if len(set(values)) == len(values) and values:
        assert sure.count(True) == max(len(values) // 2, 1)


@settings(max_examples=100)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_entropy_is_that_of_the_shares(counts: list[int]) -> None:
    shares = [c / sum(counts) for c in counts]
    assert entropy(counts) == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-12)
    assert 0 <= entropy(counts) <= math.log(len(counts)) + 1e-12
    assert entropy(counts) == entropy(counts[::-1])
