"""Trajectories out of logs in long form: one entry per row and step in, one list per row out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError

_MOST_CELLS = 200_000_000  # of 24 bytes


@dataclass(frozen=True, eq=False)
class Trajectories:
    """`values` (n, steps) of the rows `keys`, in sorted order; NaN where there is none. `times` are
    the steps or epochs."""

    keys: list[str]
    times: list[int]
    values: NDArray[np.float64]


def loss_trajectories(
    keys: Sequence[Any], steps: Sequence[Any], losses: Sequence[Any]
) -> Trajectories:
    """The losses of each row at all steps that the log has, in their order.

    A row without an entry for a step, or with a null there, has NaN. Raises UsageError for an entry
    without a row or step, for a loss that is no number, and for two entries of one row and step.
    """
    rows, names = _numbers(keys)
    times, at = np.unique(_whole(steps, "step"), return_inverse=True)
    values = np.full((len(names), len(times)), np.nan)
    entry = rows * len(times) + at
    _, first, counts = np.unique(entry, return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = int(first[np.flatnonzero(counts > 1)[0]])
        raise UsageError(f"row {keys[twice]} has two losses at step {times[at[twice]]}")
    values[rows, at] = _floats(losses, "loss")
    return Trajectories(names, times.tolist(), values)


def accuracy_trajectories(
    keys: Sequence[Any],
    rewards: Sequence[Any],
    *,
    epochs: Sequence[Any] | None = None,
    steps: Sequence[Any] | None = None,
    steps_per_epoch: int = 8,
) -> Trajectories:
    """LIMR's accuracies (arXiv 2502.11886): of each prompt's answers in an epoch, the share whose
    reward is exactly 1.

    One entry is one answer, with its epoch or else its training step; `steps_per_epoch` steps are
    an epoch (the authors' code: 8), counted from the first step of the log. Epochs reach from the
    first to the last of the log; NaN where a prompt has no answer. An answer without a reward (null,
    NaN) was not judged and does not count. Raises UsageError for an entry without a prompt, epoch
    or step, and for a reward that is no number.
    """
    if (epochs is None) == (steps is None):
        raise ValueError("either epochs or steps")
    if steps_per_epoch < 1:
        raise UsageError(f"steps per epoch: {steps_per_epoch} is below 1")
    rows, names = _numbers(keys)
    if epochs is not None:
        at = _whole(epochs, "epoch")
        first = int(at.min()) if len(at) else 0
        at = at - first
    else:
        assert steps is not None
        at = _whole(steps, "step")
        at = (at - at.min()) // steps_per_epoch if len(at) else at
        first = 0
    count = int(at.max()) + 1 if len(at) else 0
    size = len(names) * count
    if size > _MOST_CELLS:  # epochs that are time stamps, for instance
        raise UsageError(f"{count} epochs of {len(names)} prompts are too many")
    reward = _floats(rewards, "reward")
    judged = ~np.isnan(reward)
    entry = (rows * count + at)[judged]
    drawn = np.bincount(entry, minlength=size).astype(np.float64)
    right = np.bincount(entry, weights=(reward[judged] == 1).astype(np.float64), minlength=size)
    with np.errstate(invalid="ignore"):
        shares = (right / drawn).reshape(len(names), count)
    return Trajectories(names, list(range(first, first + count)), shares)


def _numbers(keys: Sequence[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Each entry's row as a number, and the rows' names, sorted."""
    for at, key in enumerate(keys):
        if key is None:
            raise UsageError(f"entry {at} names no row")
    texts = [str(key) for key in keys]
    names = sorted(set(texts))
    place = {name: at for at, name in enumerate(names)}
    return np.array([place[text] for text in texts], dtype=np.int64), names


def _whole(values: Sequence[Any], what: str) -> NDArray[np.int64]:
    found = _floats(values, what)
    bad = np.flatnonzero(~np.isfinite(found) | (found != np.round(found)))
    if len(bad):
        raise UsageError(f"entry {bad[0]}: {what} is {values[bad[0]]!r}, not a whole number")
    return found.astype(np.int64)


def _floats(values: Sequence[Any], what: str) -> NDArray[np.float64]:
    """float64 (n,), NaN for None."""
    for at, value in enumerate(values):
        if value is not None and not isinstance(value, int | float):
            raise UsageError(f"entry {at}: {what} is {value!r}, not a number")
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
