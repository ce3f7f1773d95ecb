"""How many clusters: the number whose clusters are the most compact and apart on a sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from winnow.pipeline.features.clusters import kmeans, sample_of_rows


@dataclass(frozen=True)
class Sweep:
    """`best` number of clusters, and the mean silhouette of each number that was tried, -1 to 1."""

    best: int
    silhouette: Mapping[int, float]


def sweep(
    vectors: ArrayLike,
    candidates: Sequence[int] | None = None,
    *,
    seed: int,
    rows: int = 10_000,
    starts: int = 5,
    iterations: int = 20,
) -> Sweep:
    """The number of clusters with the highest mean silhouette (Rousseeuw 1987), the smallest of equals.

    Diversify and Conquer (arXiv 2409.11378) finds that the score predicts how well a model does that
    is trained on a choice of such clusters. Both the clusters and the score are of a sample of at
    most `rows` distinct rows of (n, d), drawn whatever their order is: the time grows with its square.
    `candidates`: the numbers to try, those that the sample is too small for left out (none fit: 1);
    None: the powers of two that leave at least four rows of the sample to a cluster, up to 1,024.
    Raises ValueError as `kmeans` does, and for a candidate below 2.
    """
    from sklearn.metrics import silhouette_score

    if candidates is not None and min(candidates, default=2) < 2:
        raise ValueError("a silhouette needs at least 2 clusters")
    x = np.asarray(vectors)
    sample = np.asarray(x[sample_of_rows(x, rows, seed=seed)], dtype=np.float32)
    if candidates is None:
        candidates = [2**e for e in range(1, 11) if 2**e * 4 <= len(sample)]
    scores: dict[int, float] = {}
    for k in sorted(set(candidates)):
        if k >= len(sample):
            continue
        found = kmeans(sample, k, seed=seed, starts=starts, iterations=iterations)
        if 1 < len(found.centroids) < len(sample):
            scores[k] = float(silhouette_score(sample, found.assignment))
    return Sweep(max(scores, key=lambda k: scores[k], default=1), scores)
