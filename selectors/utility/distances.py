"""Euclidean distances between many rows by matrix products, as exact as the direct form.

|a - b|^2 = |a|^2 + |b|^2 - 2 ab loses the digits of what cancels. With width d and u = 2^-53 the
right side is off by at most (2 d + 16) u (|a|^2 + |b|^2), so that of a pair with
|a - b|^2 >= (d + 8) u (|a|^2 + |b|^2) / PRECISION the distance is within PRECISION, relative; the
pairs below that, the near duplicates, are measured by float64 differences instead. Rows are moved
by a common origin first (`centre`): a large common mean would make every pair one of those.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRECISION = 1e-9  # relative error of a distance, at most; in practice about 1e-14
_UNIT = 2.0**-53

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Rows (n, d) in float64: `exact` as given, `moved` by the origin, and their `squares` (n,)."""

    exact: Floats
    moved: Floats
    squares: Floats

    @classmethod
    def of(cls, rows: NDArray[np.floating], origin: Floats) -> "Vectors":
        exact = rows.astype(np.float64)
        moved = exact - origin
        return cls(exact, moved, np.einsum("ij,ij->i", moved, moved))

    @classmethod
    def room(cls, n: int, width: int) -> "Vectors":
        """Space for n rows."""
        return cls(np.zeros((n, width)), np.zeros((n, width)), np.zeros(n))

    def put(self, at: NDArray[np.int64], other: "Vectors", rows: NDArray[np.int64]) -> None:
        """Overwrite rows `at` with `rows` of another."""
        self.exact[at] = other.exact[rows]
        self.moved[at] = other.moved[rows]
        self.squares[at] = other.squares[rows]

    def first(self, n: int) -> "Vectors":
        return Vectors(self.exact[:n], self.moved[:n], self.squares[:n])


def centre(sample: NDArray[np.floating]) -> Floats:
    """An origin (d,) amid the rows of a sample (m, d): their median, which no outlier moves far."""
    if not len(sample):
        return np.zeros(sample.shape[1])
    middle: Floats = np.median(sample.astype(np.float64), axis=0)
    return middle


def distances(a: Vectors, b: Vectors, *, itself: bool = False) -> Floats:
    """Distances (len(a), len(b)). `itself`: a is b, whose diagonal is zero."""
    width = a.exact.shape[1]
    square: Floats = a.moved @ b.moved.T
    if not square.size:
        return square
    square *= -2.0
    square += a.squares[:, None]
    square += b.squares
    if itself:
        np.fill_diagonal(square, np.inf)
    limit = (width + 8) * _UNIT / PRECISION
    doubtful = square.min(axis=1) < limit * (a.squares + b.squares.max())
    near = [
        (row, np.flatnonzero(square[row] < limit * (a.squares[row] + b.squares)))
        for row in np.flatnonzero(doubtful).tolist()
    ]
    np.maximum(square, 0.0, out=square)
    np.sqrt(square, out=square)
    for row, columns in near:
        square[row, columns] = direct(a.exact[row : row + 1], b.exact[columns])[0]
    if itself:
        np.fill_diagonal(square, 0.0)
    return square


def direct(a: Floats, b: Floats) -> Floats:
    """The same by differences; equal rows get equal distances, to the last bit."""
    from scipy.spatial.distance import cdist

    found: Floats = cdist(a, b)
    return found
