"""Paths of search trees as rows."""

from tests.selectors.sets.made_up import ledger, signals, stepwise
from winnow.pipeline.recipe import StepValuesSet
from winnow.selectors.sets.step_values import step_values

TREE = stepwise(
    {"task_id": "a", "completions": ["x", "y"], "values": [0.1, 0.2], "correct": False,
     "labels": [True, False]},
    {"task_id": "a", "completions": ["x", "z"], "values": [0.5, 1.0]},
    {"task_id": "a", "completions": ["x", "z", "w"], "values": [0.5, 0.7, 1.0],
     "labels": [True, True, True]},
    {"task_id": "a", "completions": ["x", "z"], "values": [0.5, 1.0]},
    {"task_id": "b", "completions": ["q"], "values": None, "labels": [False], "correct": False},
)  # fmt: skip
RUN = {"a": "cw", "b": "ww", "d": "cw", "e": ""}


def paths(config: StepValuesSet) -> list[list[str]]:
    rows = step_values(config, signals(RUN, stepwise=TREE)).rows.to_pylist()
    return sorted(row["completions"] for row in rows)


def test_every_distinct_path_with_values_is_a_row() -> None:
    found = step_values(StepValuesSet(), signals(RUN, stepwise=TREE))
    assert sorted(r["completions"] for r in found.rows.to_pylist()) == [
        ["x", "y"], ["x", "z"], ["x", "z", "w"],
    ]  # fmt: skip
    assert ledger(found) == {
        "a": ("kept", "selected"),
        "b": ("dropped", "no_path"),
        "d": ("pending", "no_tree"),
        "e": ("pending", "not_sampled"),
    }
    row = next(r for r in found.rows.to_pylist() if r["completions"] == ["x", "y"])
    assert (row["values"], row["labels"], row["correct"]) == ([0.1, 0.2], [True, False], False)
    assert row["prompt"] == [{"role": "user", "content": "question a"}]


def test_paths_to_right_ends_alone_and_paths_with_labels_alone() -> None:
    assert paths(StepValuesSet(paths="correct")) == [["x", "z"], ["x", "z", "w"]]
    assert paths(StepValuesSet(needs="labels")) == [["q"], ["x", "y"], ["x", "z"], ["x", "z", "w"]]


def test_a_cap_takes_right_ends_first_then_high_values_then_short_paths() -> None:
    assert paths(StepValuesSet(per_prompt=1)) == [["x", "z"]]
    assert paths(StepValuesSet(per_prompt=2)) == [["x", "z"], ["x", "z", "w"]]
