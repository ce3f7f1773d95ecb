"""Finds evaluation items among training prompts, and shows what it found.

    found = Decontaminator([EvaluationSet("math500.parquet", problems)], DecontaminateConfig())
    hits = found.check(prompts)  # one row per prompt
    found.report()  # evaluation set x rule, for the dataset card
    found.boilerplate()  # the n-grams that were not counted

Four rules: `coverage` and `ngram` (module `overlap`), `exact` and `semantic`. Items shorter than n
words, which no n-gram can find, match prompts that are the item and nothing else; from eight words
on also prompts that contain it. Prompts are user turns, one text per turn.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.boilerplate import Frequency, listing
from winnow.pipeline.clean.decontamination.config import DecontaminateConfig
from winnow.pipeline.clean.decontamination.evidence import overlap, shortened
from winnow.pipeline.clean.decontamination.hits import Hits, Kind, SequenceEntries, Tally
from winnow.pipeline.clean.decontamination.items import EvaluationSet, answer_key, collect, strings
from winnow.pipeline.clean.decontamination.overlap import (
    Weights,
    coverage,
    shared_ngrams,
    weights,
)
from winnow.pipeline.clean.decontamination.scan import CHUNK_BYTES, Scan, Scanner
from winnow.pipeline.clean.decontamination.semantic import Semantic
from winnow.pipeline.clean.decontamination.words import text_series
from winnow.pipeline.contracts import Embedder
from winnow.pipeline.progress import Progress, Silent, Step

__all__ = ["RESULT", "DecontaminateConfig", "Decontaminator", "EvaluationSet"]

Texts: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray

RESULT = pa.schema(
    [
        pa.field("contaminated", pa.bool_(), nullable=False),
        pa.field("hit_file", pa.string()),
        pa.field("hit_row", pa.int64()),
        pa.field("hit_score", pa.float64()),
        pa.field("hit_rule", pa.string()),
        pa.field("evidence", pa.string()),
    ]
)


class Decontaminator:
    """An index over evaluation sets, asked for training prompts.

    Raises ValueError where sets share a name, and where the rule `semantic` is asked for but a set
    has neither vectors nor an `embedder` to make them.
    """

    def __init__(
        self,
        sets: Sequence[EvaluationSet],
        config: DecontaminateConfig | None = None,
        embedder: Embedder | None = None,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        hash_bits: int = 64,
    ) -> None:
        self.config = config or DecontaminateConfig()
        self._items = collect(sets)
        self._chunk_bytes = chunk_bytes
        self._scanner = Scanner(self._items, self.config, hash_bits)
        self._entries = SequenceEntries(self._items)
        self._tally = Tally(self._items, self.config.active)
        self._surveyed = False
        self._frequency = self._fresh()
        self._semantic = None
        if "semantic" in self.config.active:
            self._semantic = Semantic(self._items, sets, self.config, embedder)

    def survey(self, texts: Texts) -> None:
        """Count n-grams over training prompts that come in several parts, before any `check`.

        Without a survey each `check` takes its own prompts as the whole training set when it
        decides what is boilerplate there.
        """
        if not self._surveyed:
            self._frequency = self._fresh()
        self._surveyed = True
        self._count(self._scanner.scan(text_series(texts), self._chunk_bytes))

    def check(
        self,
        texts: Texts,
        answers: Texts | None = None,
        vectors: NDArray[np.float32] | None = None,
        *,
        progress: Progress | None = None,
    ) -> pa.Table:
        """One row of `RESULT` per text, in order; a null text is never hit.

        `hit_row` counts from 0 in the set named `hit_file`. Of several hits the best is shown: the
        highest score, of equals the longest item, of those the earliest. `answers` are compared where the sets bring
        answers too. `vectors`, (texts, d) unit vectors, stand in for an embedder. Raises ValueError
        where their number is not that of the texts.
        """
        for what, values in (("answers", answers), ("vectors", vectors)):
            if values is not None and len(values) != len(texts):
                raise ValueError(f"{len(values)} {what} for {len(texts)} texts")
        column = text_series(texts)
        listener = progress or Silent()
        scan = self._scanner.scan(
            column,
            self._chunk_bytes,
            lambda done: listener.step(Step("decontaminate", done, len(column))),
        )
        if not self._surveyed:
            self._frequency = self._fresh()
            self._count(scan)
        hits = Hits(self._items)
        self._whole(scan, hits)
        counted = self._overlaps(scan, hits)
        if self._semantic is not None:
            hits.add(Kind.SEMANTIC, *self._semantic.search(column, vectors))
        hits.settle()
        equal = self._answers(hits, answers)
        if self.config.answers == "require":
            hits.keep(equal != 0)
            equal = equal[equal != 0]
        self._tally.add(hits)
        return self._table(column, hits, equal, counted)

    def report(self) -> pa.Table:
        """Over all checks: per evaluation set and rule the items and the training rows hit.

        The row of rule `any` counts what any of the rules hit. `items` counts the set's rows,
        `items_hit_share` is null for an empty set.
        """
        return self._tally.report()

    def boilerplate(self) -> pa.Table:
        """The n-grams that do not count, by falling frequency (schema `boilerplate.LISTING`)."""
        grams = self._scanner.grams
        return listing([(grams[name], f) for name, f in self._frequency.items()])

    def _fresh(self) -> dict[str, Frequency]:
        return {
            name: Frequency(index, self.config)
            for name, index in self._scanner.grams.items()
            if name != "contained"
        }

    def _count(self, scan: Scan) -> None:
        for name, frequency in self._frequency.items():
            frequency.add(scan.shared[name], scan.letters, scan.rows)

    def _whole(self, scan: Scan, hits: Hits) -> None:
        """Prompts that are an item: by every rule but `semantic`."""
        row, entry = scan.whole
        sequence = np.array([e.sequence for e in self._items.entries], np.int64)[entry]
        length = self._items.lengths[sequence]
        for kind, n in (
            (Kind.COVERAGE, self.config.coverage_n),
            (Kind.NGRAM, self.config.ngram_n),
        ):
            if kind.rule in self.config.active:
                # Few words leave room for another problem with the same ones: 2 + 2 and 2 - 2.
                sure = (length >= n) | scan.whole_equal
                hits.add(kind, row[sure], entry[sure], 1.0)
        if "exact" in self.config.active:
            hits.add(Kind.FULL, row[scan.whole_equal], entry[scan.whole_equal], 1.0)
            hits.add(Kind.DIGIT_FREE, *scan.same_letters, 1.0)

    def _overlaps(self, scan: Scan, hits: Hits) -> dict[Kind, Weights]:
        """Adds the hits of `coverage` and `ngram`; which words counted, per rule."""
        counted = {}
        for name, index in self._scanner.grams.items():
            shared = scan.shared[name]
            kind = Kind.COVERAGE if name == "coverage" else Kind.NGRAM
            owner, entry = self._entries.spread(shared.inside_seq)
            hits.add(kind, shared.inside_row[owner], entry, 1.0)
            if name == "contained":
                continue
            weight = weights(
                index, self._frequency[name].boilerplate(), self.config.boilerplate_weight
            )
            counted[kind] = weight
            if kind is Kind.COVERAGE:
                above = self.config.coverage_above
                pairs = coverage(index, shared.row, shared.gram, weight, above)
            else:
                pairs = shared_ngrams(index, shared.row, shared.gram, weight)
            owner, entry = self._entries.spread(pairs.seq)
            hits.add(kind, pairs.row[owner], entry, pairs.score[owner])
        return counted

    def _answers(self, hits: Hits, answers: Texts | None) -> NDArray[np.int8]:
        """Per hit 1 where the answers are equal, 0 where they differ, -1 where one is missing."""
        equal = np.full(len(hits.row), -1, np.int8)
        if answers is None:
            return equal
        given = strings(answers)
        keys: dict[int, str | None] = {}
        for number, (row, entry) in enumerate(
            zip(hits.row.tolist(), hits.entry.tolist(), strict=True)
        ):
            if row not in keys:
                keys[row] = answer_key(given[row])
            mine, theirs = keys[row], self._items.entries[entry].answer
            if mine is not None and theirs is not None:
                equal[number] = mine == theirs
        return equal

    def _table(
        self,
        column: pl.Series,
        hits: Hits,
        equal: NDArray[np.int8],
        counted: dict[Kind, Weights],
    ) -> pa.Table:
        best = hits.best()
        row = hits.row[best]
        entries = [self._items.entries[e] for e in hits.entry[best].tolist()]
        kinds = [Kind(k) for k in hits.kind[best].tolist()]
        evidence = [
            self._evidence(text, e, k, s, int(a), counted.get(k))
            for text, e, k, s, a in zip(
                column.gather(row), hits.entry[best].tolist(), kinds, hits.score[best].tolist(),
                equal[best].tolist(), strict=True,
            )
        ]  # fmt: skip
        values: list[pa.Array] = [
            pa.array([self._items.names[e.set_index] for e in entries], pa.string()),
            pa.array([e.row for e in entries], pa.int64()),
            pa.array(hits.score[best], pa.float64()),
            pa.array([k.rule for k in kinds], pa.string()),
            pa.array(evidence, pa.string()),
        ]
        place = np.full(len(column), -1, np.int64)
        place[row] = np.arange(len(row))
        index = pa.array(place, mask=place < 0)
        columns = [pa.array(place >= 0), *(value.take(index) for value in values)]
        return pa.table(columns, schema=RESULT)

    def _evidence(
        self, text: str, entry: int, kind: Kind, score: float, equal: int, weight: Weights | None
    ) -> str:
        """One line: how it was found, the overlapping text, the item, whether answers agree."""
        item = self._items.entries[entry]
        words = self._items.sequences[item.sequence]
        config = self.config
        start = self._items.start[item.sequence]
        counted = None if weight is None else weight.counted[start : start + len(words)]
        if kind is Kind.SEMANTIC and self._semantic is not None:
            likeness = self._semantic.wording.similarity(text, words)
            found, quoted = f"cosine {score:.2f}, wording {likeness:.2f}", text
        elif kind is Kind.FULL:
            found, quoted = "the whole text", text
        elif kind is Kind.DIGIT_FREE:
            found, quoted = "the whole text but for digits and signs", text
        else:
            n = config.coverage_n if kind is Kind.COVERAGE else config.ngram_n
            found = f"{score:.0%} of the item's words, n = {n}"
            quoted = overlap(text, words, counted) or text
        limit = config.evidence_chars
        line = f'{kind.rule}: {found}: "{shortened(quoted, limit)}"'
        line += f' | item: "{shortened(item.text, limit)}"'
        if equal >= 0:
            line += f" | answers {'agree' if equal else 'differ'}"
        return line
