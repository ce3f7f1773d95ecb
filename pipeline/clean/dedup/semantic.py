"""Near-duplicates by the cosine of given vectors: exact, and without an index to build.

For unit vectors |x - y|^2 = 2 - 2 cos(x, y), and an orthonormal projection never lengthens x - y. So
the first principal directions of the data give a lower bound on every distance, cheap to compute for
all pairs as one matrix product; only the pairs that the bound lets through are measured in full. No
pair is missed. The number of directions is chosen from a sample of the data, up to all of them.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.clean.dedup.survivors import Survivors
from winnow.pipeline.progress import Progress, Silent, Step

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]

TOLERANCE = 1e-6  # of a cosine: what float32 components leave uncertain
_SLACK = 1e-4  # of a squared distance: above the rounding of a float32 matrix product
_BLOCK = 2048  # rows per block of the matrix of pairs
_SAMPLE = 4096  # rows that the directions are taken from, and as many that they are tried on
_PAIRS = 50_000  # pairs of them by which the number of directions is chosen
# Costs of one pair, measured in one direction of a matrix product: looking at its bound, and
# measuring it in full.
_LOOK, _MEASURE = 35.0, 50_000.0
_MANY = 200_000  # rows from which on loading torch, to see whether there is CUDA, is worth it
_MEASURED = 8192  # pairs measured at a time


def mark(
    vectors: Vectors,
    groups: NDArray[np.int64],
    threshold: float,
    device: str | None = None,
    progress: Progress | None = None,
) -> Survivors:
    """Which rows, best first, stay: pairs of one group with cosine >= `threshold` are duplicates.

    `vectors` are L2-normalised float32 of shape (n, d), `groups` of shape (n,). `device` is a torch
    device for the matrix products ("cuda" where there is one and torch is loaded or installed;
    "numpy": this machine's cores); the result is the same, since every pair that counts is measured
    here in float64.

    Raises ValueError where a vector is not of length 1.
    """
    progress = progress or Silent()
    norms = np.linalg.norm(vectors, axis=1)
    wrong = np.flatnonzero(~(np.abs(norms - 1) < 1e-3))
    if len(wrong):
        raise ValueError(f"vector {wrong[0]} has length {norms[wrong[0]]}, but must be of length 1")
    result = Survivors(len(vectors))
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(groups[order], return_index=True)
    bounds = np.append(starts, len(order))
    done = len(order) - int(np.diff(bounds)[np.diff(bounds) > 1].sum())
    for start, stop in pairwise(bounds.tolist()):
        if stop - start < 2:
            continue
        rows = order[start:stop]  # ascending, so best first
        part = Survivors(len(rows))
        search = _small if len(rows) <= _BLOCK else _large
        for first, later, earlier, score in search(vectors[rows], threshold, device):
            part.block(first, later, earlier, score)
            progress.step(Step("dedup: compare", done + first, len(order)))
        result.absorb(rows, part)
        done += len(rows)
        progress.step(Step("dedup: compare", done, len(order)))
    return result


Block = tuple[int, Rows, Rows, NDArray[np.float64]]


def _small(vectors: Vectors, threshold: float, device: str | None) -> Iterator[Block]:
    del device  # not worth the way there
    hits = np.tril(vectors @ vectors.T >= threshold - _SLACK, -1)
    later, earlier = np.nonzero(hits)
    yield (0, *_measured(vectors, later, earlier, threshold))


def _large(vectors: Vectors, threshold: float, device: str | None) -> Iterator[Block]:
    # Our threads take a tile each; BLAS threads beside them would fight for the same cores.
    from threadpoolctl import threadpool_limits

    n = len(vectors)
    with threadpool_limits(1, user_api="blas"):
        left, right = _projected(vectors, 2 - 2 * threshold)
    on_device = _torch_tile(left, right, device)
    tile = on_device or _numpy_tile(left, right)
    workers = 1 if on_device else min(8, os.cpu_count() or 1)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        start, block = 0, _BLOCK
        while start < n:
            stop = min(start + block, n)
            spans = [(a, min(a + _BLOCK, stop)) for a in range(0, stop, _BLOCK)]

            def hits(span: tuple[int, int], start: int = start, stop: int = stop) -> Any:
                later, earlier = tile(start, stop, *span)
                before = earlier < later
                return _measured(vectors, later[before], earlier[before], threshold)

            parts = list(pool.map(hits, spans))
            later, earlier, score = (np.concatenate(p) for p in zip(*parts, strict=True))
            yield start, later, earlier, score
            # Where duplicates abound, smaller blocks keep their pairs few at any one time.
            pairs_per_row = max(len(later) / (stop - start), 1)
            block = int(np.clip(20_000_000 / pairs_per_row, 64, _BLOCK))
            start = stop


def _measured(
    vectors: Vectors, later: Rows, earlier: Rows, threshold: float
) -> tuple[Rows, Rows, NDArray[np.float64]]:
    """The pairs whose cosine, in float64, reaches the threshold."""
    scores = np.empty(len(later))
    for start in range(0, len(later), _MEASURED):
        a = vectors[later[start : start + _MEASURED]].astype(np.float64)
        b = vectors[earlier[start : start + _MEASURED]].astype(np.float64)
        lengths = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
        scores[start : start + _MEASURED] = np.einsum("ij,ij->i", a, b) / np.sqrt(lengths)
    same = scores >= threshold - TOLERANCE
    return later[same], earlier[same], scores[same]


def _projected(vectors: Vectors, radius: float) -> tuple[Vectors, Vectors]:
    """Two matrices whose product is >= 0 where a pair's bound is within the squared `radius`.

    With p the projection of x, p.q - |p|^2 / 2 - |q|^2 / 2 + radius / 2 >= 0 says |p - q|^2 <= radius.
    """
    draw = np.random.default_rng(0)
    n, d = vectors.shape
    drawn = draw.choice(n, min(n, 2 * _SAMPLE), replace=False)
    fitted, tried = np.array_split(vectors[drawn].astype(np.float64), 2)
    centre = fitted.mean(axis=0)
    _, directions = np.linalg.eigh((fitted - centre).T @ (fitted - centre))
    directions = directions[:, ::-1]
    # On other rows: among those that the directions were fitted to, distances look longer.
    turned = tried @ directions
    a, b = draw.integers(0, len(tried), (2, _PAIRS))
    within = np.zeros(d)
    for start in range(0, _PAIRS, _MEASURED):
        steps = turned[a[start : start + _MEASURED]] - turned[b[start : start + _MEASURED]]
        steps = steps[a[start : start + _MEASURED] != b[start : start + _MEASURED]]
        within += (np.cumsum(steps**2, axis=1) <= radius + _SLACK).sum(axis=0)
    dims = np.arange(1, d + 1)
    cost = dims + _LOOK + _MEASURE * within / _PAIRS
    keep = int(dims[np.argmin(cost)])
    p = ((vectors - centre) @ directions[:, :keep]).astype(np.float32)
    half = (p.astype(np.float64) ** 2).sum(axis=1, keepdims=True) / 2
    one = np.ones_like(half)
    left = np.hstack([p, one, (radius + _SLACK) / 2 - half])
    right = np.hstack([p, -half, one])
    return np.ascontiguousarray(left, np.float32), np.ascontiguousarray(right, np.float32)


# (start, stop, first, last): the pairs of rows [start, stop) by [first, last) within the bound.
_Tile = Callable[[int, int, int, int], tuple[Rows, Rows]]


def _numpy_tile(left: Vectors, right: Vectors) -> _Tile:
    def hits(start: int, stop: int, first: int, last: int) -> tuple[Rows, Rows]:
        found = np.flatnonzero(left[start:stop] @ right[first:last].T >= 0)
        rows, columns = np.divmod(found, last - first)
        return rows + start, columns + first

    return hits


def _torch_tile(left: Vectors, right: Vectors, device: str | None) -> _Tile | None:
    """Tiles on a torch device; None where none is asked for and CUDA is absent or no gain."""
    if device == "numpy" or (device is None and len(left) < _MANY):
        return None
    try:
        import torch
    except ImportError:
        if device is not None:
            raise
        return None
    if device is None:
        if not torch.cuda.is_available():
            return None
        device = "cuda"
    there, back = torch.from_numpy(left).to(device), torch.from_numpy(right).to(device)

    def hits(start: int, stop: int, first: int, last: int) -> tuple[Rows, Rows]:
        found = torch.nonzero(there[start:stop] @ back[first:last].T >= 0).cpu().numpy()
        return found[:, 0] + start, found[:, 1] + first

    return hits
