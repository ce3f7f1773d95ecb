"""Quotas over k-means clusters: the plain form of choosing for diversity.

Rows are clustered by their embeddings (Euclidean k-means; give unit vectors for cosines), the budget
b is shared out over the clusters, and every cluster gives the rows that stand best in it. With
cluster sizes s_j and n = sum_j s_j the shares are

    balanced      min(s_j, level), the level such that they add up to b
    proportional  b s_j / n
    sqrt          b sqrt(s_j) / sum_c sqrt(s_c), at most s_j; the excess is dealt to the others

made whole by largest remainders (balanced: what is left goes to the largest clusters), so that they
add up to b exactly. Within a cluster a random draw says who goes first, or the distance to the
centroid (nearest: typical rows, which leave the borders of a cluster bare; farthest: odd ones), or
the column `quality`.

Such quotas are common practice rather than one paper's method. The distance to the centroid as a
measure of how typical a row is comes from "Beyond neural scaling laws" (arXiv 2206.14486), which
keeps far rows of a large pool and near rows of a small one. The square root and
the default number of clusters are our choice. Time is linear in the rows: `kmeans` in
`pipeline/features/clusters.py` says which rows train.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import CENTROID_DISTANCE, QUALITY
from winnow.selectors.diversity.clustering import (
    QUOTAS,
    ClusterParameters,
    Clusters,
    clusters,
    dealt,
)
from winnow.selectors.pool import Pool


class KMeansParameters(ClusterParameters):
    quotas: Literal["balanced", "proportional", "sqrt"] = Field(
        "balanced", description="How the budget is shared out over the clusters."
    )
    within: Literal["nearest", "farthest", "random", "quality"] = Field(
        "random",
        description="Who goes first in a cluster: a random draw (as in S2L, and in Diversify and "
        "Conquer's kM-random, which had 4096 clusters), nearest or farthest to the centroid (ready "
        "clusters: by the column `centroid_distance`), or the highest `quality`.",
    )


class KMeans(Selector[KMeansParameters]):
    """Rows from every k-means cluster of the embeddings, by balanced, proportional or root quotas.

    The first rows of the order are the quotas for the budget; after them the clusters take turns.
    `score` is what ranks a row in its cluster, higher first: the distance (negative for nearest), the
    draw, or the quality.
    """

    name = "kmeans"
    paper = "common practice"
    needs_budget = True
    parameters = KMeansParameters
    own = pa.schema(
        [
            column("cluster", pa.int64(), "Cluster of the row; k-means numbers them from 0, the "
                   "largest first.", null="the row lacks a value"),
            column("centroid_distance", pa.float64(), "Euclidean distance to the cluster's centroid.",
                   null="the row lacks a value, or ready clusters come without"),
            column("quota", pa.int64(), "Rows that its cluster gives to the budget.",
                   null="the row lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: KMeansParameters) -> Sequence[Column]:
        columns = list(parameters.columns())
        if parameters.groups == "cluster" and parameters.within in ("nearest", "farthest"):
            columns.append(CENTROID_DISTANCE)
        if parameters.within == "quality":
            columns.append(QUALITY)
        return columns

    def choose(self, pool: Pool, room: int | None, parameters: KMeansParameters) -> Choice:
        found = clusters(pool, parameters)
        distance = _distance(pool, found)
        match parameters.within:
            case "nearest":
                score = -distance
            case "farthest":
                score = distance
            case "random":
                score = pool.rng("kmeans").random(len(pool))
            case "quality":
                score = np.asarray(pool[QUALITY.name], np.float64)
        budget = len(pool) if room is None else room
        quota = QUOTAS[parameters.quotas](budget, found.sizes)
        return Choice(
            dealt(found.label, score, quota),
            score,
            columns={
                "cluster": found.number,
                "centroid_distance": distance,
                "quota": quota[found.label],
            },
        )


def _distance(pool: Pool, found: Clusters) -> NDArray[np.float64]:
    if found.distance is not None:
        return found.distance
    if pool.has(CENTROID_DISTANCE.name):
        return np.asarray(pool[CENTROID_DISTANCE.name], np.float64)
    return np.full(len(pool), np.nan)
