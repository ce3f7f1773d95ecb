"""Near-duplicates by MinHash-LSH, every candidate verified by the true Jaccard similarity.

Broder, "On the resemblance and containment of documents" (1997): under a random permutation two
sets have the same minimum with probability J, their Jaccard similarity. With `bands` bands of `rows`
minima each, a pair becomes a candidate with probability 1 - (1 - J^rows)^bands (Leskovec, Rajaraman
and Ullman, "Mining of Massive Datasets", section 3.4).
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.clean.dedup.shingles import Shingles, jaccard, mix, sets
from winnow.pipeline.progress import Progress, Silent, Step

Rows = NDArray[np.int64]

RECALL = 0.95  # of pairs whose similarity is just the threshold, at least
_CAP = 32  # rows of a bucket that are all compared with one another
_HUBS = 8  # rows of a larger bucket that all its others are compared with
_DEPTH = 24  # further minima by which a larger bucket is split
_EVERY = 6  # of which so many lie between two comparisons with hubs
_PENDING = 10_000_000  # candidate pairs in memory
_CHUNK = 1 << 16  # shingles hashed at a time: what fits a core's cache
_SEED = 0x5EED


def banding(threshold: float, permutations: int) -> tuple[int, int]:
    """(bands, rows): the most rows, so the fewest false candidates, that keep `RECALL`.

    0.7 with 128 permutations gives 25 bands of 5: 99.0 % of pairs at 0.7, 99.96 % at 0.77.
    """
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= RECALL:
            return bands, rows
    return permutations, 1


def pairs(
    of: Shingles,
    groups: NDArray[np.int64],
    threshold: float,
    permutations: int = 128,
    progress: Progress | None = None,
) -> tuple[Rows, Rows, NDArray[np.float64]]:
    """Pairs (a < b) of rows of one group whose Jaccard similarity is at least `threshold`.

    `groups` has shape (n,); rows of different groups are not compared. The third array holds the
    similarities. No pair is wrong; one is missed with the probability that `banding` leaves.

    The rows of a bucket are compared with one another up to 32. A larger one comes from a common turn
    of phrase, or from many rows that are all alike. Its rows are compared with its 8 lowest ones
    (callers number rows best first, so these are the likely survivors), and it is split by further
    minima, as in an LSH forest (Bawa, Condie and Ganesan, WWW 2005), into buckets that are treated
    the same way, 24 times at most. So the work stays linear in the rows, at the price that a pair
    that only ever meets in large buckets may be missed.
    """
    progress = progress or Silent()
    bands, rows = banding(threshold, permutations)
    # Who is alone in its group, or has no shingle, has nobody to be like.
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    counts = np.diff(of.offsets)
    active = np.flatnonzero((size[group] > 1) & (counts > 0))
    if len(active) < 2:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros(0)
    minima = _minima(of, active, permutations, progress)
    seeds = mix(group[active].astype(np.uint64) + np.uint64(1))

    found: list[tuple[Rows, Rows, NDArray[np.float64]]] = []
    pending: list[NDArray[np.int64]] = []

    def verify() -> None:
        keys = np.unique(np.concatenate(pending))
        pending.clear()
        a, b = np.divmod(keys, len(active))
        used, local = np.unique(np.concatenate([a, b]), return_inverse=True)
        matrix = sets(of, active[used])
        score = jaccard(matrix, local[: len(a)], local[len(a) :])
        same = (score >= threshold) & (group[active[a]] == group[active[b]])
        found.append((a[same], b[same], score[same]))

    for band in range(bands):
        key = seeds.copy()
        for row in range(rows):
            key = mix(key ^ minima[:, band * rows + row].astype(np.uint64))
        for a, b in _candidates(key, minima, (band + 1) * rows):
            pending.append(np.minimum(a, b) * len(active) + np.maximum(a, b))
            if sum(map(len, pending)) > _PENDING:
                verify()
        progress.step(Step("dedup: compare", band + 1, bands, "bands"))
    if pending:
        verify()
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, np.zeros(0)
    a, b, score = (np.concatenate(part) for part in zip(*found, strict=True))
    _, once = np.unique(a * len(active) + b, return_index=True)
    return active[a[once]], active[b[once]], score[once]


def _minima(of: Shingles, rows: Rows, permutations: int, progress: Progress) -> NDArray[np.uint32]:
    """The least hash of each row under each permutation, shape (len(rows), permutations).

    A permutation is x -> (a x + b) mod 2^64, of which the upper 32 bits are compared (multiply-shift:
    Dietzfelbinger et al., "A reliable randomized algorithm for the closest-pair problem", 1997).
    """
    draw = np.random.default_rng(_SEED)
    a = draw.integers(0, 2**64, permutations, dtype=np.uint64) | np.uint64(1)
    b = draw.integers(0, 2**64, permutations, dtype=np.uint64)
    counts = of.offsets[rows + 1] - of.offsets[rows]
    ends = np.cumsum(counts)
    out = np.empty((len(rows), permutations), dtype=np.uint32)
    cuts = np.unique(np.searchsorted(ends, np.arange(_CHUNK, ends[-1], _CHUNK), side="left"))
    bounds = np.unique(np.concatenate([[0], cuts, [len(rows)]]))

    def fill(chunk: int) -> None:
        start, stop = bounds[chunk], bounds[chunk + 1]
        here = rows[start:stop]
        first = np.cumsum(counts[start:stop]) - counts[start:stop]
        if here[-1] - here[0] == len(here) - 1:
            x = of.hashes[of.offsets[here[0]] : of.offsets[here[-1] + 1]]
        else:
            total = int(counts[start:stop].sum())
            at = np.arange(total) + np.repeat(of.offsets[here] - first, counts[start:stop])
            x = of.hashes[at]
        hashed = np.empty_like(x)
        for p in range(permutations):
            np.multiply(x, a[p], out=hashed)
            hashed += b[p]
            out[start:stop, p] = np.minimum.reduceat(hashed, first) >> np.uint64(32)

    done = 0
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(fill, range(len(bounds) - 1)):
            done += 1
            progress.step(Step("dedup: hash", int(bounds[done]), len(rows)))
    return out


def _candidates(
    key: NDArray[np.uint64], minima: NDArray[np.uint32], next_minimum: int
) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows with equal `key`, large buckets split by the minima from `next_minimum` on."""
    members = np.arange(len(key))
    for depth in range(_DEPTH + 1):
        order = np.argsort(key)
        key, members = key[order], members[order]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        sizes = np.diff(np.append(starts, len(key)))
        for size in np.unique(sizes[(sizes > 1) & (sizes <= _CAP)]):
            bucket = members[starts[sizes == size][:, None] + np.arange(size)]
            left, right = np.triu_indices(size, 1)
            yield bucket[:, left].ravel(), bucket[:, right].ravel()
        large = np.repeat(sizes > _CAP, sizes)
        if not large.any():
            return
        if depth % _EVERY == 0:
            yield _with_hubs(members[large], sizes[sizes > _CAP])
        if depth == _DEPTH:
            return
        key, members = key[large], members[large]
        column = (next_minimum + depth) % minima.shape[1]
        key = mix(key ^ minima[members, column].astype(np.uint64))


def _with_hubs(members: Rows, sizes: NDArray[np.int64]) -> tuple[Rows, Rows]:
    """Every row of each bucket beside the bucket's `_HUBS` lowest; buckets stand end to end."""
    bucket = np.repeat(np.arange(len(sizes)), sizes)
    rows = members[np.lexsort((members, bucket))]
    first = np.cumsum(sizes) - sizes
    hubs = rows[first[:, None] + np.arange(_HUBS)]  # a bucket here has more rows than that
    left, right = np.repeat(hubs, sizes, axis=0).ravel(), np.repeat(rows, _HUBS)
    return left[left < right], right[left < right]
