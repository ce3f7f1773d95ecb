"""The last sketches that were chosen, and how far from them the next candidates lie."""

import mmap
from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from winnow.selectors.utility.distances import Vectors, centre, distances

_ROWS = 256  # candidates whose distances are computed together
_TABLE = 2**22  # entries of a table of distances, at most, while it has 64 rows or more
_SAMPLE = 512  # rows whose median is the origin


def together(slots: int) -> int:
    """How many candidates to measure against so many slots at once."""
    return max(64, min(_ROWS, _TABLE // slots))


class Buffer:
    """The last `slots` sketches that were pushed."""

    def __init__(self, slots: int, origin: NDArray[np.float64]) -> None:
        self.slots = slots
        self.filled = 0
        self._next = 0
        self._values = Vectors.room(slots, len(origin))

    @property
    def held(self) -> Vectors:
        return self._values.first(self.filled)

    def push(
        self, candidates: Vectors, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Take rows of the candidates, in order; returns the slots that changed, and by which row."""
        last = rows[-self.slots :]  # more than there are slots: the later ones overwrite
        first = self._next + len(rows) - len(last)
        at = (first + np.arange(len(last))) % self.slots
        self._values.put(at, candidates, last)
        self._next = (self._next + len(rows)) % self.slots
        self.filled = min(self.filled + len(rows), self.slots)
        return at, last


class Table:
    """Distances of the candidates of a block to the slots of the buffer, as these change."""

    def __init__(self, candidates: Vectors, recent: Buffer, *, alone: bool) -> None:
        self._recent = recent
        self._within = None if alone else distances(candidates, candidates, itself=True)
        if alone:  # one batch, which nothing changes while it is decided: no table is kept
            parts = _parts(candidates, together(recent.slots))
            self._means = np.concatenate([means(distances(p, recent.held)) for p in parts])
            return
        self._table = np.empty((len(candidates.squares), recent.slots))
        self._table[:, : recent.filled] = distances(candidates, recent.held)

    def mean_distance(self, start: int, stop: int) -> NDArray[np.float64]:
        if self._within is None:
            return self._means[start:stop]
        return means(self._table[start:stop, : self._recent.filled])

    def replace(self, start: int, slots: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """For the candidates from `start` on, slots now hold these rows of the block."""
        if self._within is not None:
            self._table[start:, slots] = self._within[rows, start:].T


def _parts(rows: Vectors, size: int) -> Iterator[Vectors]:
    for start in range(0, len(rows.squares), size):
        at = slice(start, start + size)
        yield Vectors(rows.exact[at], rows.moved[at], rows.squares[at])


def means(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row means; 0 of rows without entries."""
    mean: NDArray[np.float64] = np.add.reduce(table, axis=1) / max(table.shape[1], 1)
    return mean


class Sketches:
    """Sketches in the order of the stream, some rows at a time."""

    def __init__(self, z: NDArray[np.floating], order: NDArray[np.int64]) -> None:
        self._z = z
        self._order = order
        self._file = _mapped_file(z)
        sample = order[:: max(1, len(order) // _SAMPLE)][:_SAMPLE]
        self.origin = centre(z[np.sort(sample)])

    def __enter__(self) -> Self:
        if self._file is not None:  # read-ahead would fetch sixteen rows for each that is wanted
            self._file.madvise(mmap.MADV_RANDOM)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.madvise(mmap.MADV_NORMAL)

    def read(self, start: int, stop: int) -> Vectors:
        return Vectors.of(self._z[self._order[start:stop]], self.origin)


def _mapped_file(array: NDArray[np.floating]) -> mmap.mmap | None:
    """The file that an array is a view of."""
    base: object = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base
