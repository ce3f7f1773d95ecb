"""k-means over embeddings with faiss, and the two principal components for a plot."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK = 65_536  # rows at a time: bounds the float64 copies


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
    vectors: ArrayLike, k: int, *, seed: int, starts: int = 5, iterations: int = 25
) -> Clustering:
    """The best of `starts` seeded k-means runs over float32 rows (n, d), on a GPU where faiss has one.

    k is clipped to the number of distinct rows, and a cluster that ends empty is dropped. Training
    sees every row (no subsampling): the distinct ones in a canonical order, weighted by how often
    they occur. So the order of the rows changes nothing but the numbering of clusters of equal
    size, and equal rows share a cluster. Raises ValueError for k, starts or iterations below 1, for
    an array that is not (n, d > 0), and for a value that is not finite, naming its row.
    """
    if min(k, starts, iterations) < 1:
        raise ValueError(
            f"k ({k}), starts ({starts}), iterations ({iterations}) must be at least 1"
        )
    x = _checked(vectors)
    n, d = x.shape
    if n == 0:
        return Clustering(np.zeros(0, np.int32), np.zeros(0), np.zeros((0, d), np.float32))
    first, inverse, counts = _distinct(x)
    distinct = x[first]
    centroids, assigned = _train(distinct, counts, min(k, len(distinct)), seed, starts, iterations)
    assignment, kept = _largest_first(assigned[inverse], len(centroids))
    centroids = centroids[kept]
    return Clustering(assignment, _distance(x, centroids, assignment), centroids)


def project_2d(vectors: ArrayLike) -> NDArray[np.float64]:
    """First two principal components of rows (n, d), as (n, 2); missing ones are zero.

    Signs are fixed: on each axis the entry of largest size (the first of equals) is positive.
    Raises ValueError as `kmeans` does.
    """
    x = _checked(vectors)
    n, d = x.shape
    points = np.zeros((n, 2))
    if n < 2:
        return points
    mean = x.mean(axis=0, dtype=np.float64)
    spread = np.zeros((d, d))
    for start in range(0, n, _CHUNK):
        part = x[start : start + _CHUNK] - mean
        spread += part.T @ part
    axes = np.linalg.eigh(spread)[1][:, ::-1][:, :2]
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    for start in range(0, n, _CHUNK):
        points[start : start + _CHUNK, : axes.shape[1]] = (x[start : start + _CHUNK] - mean) @ axes
    return points


def _checked(vectors: ArrayLike) -> NDArray[np.float32]:
    x = np.ascontiguousarray(vectors, dtype=np.float32)
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"vectors must have the shape (n, d) with d > 0, not {x.shape}")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise ValueError(f"row {bad[0]} of the vectors holds a value that is not finite")
    return x + np.float32(0.0)  # -0.0 becomes 0.0: rows that are equal have equal bytes


def _distinct(
    x: NDArray[np.float32],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """First index, inverse and count of the distinct rows, ordered by their bytes."""
    rows = x.view(np.dtype((np.void, x.itemsize * x.shape[1]))).ravel()
    _, first, inverse, counts = np.unique(
        rows, return_index=True, return_inverse=True, return_counts=True
    )
    return first, inverse, counts


def _train(
    x: NDArray[np.float32],
    counts: NDArray[np.intp],
    k: int,
    seed: int,
    starts: int,
    iterations: int,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Centroids (k, d) and the nearest of each distinct row."""
    import faiss

    model: Any = faiss.Kmeans(
        x.shape[1],
        k,
        niter=iterations,
        nredo=starts,
        seed=seed % 2**31,  # faiss takes the clock's for a negative one
        min_points_per_centroid=1,
        max_points_per_centroid=len(x),  # faiss would subsample beyond 256 rows a centroid
        gpu=faiss.get_num_gpus(),
    )
    model.train(x, weights=counts.astype(np.float32))
    nearest: NDArray[np.int64] = model.assign(x)[1]
    return model.centroids, nearest


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


def _distance(
    x: NDArray[np.float32], centroids: NDArray[np.float32], assignment: NDArray[np.int32]
) -> NDArray[np.float64]:
    distance = np.zeros(len(x))
    for start in range(0, len(x), _CHUNK):
        stop = start + _CHUNK
        offset = x[start:stop].astype(np.float64) - centroids[assignment[start:stop]]
        distance[start:stop] = np.linalg.norm(offset, axis=1)
    return distance
