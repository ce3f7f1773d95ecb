"""k-means over embeddings with faiss, and the two principal components for a plot.

Nothing here copies the whole matrix: rows are hashed, assigned and measured in blocks, so that it
may be an array mapped from a file larger than memory. Time grows linearly with the rows.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK = 16_384  # rows at a time: bounds the float64 copies
_SMALL = 65_536  # distinct rows up to which all of them train, and several starts are made
_CANDIDATES = 4  # nearest centroids that the float32 search gives for each row
_EXACT = 2**22  # numbers in the float64 differences that are formed at once
_ONE_THREAD = 10**10  # multiply-adds that one core does in half a second


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters from 0, largest first (ties: the one with the smallest member index).

    assignment (n,) int32; distance (n,) float64, Euclidean to the row's centroid; centroids (k, d)
    float32.
    """

    assignment: NDArray[np.int32]
    distance: NDArray[np.float64]
    centroids: NDArray[np.float32]


def kmeans(
    vectors: ArrayLike,
    k: int,
    *,
    seed: int,
    starts: int = 5,
    iterations: int = 25,
    sample_per_centroid: int | None = 256,
) -> Clustering:
    """k-means over rows (n, d), taken as float32, on a GPU where faiss has one.

    Training sample: the distinct rows, weighted by how often they occur. Where there are more than
    65,536 and more than `sample_per_centroid` * k, a seeded draw of as many as the larger of the
    two; None: always all. The best of `starts` runs is taken where at most 65,536 rows train; above
    that a single run is made. Then every row, seen or not, goes to its nearest centroid.

    k is clipped to the number of distinct rows, and a cluster that ends empty is dropped. Rows are
    told apart by 128-bit hashes, which also fix the order they are drawn in, and assigned by exact
    distances where the float32 ones are too close to tell. So the order of the rows changes nothing
    but the numbering of clusters of equal size, and equal rows share a cluster.

    Raises ValueError for k, starts, iterations or sample_per_centroid below 1, for an array that is
    not (n, d > 0), and for a value that is not finite, naming its row.
    """
    sample = 1 if sample_per_centroid is None else sample_per_centroid
    if min(k, starts, iterations, sample) < 1:
        raise ValueError(
            f"k ({k}), starts ({starts}), iterations ({iterations}), sample_per_centroid "
            f"({sample_per_centroid}) must be at least 1"
        )
    x = _rows(vectors)
    n, d = x.shape
    if n == 0:
        return Clustering(np.zeros(0, np.int32), np.zeros(0), np.zeros((0, d), np.float32))
    first, counts = _distinct(x)
    k = min(k, len(first))
    most = len(first) if sample_per_centroid is None else max(_SMALL, sample_per_centroid * k)
    training, weights = _sample(x, first, counts, most, seed)
    starts = starts if len(training) <= _SMALL else 1
    with _few_threads(d * k * (len(training) * starts * iterations + n)):
        centroids, index = _train(training, weights, k, seed, starts, iterations)
        del training
        labels, distance = _assign(x, centroids, index)
    assignment, kept = _largest_first(labels, len(centroids))
    return Clustering(assignment, distance, centroids[kept])


def project_2d(vectors: ArrayLike) -> NDArray[np.float64]:
    """First two principal components of rows (n, d), as (n, 2); missing ones are zero.

    Signs are fixed: on each axis the entry of largest size (the first of equals) is positive.
    Raises ValueError as `kmeans` does.
    """
    x = _rows(vectors)
    n, d = x.shape
    points = np.zeros((n, 2))
    mean = np.zeros(d)
    for _, block in _blocks(x):
        mean += block.sum(axis=0, dtype=np.float64)
    if n < 2:
        return points
    mean /= n
    spread = np.zeros((d, d))
    for _, block in _blocks(x):
        part = block - mean
        spread += part.T @ part
    axes = np.linalg.eigh(spread)[1][:, ::-1][:, :2]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    for start, block in _blocks(x):
        points[start : start + len(block), : axes.shape[1]] = (block - mean) @ axes
    return points


def sample_of_rows(vectors: ArrayLike, size: int, *, seed: int) -> NDArray[np.int64]:
    """Indices in ascending order of at most `size` distinct rows of (n, d), drawn without
    replacement; which rows those are does not depend on their order. Raises ValueError as `kmeans`
    does."""
    first, _ = _distinct(_rows(vectors))
    return np.sort(first[_drawn(len(first), size, seed)])


def _rows(vectors: ArrayLike) -> NDArray[Any]:
    x = np.asarray(vectors)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"vectors must have the shape (n, d) with d > 0, not {x.shape}")
    return x


