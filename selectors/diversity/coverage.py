"""How much a row would add to a facility-location set, and the greedy searches over it."""

from collections.abc import Callable
from math import ceil, log
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from winnow.selectors.diversity.similarity import BLOCK

_FIRST_BATCH = 16  # rows looked at again at once, doubling within a choice
_LARGEST_BATCH = 512
_AT_ONCE = 2**20  # similarities that are formed at once
_EQUAL = 1e-6  # gains this near, of the larger one or of 1, differ by rounding alone


class Coverage(Protocol):
    """`cover` (n,): similarity of each row to the nearest chosen one, 0 while none is chosen."""

    cover: NDArray[np.float32]

    def gains(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each of `rows` (m,) would add to sum(cover)."""
        ...

    def add(self, row: int) -> None:
        """Choose a row."""
        ...


class Blocks:
    """Similarities of unit vectors (n, d), formed when they are needed."""

    def __init__(self, unit: NDArray[np.float32]) -> None:
        self._unit = unit
        self.cover = np.zeros(len(unit), np.float32)

    def gains(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        total = np.zeros(len(rows))
        candidates = np.ascontiguousarray(self._unit[rows].T)
        size = max(BLOCK, _AT_ONCE // max(len(rows), 1))
        for start in range(0, len(self._unit), size):
            gain = self._unit[start : start + size] @ candidates
            gain -= self.cover[start : start + size, None]
            np.maximum(gain, 0, out=gain)
            total += np.ones(len(gain), np.float32) @ gain
        return total

    def add(self, row: int) -> None:
        np.maximum(self.cover, self._unit @ self._unit[row], out=self.cover)


class Stored:
    """The same with all similarities (n, n) in memory."""

    def __init__(self, unit: NDArray[np.float32]) -> None:
        n = len(unit)
        self._similarity = np.empty((n, n), np.float32)
        for start in range(0, n, BLOCK):
            np.matmul(
                unit[start : start + BLOCK], unit.T, out=self._similarity[start : start + BLOCK]
            )
        self.cover = np.zeros(n, np.float32)

    def gains(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        total = np.empty(len(rows))
        for start in range(0, len(rows), 64):
            gain = self._similarity[rows[start : start + 64]]
            gain -= self.cover
            np.maximum(gain, 0, out=gain)
            total[start : start + 64] = gain.sum(axis=1, dtype=np.float64)
        return total

    def add(self, row: int) -> None:
        np.maximum(self.cover, self._similarity[row], out=self.cover)


class Neighbours:
    """Only the `count` most similar rows of each row count for it; the similarity to others is 0."""

    def __init__(self, unit: NDArray[np.float32], count: int) -> None:
        import faiss

        n = len(unit)
        count = min(count, n)
        similarity = np.empty((n, count), np.float32)
        nearest = np.empty((n, count), np.int32)
        for start in range(0, n, 8192):
            part = faiss.knn(
                unit[start : start + 8192], unit, count, metric=faiss.METRIC_INNER_PRODUCT
            )
            similarity[start : start + 8192], nearest[start : start + 8192] = part
        # By the row that is near: for each, whom it would serve.
        order = np.argsort(nearest.ravel(), kind="stable")
        self._served = (order // count).astype(np.int32)
        self._similarity = np.maximum(similarity.ravel()[order], 0)
        self._starts = np.searchsorted(nearest.ravel()[order], np.arange(n + 1))
        self.cover = np.zeros(n, np.float32)

    def gains(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        starts, lengths = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        ends = np.cumsum(lengths)
        at = np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths)
        gain = np.maximum(self._similarity[at] - self.cover[self._served[at]], 0)
        to = np.repeat(np.arange(len(rows)), lengths)
        return np.bincount(to, gain, minlength=len(rows)).astype(np.float64)

    def add(self, row: int) -> None:
        part = slice(self._starts[row], self._starts[row + 1])
        served = self._served[part]
        self.cover[served] = np.maximum(self.cover[served], self._similarity[part])


def lazy_greedy(
    coverage: Coverage, n: int, count: int, told: Callable[[int], None] = lambda done: None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`count` of n rows by the largest gain each (of equals the first), and those gains.

    Equal within rounding, that is: two rows that serve only each other add the same.
    """
    bound = np.concatenate(
        [coverage.gains(np.arange(s, min(s + BLOCK, n))) for s in range(0, n, BLOCK)]
    )
    stale = np.zeros(n, bool)
    chosen, gain = np.empty(count, np.int64), np.empty(count)
    for at in range(count):
        batch = _FIRST_BATCH
        while True:
            fresh = np.where(stale, -1.0, bound)
            old = np.where(stale, bound, -1.0)
            again = np.flatnonzero(old >= max(_near(float(fresh.max())), 0.0))
            if not len(again):
                break
            if len(again) > batch:
                again = again[np.argpartition(-old[again], batch)[:batch]]
            again.sort()
            bound[again] = coverage.gains(again)
            stale[again] = False
            batch = min(2 * batch, _LARGEST_BATCH)
        row = _best(bound)
        chosen[at], gain[at] = row, bound[row]
        coverage.add(row)
        bound[row] = -2.0  # below all
        stale = bound > _EQUAL  # what adds nothing now never will
        told(at + 1)
    return chosen, gain


def stochastic_greedy(
    coverage: Coverage,
    n: int,
    count: int,
    epsilon: float,
    generator: np.random.Generator,
    told: Callable[[int], None] = lambda done: None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`count` of n rows, each the one of the largest gain (of equals the first) in a random sample of
    those left; and those gains."""
    left = np.arange(n)
    chosen, gain = np.empty(count, np.int64), np.empty(count)
    for at in range(count):
        size = min(len(left), sample_size(n, count, epsilon))
        rows = np.sort(left[generator.choice(len(left), size, replace=False, shuffle=False)])
        gains = coverage.gains(rows)
        best = _best(gains)
        chosen[at], gain[at] = rows[best], gains[best]
        coverage.add(int(rows[best]))
        left = np.delete(left, np.searchsorted(left, rows[best]))
        told(at + 1)
    return chosen, gain


def _near(gain: float) -> float:
    return gain - _EQUAL * max(gain, 1.0)


def _best(gains: NDArray[np.float64]) -> int:
    return int((gains >= _near(float(gains.max()))).argmax())


def sample_size(n: int, count: int, epsilon: float) -> int:
    """(n / count) ln(1 / epsilon), rounded up, at most n."""
    return min(n, ceil(n / max(count, 1) * log(1 / epsilon)))
