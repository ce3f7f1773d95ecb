"""One round of iterative kMQ of "Diversify and Conquer" (arXiv 2409.11378).

The loop: choose rows, train on them, let the model answer them, compare a reward model's scores of
the row's own answer and of the model's, and choose the next rows from the clusters where the own
answers are better, which have something left to teach. Here is one choice of the loop; the budget is
that of the round, b / rounds for b rows in all (published: 3 rounds).

Round 0 deals the budget evenly over the clusters and draws rows at random. A later round reads
which rows are `picked` (all rounds so far; they are not drawn again) and the two rewards, null where
not scored: with rewards only for the rows picked last, the scores are those of the code. For cluster
j, s_j is the mean of (reward_gold - reward_generated) over its picked rows with both, and the weights
are

    softmax     w_j = exp(s_j / T) / sum_c exp(s_c / T)                        (code; default)
    product     w_j proportional to s_j / (sum_c s_c) times the weight before  (paper)
    perplexity  w_j proportional to the mean perplexity of the picked rows, no exponential (code)

The budget is dealt by drawing one cluster per row, with replacement, from w (code), and inside a
cluster unpicked rows are drawn uniformly (code).

What the originals get wrong and this does not: the product form gives negative weights for s_j < 0
and does not add up to 1 (here s_j is clipped to at least `epsilon`, and the weights are normalised);
the code draws b / (K rounds) clusters instead of b / rounds (`official_m` brings that back); a
cluster without a scored row has no weight there, and gets the mean of the other s_j here; what a
cluster cannot give is lost there, and is drawn again from the others here. Where no row is scored
at all, every s_j counts as equal. T and epsilon are our options.

The clusters of a later round are those of the first as long as the table, the parameters and the
seed are the same; or give the first round's `cluster` column and `groups=cluster`. The authors'
k-means runs for 300 iterations; the default here is 20, as in `kmq`.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.quotas import balanced
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    CLUSTER_WEIGHT,
    LOGPROB_MEAN,
    PICKED,
    REWARD_GENERATED,
    REWARD_GOLD,
    but,
)
from winnow.selectors.diversity.clustering import ClusterParameters, Clusters, clusters, dealt
from winnow.selectors.diversity.draws import softmax
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.pool import Pool

Form = Literal["softmax", "product", "perplexity"]


class IterativeKmqParameters(ClusterParameters):
    clusters: int | Literal["sqrt", "silhouette"] = Field(
        512,
        description="K, clipped to the distinct embeddings (code: 512 of 196,000 rows). sqrt: the "
        "root of half the rows, at most 1024; silhouette: the best power of two on a sample.",
    )
    round: int = Field(
        0,
        ge=0,
        description="Which round this is; from 1 on, picked rows and their rewards are read.",
    )
    form: Form = Field(
        "softmax", description="How weights come from the scores: softmax or perplexity (code), product (paper)."
    )  # fmt: skip
    temperature: float = Field(1.0, gt=0, description="T of the softmax (1 as published).")
    epsilon: float = Field(
        1e-6, gt=0, description="Least score of a cluster in the product form (our choice)."
    )
    official_m: bool = Field(
        False,
        description="Take int(budget / K) rows instead of the budget, as the code does by mistake "
        "from round 1 on; the other rows do not qualify (`not_drawn`).",
    )


class IterativeKmq(Selector[IterativeKmqParameters]):
    """Rows drawn from the clusters where a model in training is behind the data; one round of a loop.

    The first rows of the order are the round's draws; after them the clusters take turns. Picked rows
    do not qualify (`already_picked`). `score` is the draw within the cluster, higher first.
    """

    name = "iterative_kmq"
    paper = "Diversify and Conquer, arXiv 2409.11378"
    needs_budget = True
    parameters = IterativeKmqParameters
    own = pa.schema(
        [
            column("cluster", pa.int64(), "Cluster of the row; k-means numbers them from 0, the "
                   "largest first.", null="the row lacks a value"),
            column("round", pa.int64(), "The round of this choice.", null="the row lacks a value"),
            column("cluster_weight", pa.float64(), "Weight of the row's cluster in this round; the "
                   "weights of the clusters add up to 1.", null="the row lacks a value"),
            column("draw_prob", pa.float64(), "Weight of the row's cluster, among those that have rows "
                   "left, over its rows left: from round 1 on, the chance of the row to be the first "
                   "draw.", null="the row lacks a value, or is picked"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: IterativeKmqParameters) -> Sequence[Column]:
        columns = list(parameters.columns())
        if parameters.round > 0:
            columns.append(PICKED)
            if parameters.form == "perplexity":
                columns.append(but(LOGPROB_MEAN, nulls=True))
            else:
                columns += [but(REWARD_GOLD, nulls=True), but(REWARD_GENERATED, nulls=True)]
            if parameters.form == "product":
                columns.append(but(CLUSTER_WEIGHT, optional=True, nulls=True))
        return columns

    def choose(self, pool: Pool, room: int | None, parameters: IterativeKmqParameters) -> Choice:
        found = clusters(pool, parameters)
        k = len(found.sizes)
        later = parameters.round > 0
        picked = np.asarray(pool[PICKED.name], bool) if later else np.zeros(len(pool), bool)
        weight = _weights(pool, found, picked, parameters) if later else np.full(k, 1 / k)
        rows = np.flatnonzero(~picked)
        capacity = np.bincount(found.label[rows], minlength=k)
        budget = len(rows) if room is None else min(room, len(rows))
        official = later and parameters.official_m
        if official:
            budget //= k
        if later:
            quota = drawn_quotas(budget, weight, capacity, pool.rng("iterative_kmq", "clusters"))
        else:
            quota = balanced(budget, capacity)
        draw = pool.rng("iterative_kmq", f"rows {parameters.round}").random(len(pool))
        order = rows[dealt(found.label[rows], draw[rows], quota)]
        reason = ["already_picked" if p else None for p in picked.tolist()]
        if official:
            order = order[:budget]
            left = ~picked
            left[order] = False
            for row in np.flatnonzero(left):
                reason[row] = "not_drawn"
        return Choice(
            order,
            draw,
            reason=reason,
            columns={
                "cluster": found.number,
                "round": np.full(len(pool), parameters.round),
                "cluster_weight": weight[found.label],
                "draw_prob": _first_draw(found.label, picked, weight, capacity),
            },
        )


def new_weights(
    scores: NDArray[np.float64],
    before: NDArray[np.float64],
    form: Form,
    *,
    temperature: float = 1.0,
    epsilon: float = 1e-6,
) -> NDArray[np.float64]:
    """Weights (k,) that add up to 1, from the clusters' scores (k,) and their weights before (k,).

    A cluster without a score (NaN) counts with the mean of the others. `scores` are mean reward
    differences, or mean perplexities for that form.
    """
    known = ~np.isnan(scores)
    s = np.where(known, scores, scores[known].mean() if known.any() else 1.0)
    if form == "softmax":
        return softmax(s / temperature)
    s = np.maximum(s, epsilon)
    # Divided by the largest first, so that the sums stay finite.
    w = s / s.max() * (before if form == "product" else 1.0)
    return w / w.sum()


def drawn_quotas(
    total: int,
    weight: NDArray[np.float64],
    capacity: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """How often each cluster comes up in `total` draws by weight, at most its capacity (k,); draws
    that a full cluster cannot take are drawn again from the others, evenly where none with a weight
    is left. Sums to the smaller of `total` and all capacity."""
    quota = np.zeros(len(weight), np.int64)
    left = min(total, int(capacity.sum()))
    while left:
        room = capacity - quota
        p = np.where(room > 0, weight, 0.0)
        if not p.sum() > 0:
            p = (room > 0).astype(np.float64)
        taken = np.minimum(generator.multinomial(left, p / p.sum()), room)
        quota += taken
        left -= int(taken.sum())
    return quota


def _weights(
    pool: Pool, found: Clusters, picked: NDArray[np.bool_], parameters: IterativeKmqParameters
) -> NDArray[np.float64]:
    if parameters.form == "perplexity":
        check_logprobs(pool, LOGPROB_MEAN.name)
        with np.errstate(over="ignore"):
            value = np.exp(-np.where(picked, pool[LOGPROB_MEAN.name], np.nan))
        if np.isinf(value).any():
            at = int(np.argmax(np.isinf(value)))
            raise UsageError(f"row {pool.ids[at]}: {LOGPROB_MEAN.name}: its perplexity is infinite")
    else:
        value = pool[REWARD_GOLD.name] - pool[REWARD_GENERATED.name]
    scored = picked & np.isfinite(value)
    if not scored.any():
        pool.progress.note("no picked row is scored: every cluster counts alike")
    k = len(found.sizes)
    count = np.bincount(found.label[scored], minlength=k)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(found.label[scored], value[scored], minlength=k) / count
    return new_weights(
        mean,
        _before(pool, found),
        parameters.form,
        temperature=parameters.temperature,
        epsilon=parameters.epsilon,
    )


def _before(pool: Pool, found: Clusters) -> NDArray[np.float64]:
    """The clusters' weights in the round before: 1 / K where none is known."""
    k = len(found.sizes)
    before = np.full(k, 1 / k)
    if not pool.has(CLUSTER_WEIGHT.name):
        return before
    given = np.asarray(pool[CLUSTER_WEIGHT.name], np.float64)
    rows = np.flatnonzero(~np.isnan(given))
    before[found.label[rows[::-1]]] = given[
        rows[::-1]
    ]  # of each cluster the first row's, written last
    odd = rows[(given[rows] < 0) | (given[rows] != before[found.label[rows]])]
    if len(odd):
        raise UsageError(
            f"{pool.ids[odd[0]]}: {CLUSTER_WEIGHT.name} is {given[odd[0]]}; it must be at least 0 and "
            "the same for all rows of a cluster: the clusters may be others than in the round before"
        )
    return before if before.sum() > 0 else np.full(k, 1 / k)


def _first_draw(
    label: NDArray[np.int64],
    picked: NDArray[np.bool_],
    weight: NDArray[np.float64],
    capacity: NDArray[np.int64],
) -> NDArray[np.float64]:
    open_ = np.where(capacity > 0, weight, 0.0)
    if not open_.sum() > 0:
        open_ = (capacity > 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = open_ / open_.sum() / capacity
    return np.where(picked, np.nan, share[label])