def _blocks(x: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Consecutive rows as contiguous float32, each block with the index of its first."""
    for start in range(0, len(x), _CHUNK):
        block = _float32(x[start : start + _CHUNK])
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if bad.size:
            raise ValueError(
                f"row {start + bad[0]} of the vectors holds a value that is not finite"
            )
        yield start, block


def _float32(part: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused as not finite
        values = np.ascontiguousarray(part, dtype=np.float32)
    return values + np.float32(0.0)  # -0.0 becomes 0.0: rows that are equal have equal bytes


def _distinct(x: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First index and count of the distinct rows, ordered by their hashes."""
    hashes = np.empty((len(x), 2), np.uint64)
    for start, block in _blocks(x):
        raw, width = memoryview(block.tobytes()), 4 * x.shape[1]
        digests = b"".join(
            hashlib.blake2b(raw[at : at + width], digest_size=16).digest()
            for at in range(0, len(raw), width)
        )
        hashes[start : start + len(block)] = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: the first of equals comes first
    ordered = hashes[order]
    new = np.ones(len(x), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    return order[starts], np.diff(np.append(starts, len(x)))


def _drawn(total: int, size: int, seed: int) -> NDArray[np.int64]:
    """At most `size` of `total` places, drawn without replacement."""
    if size >= total:
        return np.arange(total)
    generator = np.random.Generator(np.random.PCG64(seed % 2**64))
    return generator.choice(total, size, replace=False)


def _sample(
    x: NDArray[Any], first: NDArray[np.int64], counts: NDArray[np.int64], most: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """At most `most` of the distinct rows, ordered by their bytes, and how often each occurs."""
    taken = _drawn(len(first), most, seed)
    taken = taken[np.argsort(first[taken])]  # so that a file is read from front to back
    rows = np.empty((len(taken), x.shape[1]), np.float32)
    for start in range(0, len(taken), _CHUNK):
        rows[start : start + _CHUNK] = _float32(x[first[taken[start : start + _CHUNK]]])
    order = np.argsort(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel())
    return rows[order], counts[taken[order]].astype(np.float32)


@contextmanager
def _few_threads(operations: int) -> Iterator[None]:
    """One thread for a small job: where other work runs, threads wait for each other far longer than
    such a job takes. Their number changes no result."""
    import faiss

    before = faiss.omp_get_max_threads()
    if operations <= _ONE_THREAD:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _train(
    x: NDArray[np.float32],
    weights: NDArray[np.float32],
    k: int,
    seed: int,
    starts: int,
    iterations: int,
) -> tuple[NDArray[np.float32], Any]:
    """Centroids (k, d), and faiss's index over them."""
    import faiss

    model: Any = faiss.Kmeans(
        x.shape[1],
        k,
        niter=iterations,
        nredo=starts,
        seed=seed % 2**31,  # faiss takes the clock's for a negative one
        min_points_per_centroid=1,
        max_points_per_centroid=len(x),  # the sample is drawn here, not by faiss
        gpu=faiss.get_num_gpus(),
    )
    model.train(x, weights=weights)
    model.index.reset()
    model.index.add(model.centroids)
    return model.centroids, model.index


def _assign(
    x: NDArray[Any], centroids: NDArray[np.float32], index: Any
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest centroid of each row (of equals the first) and the Euclidean distance to it.

    A float32 product can come out differently for one row in another place of a block. So where
    another centroid is as near within its rounding error, float64 differences decide.
    """
    k, d = centroids.shape
    exact = centroids.astype(np.float64)
    largest = float((exact**2).sum(axis=1).max())
    labels, distance = np.zeros(len(x), np.int64), np.zeros(len(x))
    asked = min(_CANDIDATES, k)
    for start, block in _blocks(x):
        squares, nearest = index.search(block, asked)
        rows = block.astype(np.float64)
        # Twice the bound of (|x| + |c|)^2 (d + 2) u on the error of one squared distance.
        error = 4 * (d + 2) * np.finfo(np.float32).eps * ((rows**2).sum(axis=1) + largest)
        # "not above", so that squares that float32 cannot hold are unclear as well
        with np.errstate(invalid="ignore"):
            close = ~(squares.astype(np.float64) - squares[:, :1] > error[:, None])
        best = nearest[:, 0].copy()
        own = np.full(len(rows), np.inf)
        unknown = close[:, -1] & (k > asked) | (nearest < 0).any(axis=1)
        for near, candidate in zip(close.T, nearest.T, strict=True):
            at = np.flatnonzero(near & ~unknown)
            to = np.linalg.norm(rows[at] - exact[candidate[at]], axis=1)
            better = (to < own[at]) | ((to == own[at]) & (candidate[at] < best[at]))
            best[at[better]], own[at[better]] = candidate[at[better]], to[better]
        at = np.flatnonzero(unknown)
        for part in np.array_split(at, max(1, -(-len(at) * k * d // _EXACT))):
            if len(part):
                to_all = np.linalg.norm(rows[part, None] - exact[None], axis=2)
                best[part] = to_all.argmin(axis=1)
                own[part] = to_all.min(axis=1)
        labels[start : start + len(block)] = best
        distance[start : start + len(block)] = own
    return labels, distance


def _largest_first(labels: NDArray[np.int64], k: int) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """New labels (n,), and the old label of each new one."""
    sizes = np.bincount(labels, minlength=k)
    smallest_member = np.full(k, len(labels))
    np.minimum.at(smallest_member, labels, np.arange(len(labels)))
    order = np.lexsort((smallest_member, -sizes))
    kept = order[sizes[order] > 0]
    renumbered = np.zeros(k, np.int32)
    renumbered[kept] = np.arange(len(kept), dtype=np.int32)
    return renumbered[labels], kept
