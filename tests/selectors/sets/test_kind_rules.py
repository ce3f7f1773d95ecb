"""What sets ask beside bands and budgets: unverified answers, majorities, lengths, tree searches."""

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selectors.sets.made_up import signals as _signals
from winnow.pipeline import schema
from winnow.pipeline.recipe import RLSet, SFTSet
from winnow.pipeline.recipe_sections.sets import MCTSRule
from winnow.selectors.sets.kind_rules import accepted
from winnow.selectors.sets.rl import rl
from winnow.selectors.sets.sft import sft
from winnow.selectors.sets.signals import Chosen, Signals


def _ledger(chosen: Chosen) -> dict[str, tuple[str, str]]:
    return {r["row_id"]: (r["decision"], r["rule"]) for r in chosen.ledger.to_pylist()}


def _with(signals: Signals, **tables: Any) -> Signals:
    return Signals(**{**vars(signals), **tables})


def _set(table: pa.Table, column: str, values: list[Any]) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(
        at, table.schema.field(at), pa.array(values, table.schema.field(at).type)
    )


@pytest.mark.parametrize(
    ("verdicts", "kept"),
    [("correct", ["a0"]), ("not_wrong", ["a0", "a2"]), ("any", ["a0", "a1", "a2"])],
)
def test_an_sft_set_says_which_verdicts_it_takes(verdicts: Any, kept: list[str]) -> None:
    found = sft(SFTSet(verdicts=verdicts, uds=False, per_prompt=9), _signals({"a": "cwu"}))
    assert sorted(found.rows["rollout_id"].to_pylist()) == kept
    names = {"a0": "correct", "a1": "wrong", "a2": "unjudged"}
    assert {r["rollout_id"]: r["verdict"] for r in found.rows.to_pylist()} == {
        name: names[name] for name in kept
    }
    assert all(_ledger(found)[name][1] == "verdict" for name in names if name not in kept)


def test_a_task_without_any_judgement_passes_unless_judgements_are_asked_for() -> None:
    signals = _signals({"a": "u"})
    assert sft(SFTSet(verdicts="not_wrong", uds=False), signals).rows.num_rows == 1
    assert SFTSet(verdicts="not_wrong").min_judged == 0
    assert SFTSet().min_judged == 1
    asks = SFTSet(verdicts="not_wrong", uds=False, min_judged=1)
    assert _ledger(sft(asks, signals)) == {"a0": ("dropped", "min_judged")}


@pytest.mark.parametrize("detail", ["truncated", "no_completion"])
def test_what_was_cut_off_is_no_target(detail: str) -> None:
    signals = _signals({"a": "uu"})
    cut = _set(signals.verdicts, "detail", [detail, "no_verifier"])
    found = sft(SFTSet(verdicts="any", uds=False, per_prompt=2), _with(signals, verdicts=cut))
    assert found.rows["rollout_id"].to_pylist() == ["a1"]


def test_an_answer_counts_for_a_task_that_cannot_tell_before_one_that_says_wrong() -> None:
    signals = _signals({"a": "w", "b": "u"})
    # Both tasks are of one prompt and judge one answer.
    verdicts = _set(signals.verdicts, "rollout_id", ["a0", "a0"])
    prompts = _set(signals.prompts, "prompt_id", ["p-a", "p-a"])
    both = _with(signals, verdicts=verdicts, prompts=prompts)
    found = sft(SFTSet(verdicts="not_wrong", uds=False), both)
    assert [(r["task_id"], r["verdict"]) for r in found.rows.to_pylist()] == [("b", "unjudged")]


@given(st.lists(st.tuples(st.sampled_from(["correct", "wrong", "unjudged"]),
                          st.sampled_from([None, "truncated", "timeout"]))))  # fmt: skip
def test_no_verdict_is_taken_for_another(rows: list[tuple[str, str | None]]) -> None:
    frame = pl.DataFrame(rows, {"verdict": pl.String, "detail": pl.String}, orient="row")
    correct = frame.filter(accepted(["correct"]))
    assert set(correct["verdict"].to_list()) <= {"correct"}
    assert correct.height == sum(verdict == "correct" for verdict, _ in rows)
    assert frame.filter(accepted([])).height == 0
    whole = frame.filter(accepted(["correct", "wrong", "unjudged"]))
    assert whole.height == len(rows) - rows.count(("unjudged", "truncated"))


