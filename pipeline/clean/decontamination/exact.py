"""Whole prompts against whole items: word for word, and with digits left out.

The digit-free comparison is Light-R1's (arXiv:2503.10460): two texts are equal if their letters
are, so that a copy with other numbers is found. Items with few letters are compared in full, with
their digits and operators, or "What is 2 + 2?" would stand for every sum.
"""

from collections import defaultdict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.grams import RunningHash
from winnow.pipeline.clean.decontamination.items import Items
from winnow.pipeline.clean.decontamination.words import (
    WordTable,
    digit_free,
    folded,
    full_string,
)

_SAME_LETTERS = 64  # items of equal letters that are looked at: sets of sums have thousands
_LENGTH = np.uint64(0xD6E8FEB86659FD93)  # mixes the number of words into a hash of all words

RowsEntries = tuple[NDArray[np.int64], NDArray[np.int64]]


def _pairs(rows: list[int], entries: list[int]) -> RowsEntries:
    return np.array(rows, np.int64), np.array(entries, np.int64)


class WholeIndex:
    """Finds texts that are an item: every word of it and no other."""

    def __init__(self, items: Items, bits: int = 64) -> None:
        self._items = items
        running = RunningHash(items.vocabulary_hashes(bits)[items.flat])
        keys = _mixed(running.stretches(items.start[:-1], items.lengths), items.lengths)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]
        self._entries: dict[int, list[int]] = defaultdict(list)
        for number, entry in enumerate(items.entries):
            self._entries[entry.sequence].append(number)

    def search(
        self, texts: pl.Series, table: WordTable, running: RunningHash
    ) -> tuple[RowsEntries, NDArray[np.bool_]]:
        """Rows and entries of the same words, and whether operators and signs agree as well."""
        lengths = np.diff(table.offsets)
        keys = _mixed(running.stretches(table.offsets[:-1], lengths), lengths)
        low = np.searchsorted(self._sorted, keys, "left")
        high = np.searchsorted(self._sorted, keys, "right")
        rows: list[int] = []
        entries: list[int] = []
        same: list[bool] = []
        for row in np.flatnonzero(high > low).tolist():
            found = table.words[int(table.offsets[row]) : int(table.offsets[row + 1])].to_list()
            full = full_string(texts[row])
            for sequence in self._order[low[row] : high[row]].tolist():
                if self._items.sequences[sequence] != found:
                    continue
                for entry in self._entries[sequence]:
                    equal = full == self._items.entries[entry].full
                    if found or equal:
                        rows.append(row)
                        entries.append(entry)
                        same.append(equal)
        return _pairs(rows, entries), np.array(same, np.bool_)


def _mixed(hashes: NDArray[np.uint64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    return hashes ^ (lengths.astype(np.uint64) * _LENGTH)


class DigitFreeIndex:
    """Finds texts with the letters of an item, whatever the digits and signs."""

    def __init__(self, items: Items, min_chars: int) -> None:
        texts = pl.Series("text", [e.text for e in items.entries], dtype=pl.String)
        keys = digit_free(folded(texts))
        self._entries: dict[str, list[int]] = defaultdict(list)
        for number, key in enumerate(keys.to_list()):
            if len(key) >= min_chars and len(self._entries[key]) < _SAME_LETTERS:
                self._entries[key].append(number)
        self._keys = pl.Series("text", list(self._entries), dtype=pl.String)

    def search(self, keys: pl.Series) -> RowsEntries:
        """Rows and entries of equal letters. `keys` are the rows' `digit_free` texts."""
        rows: list[int] = []
        entries: list[int] = []
        hits = keys.is_in(self._keys.implode()).arg_true()
        for row, key in zip(hits.to_list(), keys.gather(hits).to_list(), strict=True):
            rows.extend([row] * len(self._entries[key]))
            entries.extend(self._entries[key])
        return _pairs(rows, entries)
