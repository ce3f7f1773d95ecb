"""Groups of answers with their rate, and answers in order of reward."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.sets.made_up import by_task, ledger, signals
from winnow.pipeline.recipe import GroupsSet, RankedSet
from winnow.selectors.sets.answer_groups import groups, ranked


def test_weights_of_eight_answers_are_the_published_ones() -> None:
    tasks = {str(right): "c" * right + "w" * (8 - right) for right in range(9)}
    found = by_task(groups(GroupsSet(), signals(tasks)))
    weights = [found[str(right)]["weight"] for right in range(1, 8)]
    assert weights == [0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert set(found) == set("1234567"), "all right and all wrong teach nothing"
    assert [found[str(k)]["r_hat"] for k in range(1, 8)] == [k / 8 for k in range(1, 8)]
    by_grpo = by_task(groups(GroupsSet(weighting="grpo"), signals(tasks)))
    assert [by_grpo[str(k)]["weight"] for k in (2, 4, 6)] == [3.0, 1.0, 2 / 6]


def test_a_group_holds_its_answers_as_they_were_drawn() -> None:
    found = by_task(groups(GroupsSet(), signals({"a": "cwt"}, same="a")))["a"]
    assert found["responses"] == [
        {"rollout_id": "a0", "text": "same", "correct": True, "reward": 1.0, "truncated": False,
         "logprob_sum": -0.0, "n_tokens": 2},
        {"rollout_id": "a1", "text": "same", "correct": False, "reward": 0.0, "truncated": False,
         "logprob_sum": -1.0, "n_tokens": 2},
        {"rollout_id": "a2", "text": "same", "correct": False, "reward": None, "truncated": True,
         "logprob_sum": -2.0, "n_tokens": 2},
    ]  # fmt: skip
    assert (found["n"], found["r_hat"]) == (3, pytest.approx(1 / 3))
    assert found["prompt"] == [{"role": "user", "content": "question a"}]


def test_truncated_answers_are_wrong_or_no_answers_at_all() -> None:
    tasks = {"a": "ct", "b": "cwu"}
    assert ledger(groups(GroupsSet(), signals(tasks)))["a"] == ("kept", "selected")
    apart = groups(GroupsSet(truncated="apart"), signals(tasks))
    assert ledger(apart)["a"] == ("dropped", "one_sided")
    # What could not be judged for another reason is in no group.
    assert by_task(apart)["b"]["n"] == 2


def test_a_group_of_n_answers_takes_the_first() -> None:
    found = groups(GroupsSet(answers=3), signals({"a": "ccwwww", "b": "cw", "d": "cccw"}))
    assert by_task(found)["a"]["r_hat"] == pytest.approx(2 / 3)
    assert ledger(found)["b"] == ("dropped", "few_answers")
    assert ledger(found)["d"] == ("dropped", "one_sided")


@settings(max_examples=60, deadline=None)
@given(st.text("cwutf", min_size=1, max_size=9), st.booleans(), st.none() | st.integers(1, 5))
def test_groups_are_those_of_plain_counting(text: str, cut: bool, size: int | None) -> None:
    config = GroupsSet(truncated="wrong" if cut else "apart", answers=size, min_judged=0)
    counted = [letter for letter in text if letter in ("cwft" if cut else "cwf")]
    if size is not None:
        counted = counted[:size] if len(counted) >= size else []
    rate = counted.count("c") / len(counted) if counted else 0.0
    found = by_task(groups(config, signals({"a": text})))
    if 0 < rate < 1:
        assert found["a"]["r_hat"] == rate
        assert found["a"]["weight"] == pytest.approx(1 - rate)
        assert [a["correct"] for a in found["a"]["responses"]] == [c == "c" for c in counted]
    else:
        assert not found


def test_ranked_answers_are_ordered_by_reward_then_by_likelihood() -> None:
    rewards = {"a0": 0.5, "a1": 0.5, "a2": 1.0, "a3": 0.0, "a4": 0.5}
    logprobs = {"a0": -3.0, "a1": -1.0, "a4": None}
    given_ = signals({"a": "wwcwu", "b": "cc", "d": "cw"}, rewards=rewards, logprobs=logprobs)
    found = ranked(RankedSet(), given_)
    (row,) = [r for r in found.rows.to_pylist() if r["task_id"] == "a"]
    assert [r["rollout_id"] for r in row["responses"]] == ["a2", "a1", "a0", "a4", "a3"]
    assert [r["correct"] for r in row["responses"]] == [True, False, False, None, False]
    assert row["levels"] == 3
    assert ledger(found)["b"] == ("dropped", "few_rewards")


def test_a_shortened_list_keeps_the_worst_answer() -> None:
    rewards = {f"a{i}": float(5 - i) for i in range(5)}
    found = ranked(RankedSet(answers=3), signals({"a": "ccccc"}, rewards=rewards))
    (row,) = found.rows.to_pylist()
    assert [r["rollout_id"] for r in row["responses"]] == ["a0", "a1", "a4"]
    assert row["levels"] == 3


def test_equal_texts_stand_once_in_a_list() -> None:
    texts = {"a0": "x", "a1": "x", "a2": "y"}
    (row,) = ranked(RankedSet(), signals({"a": "ccw"}, texts=texts)).rows.to_pylist()
    assert [r["rollout_id"] for r in row["responses"]] == ["a0", "a2"]
