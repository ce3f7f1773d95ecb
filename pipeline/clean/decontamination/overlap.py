"""The coverage rule of TULU 3 and the n-gram rule, over what an index found.

Coverage (Lambert et al. 2024, arXiv:2411.15124, section on decontamination): the score of an
evaluation item against a prompt is the share of the item's words that lie in an n-gram which the
prompt holds too; a prompt is hit if the score of some item is above the threshold, strictly. The
original asks a search server, which returns a limited number of documents; the index has no limit.

Boilerplate: an n-gram that occurs in very many evaluation items or training prompts says nothing
about where a prompt comes from. The words of an item that lie in a boilerplate n-gram have a low weight
in its score (`boilerplate_weight` against 1), and a shared n-gram of which more than half the words
are such covers nothing. A whole item that stands in a prompt word for word is a hit with score 1 as
long as one of its n-grams is not boilerplate on the evaluation side: how often an item was copied
into the training set does not make it boilerplate.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.grams import GramIndex, distinct, expand

_Ints = NDArray[np.int64]
_BLOCK = 1 << 22  # postings expanded at a time


class Pairs(NamedTuple):
    """A training row, a sequence of `Items` and the score of that item against that row."""

    row: NDArray[np.int64]
    seq: NDArray[np.int64]
    score: NDArray[np.float64]


_UNIT = 1000  # whole weights, so that a share of exactly one half stays that


class Weights(NamedTuple):
    """Of the words of all items, end to end: which count in full, how many did from the first on,
    and the sum of weights from the first on (two running counts from 0, one longer than the words).
    """

    counted: NDArray[np.bool_]
    running: NDArray[np.int64]
    weight: NDArray[np.int64]


def weights(index: GramIndex, boilerplate: NDArray[np.bool_], low: float) -> Weights:
    """Words in a boilerplate n-gram weigh `low`, others 1. `boilerplate` is a flag per n-gram."""
    grams = np.repeat(np.arange(len(index)), np.diff(index.post))
    at = index.at[boilerplate[grams]]
    edge = np.zeros(len(index.items.flat) + 1, np.int64)
    np.add.at(edge, at, 1)
    np.add.at(edge, at + index.n, -1)
    counted = np.cumsum(edge[:-1]) == 0
    each = np.where(counted, _UNIT, round(low * _UNIT))
    return Weights(counted, _running(counted), _running(each))


def _running(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(values, dtype=np.int64)))


def coverage(index: GramIndex, row: _Ints, gram: _Ints, weight: Weights, above: float) -> Pairs:
    """Every row and item with a score above the threshold; pairs (row, gram) sorted by row."""
    scored = shared_ngrams(index, row, gram, weight)
    hit = scored.score > above
    return Pairs(scored.row[hit], scored.seq[hit], scored.score[hit])


def shared_ngrams(index: GramIndex, row: _Ints, gram: _Ints, weight: Weights) -> Pairs:
    """Every row and item that share an n-gram, at least half of whose words count in full.

    The score is the item's coverage by the n-grams shared.
    """
    full = weight.running[index.at + index.n] - weight.running[index.at]
    return _scores(index, row, gram, weight, 2 * full >= index.n)


def _scores(
    index: GramIndex,
    row: NDArray[np.int64],
    gram: NDArray[np.int64],
    weight: Weights,
    live: NDArray[np.bool_],
) -> Pairs:
    post = np.zeros(len(index) + 1, np.int64)
    grams = np.repeat(np.arange(len(index)), np.diff(index.post))
    np.cumsum(np.bincount(grams[live], minlength=len(index)), out=post[1:])
    at = index.at[live]
    count = post[gram + 1] - post[gram]
    parts = []
    for block in _blocks(row, count):
        owner, posting = expand(post[gram[block]], count[block])
        parts.append(_covered(index, row[block][owner], at[posting], weight))
    none = np.zeros(0, np.int64)
    parts = parts or [Pairs(none, none, np.zeros(0))]
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _blocks(row: NDArray[np.int64], count: NDArray[np.int64]) -> list[slice]:
    """Cut the pairs at row borders into blocks that expand to a bounded number of postings."""
    if not len(row):
        return []
    border = np.flatnonzero(np.diff(row)) + 1
    total = np.concatenate(([0], np.cumsum(count)))
    blocks, first = [], 0
    ends = np.concatenate((border, [len(row)]))
    while first < len(row):
        last = np.searchsorted(total[ends], total[first] + _BLOCK, "right") - 1
        end = int(ends[last]) if last >= 0 and ends[last] > first else 0
        if end <= first:  # one row alone is larger than a block
            end = int(ends[np.searchsorted(ends, first, "right")])
        blocks.append(slice(first, end))
        first = end
    return blocks


def _covered(
    index: GramIndex, row: NDArray[np.int64], at: NDArray[np.int64], weight: Weights
) -> Pairs:
    """Scores from pairs of a row and a position at which an item holds a shared n-gram."""
    size = max(1, len(index.items.flat))
    keys = distinct(row * size + at)
    row, at = keys // size, keys % size
    seq = index.items.seq_of[at].astype(np.int64)
    if not len(row):
        return Pairs(row, seq, np.zeros(0))
    first = np.concatenate(([True], (row[1:] != row[:-1]) | (seq[1:] != seq[:-1])))
    group = np.flatnonzero(first)
    # A shared n-gram adds the words up to where the next one of the same item begins.
    end = at + index.n
    end[:-1] = np.where(first[1:], end[:-1], np.minimum(end[:-1], at[1:]))
    covered = np.add.reduceat(weight.weight[end] - weight.weight[at], group)
    row, seq = row[group], seq[group]
    start = index.items.start
    total = weight.weight[start[seq + 1]] - weight.weight[start[seq]]
    return Pairs(row, seq, covered / np.maximum(total, 1))
