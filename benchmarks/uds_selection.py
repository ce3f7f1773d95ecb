"""UDS over stored features: 1,000,000 rows in blocks, against one distance table per batch.

    python benchmarks/uds_selection.py [--rows 1000000] [--width 1024] [--batch 8] [--keep 1]
        [--buffer 1024] [--naive-rows 20000] [--folder DIR] [--threads 2]

Sketches are float32 in a memory-mapped file under DIR, written in pieces: normal, around 32 centres
of the same spread, with a common mean ten times as long and every hundredth row a copy of an earlier
one. The naive form calls scipy's cdist for every batch against the buffer, on the first rows of the
same data, and its time is scaled to all rows (the buffer is full after `buffer / keep` batches of
them); it uses one thread. Where other work runs on the machine, threads wait for one another, and the
processor's time (cpu) with `--threads 1` says more. Anonymous memory is what the process holds besides
the file's pages, which the system drops when it needs them.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from threadpoolctl import threadpool_limits

from winnow.selectors.utility.uds import uds

PIECE = 8192


def sketches(path: Path, rows: int, width: int) -> Any:
    """The matrix (rows, width) float32, mapped from `path`."""
    rng = np.random.default_rng(0)
    mean = 10.0 * rng.standard_normal(width)
    centres = rng.standard_normal((32, width))
    matrix = np.memmap(path, np.float32, "w+", shape=(rows, width))
    for start in range(0, rows, PIECE):
        n = min(PIECE, rows - start)
        part = rng.standard_normal((n, width)) + centres[rng.integers(0, 32, n)] + mean
        part[99::100] = part[98::100][: len(part[99::100])]
        matrix[start : start + n] = part
    matrix.flush()
    return matrix


def naive(u: Any, z: Any, *, alpha: float, buffer: int, batch: int, keep: int, seed: int) -> Any:
    """Scores and choice, batch by batch, of rows whose ids are in order."""
    from scipy.spatial.distance import cdist

    n = len(u)
    stream = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    slots = np.zeros((buffer, z.shape[1]))
    filled = pointer = 0
    score, selected = np.zeros(n), np.zeros(n, bool)
    for start in range(0, n, batch):
        rows = np.sort(stream[start : start + batch])
        candidates = z[rows].astype(np.float64)
        v = cdist(candidates, slots[:filled]).mean(axis=1) if filled else np.zeros(len(rows))
        score[rows] = u[rows] + alpha * v
        best = np.argsort(-score[rows], kind="stable")[:keep]
        selected[rows[best]] = True
        for at in best:
            slots[pointer] = candidates[at]
            pointer, filled = (pointer + 1) % buffer, min(filled + 1, buffer)
    return score, selected


class Memory:
    """Highest anonymous memory of this process while it runs, GiB."""

    def __enter__(self) -> Self:
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            now = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.peak = max(self.peak, now / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (
        ("rows", 1_000_000), ("width", 1024), ("batch", 8), ("keep", 1), ("buffer", 1024),
        ("naive-rows", 20_000),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    a = parser.parse_args()
    threadpool_limits(a.threads)
    alpha = 1.0
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        z = sketches(Path(folder) / "sketches.f32", a.rows, a.width)
        u = np.random.default_rng(1).exponential(20.0, a.rows)
        ids = [f"{i:09d}" for i in range(a.rows)]
        print(
            f"n={a.rows} d={a.width} B={a.batch} K={a.keep} M={a.buffer}, {a.threads} threads, "
            f"load average {os.getloadavg()[0]:.1f}"
        )
        settings: Any = {"alpha": alpha, "buffer": a.buffer, "batch": a.batch, "keep": a.keep}
        few = min(a.naive_rows, a.rows)
        start, began = time.perf_counter(), time.process_time()
        score, selected = naive(u[:few], z[:few], seed=0, **settings)
        slow = (time.perf_counter() - start) * a.rows / few
        slow_cpu = (time.process_time() - began) * a.rows / few
        found = uds(ids[:few], u[:few], z[:few], **settings)
        same = bool((found.selected == selected).all())
        off = np.abs(found.score / score - 1).max()
        print(f"naive, {few} rows, scaled to {a.rows}: {slow:8.1f} s (cpu {slow_cpu:.1f} s)")
        print(f"blocks on the same rows: same choice {same}, scores within {off:.1e}")
        with Memory() as memory:
            start, began = time.perf_counter(), time.process_time()
            found = uds(ids, u, z, **settings)
            fast, cpu = time.perf_counter() - start, time.process_time() - began
        print(
            f"blocks, {a.rows} rows: {fast:8.1f} s (cpu {cpu:.1f} s), {slow / fast:.1f}x; "
            f"{found.selected.sum()} selected, peak anonymous memory {memory.peak:.2f} GiB, "
            f"load average {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
