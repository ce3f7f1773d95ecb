"""kMQ of "Diversify and Conquer" (arXiv 2409.11378): k-means clusters, quality-weighted draws.

Each cluster j gets a share b_j of the budget b, and inside it rows are drawn by their quality q:

    budget_rule  proportional  b_j = b |X_j| / |X|, by largest remainders (paper; default)
                 equal         int(b / K), at most |X_j| (code)
    draw         softmax       p_i proportional to exp(q_i / T) within the cluster (code; default)
                 proportional  p_i proportional to q_i^(1/T) (paper, T = 1)

Draws are without replacement, as in the code; the paper says with. What the equal shares leave, by
rounding or because a cluster is smaller, is dealt to the clusters that have more, which the code
does not do. T is our option.

The authors' scorer gives -1 where it failed: such rows are missing (`no_quality`) and neither
clustered nor drawn. Their k-means runs on a GPU with 300 iterations and the best of 5 starts over
196,000 rows; the default here is 20 iterations.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import QUALITY
from winnow.selectors.diversity.clustering import QUOTAS, ClusterParameters, clusters, dealt
from winnow.selectors.diversity.draws import softmax, standing
from winnow.selectors.pool import Pool


class KmqParameters(ClusterParameters):
    clusters: int | Literal["sqrt", "silhouette"] = Field(
        1024,
        description="K, clipped to the distinct embeddings (code: 1024 of 196,000 rows). sqrt: the "
        "root of half the rows, at most 1024; silhouette: the best power of two on a sample.",
    )
    budget_rule: Literal["proportional", "equal"] = Field(
        "proportional",
        description="Share of a cluster: by its size (paper) or the same for all (code).",
    )
    draw: Literal["softmax", "proportional"] = Field(
        "softmax",
        description="Chance of a row within its cluster: softmax of the quality (code), or "
        "proportional to it (paper; no negative quality then).",
    )
    temperature: float = Field(
        1.0, gt=0, description="T: below 1 good rows are drawn more often (1 as published)."
    )
    missing: float | None = Field(
        -1.0, description="The quality that stands for none (code: -1); null: none does."
    )


class Kmq(Selector[KmqParameters]):
    """Rows drawn by quality from every k-means cluster of the embeddings.

    The first rows of the order are the quotas for the budget, drawn; after them the clusters take
    turns in the order of the draws. `score` is the rank of the draw over all rows, higher first.
    """

    name = "kmq"
    paper = "Diversify and Conquer, arXiv 2409.11378"
    needs_budget = True
    parameters = KmqParameters
    own = pa.schema(
        [
            column("cluster", pa.int64(), "Cluster of the row; k-means numbers them from 0, the "
                   "largest first.", null="the row lacks a value"),
            column("quota", pa.int64(), "Rows that its cluster gives to the budget.",
                   null="the row lacks a value"),
            column("draw_prob", pa.float64(), "Chance to be the first row drawn from its cluster.",
                   null="the row lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: KmqParameters) -> Sequence[Column]:
        return (*parameters.columns(), QUALITY)

    def choose(self, pool: Pool, room: int | None, parameters: KmqParameters) -> Choice:
        n = len(pool)
        quality = np.asarray(pool[QUALITY.name], np.float64)
        known = np.ones(n, bool) if parameters.missing is None else quality != parameters.missing
        rows = np.flatnonzero(known)
        score, cluster, quota, share = (np.full(n, np.nan) for _ in range(4))
        order = rows
        if len(rows):
            scored = pool.take(rows, [c.name for c in self.inputs(parameters)])
            found = clusters(scored, parameters)
            weight = log_weights(scored, parameters)
            standings = standing(weight, pool.rng("kmq"))
            budget = len(rows) if room is None else min(room, len(rows))
            quotas = QUOTAS[parameters.budget_rule](budget, found.sizes)
            order = rows[dealt(found.label, standings, quotas)]
            score[rows], cluster[rows], quota[rows] = standings, found.number, quotas[found.label]
            share[rows] = softmax(weight, found.label)
        return Choice(
            order,
            score,
            reason=[None if k else f"no_{QUALITY.name}" for k in known.tolist()],
            columns={"cluster": cluster, "quota": quota, "draw_prob": share},
        )


def log_weights(pool: Pool, parameters: KmqParameters) -> NDArray[np.float64]:
    """Logarithm of the weight that each row is drawn with. Raises UsageError for a negative quality
    where draws are proportional to it."""
    quality = np.asarray(pool[QUALITY.name], np.float64)
    if parameters.draw == "softmax":
        return quality / parameters.temperature
    if (quality < 0).any():
        at = int(np.argmax(quality < 0))
        raise UsageError(
            f"{pool.ids[at]}: {QUALITY.name} is {quality[at]}; draws proportional to it need at least "
            "0 (draw=softmax takes any)"
        )
    with np.errstate(divide="ignore"):
        return np.log(quality) / parameters.temperature
