"""What all sets start with."""

from dataclasses import replace

import pyarrow as pa

from tests.selectors.sets.made_up import signals
from winnow.pipeline import schema
from winnow.pipeline.estimate.difficulty import difficulty
from winnow.selectors.sets.signals import Signals, answers, tasks


def of_two_policies() -> Signals:
    """Task a has three answers of m@1, one of them right, and a right one of other@1."""
    given = signals({"a": "cwwc"})
    rows = given.rollouts.to_pylist()
    rows[3]["policy"] = "other@1"
    drawn = pa.Table.from_pylist(rows, schema=schema.ROLLOUTS)
    return replace(given, rollouts=drawn, difficulty=difficulty(drawn, given.verdicts))


def test_a_task_stands_once_with_the_difficulty_of_most_answers() -> None:
    (row,) = tasks(of_two_policies()).to_dicts()
    assert (row["policy"], row["n"], row["pass_rate"]) == ("m@1", 3, 1 / 3)


def test_an_answer_has_the_pass_rate_of_its_own_policy() -> None:
    found = {row["rollout_id"]: row for row in answers(of_two_policies()).to_dicts()}
    assert {name: (row["policy"], row["pass_rate"]) for name, row in found.items()} == {
        "a0": ("m@1", 1 / 3), "a1": ("m@1", 1 / 3), "a2": ("m@1", 1 / 3), "a3": ("other@1", 1.0),
    }  # fmt: skip
