"""One pass over the training prompts: everything they share with the indexes, in bounded memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.config import DecontaminateConfig
from winnow.pipeline.clean.decontamination.exact import DigitFreeIndex, RowsEntries, WholeIndex
from winnow.pipeline.clean.decontamination.grams import GramIndex, RunningHash, distinct
from winnow.pipeline.clean.decontamination.items import Items
from winnow.pipeline.clean.decontamination.words import (
    digit_free,
    folded,
    word_hashes,
    word_table,
)

# From this many words on an item too short for the n-gram rule is looked for inside prompts, too.
CONTAINED_WORDS = 8
CHUNK_BYTES = 1 << 24
CHUNK_ROWS = 100_000

_Ints = NDArray[np.int64]


@dataclass
class Shared:
    """Pairs of a row and a gram of one index, and of a row and a whole item inside it."""

    row: _Ints
    gram: _Ints
    inside_row: _Ints
    inside_seq: _Ints


@dataclass
class Scan:
    """What the rows share with each index of the scanner, by its name. Pairs are sorted by row.

    `letters` is a hash of each row's letters, for the rows that share an n-gram: rows of one such
    hash differ only by numbers and punctuation.
    """

    rows: int
    letters: NDArray[np.uint64]
    shared: dict[str, Shared]
    whole: RowsEntries
    whole_equal: NDArray[np.bool_]  # whether operators and signs agree as well
    same_letters: RowsEntries


def chunks(texts: pl.Series, chunk_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, pl.Series]]:
    """Cut a column into parts of about `chunk_bytes`, with the row each part begins at."""
    ends = np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64))
    first = 0
    while first < len(texts):
        done = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, done + chunk_bytes, "right"))
        last = min(max(last, first + 1), first + CHUNK_ROWS)
        yield first, texts[first:last]
        first = last


class Scanner:
    """The indexes that a configuration asks for, over one collection of items.

    `grams` holds one index per n-gram rule, named by the rule, and under "contained" the one that
    finds items shorter than the n-gram rule's n inside prompts.
    """

    def __init__(self, items: Items, config: DecontaminateConfig, bits: int = 64) -> None:
        self._bits = bits
        self.grams: dict[str, GramIndex] = {}
        for rule, n in (("coverage", config.coverage_n), ("ngram", config.ngram_n)):
            if rule in config.active:
                self.grams[rule] = GramIndex.build(
                    items,
                    n,
                    common_items=config.boilerplate_items,
                    common_share=config.boilerplate_item_share,
                    bits=bits,
                )
        if "ngram" in config.active and config.ngram_n > CONTAINED_WORDS:
            short = GramIndex.build(
                items,
                CONTAINED_WORDS,
                common_items=config.boilerplate_items,
                common_share=config.boilerplate_item_share,
                lengths=(CONTAINED_WORDS, config.ngram_n - 1),
                bits=bits,
            )
            if len(short):
                self.grams["contained"] = short
        self._whole = WholeIndex(items, bits)
        exact = "exact" in config.active
        self._letters = DigitFreeIndex(items, config.exact_min_chars) if exact else None

    def scan(
        self,
        texts: pl.Series,
        chunk_bytes: int = CHUNK_BYTES,
        tell: Callable[[int], None] = lambda done: None,
    ) -> Scan:
        """Search the whole column. The result does not depend on how it is cut into chunks.

        `tell` is called after each chunk with the number of rows done.
        """
        letters = np.zeros(len(texts), np.uint64)
        shared: dict[str, list[Shared]] = {name: [] for name in self.grams}
        whole: list[RowsEntries] = []
        equal: list[NDArray[np.bool_]] = []
        same_letters: list[RowsEntries] = []
        for first, part in chunks(texts, chunk_bytes):
            plain = folded(part)
            table = word_table(plain, self._bits)
            running = RunningHash(table.hashes)
            touched = []
            for name, index in self.grams.items():
                found = index.search(table, running)
                shared[name].append(
                    Shared(
                        found.row + first, found.gram, found.inside_row + first, found.inside_seq
                    )
                )
                touched.append(found.row)
            (rows, entries), same = self._whole.search(part, table, running)
            whole.append((rows + first, entries))
            equal.append(same)
            if self._letters is not None:
                keys = digit_free(plain)
                rows, entries = self._letters.search(keys)
                same_letters.append((rows + first, entries))
            if touched and len(rows := distinct(np.concatenate(touched))):
                letters[rows + first] = word_hashes(digit_free(plain.gather(rows)))
            tell(first + len(part))
        return Scan(
            len(texts),
            letters,
            {name: _joined(parts) for name, parts in shared.items()},
            _joined_pairs(whole),
            np.concatenate([np.zeros(0, np.bool_), *equal]),
            _joined_pairs(same_letters),
        )


def _join(arrays: list[_Ints]) -> _Ints:
    return np.concatenate([np.zeros(0, np.int64), *arrays])


def _joined(parts: list[Shared]) -> Shared:
    return Shared(
        _join([p.row for p in parts]),
        _join([p.gram for p in parts]),
        _join([p.inside_row for p in parts]),
        _join([p.inside_seq for p in parts]),
    )


def _joined_pairs(parts: list[RowsEntries]) -> RowsEntries:
    return _join([p[0] for p in parts]), _join([p[1] for p in parts])
