"""Stages of growing difficulty."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.selectors.sets.made_up import by_task, ledger, recorded, signals
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import CurriculumSet
from winnow.selectors.sets.rl import curriculum


def test_a_prompt_is_in_the_last_stage_whose_cut_it_is_below() -> None:
    tasks = {"a": "cccc", "b": "cccw", "d": "cwww", "e": "wwww", "f": "ccww", "g": "uuuu"}
    found = curriculum(CurriculumSet(cuts=(0.75, 0.5, 0.2)), signals(tasks))
    assert {task: row["stage"] for task, row in by_task(found).items()} == {"d": 2, "e": 3, "f": 1}
    assert ledger(found)["b"] == ledger(found)["a"] == ("dropped", "too_easy")
    assert ledger(found)["g"] == ("dropped", "min_judged")
    row = by_task(found)["d"]
    assert (row["pass_rate"], row["n_judged"], row["strong"], row["answer"]) == (0.25, 4, None, "1")


def test_a_rate_that_is_a_cut_is_not_below_it() -> None:
    found = curriculum(CurriculumSet(cuts=(0.7,)), signals({"a": "c" * 7 + "w" * 3}))
    assert ledger(found) == {"a": ("dropped", "too_easy")}


def test_the_last_stage_is_what_no_strong_policy_always_solves() -> None:
    answers = recorded(
        {"task_id": "a"},
        {"task_id": "a", "verdict": "wrong"},
        {"task_id": "a", "policy": "sage@1", "verdict": "wrong"},
        {"task_id": "b"},
        {"task_id": "b", "policy": "sage@1", "verdict": "wrong"},
        {"task_id": "d", "verdict": "wrong"},  # nothing known of sage
        {"task_id": "e", "verdict": "wrong"},
        {"task_id": "e", "policy": "sage@1", "verdict": "unjudged"},
        {"task_id": "f", "policy": "other@1"},
    )
    given_ = signals(dict.fromkeys("abdef", "wwww"), recorded=answers)
    found = by_task(curriculum(CurriculumSet(strong=("teacher@1", "sage@1")), given_))
    assert {task: row["stage"] for task, row in found.items()} == {
        "a": 2, "b": 1, "d": 1, "e": 1, "f": 1,
    }  # fmt: skip
    assert found["a"]["strong"] == [
        {"policy": "sage@1", "sampler": "{}", "n_judged": 1, "pass_rate": 0.0},
        {"policy": "teacher@1", "sampler": "{}", "n_judged": 2, "pass_rate": 0.5},
    ]
    assert found["f"]["strong"] is None


def test_a_strong_policy_that_nobody_recorded_is_an_error() -> None:
    given_ = signals({"a": "w"}, recorded=recorded({"task_id": "a"}))
    with pytest.raises(UsageError, match="no judged answer of sage@1 .* teacher@1"):
        curriculum(CurriculumSet(strong=("sage@1",)), given_)


def test_a_budget_takes_the_hardest() -> None:
    tasks = {"a": "cwww", "b": "wwww", "d": "ccww"}
    found = curriculum(CurriculumSet(cuts=(0.6, 0.3), budget=2), signals(tasks))
    assert set(by_task(found)) == {"a", "b"}


def test_cuts_must_fall() -> None:
    with pytest.raises(ValidationError, match="cuts must fall"):
        CurriculumSet(cuts=(0.2, 0.5))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abdefg"), st.text("cw", min_size=1, max_size=8), min_size=1),
    st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.7, 1.0]), min_size=1, max_size=4, unique=True),
)
def test_stages_are_those_of_plain_counting(tasks: dict[str, str], cuts: list[float]) -> None:
    config = CurriculumSet(cuts=tuple(sorted(cuts, reverse=True)))
    found = by_task(curriculum(config, signals(tasks)))
    for task, answers in tasks.items():
        stage = sum(answers.count("c") / len(answers) < cut for cut in cuts)
        assert (found[task]["stage"] if task in found else 0) == stage
