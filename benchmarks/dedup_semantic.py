"""Semantic deduplication of given vectors beside semhash's, on the same vectors in one run.

    python benchmarks/dedup_semantic.py --peer-python PEERS/bin/python [--rows 50000] [--dims 256]

Four fifths of the vectors are random directions, the others copies of these with noise, at a cosine
above 0.9. Both sides get the vectors and the threshold 0.9 and say which rows stay. The peer runs in
an environment of its own: `pip install semhash==0.5.0`. Without `--peer-python` there is none.
`--anisotropic` bends the directions towards one another, as those of real embedders are.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.clean.dedup import deduplicate, semantic

SEMHASH = """
import json, sys, time
import numpy as np
from semhash import SemHash

class Given:
    def encode(self, texts, **arguments):
        raise AssertionError("the vectors are given")

vectors = np.load(sys.argv[1])
texts = [f"{i}" for i in range(len(vectors))]
start = time.perf_counter()
kept = SemHash.from_embeddings(vectors, texts, model=Given()).self_deduplicate(0.9).selected
seconds = time.perf_counter() - start
print("RESULT" + json.dumps([seconds, [int(t) for t in kept]]))
"""


def planted(
    rows: int, dims: int, anisotropic: bool, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors in random order, and for each row the row that it is a copy of, or itself."""
    draw = np.random.default_rng(seed)
    n = rows - rows // 5
    scale = np.ones(dims)
    if anisotropic:
        scale = 1 / np.sqrt(1 + np.arange(dims))
    originals = draw.standard_normal((n, dims)) * scale + (0.02 * scale if anisotropic else 0)
    originals /= np.linalg.norm(originals, axis=1, keepdims=True)
    noise = draw.standard_normal((rows - n, dims))
    noise *= 0.3 / np.linalg.norm(noise, axis=1, keepdims=True)
    copies = originals[: rows - n] + noise
    vectors = np.concatenate([originals, copies])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = draw.permutation(rows)
    place = np.argsort(order)
    source = np.concatenate([np.arange(n), np.arange(rows - n)])
    return vectors[order].astype(np.float32), place[source[order]]


def report(name: str, seconds: float, kept: set[int], origin: NDArray[np.int64]) -> None:
    copies = np.flatnonzero(origin != np.arange(len(origin)))
    found = sum(not (row in kept and origin[row] in kept) for row in copies.tolist())
    print(
        f"{name:20} {seconds:7.2f} s   copies found {found / len(copies):8.3%}   "
        f"kept {len(kept)} of {len(origin)} ({len(origin) - len(copies)} distinct)"
    )


def words(count: int) -> list[str]:
    """Different texts without any number, as short as they come."""
    letters = "bcdfghjklmnpqrst"
    return [
        " ".join("the" + letters[(i >> shift) & 15] + "ing" for shift in (12, 8, 4, 0))
        for i in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--anisotropic", action="store_true")
    parser.add_argument("--peer-python")
    asked = parser.parse_args()
    vectors, origin = planted(asked.rows, asked.dims, asked.anisotropic, seed=0)

    times = []
    for _ in range(3):
        start = time.perf_counter()
        marks = semantic.mark(vectors, np.zeros(len(vectors), dtype=np.int64), 0.9)
        times.append(time.perf_counter() - start)
    report("winnow, vectors only", min(times), set(np.flatnonzero(marks.kept).tolist()), origin)
    texts = words(len(vectors))
    start = time.perf_counter()
    table = deduplicate(texts, "semantic", vectors=vectors)
    seconds = time.perf_counter() - start
    kept = {row for row, keep in enumerate(table["keep"].to_pylist()) if keep}
    report("winnow, with texts", seconds, kept, origin)
    if asked.peer_python:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "vectors.npy")
            np.save(source, vectors)
            done = subprocess.run(
                [asked.peer_python, "-c", SEMHASH, str(source)],
                capture_output=True,
                text=True,
                check=False,
            )
        results = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
        if not results:
            raise SystemExit(f"the peer failed:\n{done.stderr[-2000:]}")
        seconds, rows = json.loads(results[0].removeprefix("RESULT"))
        report("semhash", seconds, set(rows), origin)


if __name__ == "__main__":
    main()
