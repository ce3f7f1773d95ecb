"""Everything that depends only on how many answers were right and how many wrong.

Tables are square, (cap + 1, cap + 1), indexed [judged, correct], so that the outcomes of n judged
answers are one contiguous row; entries with correct > judged mean nothing. From [n, c] the next
judged answer leads to [n + 1, c + 1] or [n + 1, c].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 1024  # answers; the time to make a table grows with the square
LOWEST_COUNT = 1e-6  # of a Beta prior

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Band = tuple[float, float]
Prior = tuple[float, float]


def outcomes(cap: int) -> tuple[Floats, Floats]:
    """How many are right and how many wrong at each entry of a table."""
    judged, correct = np.ogrid[: cap + 1, : cap + 1]
    right = np.minimum(correct, judged)  # the entries without meaning must not become negative
    return right.astype(np.float64), (judged - right).astype(np.float64)


def tabulated(cap: int, function: Callable[[Floats, Floats], NDArray[Any]]) -> Floats:
    """A table of function(right, wrong), which is given only the entries that mean something."""
    judged, correct = np.tril_indices(cap + 1)
    table = np.zeros((cap + 1, cap + 1))
    table[judged, correct] = function(
        correct.astype(np.float64), (judged - correct).astype(np.float64)
    )
    return table


def next_correct(cap: int, prior: Prior) -> Floats:
    """Chance that the next judged answer is right, given Beta(prior): the posterior mean."""
    right, wrong = outcomes(cap)
    return (prior[0] + right) / (prior[0] + prior[1] + right + wrong)


def fewest_further(stops: Bools) -> NDArray[np.int32]:
    """The fewest further judged answers to an entry that stops:

        f[n, c] = 0 where it stops, else 1 + min(f[n + 1, c + 1], f[n + 1, c])

    The last row counts as stopping.
    """
    cap = len(stops) - 1
    further = np.zeros(stops.shape, np.int32)
    for n in range(cap - 1, -1, -1):
        after = 1 + np.minimum(further[n + 1, 1 : n + 2], further[n + 1, : n + 1])
        further[n, : n + 1] = np.where(stops[n, : n + 1], 0, after)
    return further


def stop_chances(stops: Bools, next_right: Floats) -> Floats:
    """Chance that the walk from no answers stops at each entry.

    `next_right` is the chance that the next judged answer is right, at each entry; the last row stops.
    All answers are judged.
    """
    reached = np.zeros(stops.shape)
    reached[0, 0] = 1.0
    for n in range(len(stops) - 1):
        going = np.where(stops[n, : n + 1], 0.0, reached[n, : n + 1])
        right = going * next_right[n, : n + 1]
        reached[n + 1, 1 : n + 2] += right
        reached[n + 1, : n + 1] += going - right
    reached[:-1] *= stops[:-1]
    return reached


def check_cap(max_answers: int) -> int:
    if not 1 <= max_answers <= MOST:
        raise ValueError(f"max_answers ({max_answers}) must be at least 1 and at most {MOST}")
    return max_answers


def check_band(band: Band) -> Band:
    low, high = band
    if not 0 <= low <= high <= 1:
        raise ValueError(f"band {band} must be two rates, the lower one first")
    return band


def check_prior(prior: Prior) -> Prior:
    if not all(LOWEST_COUNT <= count < np.inf for count in prior):
        raise ValueError(f"prior {prior}: both counts must be at least {LOWEST_COUNT}")
    return prior


def check_rate(name: str, rate: float) -> float:
    if not 0 < rate < 1:
        raise ValueError(f"{name} ({rate}) must be between 0 and 1")
    return rate
