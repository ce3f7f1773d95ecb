"""The rows that a selector sees."""

import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.pipeline.progress import Progress, Silent


@dataclass(frozen=True, eq=False)
class Ragged:
    """Lists of numbers: row i is values[offsets[i] : offsets[i + 1]], float64."""

    values: NDArray[np.float64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.float64]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> "Ragged":
        """The lists of these rows, in this order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[at], offsets)

    def sums(self) -> NDArray[np.float64]:
        """Sum of each row; 0 of an empty one."""
        return self._reduce(self.values)

    def means(self) -> NDArray[np.float64]:
        """Mean of each row; NaN of an empty one."""
        with np.errstate(invalid="ignore"):
            return self.sums() / self.lengths

    def stds(self, ddof: int = 0) -> NDArray[np.float64]:
        """Standard deviation of each row, two passes; NaN where there are at most `ddof` values."""
        off = self.values - np.repeat(self.means(), self.lengths)
        n = self.lengths - ddof
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(n > 0, np.sqrt(self._reduce(off * off) / n), np.nan)

    def _reduce(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        # reduceat gives an empty segment the value at its start, and takes no start past the end
        starts = self.offsets[:-1]
        filled = self.lengths > 0
        sums = np.zeros(len(self))
        if filled.any():
            sums[filled] = np.add.reduceat(values, starts[filled])
        return sums


@dataclass(frozen=True, eq=False)
class Pool:
    """Usable rows in canonical order (sorted by id), a seed, and a listener for what takes long.

    `columns` holds what the selector declared, as `Column` describes it: arrays (n,), a matrix
    (n, d) float32 for vectors (mapped from a file where it is large: read it in blocks), `Ragged`,
    or lists.
    """

    ids: Sequence[str]
    columns: Mapping[str, Any]
    seed: int = 0
    progress: Progress = field(default_factory=Silent)

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, name: str) -> bool:
        """Whether an optional column is there."""
        return name in self.columns

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def rng(self, *purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose, so that one more draw here changes none there."""
        words = [zlib.crc32(p.encode()) for p in purpose]
        return np.random.Generator(np.random.PCG64([self.seed, *words]))

    def take(self, rows: NDArray[np.int64], names: Sequence[str] | None = None) -> "Pool":
        """The pool of these rows (indices in ascending order) with the columns `names` (all, if
        None). A matrix that lies in a file is not read into memory where all rows are taken."""
        wanted = self.columns if names is None else [n for n in names if n in self.columns]
        whole = len(rows) == len(self)
        columns = {n: self.columns[n] if whole else _taken(self.columns[n], rows) for n in wanted}
        return Pool([self.ids[i] for i in rows.tolist()], columns, self.seed, self.progress)

    def groups(self, name: str) -> NDArray[np.int64]:
        """Numbers (n,) from 0 for the distinct values of a text or integer column, in sorted order
        of the values (None, where nulls are allowed, is a group of its own, the last)."""
        values = self.columns[name]
        if isinstance(values, list):
            texts = pa.array(values, pa.string())
            known = pc.unique(texts).drop_null()
            known = known.take(pc.sort_indices(known))
            place = pc.index_in(texts, value_set=known).fill_null(len(known))
            return place.to_numpy(zero_copy_only=False).astype(np.int64)
        numbers: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
        return numbers.astype(np.int64)


def _taken(values: Any, rows: NDArray[np.int64]) -> Any:
    if isinstance(values, Ragged):
        return values.take(rows)
    if isinstance(values, np.memmap) and len(rows):
        # What did not fit in memory need not fit after the cut either.
        taken = matrix_in_a_file(len(rows), values.shape[1])
        for start in range(0, len(rows), 8192):
            taken[start : start + 8192] = values[rows[start : start + 8192]]
        return taken
    if isinstance(values, np.ndarray):
        return values[rows]
    return [values[i] for i in rows.tolist()]


def matrix_in_a_file(n: int, width: int) -> NDArray[np.float32]:
    """A matrix (n, width) in a temporary file, of which memory holds what is in use."""
    with tempfile.NamedTemporaryFile(prefix="winnow-vectors-") as file:
        # The name goes with the block; the space when the last reader lets go.
        return np.memmap(file, np.float32, "w+", shape=(n, width))
