"""k-means, k-center and facility location at the sizes that they must reach, beside naive forms.

    python benchmarks/diversity.py [--clusters 1024] [--rows 100000] [--budget 1000] [--only kmeans]

Unit vectors of width 384 around 2,000 centres. Each of our runs is a process of its own, so that its
peak memory is its own (the vectors among it; making them is not timed). The naive forms would not end,
so that they are timed on fewer rows and scaled by their number of operations:

    kmeans             Lloyd's iterations over all rows with float64 distances; linear in rows
    k_center           distances to all centres formed again for each new one; rows x budget^2
    facility_location  every gain formed again for each choice; rows^2 x budget, and rows^2 numbers
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.features.clusters import kmeans
from winnow.selectors.diversity.coverage import Blocks, Neighbours, lazy_greedy, stochastic_greedy
from winnow.selectors.diversity.k_center import euclidean_to, farthest_first

WIDTH = 384
NEIGHBOURS = 256
EPSILON = 0.1


def planted(rows: int) -> NDArray[np.float32]:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((2000, WIDTH), dtype=np.float32)
    vectors = np.empty((rows, WIDTH), np.float32)
    for start in range(0, rows, 20_000):
        part = vectors[start : start + 20_000]
        part[:] = draw.standard_normal(part.shape, dtype=np.float32)
        part += centres[draw.integers(0, len(centres), len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def run_kmeans(rows: int, clusters: int) -> tuple[float, str]:
    vectors = planted(rows)
    start = time.perf_counter()
    found = kmeans(vectors, clusters, seed=0, iterations=20)
    seconds = time.perf_counter() - start
    return seconds, f"mean squared distance {float((found.distance**2).mean()):.4f}"


def run_k_center(rows: int, budget: int) -> tuple[float, str]:
    vectors = planted(rows)
    start = time.perf_counter()
    centres, distance = farthest_first(vectors, budget, euclidean_to(vectors))
    return time.perf_counter() - start, f"last centre at distance {distance[centres[-1]]:.4f}"


def run_stochastic(rows: int, budget: int) -> tuple[float, str]:
    vectors = planted(rows)
    start = time.perf_counter()
    coverage = Blocks(vectors)
    stochastic_greedy(coverage, rows, budget, EPSILON, np.random.default_rng(0))
    return time.perf_counter() - start, f"F {coverage.cover.sum(dtype=float):.0f}"


def run_neighbours(rows: int, budget: int) -> tuple[float, str]:
    vectors = planted(rows)
    start = time.perf_counter()
    chosen, _ = lazy_greedy(Neighbours(vectors, NEIGHBOURS), rows, budget)
    seconds = time.perf_counter() - start
    return seconds, f"F {value(vectors, chosen):.0f} over all similarities"


def run_random(rows: int, budget: int) -> tuple[float, str]:
    vectors = planted(rows)
    start = time.perf_counter()
    chosen = np.random.default_rng(0).choice(rows, budget, replace=False)
    return time.perf_counter() - start, f"F {value(vectors, chosen):.0f}"


def value(vectors: NDArray[np.float32], chosen: NDArray[np.int64]) -> float:
    best = 0.0
    for start in range(0, len(vectors), 8192):
        similar = vectors[start : start + 8192] @ vectors[chosen].T
        best += float(np.maximum(similar.max(axis=1), 0).sum(dtype=np.float64))
    return best


def naive_kmeans(rows: int, clusters: int) -> float:
    sample = 4000
    x = planted(sample).astype(np.float64)
    centroids = x[:clusters].copy()
    start = time.perf_counter()
    label = np.empty(sample, np.int64)
    for at in range(sample):
        label[at] = ((centroids - x[at]) ** 2).sum(axis=1).argmin()
    for c in range(len(centroids)):
        if (label == c).any():
            centroids[c] = x[label == c].mean(axis=0)
    return (time.perf_counter() - start) * 20 * rows / sample


def naive_k_center(rows: int, budget: int) -> float:
    n, k = 5000, 50
    x = planted(n).astype(np.float64)
    start = time.perf_counter()
    centres = [0]
    while len(centres) < k:
        nearest = np.full(n, np.inf)
        for c in centres:
            nearest = np.minimum(nearest, np.sqrt(((x - x[c]) ** 2).sum(axis=1)))
        centres.append(int(nearest.argmax()))
    return (time.perf_counter() - start) * (rows / n) * (budget / k) ** 2


def naive_facility_location(rows: int, budget: int) -> float:
    n, k = 3000, 10
    x = planted(n).astype(np.float64)
    start = time.perf_counter()
    similarity = np.maximum(x @ x.T, 0)
    cover = np.zeros(n)
    for _ in range(k):
        row = int(np.maximum(similarity, cover).sum(axis=1).argmax())
        cover = np.maximum(cover, similarity[row])
    return (time.perf_counter() - start) * (rows / n) ** 2 * (budget / k)


def report(name: str, run: Callable[..., tuple[float, str]], *arguments: Any) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as child:
        seconds, peak, words = child.apply(measured, (run, arguments))
    print(f"{name:52} {seconds:8.1f} s   peak {peak / 2**20:5.2f} GiB   {words}", flush=True)


def measured(
    run: Callable[..., tuple[float, str]], arguments: tuple[Any, ...]
) -> tuple[float, int, str]:
    seconds, words = run(*arguments)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, words


def scaled(name: str, seconds: float) -> None:
    print(f"{name:52} {seconds:8.0f} s   scaled from a small run", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clusters", type=int, default=1024)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--only", choices=["kmeans", "k_center", "facility_location"])
    asked = parser.parse_args()
    wanted = [asked.only] if asked.only else ["kmeans", "k_center", "facility_location"]
    rows, budget = asked.rows, asked.budget
    if "kmeans" in wanted:
        for n in (100_000, 300_000, 1_000_000):
            report(
                f"kmeans, {n:,} rows, K {asked.clusters}, 20 iterations",
                run_kmeans, n, asked.clusters,
            )  # fmt: skip
        scaled("  naive, 1,000,000 rows", naive_kmeans(1_000_000, asked.clusters))
    if "k_center" in wanted:
        report(f"k_center, {budget:,} of {rows:,}", run_k_center, rows, budget)
        scaled("  naive", naive_k_center(rows, budget))
    if "facility_location" in wanted:
        what = f"facility_location, {budget:,} of {rows:,}"
        report(f"{what}, stochastic, epsilon {EPSILON}", run_stochastic, rows, budget)
        report(f"{what}, {NEIGHBOURS} neighbours", run_neighbours, rows, budget)
        report("  a random subset", run_random, rows, budget)
        scaled("  naive", naive_facility_location(rows, budget))


if __name__ == "__main__":
    main()
