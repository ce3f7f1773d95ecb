"""Trajectories from logs in long form."""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.trajectories import accuracy_trajectories, loss_trajectories

NONE = math.nan


def test_losses_are_in_the_order_of_the_steps() -> None:
    found = loss_trajectories(["b", "a", "b", "a"], [500, 1000, 1000, 500], [1.0, 2.0, 3.0, 4.0])
    assert found.keys == ["a", "b"]
    assert found.times == [500, 1000]
    assert found.values.tolist() == [[4.0, 2.0], [1.0, 3.0]]


def test_a_loss_that_the_log_lacks() -> None:
    found = loss_trajectories(["a", "a", "b", "b"], [1, 2, 2, 1], [1.0, None, 2.0, NONE])
    np.testing.assert_array_equal(found.values, [[1.0, NONE], [NONE, 2.0]])
    found = loss_trajectories(["a", "b"], [1, 2], [1, 2])
    np.testing.assert_array_equal(found.values, [[1.0, NONE], [NONE, 2.0]])
    assert loss_trajectories([], [], []).values.shape == (0, 0)


@pytest.mark.parametrize(
    ("keys", "steps", "losses", "error"),
    [
        (["a", "b", "a"], [1, 1, 1], [0.0, 0.0, 0.0], "row a has two losses at step 1"),
        (["a", None], [1, 2], [0.0, 0.0], "entry 1 names no row"),
        (["a", "b"], [1, None], [0.0, 0.0], "entry 1: step is None"),
        (["a"], [1.5], [0.0], "entry 0: step is 1.5, not a whole number"),
        (["a"], ["one"], [0.0], "entry 0: step is 'one', not a number"),
        (["a"], [1], ["low"], "entry 0: loss is 'low', not a number"),
    ],
)
def test_losses_that_make_no_sense(keys: Any, steps: Any, losses: Any, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        loss_trajectories(keys, steps, losses)


def test_accuracy_is_the_share_of_rewards_of_exactly_one() -> None:
    rewards = [1, 0.999, -0.5, 1.0, True, False, None, NONE]
    found = accuracy_trajectories(["a"] * 4 + ["b"] * 4, rewards, epochs=[1] * 8)
    assert found.values.tolist() == [[0.5], [0.5]]


def test_an_epoch_without_answers_is_missing() -> None:
    found = accuracy_trajectories(["a", "a", "b", "c"], [1, 0, 1, None], epochs=[3, 5, 5, 3])
    assert found.times == [3, 4, 5]
    np.testing.assert_array_equal(
        found.values, [[1.0, NONE, 0.0], [NONE, NONE, 1.0], [NONE, NONE, NONE]]
    )
    assert accuracy_trajectories([], [], steps=[]).values.shape == (0, 0)


@given(
    entries=st.lists(
        st.tuples(
            st.sampled_from(["p", "q", "r"]),
            st.integers(0, 30),
            st.sampled_from([1.0, 0.0, -1.0, 0.5, None]),
        ),
        max_size=40,
    ),
    first=st.integers(-3, 50),
    per_epoch=st.integers(1, 9),
)
@settings(deadline=None, max_examples=150)
def test_steps_make_epochs(
    entries: list[tuple[str, int, float | None]], first: int, per_epoch: int
) -> None:
    found = accuracy_trajectories(
        [e[0] for e in entries],
        [e[2] for e in entries],
        steps=[first + e[1] for e in entries],
        steps_per_epoch=per_epoch,
    )
    begin = min((e[1] for e in entries), default=0)
    drawn: dict[tuple[str, int], list[float]] = defaultdict(list)
    last = -1
    for key, step, reward in entries:
        epoch = math.floor((step - begin) / per_epoch)
        last = max(last, epoch)
        if reward is not None:
            drawn[key, epoch].append(reward)
    assert found.times == list(range(last + 1))
    assert found.keys == sorted({e[0] for e in entries})
    for key, row in zip(found.keys, found.values.tolist(), strict=True):
        for epoch, share in enumerate(row):
            given_rewards = drawn[key, epoch]
            if not given_rewards:
                assert math.isnan(share)
            else:
                assert share == sum(r == 1 for r in given_rewards) / len(given_rewards)


def test_accuracies_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="entry 0: reward is 'yes'"):
        accuracy_trajectories(["a"], ["yes"], epochs=[0])
    with pytest.raises(UsageError, match="entry 0: epoch is None"):
        accuracy_trajectories(["a"], [1], epochs=[None])
    with pytest.raises(UsageError, match="steps per epoch: 0"):
        accuracy_trajectories(["a"], [1], steps=[0], steps_per_epoch=0)
    with pytest.raises(UsageError, match="are too many"):
        accuracy_trajectories(["a", "a"], [1, 1], epochs=[0, 1_700_000_000])
    with pytest.raises(ValueError, match="either epochs or steps"):
        accuracy_trajectories(["a"], [1])
