"""k-center by greedy farthest-first traversal (Gonzalez 1985; the core-set of arXiv 1708.00489).

The first centre is the row nearest to the mean (our choice; the guarantee holds for any), every
further one the row farthest from the centres so far, of equals the first. The largest distance of a
row to its nearest centre is then at most twice the smallest that any choice of as many centres has.
(For `cosine` that holds of the Euclidean distance of the unit vectors, which orders rows alike.)

Distances are differences in float32 (`euclidean`) or one minus the product of unit vectors
(`cosine`; a row of zeros is at distance 1 from all). n rows of width d and k centres take n k d
multiply-adds and, beside the embeddings, n numbers (`cosine`: a copy of the embeddings).
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.progress import Step
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import EMBEDDING
from winnow.selectors.diversity.similarity import check_size, embeddings, over_blocks, unit_rows
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool

_PER_SECOND = 3e9  # multiply-adds on two cores, measured at d = 384: bound by reading the rows


class KCenterParameters(Parameters):
    metric: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="Distance between embeddings (core-set: Euclidean)."
    )
    max_operations: float = Field(
        2e12, gt=0,
        description="Refuse a job of more multiply-adds (rows x budget x width); 2e12 are about ten "
        "minutes on two cores.",
    )  # fmt: skip


class KCenter(Selector[KCenterParameters]):
    """Rows that leave no row far from a chosen one: greedy farthest-first over the embeddings.

    The first rows of the order are the centres as they were found; after them come the other rows,
    the farthest first. `score` is `distance`. A job of more than `max_operations` is refused.
    """

    name = "k_center"
    paper = "Gonzalez 1985; core-set, arXiv 1708.00489"
    needs_budget = True
    parameters = KCenterParameters
    own = pa.schema(
        [
            column("distance", pa.float64(), "Distance to the nearest centre found before the row, or "
                   "of all where it is none.", null="it is the first centre, or lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: KCenterParameters) -> Sequence[Column]:
        return (EMBEDDING,)

    def choose(self, pool: Pool, room: int | None, parameters: KCenterParameters) -> Choice:
        x = embeddings(pool)
        n, d = x.shape
        count = max(1, n if room is None else room)
        check_size(
            self.name,
            float(n) * count * d,
            parameters.max_operations,
            per_second=_PER_SECOND,
            memory=12.0 * n + (4.0 * n * d if parameters.metric == "cosine" else 0.0),
            job=f"{count:,} centres of {n:,} rows of width {d}",
            advice="Lower the budget",
        )
        if parameters.metric == "cosine":
            x = unit_rows(x)
            to = cosine_to(x)
        else:
            to = euclidean_to(x)

        def told(done: int) -> None:
            pool.progress.step(Step(self.name, done, count, "centres"))

        centres, distance = farthest_first(x, count, to, told)
        left = np.ones(n, bool)
        left[centres] = False
        rest = np.flatnonzero(left)
        rest = rest[np.argsort(-distance[rest], kind="stable")]
        return Choice(np.concatenate([centres, rest]), distance, columns={"distance": distance})


Distances = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def farthest_first(
    x: NDArray[np.float32],
    count: int,
    distances: Distances,
    told: Callable[[int], None] = lambda done: None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At most n centres among rows (n, d) in the order they are found, and for each row the distance
    to the nearest centre before it (NaN for the first centre). `distances` gives those of all rows
    to a vector."""
    n = len(x)
    nearest = np.full(n, np.inf)
    reached = np.full(n, np.nan)
    centres = np.empty(min(count, n), np.int64)
    row = int(distances(_mean(x)).argmin())
    for at in range(len(centres)):
        if at:
            row = int(nearest.argmax())
            reached[row] = nearest[row]
        centres[at] = row
        np.minimum(nearest, distances(x[row]), out=nearest)
        nearest[row] = -1.0  # below every distance: found once
        told(at + 1)
    left = nearest >= 0
    reached[left] = nearest[left]
    return centres, reached


def euclidean_to(x: NDArray[np.float32]) -> Distances:
    """Distances by differences, which lose no near rows."""

    def distances(to: NDArray[np.float32]) -> NDArray[np.float32]:
        squares = np.empty(len(x), np.float32)

        def work(start: int, stop: int) -> None:
            offset = x[start:stop] - to
            np.einsum("ij,ij->i", offset, offset, out=squares[start:stop])

        over_blocks(len(x), work)
        return np.sqrt(squares)

    return distances


def cosine_to(unit: NDArray[np.float32]) -> Distances:
    """One minus the product, at least 0; `unit` as from `unit_rows`."""

    def distances(to: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.maximum(1 - unit @ to, 0)

    return distances


def _mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
    total = np.zeros(x.shape[1])
    for start in range(0, len(x), 8192):
        total += x[start : start + 8192].sum(axis=0, dtype=np.float64)
    return (total / len(x)).astype(np.float32)
