"""Embedding neighbours, confirmed by their wording: rephrased evaluation items.

Nearness of vectors alone marks every problem on the same subject. A neighbour counts only where the
wording agrees too, by the better of two measures, each from 0 to 1:

- the share of words that both texts have, each word weighted by how rare it is among the evaluation
  items (a Dice coefficient; numbers and names weigh most);
- the normalised indel similarity of the two word sequences, 2 LCS / (m + n), with the longest
  common subsequence from Hyyro's bit-parallel recurrence (2004, "Bit-parallel LCS-length
  computation revisited").

Where both texts hold numbers, enough of them must agree as well (a Dice coefficient again): two
problems of one kind share much wording and no numbers, a rephrased problem keeps its numbers.
Numbers from two to twenty may be written out.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.config import DecontaminateConfig
from winnow.pipeline.clean.decontamination.items import EvaluationSet, Items
from winnow.pipeline.clean.decontamination.words import words
from winnow.pipeline.contracts import Embedder
from winnow.pipeline.number_words import ONES

# "One" is mostly no number ("one of them").
_NUMBER_WORDS = {word: str(n) for word, n in {**ONES, "twenty": 20}.items() if n >= 2}
_BLOCK = 1 << 24  # cosines held at a time
_EMBEDDED = 1 << 16  # texts whose vectors are held at a time


def neighbours(
    rows: NDArray[np.float32], items: NDArray[np.float32], cosine: float, most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Per row its nearest items of at least that cosine, at most `most`: row, item, cosine.

    Vectors are unit vectors, (rows, d) and (items, d). Equal cosines are settled by the lower item.
    """
    found_rows, found_items, found_cosines = [], [], []
    step = max(1, _BLOCK // max(1, len(items)))
    for first in range(0, len(rows), step):
        similar = rows[first : first + step] @ items.T
        row, item = np.nonzero(similar >= cosine)
        values = similar[row, item].astype(np.float64)
        order = np.lexsort((item, -values, row))
        row, item, values = row[order], item[order], values[order]
        begin = np.searchsorted(row, row, "left")
        kept = np.arange(len(row)) - begin < most
        found_rows.append(row[kept] + first)
        found_items.append(item[kept])
        found_cosines.append(values[kept])
    if not found_rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return (
        np.concatenate(found_rows),
        np.concatenate(found_items),
        np.minimum(np.concatenate(found_cosines), 1.0),
    )


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    places: dict[str, int] = {}
    for index, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << index
    full = (1 << len(a)) - 1
    state = full
    for word in b:
        matched = state & places.get(word, 0)
        state = ((state + matched) | (state - matched)) & full
    return len(a) - state.bit_count()


class Wording:
    """Similarity of wording, with word weights from the evaluation items."""

    def __init__(self, items: Sequence[Sequence[str]]) -> None:
        self._count = Counter(word for item in items for word in set(plain_numbers(item)))
        self._total = len(items)

    def weight(self, word: str) -> float:
        """Inverse document frequency, ln((N + 1) / (n + 1)) + 0.1, so that none is zero."""
        return math.log((self._total + 1) / (self._count[word] + 1)) + 0.1

    def shared_words(self, a: Sequence[str], b: Sequence[str]) -> float:
        """Dice coefficient of the two bags of words, weighted."""
        left, right = Counter(a), Counter(b)
        both = sum(self.weight(w) * c for w, c in (left & right).items())
        total = sum(self.weight(w) * c for w, c in left.items())
        total += sum(self.weight(w) * c for w, c in right.items())
        return 2 * both / total if total else 0.0

    def similarity(self, text: str, item: Sequence[str]) -> float:
        """The better of the two measures; 0 where either has no words."""
        found, meant = plain_numbers(words(text)), plain_numbers(item)
        if not found or not meant:
            return 0.0
        indel = 2 * common_subsequence(found, meant) / (len(found) + len(meant))
        return max(self.shared_words(found, meant), indel)


def plain_numbers(text_words: Sequence[str]) -> list[str]:
    """The words with number words as digits."""
    return [_NUMBER_WORDS.get(word, word) for word in text_words]


def shared_numbers(text: str, item: Sequence[str]) -> float:
    """Dice coefficient of the two bags of whole numbers; 1 where either has none."""
    found = Counter(w for w in plain_numbers(words(text)) if w.isdigit())
    meant = Counter(w for w in plain_numbers(item) if w.isdigit())
    if not found or not meant:
        return 1.0
    return 2 * (found & meant).total() / (found.total() + meant.total())


class Semantic:
    """The vectors of all entries, and the words that confirm a neighbour."""

    def __init__(
        self,
        items: Items,
        sets: Sequence[EvaluationSet],
        config: DecontaminateConfig,
        embedder: Embedder | None,
    ) -> None:
        self._items = items
        self._config = config
        self._embedder = embedder
        self.wording = Wording(items.sequences)
        parts: list[NDArray[np.float32]] = []
        for index, evaluation in enumerate(sets):
            mine = [e for e in items.entries if e.set_index == index]
            if evaluation.vectors is not None:
                parts.append(evaluation.vectors[[e.row for e in mine]])
            elif embedder is not None:
                parts.append(embedder.embed([e.text for e in mine]))
            else:
                raise ValueError(f"{evaluation.name}: semantic needs vectors or an embedder")
        self._vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)

    def search(
        self, texts: pl.Series, vectors: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Rows, entries and cosines of the neighbours whose wording confirms them."""
        rows, entries, cosines = [], [], []
        step = len(texts) if vectors is not None else _EMBEDDED
        for first in range(0, len(texts), max(1, step)):
            part = texts[first : first + step]
            given = vectors if vectors is not None else self._embed(part)
            if len(self._vectors) and given.shape[1] != self._vectors.shape[1]:
                raise ValueError(
                    f"vectors of {given.shape[1]} numbers against {self._vectors.shape[1]}"
                )
            row, entry, cosine = neighbours(
                given, self._vectors, self._config.semantic_cosine, self._config.semantic_neighbours
            )
            confirmed = np.array([self._confirmed(part[r], e) for r, e in
                                  zip(row.tolist(), entry.tolist(), strict=True)], np.bool_)  # fmt: skip
            rows.append(row[confirmed] + first)
            entries.append(entry[confirmed])
            cosines.append(cosine[confirmed])
        if not rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        return np.concatenate(rows), np.concatenate(entries), np.concatenate(cosines)

    def _embed(self, texts: pl.Series) -> NDArray[np.float32]:
        if self._embedder is None:
            raise ValueError("semantic needs vectors of the texts or an embedder")
        return self._embedder.embed(texts.to_list())

    def _confirmed(self, text: str, entry: int) -> bool:
        item = self._items.sequences[self._items.entries[entry].sequence]
        if self.wording.similarity(text, item) < self._config.semantic_confirm:
            return False
        return shared_numbers(text, item) >= self._config.semantic_numbers
