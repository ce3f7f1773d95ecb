"""An exact hash index of the n-grams of evaluation items.

Hashes only find candidates: whatever is reported was compared word by word, so that a collision of
hashes never makes a hit. Texts are searched in bulk with numpy; nothing is looked up in Python.

The hash of n consecutive word hashes h is sum_k h[j + k] * B^k modulo 2^64 (Karp and Rabin 1987,
doi:10.1147/rd.312.0249), taken for every j at once from a running sum.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.items import Items
from winnow.pipeline.clean.decontamination.words import WordTable

_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_INVERSE = pow(_BASE, -1, 1 << 64)


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    factors = np.full(count + 1, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


class RunningHash:
    """Hashes of any stretch of a row of word hashes, from one running sum."""

    _up = _powers(_BASE, 0)
    _down = _powers(_INVERSE, 0)

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        n = len(hashes)
        if len(RunningHash._up) <= n:
            RunningHash._up, RunningHash._down = _powers(_BASE, n), _powers(_INVERSE, n)
        self._sum = np.zeros(n + 1, np.uint64)
        np.cumsum(hashes * RunningHash._up[:n], out=self._sum[1:])

    def windows(self, n: int) -> NDArray[np.uint64]:
        """The hash of every n consecutive words, (max(0, words - n + 1),)."""
        if n >= len(self._sum):
            return np.zeros(0, np.uint64)
        sums = self._sum[n:] - self._sum[:-n]
        return sums * RunningHash._down[: len(sums)]

    def stretches(self, first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The hash of the `length` words from each `first` on."""
        return (self._sum[first + length] - self._sum[first]) * RunningHash._down[first]


