"""Evaluation sets and their distinct items."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.words import (
    full_string,
    text_series,
    word_hashes,
    words,
)
from winnow.pipeline.clean.normalise import fold


@dataclass(frozen=True)
class EvaluationSet:
    """One evaluation file: a text per row and, where wanted, answers and unit vectors (n, d).

    An item with several fields is given as one text or as several sets. A null text is an item that
    nothing matches.
    """

    name: str
    texts: Sequence[str | None] | pa.Array | pa.ChunkedArray
    answers: Sequence[str | None] | pa.Array | pa.ChunkedArray | None = None
    vectors: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        for what, values in (("answers", self.answers), ("vectors", self.vectors)):
            if values is not None and len(values) != len(self.texts):
                raise ValueError(
                    f"{self.name}: {len(values)} {what} for {len(self.texts)} evaluation items"
                )


def answer_key(answer: str | None) -> str | None:
    """What answers are compared by: folded, without spaces, dollars, thousands commas, final dots.

    Null where there is nothing to compare. This compares spellings, not values.
    """
    key = fold(answer or "").replace(" ", "").replace("$", "").replace(",", "").rstrip(".")
    return key or None


def strings(values: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> list[str | None]:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return [None if v is None else str(v) for v in values.to_pylist()]
    return list(values)


@dataclass(frozen=True)
class Entry:
    """One item of one set. Items that are equal in every way are one entry, at the first's row."""

    set_index: int
    row: int
    text: str
    answer: str | None
    full: str  # its `full_string`
    sequence: int  # its words, as an index into `Items.sequences`


@dataclass
class Items:
    """All evaluation items: entries, and the distinct word sequences that they share.

    `flat` holds the sequences end to end as indices into `vocabulary`; sequence s is
    `flat[start[s]:start[s + 1]]`, and `seq_of[p]` is the sequence of position p.
    """

    names: list[str]
    entries: list[Entry] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)  # rows that an entry stands for
    set_sizes: list[int] = field(default_factory=list)
    sequences: list[list[str]] = field(default_factory=list)
    vocabulary: list[str] = field(default_factory=list)
    flat: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    start: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    entry_of_row: list[NDArray[np.int64]] = field(default_factory=list)  # per set; -1: blank

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.start)

    @property
    def seq_of(self) -> NDArray[np.int32]:
        return np.repeat(np.arange(len(self.sequences), dtype=np.int32), self.lengths)

    def sets_of_sequences(self) -> list[set[int]]:
        """Per sequence the sets that hold it."""
        found: list[set[int]] = [set() for _ in self.sequences]
        for entry in self.entries:
            found[entry.sequence].add(entry.set_index)
        return found

    def vocabulary_hashes(self, bits: int) -> NDArray[np.uint64]:
        return word_hashes(pl.Series("text", self.vocabulary, dtype=pl.String), bits)


def collect(sets: Sequence[EvaluationSet]) -> Items:
    """Read the sets. Items in which a reader sees nothing to compare are left out.

    Raises ValueError for two sets of one name: hits could not be told apart.
    """
    names = [s.name for s in sets]
    if len(set(names)) < len(names):
        raise ValueError(f"two evaluation sets of one name: {sorted(names)}")
    items = Items(names)
    word_ids: dict[str, int] = {}
    sequence_ids: dict[tuple[int, ...], int] = {}
    entry_ids: dict[tuple[Any, ...], int] = {}
    flat: list[int] = []
    starts = [0]
    for set_index, evaluation in enumerate(sets):
        texts = text_series(evaluation.texts).to_list()
        answers = strings(evaluation.answers) if evaluation.answers is not None else []
        entry_of_row = np.full(len(texts), -1, np.int64)
        for row, text in enumerate(texts):
            parts, full = words(text), full_string(text)
            if not parts and not full:
                continue
            ids = tuple(word_ids.setdefault(w, len(word_ids)) for w in parts)
            sequence = sequence_ids.setdefault(ids, len(sequence_ids))
            if sequence == len(items.sequences):
                items.sequences.append(parts)
                flat.extend(ids)
                starts.append(len(flat))
            answer = answer_key(answers[row]) if answers else None
            key = (set_index, sequence, full, answer)
            entry = entry_ids.setdefault(key, len(entry_ids))
            if entry == len(items.entries):
                items.entries.append(Entry(set_index, row, text, answer, full, sequence))
                items.copies.append(0)
            items.copies[entry] += 1
            entry_of_row[row] = entry
        items.set_sizes.append(len(texts))
        items.entry_of_row.append(entry_of_row)
    items.vocabulary = list(word_ids)
    items.flat = np.array(flat, np.int32)
    items.start = np.array(starts, np.int64)
    return items
