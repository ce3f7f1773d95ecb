"""What the greedy selectors share: vectors in blocks, and the refusal of a job that would not end."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.selectors.columns import EMBEDDING
from winnow.selectors.pool import Pool

BLOCK = 2048  # rows whose differences or similarities are formed at once


def embeddings(pool: Pool) -> NDArray[np.float32]:
    """The matrix (n, d). Raises UsageError where d = 0."""
    x: NDArray[np.float32] = pool[EMBEDDING.name]
    if x.shape[1] == 0:
        raise UsageError(f"{EMBEDDING.name}: the vectors are empty")
    return x


def unit_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1, so that a product is a cosine; a row of zeros stays one, and its cosine
    with every row is 0."""
    unit = np.empty(x.shape, np.float32)
    for start in range(0, len(x), BLOCK):
        part = x[start : start + BLOCK].astype(np.float64)
        length = np.linalg.norm(part, axis=1, keepdims=True)
        unit[start : start + BLOCK] = part / np.where(length > 0, length, 1.0)
    return unit


def over_blocks(n: int, work: Callable[[int, int], None]) -> None:
    """work(start, stop) over all rows in blocks, on as many threads as there are cores. Each block
    must write to its own rows only."""
    workers = max(1, min(len(os.sched_getaffinity(0)), n // BLOCK))

    def run(worker: int) -> None:
        for start in range(worker * BLOCK, n, workers * BLOCK):
            work(start, min(start + BLOCK, n))

    if workers == 1:
        run(0)
        return
    with ThreadPoolExecutor(workers) as threads:
        list(threads.map(run, range(workers)))


def check_size(
    name: str,
    operations: float,
    limit: float,
    *,
    per_second: float,
    memory: float,
    job: str,
    advice: str,
) -> None:
    """Refuse a job of more than `limit` multiply-adds, or of more memory than is free, with an estimate.

    `per_second`: multiply-adds that two cores do; `memory`: bytes beside the pool itself. Raises
    UsageError.
    """
    free = psutil.virtual_memory().available
    if operations <= limit and memory <= free:
        return
    raise UsageError(
        f"{name}: {job} takes about {operations:.1e} multiply-adds, on two cores about "
        f"{_duration(operations / per_second)}, and {memory / 2**30:.1f} GiB of memory; the limit "
        f"(max_operations) is {limit:.1e}, and {free / 2**30:.1f} GiB are free. {advice}, or raise "
        "what is too small"
    )


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
