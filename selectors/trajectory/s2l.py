"""S2L: small-to-large, clusters of loss trajectories (arXiv 2403.07384).

`losses` holds the loss of each row at the checkpoints of a small model in training (`winnow
train-proxy`). Rows whose losses fall alike teach alike, so each cluster of trajectories gets a
share of the budget. As in the authors' code:

1. Sources, the smallest first: each may give floor(what is left / sources left) rows. A source no
   larger than that is taken whole; any other goes through 2 and 3.
2. k-means over its trajectories as they are (Euclidean, not standardised), `clusters` per source.
3. Its clusters, the smallest first, those with fewer than `min_cluster` rows set aside: each gives
   floor(what is left / clusters left) rows drawn uniformly, or all it has. What is left in the end
   is drawn uniformly from the union of the clusters set aside.

A NaN loss (the response was truncated away) counts as 0, as in the code. A row without losses, or
with an infinite one, does not qualify (`no_losses`). A row without a source belongs to one source
of its own kind.

Other than the code: draws are seeded (the code's are not); k-means takes the best of several starts
(the code takes one, which often merges clusters); K is clipped to the distinct trajectories (the
code fails on a source with fewer rows); sources and clusters of one size stand in the order of
their first row. The paper's own algorithm has neither sources (`per_source` false) nor the rule for
small clusters (`min_cluster` 1); that reading of the paper is from memory and not confirmed.

The order begins with the rows that are drawn, in random order. After them come the others as rising
quotas would draw them: one of each cluster in turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.features.clusters import kmeans
from winnow.pipeline.progress import Step
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import LOSSES, SOURCE, but
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.trajectory.curves import curves


class S2lParameters(Parameters):
    clusters: int = Field(
        100,
        ge=1,
        description="K: clusters of each source, at most its distinct trajectories (code).",
    )
    min_cluster: int = Field(
        3, ge=1,
        description="Clusters with fewer rows are set aside and used only for what the others leave "
        "(code: 3; 1: none are).",
    )  # fmt: skip
    num_checkpoints: int | None = Field(
        None, ge=1,
        description="m: of C > m checkpoints every floor(C / m)-th counts, from the first, which can "
        "keep more than m (code). null: all.",
    )  # fmt: skip
    per_source: bool = Field(
        True,
        description="Share the budget among sources first (code); false: all rows are one (paper).",
    )
    starts: int = Field(
        5, ge=1, description="Starts of k-means, of which the best counts (code: 1)."
    )
    iterations: int = Field(20, ge=1, description="Iterations of each start (code).")


class S2l(Selector[S2lParameters]):
    """Equal shares of the clusters that a small model's loss trajectories form, the smallest first."""

    name = "s2l"
    paper = "S2L, arXiv 2403.07384"
    needs_budget = True
    parameters = S2lParameters
    own = pa.schema(
        [
            column("cluster", pa.int64(), "Cluster of the trajectory within its source, from 0, the "
                   "largest first.", null="the source is taken whole, or the row has no losses"),
            column("quota", pa.int64(), "Rows drawn from the row's cluster, from its source where that "
                   "is taken whole, or from all small clusters of its source where it is in one.",
                   null="the row has no losses"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: S2lParameters) -> Sequence[Column]:
        losses = but(LOSSES, nulls=True)
        if parameters.per_source:
            return (losses, but(SOURCE, optional=True, nulls=True))
        return (losses,)

    def choose(self, pool: Pool, room: int | None, parameters: S2lParameters) -> Choice:
        """`score` is the chance that the row is drawn: the quota over the rows that share it."""
        rows, trajectories = curves(pool, LOSSES.name)
        with np.errstate(over="ignore"):
            kept = thinned(trajectories, parameters.num_checkpoints).astype(np.float32)
        finite = ~np.isinf(kept).any(axis=1)
        rows, kept = rows[finite], np.nan_to_num(kept[finite])
        budget = len(rows) if room is None else min(room, len(rows))

        n = len(pool)
        quota, size = np.zeros(n), np.ones(n)
        cluster = np.full(n, np.nan)
        turn = np.zeros(n)  # of the rows that are not drawn: when rising quotas would
        drawn = np.zeros(n, dtype=bool)
        sources = _sources(pool, rows)
        shares = equal_shares([len(s.members) for s in sources], budget)
        done = 0
        for source, share in zip(sources, shares, strict=True):
            members = rows[source.members]
            if share == len(members):
                groups = [Group(np.arange(len(members)), share)]
            else:
                rng = pool.rng("s2l", "kmeans", source.name)
                found = kmeans(
                    kept[source.members],
                    parameters.clusters,
                    seed=int(rng.integers(2**31)),
                    starts=parameters.starts,
                    iterations=parameters.iterations,
                )
                cluster[members] = found.assignment
                groups = cluster_quotas(found.assignment, share, parameters.min_cluster)
            rng = pool.rng("s2l", "draw", source.name)
            for group in groups:
                of = members[group.members]
                place = rng.permutation(len(of))
                drawn[of] = place < group.quota
                turn[of] = place - group.quota
                quota[of], size[of] = group.quota, len(of)
            done += len(members)
            pool.progress.step(Step("s2l", done, len(rows), "rows"))

        # One number a row breaks ties of turns, and mixes what is drawn.
        lot = pool.rng("s2l", "order").random(len(rows))
        order = rows[np.lexsort((lot, np.where(drawn[rows], 0, turn[rows]), ~drawn[rows]))]
        qualifies = np.zeros(n, dtype=bool)
        qualifies[rows] = True
        return Choice(
            order,
            np.where(qualifies, quota / size, np.nan),
            reason=[None if ok else "no_losses" for ok in qualifies.tolist()],
            columns={"cluster": cluster, "quota": np.where(qualifies, quota, np.nan)},
        )


@dataclass(frozen=True, eq=False)
class Group:
    """Rows that a quota is drawn from: indices, in ascending order, and how many to draw."""

    members: NDArray[np.int64]
    quota: int


def equal_shares(sizes: Sequence[int], budget: int) -> list[int]:
    """S2L's quota of each of some groups, given the smallest first.

    Each group gets floor(what is left of the budget / groups left), or all it has if that is less;
    so what small groups leave goes to the large ones, and the last gets the rest.
    """
    quotas = []
    left = budget
    for at, size in enumerate(sizes):
        quota = min(size, left // (len(sizes) - at))
        quotas.append(quota)
        left -= quota
    return quotas


def cluster_quotas(assignment: NDArray[np.int32], budget: int, min_cluster: int = 3) -> list[Group]:
    """What S2L draws from each cluster of one source, for a budget of at most its rows.

    `assignment` (n,) numbers the clusters. The smallest cluster comes first (of equal ones that with
    the first row); those below `min_cluster` rows come last, as one group that gets what is left.
    """
    by_cluster = np.argsort(assignment, kind="stable")
    cuts = np.flatnonzero(np.diff(assignment[by_cluster])) + 1
    clusters = sorted(np.split(by_cluster, cuts), key=lambda of: (len(of), of[0]))
    large = [of for of in clusters if len(of) >= min_cluster]
    quotas = equal_shares([len(of) for of in large], budget)
    groups = [Group(of, quota) for of, quota in zip(large, quotas, strict=True)]
    small = [of for of in clusters if len(of) < min_cluster]
    if small:
        groups.append(Group(np.sort(np.concatenate(small)), budget - sum(quotas)))
    return groups


def thinned(trajectories: NDArray[np.float64], most: int | None) -> NDArray[np.float64]:
    """Trajectories (n, C) with every floor(C / most)-th checkpoint, where C is above `most`."""
    checkpoints = trajectories.shape[1]
    if most is None or checkpoints <= most:
        return trajectories
    return trajectories[:, :: checkpoints // most]


@dataclass(frozen=True, eq=False)
class _Source:
    """`members`: indices into the rows that have losses, in ascending order."""

    name: str
    members: NDArray[np.int64]


def _sources(pool: Pool, rows: NDArray[np.int64]) -> list[_Source]:
    """The smallest first; of equal ones that with the first row."""
    if not pool.has(SOURCE.name) or not len(rows):
        return [_Source("", np.arange(len(rows)))] if len(rows) else []
    groups = pool.groups(SOURCE.name)[rows]
    by_source = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[by_source])) + 1
    parts = sorted(np.split(by_source, cuts), key=lambda of: (len(of), of[0]))
    return [_Source(repr(pool[SOURCE.name][rows[of[0]]]), of) for of in parts]
