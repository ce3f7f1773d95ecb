"""Hits of all rules side by side: the best per training row, and the counts for the card."""

from collections import Counter
from enum import IntEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.config import Rule
from winnow.pipeline.clean.decontamination.grams import distinct, expand
from winnow.pipeline.clean.decontamination.items import Items

_Ints = NDArray[np.int64]


class Kind(IntEnum):
    """How a hit was found; of hits with equal scores the lower kind is shown."""

    FULL = 0
    COVERAGE = 1
    NGRAM = 2
    DIGIT_FREE = 3
    SEMANTIC = 4

    @property
    def rule(self) -> Rule:
        return _RULES[self]


_RULES: dict[Kind, Rule] = {
    Kind.FULL: "exact",
    Kind.COVERAGE: "coverage",
    Kind.NGRAM: "ngram",
    Kind.DIGIT_FREE: "exact",
    Kind.SEMANTIC: "semantic",
}


class Hits:
    """Rows, entries, kinds and scores; collected, then sorted with the best of each row first."""

    def __init__(self, items: Items) -> None:
        sequences = np.array([e.sequence for e in items.entries], np.int64)
        self._length = items.lengths[sequences]
        self._rows: list[_Ints] = []
        self._entries: list[_Ints] = []
        self._kinds: list[_Ints] = []
        self._scores: list[NDArray[np.float64]] = []
        self.row: _Ints = np.zeros(0, np.int64)
        self.entry: _Ints = np.zeros(0, np.int64)
        self.kind: _Ints = np.zeros(0, np.int64)
        self.score: NDArray[np.float64] = np.zeros(0)

    def add(self, kind: Kind, row: _Ints, entry: _Ints, score: NDArray[np.float64] | float) -> None:
        self._rows.append(row)
        self._entries.append(entry)
        self._kinds.append(np.full(len(row), int(kind), np.int64))
        self._scores.append(np.broadcast_to(np.asarray(score, np.float64), row.shape))

    def settle(self) -> None:
        """Sort by row, falling score, kind, falling length of the item, entry.

        Of several hits of one kind between a row and an entry the best is kept.
        """
        row = np.concatenate([np.zeros(0, np.int64), *self._rows])
        entry = np.concatenate([np.zeros(0, np.int64), *self._entries])
        kind = np.concatenate([np.zeros(0, np.int64), *self._kinds])
        score = np.concatenate([np.zeros(0), *self._scores])
        order = np.lexsort((-score, kind, entry, row))
        row, entry, kind, score = row[order], entry[order], kind[order], score[order]
        new = np.ones(len(row), np.bool_)
        new[1:] = (np.diff(row) != 0) | (np.diff(entry) != 0) | (np.diff(kind) != 0)
        row, entry, kind, score = row[new], entry[new], kind[new], score[new]
        order = np.lexsort((entry, -self._length[entry], kind, -score, row))
        self.row, self.entry = row[order], entry[order]
        self.kind, self.score = kind[order], score[order]

    def keep(self, mask: NDArray[np.bool_]) -> None:
        self.row, self.entry = self.row[mask], self.entry[mask]
        self.kind, self.score = self.kind[mask], self.score[mask]

    def best(self) -> _Ints:
        """The indices of the first hit of each row."""
        if not len(self.row):
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.concatenate(([True], np.diff(self.row) != 0)))


class SequenceEntries:
    """From word sequences to the entries that have them."""

    def __init__(self, items: Items) -> None:
        sequences = np.array([e.sequence for e in items.entries], np.int64)
        self._entries = np.argsort(sequences, kind="stable")
        self._start = np.zeros(len(items.sequences) + 1, np.int64)
        np.cumsum(np.bincount(sequences, minlength=len(items.sequences)), out=self._start[1:])

    def spread(self, sequence: _Ints) -> tuple[_Ints, _Ints]:
        """For every entry of every given sequence: the index into `sequence`, and the entry."""
        start = self._start[sequence]
        owner, place = expand(start, self._start[sequence + 1] - start)
        return owner, self._entries[place]


REPORT = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("items", pa.int64(), nullable=False),
        pa.field("items_hit", pa.int64(), nullable=False),
        pa.field("items_hit_share", pa.float64()),
        pa.field("rows_hit", pa.int64(), nullable=False),
    ]
)


class Tally:
    """Counts per evaluation set and rule over everything that was checked."""

    def __init__(self, items: Items, rules: tuple[Rule, ...]) -> None:
        self._items = items
        self._rules: tuple[str, ...] = (*rules, "any")
        self._set_of = np.array([e.set_index for e in items.entries], np.int64)
        self._rows: Counter[tuple[int, str]] = Counter()
        self._entries: dict[str, set[int]] = {rule: set() for rule in self._rules}

    def add(self, hits: Hits) -> None:
        rule_of = np.array([_RULES[k] for k in Kind])
        for rule in self._rules:
            mask = np.ones(len(hits.row), np.bool_) if rule == "any" else (
                rule_of[hits.kind] == rule
            )  # fmt: skip
            self._entries[rule].update(distinct(hits.entry[mask]).tolist())
            n_sets = max(1, len(self._items.names))
            pairs = distinct(hits.row[mask] * n_sets + self._set_of[hits.entry[mask]])
            for set_index, count in enumerate(np.bincount(pairs % n_sets, minlength=n_sets)):
                self._rows[set_index, rule] += int(count)

    def report(self) -> pa.Table:
        rows = []
        for set_index, name in enumerate(self._items.names):
            size = self._items.set_sizes[set_index]
            for rule in self._rules:
                hit = sum(
                    self._items.copies[e]
                    for e in self._entries[rule]
                    if self._items.entries[e].set_index == set_index
                )
                share = hit / size if size else None
                rows.append((name, rule, size, hit, share, self._rows[set_index, rule]))
        return pa.Table.from_pylist(
            [dict(zip(REPORT.names, row, strict=True)) for row in rows], schema=REPORT
        )