def _audited(signals: Signals, rows: dict[str, tuple[int, int]]) -> Signals:
    """`rows`: by task, answers that give the commonest one and those that are right."""
    table = [
        {
            "task_id": task, "reference": "1", "verifier": "math", "majority_answer": "1",
            "n_majority": leading, "n_agree_reference": right, "n_judged": 8, "n_answers": 2,
            "majority_share": leading / 8, "share_low": 0.1, "suspect": False, "reason": None,
            "doubt": None,
        }
        for task, (leading, right) in rows.items()
    ]  # fmt: skip
    return _with(signals, audit=pa.Table.from_pylist(table, schema.AUDIT))


def test_a_task_whose_commonest_answer_is_wrong_can_be_left_out() -> None:
    signals = _signals({"a": "cccw", "b": "cwww", "d": "wwww", "e": "cw"})
    audited = _audited(signals, {"a": (3, 3), "b": (3, 1), "d": (4, 0), "e": (1, 1)})
    found = rl(RLSet(majority="correct"), audited)
    assert sorted(found.rows["task_id"].to_pylist()) == ["a", "e"]
    rows = {r["row_id"]: r for r in found.ledger.to_pylist()}
    assert rows["b"]["rule"] == rows["d"]["rule"] == "majority"
    assert rows["b"]["value"] == "1 right, 3 say 1"
    assert rl(RLSet(), audited).rows.num_rows == 4


def test_answers_must_be_long_enough_on_average_and_cut_ones_do_not_count() -> None:
    signals = _signals({"a": "cw", "b": "cu"})
    rollouts = _set(signals.rollouts, "n_tokens", [10, 30, 10, 900])
    verdicts = _set(signals.verdicts, "detail", [None, None, None, "truncated"])
    long = _with(signals, rollouts=rollouts, verdicts=verdicts)
    found = rl(RLSet(min_answer_tokens=20), long)
    assert _ledger(found) == {"a": ("kept", "selected"), "b": ("dropped", "min_answer_tokens")}


def _searched(signals: Signals, rows: dict[str, tuple[int | None, bool | None]]) -> Signals:
    table = [
        {
            "task_id": task, "prompt_id": f"p-{task}", "policy": "m", "template": "t",
            "sampler": "{}", "mcts_iterations": iterations, "mcts_solved": solved, "iters": None,
            "nodes": 1, "steps": 1, "tokens": 1, "judgements": 1, "unjudged": 0,
            "saved_expansions": 0, "error": None,
        }
        for task, (iterations, solved) in rows.items()
    ]  # fmt: skip
    return _with(signals, trees=pa.Table.from_pylist(table, schema.TREES))


SEARCHES: dict[str, tuple[int | None, bool | None]] = {
    "a": (1, True), "b": (6, True), "d": (50, False), "e": (None, None), "f": (5, True),
}  # fmt: skip


def test_a_search_that_solved_late_or_never_chooses() -> None:
    signals = _searched(_signals(dict.fromkeys("abdefg", "cw")), SEARCHES)
    found = rl(RLSet(mcts=MCTSRule()), signals)
    assert _ledger(found) == {
        "a": ("dropped", "mcts"), "b": ("kept", "selected"), "d": ("kept", "selected"),
        "e": ("pending", "not_searched"), "f": ("dropped", "mcts"),
        "g": ("pending", "not_searched"),
    }  # fmt: skip
    solved = rl(RLSet(mcts=MCTSRule(min_iterations=5, keep_unsolved=False)), signals)
    assert sorted(solved.rows["task_id"].to_pylist()) == ["b", "f"]


def test_the_hardest_come_first() -> None:
    signals = _searched(_signals(dict.fromkeys("abdefg", "cw")), SEARCHES)
    for budget, kept in ((1, ["d"]), (2, ["b", "d"]), (3, ["b", "d", "f"])):
        found = rl(RLSet(mcts=MCTSRule(min_iterations=1), budget=budget), signals)
        assert sorted(found.rows["task_id"].to_pylist()) == kept
