"""Clusters of the pool for the selectors that choose cluster by cluster, and the order that quotas
give.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from winnow.pipeline.estimate.quotas import balanced, proportional, square_root
from winnow.pipeline.features.clusters import kmeans
from winnow.pipeline.features.silhouette import sweep
from winnow.selectors.base import Column
from winnow.selectors.columns import CLUSTER, EMBEDDING
from winnow.selectors.diversity.similarity import embeddings
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool

# "equal" shares of the budget are `balanced` as soon as what full clusters leave is dealt again.
QUOTAS: dict[str, Callable[[int, ArrayLike], NDArray[np.int64]]] = {
    "balanced": balanced,
    "equal": balanced,
    "proportional": proportional,
    "sqrt": square_root,
}


class ClusterParameters(Parameters):
    """Where the clusters come from."""

    groups: Literal["embedding", "cluster"] = Field(
        "embedding",
        description="embedding: k-means over the column `embedding`; cluster: the ready column "
        "`cluster`, and no embedding is read.",
    )
    clusters: int | Literal["sqrt", "silhouette"] = Field(
        "sqrt",
        description="K, clipped to the distinct embeddings. sqrt: the root of half the rows, from 1 to "
        "1024 (our choice); silhouette: the power of two with the best silhouette on a sample.",
    )
    iterations: int = Field(20, ge=1, description="Iterations of k-means.")
    starts: int = Field(
        5, ge=1,
        description="Starts of k-means, of which the best counts; 1 above 65,536 training rows.",
    )  # fmt: skip
    sample_per_centroid: int | None = Field(
        256, ge=1,
        description="Above 65,536 distinct rows, k-means trains on this many for each centroid "
        "(faiss: 256); null: on all. Every row is assigned.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _at_least_one_cluster(self) -> Self:
        if isinstance(self.clusters, int) and self.clusters < 1:
            raise ValueError("clusters must be at least 1")
        return self

    def columns(self) -> tuple[Column, ...]:
        return (EMBEDDING,) if self.groups == "embedding" else (CLUSTER,)


@dataclass(frozen=True, eq=False)
class Clusters:
    """Of n rows in g clusters: `label` (n,) from 0 to g - 1; `number` (n,), the cluster's name in the
    output; `distance` (n,), Euclidean to the centroid, None for ready clusters; `sizes` (g,)."""

    label: NDArray[np.int64]
    number: NDArray[np.int64]
    distance: NDArray[np.float64] | None
    sizes: NDArray[np.int64]


def clusters(pool: Pool, parameters: ClusterParameters) -> Clusters:
    """The clusters of a pool of at least one row. Raises UsageError for empty vectors."""
    if parameters.groups == "cluster":
        number = np.asarray(pool[CLUSTER.name], np.int64)
        _, label, sizes = np.unique(number, return_inverse=True, return_counts=True)
        return Clusters(label.astype(np.int64), number, None, sizes.astype(np.int64))
    x = embeddings(pool)
    found = kmeans(
        x,
        number_of_clusters(x, parameters.clusters, pool.seed),
        seed=pool.seed,
        starts=parameters.starts,
        iterations=parameters.iterations,
        sample_per_centroid=parameters.sample_per_centroid,
    )
    label = found.assignment.astype(np.int64)
    return Clusters(label, label, found.distance, np.bincount(label))


def number_of_clusters(
    x: NDArray[np.float32], wanted: int | Literal["sqrt", "silhouette"], seed: int
) -> int:
    if wanted == "sqrt":
        return min(1024, max(1, round(sqrt(len(x) / 2))))
    if wanted == "silhouette":
        return sweep(x, seed=seed).best
    return wanted


def dealt(
    label: NDArray[np.int64], score: NDArray[np.float64], quota: NDArray[np.int64]
) -> NDArray[np.int64]:
    """All n rows in an order whose first sum(quota) rows keep the quotas (g,) of the clusters.

    Within a cluster the higher score goes first (of equals the lower index). The clusters take turns
    as often as their quotas ask, so that a shorter prefix is close to the same shares; after the
    quotas they take turns one row each. Of equal turns the lower label goes first.
    """
    by_cluster = np.lexsort((-score, label))  # stable
    labels = label[by_cluster]
    starts = np.searchsorted(labels, np.arange(len(quota)))
    place = np.arange(len(label)) - starts[labels]
    quotas = quota[labels]
    inside = place < quotas
    turn = np.where(inside, (place + 0.5) / np.maximum(quotas, 1), 1.0 + place - quotas)
    order: NDArray[np.int64] = by_cluster[np.lexsort((labels, turn))]
    return order
