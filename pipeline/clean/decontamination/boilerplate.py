"""N-grams too frequent to tell where a prompt comes from.

On the evaluation side: in more than `boilerplate_items` different items, or in more than
`boilerplate_item_share` of one set's different items and at least three of them (an instruction
header). On the training side: in more than `boilerplate_rows` different prompts that are also more
than `boilerplate_row_share` of all. Many copies of an item must not hide it: prompts that differ
only by numbers and punctuation are one prompt here, and prompts in which a whole item stands do not
count for the n-grams of that item. What boilerplate means for a score is said in `overlap`.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.config import DecontaminateConfig
from winnow.pipeline.clean.decontamination.grams import GramIndex, among, distinct, expand
from winnow.pipeline.clean.decontamination.scan import Shared

LISTING = pa.schema(
    [
        pa.field("n", pa.int64(), nullable=False),
        pa.field("ngram", pa.string(), nullable=False),
        pa.field("items", pa.int64(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


class Frequency:
    """How many training prompts hold each n-gram of an index."""

    def __init__(self, index: GramIndex, config: DecontaminateConfig) -> None:
        self._index = index
        self._config = config
        self._pairs: NDArray[np.uint64] = np.zeros((2, 0), np.uint64)  # gram, letters
        self._total = 0
        self.rows: NDArray[np.int64] = np.zeros(len(index), np.int64)

    def add(self, shared: Shared, letters: NDArray[np.uint64], rows: int) -> None:
        """Count the n-grams of `rows` more prompts; `letters` is a hash per prompt."""
        self._total += rows
        self.rows += np.bincount(shared.gram, minlength=len(self._index))
        open_ = ~self._index.common[shared.gram] & ~self._in_a_copy(shared)
        pairs = np.stack((shared.gram[open_].astype(np.uint64), letters[shared.row[open_]]))
        self._pairs = _distinct(np.concatenate((self._pairs, pairs), axis=1))

    def _in_a_copy(self, shared: Shared) -> NDArray[np.bool_]:
        """Per pair of a row and an n-gram, whether the row holds a whole item with that n-gram."""
        index, seq = self._index, shared.inside_seq
        owner, position = expand(index.items.start[seq], index.items.lengths[seq] - index.n + 1)
        size = max(1, len(index))
        inside = distinct(shared.inside_row[owner] * size + index.gram_at[position])
        return among(shared.row * size + shared.gram, inside)

    def boilerplate(self) -> NDArray[np.bool_]:
        """A flag per n-gram."""
        config = self._config
        if config.boilerplate_items is None:
            return np.zeros(len(self._index), np.bool_)
        most = max(config.boilerplate_rows, config.boilerplate_row_share * self._total)
        grams = self._pairs[0].astype(np.int64)
        return self._index.common | (np.bincount(grams, minlength=len(self._index)) > most)


def _distinct(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    if not pairs.shape[1]:
        return pairs
    pairs = pairs[:, np.lexsort(pairs)]
    new = np.concatenate(([True], (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)))
    return pairs[:, new]


def listing(frequencies: list[tuple[GramIndex, Frequency]]) -> pa.Table:
    """The boilerplate n-grams, the most frequent first.

    `items` and `rows` count the different evaluation items and the training prompts that hold the
    n-gram; `reason` is the side on which it is too frequent.
    """
    found = []
    for index, frequency in frequencies:
        for gram in np.flatnonzero(frequency.boilerplate()).tolist():
            reason = "items" if index.common[gram] else "rows"
            items, rows = int(index.n_items[gram]), int(frequency.rows[gram])
            found.append((-items - rows, index.n, index.text(gram), items, rows, reason))
    table = [dict(zip(LISTING.names, row[1:], strict=True)) for row in sorted(found)]
    return pa.Table.from_pylist(table, schema=LISTING)