def window_ids(ids: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    """A number per n consecutive ids, equal exactly where all n are equal.

    Windows are put together from windows of half the length (Karp, Miller and Rosenberg 1972,
    doi:10.1145/800152.804905), so nothing is hashed.
    """
    done, length = np.zeros(len(ids) + 1, np.int64), 0
    power, size = ids.astype(np.int64), 1
    while size <= n:
        if n & size:
            done, length = _paired(done, power, length), length + size
        size *= 2
        if size <= n:
            power = _paired(power, power, size // 2)
    return done


def _paired(left: NDArray[np.int64], right: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    right = right[shift:]
    count = min(len(left), len(right))
    if not count:
        return np.zeros(0, np.int64)
    pairs = left[:count] * (int(right.max()) + 1) + right[:count]
    return np.unique(pairs, return_inverse=True)[1].astype(np.int64)


def expand(
    start: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For ranges [start, start + count): the index of the range and the value, for every value."""
    owner = np.repeat(np.arange(len(count)), count)
    first = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - first[owner] + start[owner]


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The different values, rising; many times faster here than `numpy.unique`, which hashes."""
    values = np.sort(values)
    return values[np.concatenate(([True], values[1:] != values[:-1]))] if len(values) else values


def among(values: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """Per value whether it is one of `known`, which rise; `numpy.isin` hashes, too."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    place = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return known[place] == values


class Found(NamedTuple):
    """What a column of texts shares with the index, all of it compared word by word.

    `row`, `gram`: pairs of a text and an n-gram that it holds, each pair once. `inside_row`,
    `inside_seq`: pairs of a text and a whole item that stands in it, word for word.
    """

    row: NDArray[np.int64]
    gram: NDArray[np.int64]
    inside_row: NDArray[np.int64]
    inside_seq: NDArray[np.int64]


@dataclass
class GramIndex:
    """The n-grams of all items of at least n words.

    `at` holds the positions (in `items.flat`) of gram g at [post[g], post[g + 1]), `gram_at` the gram
    at each position, -1 for none; `n_items` counts the different items that hold a gram, `common`
    marks the boilerplate among them.
    """

    n: int
    items: Items
    bits: int
    post: NDArray[np.int64]
    at: NDArray[np.int64]
    n_items: NDArray[np.int64]
    common: NDArray[np.bool_]

    @classmethod
    def build(
        cls,
        items: Items,
        n: int,
        *,
        common_items: int | None,
        common_share: float,
        lengths: tuple[int, int] | None = None,
        bits: int = 64,
    ) -> "GramIndex":
        """Index the items of at least n words, or only those of `lengths` (both included)."""
        low, high = lengths or (n, max(n, int(items.lengths.max(initial=0))))
        taken = (items.lengths >= max(low, n)) & (items.lengths <= high)
        seq_of = items.seq_of
        windows = window_ids(items.flat, n)
        place = np.flatnonzero(
            taken[seq_of[: len(windows)]] & (seq_of[: len(windows)] == seq_of[n - 1 :])
        )
        _, gram = np.unique(windows[place], return_inverse=True)
        order = np.argsort(gram, kind="stable")
        n_grams = int(gram.max(initial=-1)) + 1
        post = np.zeros(n_grams + 1, np.int64)
        np.cumsum(np.bincount(gram, minlength=n_grams), out=post[1:])
        at = place[order]
        grams = gram[order]
        held = distinct(grams * max(1, len(items.sequences)) + seq_of[at])
        n_items = np.bincount(held // max(1, len(items.sequences)), minlength=n_grams)
        common = np.zeros(n_grams, np.bool_)
        if common_items is not None:
            common = n_items > common_items
            common |= _common_in_a_set(items, grams, seq_of[at], n_grams, common_share)
        index = cls(n, items, bits, post, at, n_items, common)
        index._prepare()
        return index

    def __len__(self) -> int:
        return len(self.n_items)

    def text(self, gram: int) -> str:
        """The words of a gram, folded."""
        first = self.at[self.post[gram]]
        ids = self.items.flat[first : first + self.n]
        return " ".join(self.items.vocabulary[i] for i in ids)

    def _prepare(self) -> None:
        items = self.items
        word_hash = items.vocabulary_hashes(self.bits)
        running = RunningHash(word_hash[items.flat])
        first = self.at[self.post[:-1]] if len(self) else np.zeros(0, np.int64)
        hashes = running.stretches(first, np.full(len(first), self.n))
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]
        # A table of flags, mostly empty, spares nearly all windows the binary search.
        size = max(10, int(len(self) * 64).bit_length())
        self._shift = np.uint64(64 - min(size, 28))
        self._flags = np.zeros(1 << min(size, 28), np.bool_)
        self._flags[self._sorted >> self._shift] = True
        self.gram_at = np.full(len(items.flat), -1, np.int64)
        self.gram_at[self.at] = np.repeat(np.arange(len(self)), np.diff(self.post))
        # Where a whole item may stand in a text is told by its rarest n-gram.
        seq_of = items.seq_of
        grams = np.repeat(np.arange(len(self)), np.diff(self.post))
        rarest = np.lexsort((self.at, self.n_items[grams], seq_of[self.at]))
        seqs, where = np.unique(seq_of[self.at][rarest], return_index=True)
        anchor = rarest[where]
        usable = ~self.common[grams[anchor]]
        anchor, seqs = anchor[usable], seqs[usable].astype(np.int64)
        by_gram = np.argsort(grams[anchor], kind="stable")
        self._anchor_seq = seqs[by_gram]
        self._anchor_offset = (self.at[anchor] - items.start[seqs])[by_gram]
        self._anchors = np.zeros(len(self) + 1, np.int64)
        np.cumsum(np.bincount(grams[anchor], minlength=len(self)), out=self._anchors[1:])
        self._seq_hash = running.stretches(items.start[:-1], items.lengths)
        self._vocabulary = pl.DataFrame(
            {
                "word": pl.Series(items.vocabulary, dtype=pl.String),
                "id": np.arange(len(items.vocabulary), dtype=np.int32),
            }
        )

    def search(self, table: WordTable, running: RunningHash) -> Found:
        """Which texts of the table hold which n-grams and which whole items."""
        place, gram = self._candidates(table, running)
        inside_at, inside_seq = self._candidates_inside(table, running, place, gram)
        lengths = self.items.lengths[inside_seq]
        ids = self._exact_ids(table, place, inside_at, lengths)
        first = self.at[self.post[gram]]
        same = np.ones(len(place), np.bool_)
        for k in range(self.n):
            same &= ids[place + k] == self.items.flat[first + k]
        owner, word = expand(inside_at, lengths)
        _, meant = expand(self.items.start[inside_seq], lengths)
        equal = np.ones(len(inside_at), np.bool_)
        equal[owner[ids[word] != self.items.flat[meant]]] = False
        rows = _row_of(table, place[same])
        pairs = distinct(rows * max(1, len(self)) + gram[same])
        inside_rows = _row_of(table, inside_at[equal])
        n_seqs = max(1, len(self.items.sequences))
        inside = distinct(inside_rows * n_seqs + inside_seq[equal])
        return Found(
            pairs // max(1, len(self)), pairs % max(1, len(self)), inside // n_seqs, inside % n_seqs
        )

    def _candidates(
        self, table: WordTable, running: RunningHash
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not len(self):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        hashes = running.windows(self.n)
        place = np.flatnonzero(self._flags[hashes >> self._shift])
        place = place[_row_of(table, place) == _row_of(table, place + self.n - 1)]
        hashes = hashes[place]
        low = np.searchsorted(self._sorted, hashes, "left")
        high = np.searchsorted(self._sorted, hashes, "right")
        owner, index = expand(low, high - low)
        return place[owner], self._order[index]

    def _candidates_inside(
        self,
        table: WordTable,
        running: RunningHash,
        place: NDArray[np.int64],
        gram: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        start = self._anchors[gram]
        owner, index = expand(start, self._anchors[gram + 1] - start)
        seq = self._anchor_seq[index]
        first = place[owner] - self._anchor_offset[index]
        row = _row_of(table, place[owner])
        fits = first >= table.offsets[row]
        fits &= first + self.items.lengths[seq] <= table.offsets[row + 1]
        first, seq = first[fits], seq[fits]
        same = running.stretches(first, self.items.lengths[seq]) == self._seq_hash[seq]
        return first[same], seq[same]

    def _exact_ids(
        self,
        table: WordTable,
        place: NDArray[np.int64],
        inside_at: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> NDArray[np.int32]:
        """Per word of the table its index in the vocabulary, -1 where unknown or not looked at."""
        edge = np.zeros(len(table.hashes) + 1, np.int64)
        np.add.at(edge, place, 1)
        np.add.at(edge, place + self.n, -1)
        np.add.at(edge, inside_at, 1)
        np.add.at(edge, inside_at + lengths, -1)
        looked_at = np.flatnonzero(np.cumsum(edge[:-1]))
        ids = np.full(len(table.hashes), -1, np.int32)
        if len(looked_at):
            wanted = pl.DataFrame({"word": table.words.gather(looked_at)})
            known = wanted.join(self._vocabulary, on="word", how="left", maintain_order="left")
            ids[looked_at] = known["id"].fill_null(-1).to_numpy()
        return ids


def _row_of(table: WordTable, place: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.searchsorted(table.offsets, place, "right") - 1


def _common_in_a_set(
    items: Items,
    grams: NDArray[np.int64],
    seqs: NDArray[np.int32],
    n_grams: int,
    share: float,
) -> NDArray[np.bool_]:
    """Grams in more than `share` of one set's different items, and in at least three of them."""
    common = np.zeros(n_grams, np.bool_)
    sets = items.sets_of_sequences()
    for index in range(len(items.names)):
        member = np.array([index in s for s in sets], np.bool_)
        inside = member[seqs]
        held = distinct(grams[inside] * len(sets) + seqs[inside])
        count = np.bincount(held // max(1, len(sets)), minlength=n_grams)
        common |= (count >= 3) & (count > share * int(member.sum()))
    return common
