"""Facility location: a subset in which every row finds a similar one (Krause and Golovin 2014).

Maximises F(S) = sum over rows i of max over j in S of max(0, cos(i, j)), which is monotone and
submodular, one row at a time by the largest gain, of equals the first. In n rows of width d with k
to choose:

    exact       Greedy as it stands, F at least 1 - 1/e of the best. Lazy (Minoux 1978): gains only
                fall, so a row is looked at again only while its old gain is above the best new one.
                Up to `exact_rows` the similarities are stored: n^2 d multiply-adds, 4 n^2 bytes.
                Above, they are formed again in blocks: n^2 d for the first gains and n d for every
                row looked at again; those come to about 25 n, which depends on the data.
    stochastic  Each row is the best of a random sample of (n / k) ln(1 / epsilon) rows left
                (Mirzasoleiman et al., arXiv 1409.7938): F at least 1 - 1/e - epsilon of the best on
                average. n^2 d ln(1 / epsilon) multiply-adds whatever k is, no n^2 memory.
    neighbours  Only the given number of most similar rows of each row count (itself among them), the
                others as 0; then exact. n^2 d multiply-adds in faiss, 16 n bytes per neighbour. A row
                near to many gains, and a k that leaves more rows to each chosen one than there are
                neighbours is poorly served.

`auto` is exact up to `exact_rows` rows and stochastic above. The clip at 0 is so that F(empty) = 0
and F is monotone; a row of zeros has cosine 0 with all. A copy of the embeddings is kept.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from winnow.pipeline.progress import Step
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import EMBEDDING
from winnow.selectors.diversity.coverage import (
    Blocks,
    Coverage,
    Neighbours,
    Stored,
    lazy_greedy,
    sample_size,
    stochastic_greedy,
)
from winnow.selectors.diversity.similarity import check_size, embeddings, unit_rows
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool

_PER_SECOND = 4e10  # multiply-adds of matrix products on two cores, measured at d = 384
_LOOKED_AT = 25  # times n rows that the lazy search looks at: 17 to 27 measured (n 16,384, k 1,000)
_STORED = 20  # multiply-adds of a product in the time that a stored similarity is compared


class FacilityLocationParameters(Parameters):
    method: Literal["auto", "exact", "stochastic"] = Field(
        "auto", description="auto: exact up to `exact_rows` rows, stochastic above."
    )
    exact_rows: int = Field(
        16_384, ge=1,
        description="Rows up to which all similarities are stored (4 bytes each: 1 GiB at 16,384).",
    )  # fmt: skip
    epsilon: float = Field(
        0.1, gt=0, lt=1,
        description="Stochastic: what the guarantee loses; smaller is slower (0.1 to 0.01 in the paper).",
    )  # fmt: skip
    neighbours: int | None = Field(
        None, ge=1,
        description="Count only this many most similar rows of each row, the others as 0; null: all.",
    )  # fmt: skip
    max_operations: float = Field(
        3e13, gt=0,
        description="Refuse a job of more multiply-adds; 3e13 are about a quarter of an hour on two cores.",
    )  # fmt: skip


class FacilityLocation(Selector[FacilityLocationParameters]):
    """Rows that together stand for all: every row should find a similar chosen one.

    The first rows of the order are as they were chosen; after them come the others, the least covered
    first. `score` is the gain in F at the time a row is chosen. A job of more than `max_operations`
    is refused.
    """

    name = "facility_location"
    paper = "Submodular maximisation, Krause and Golovin 2014; arXiv 1409.7938"
    needs_budget = True
    parameters = FacilityLocationParameters
    own = pa.schema(
        [
            column("coverage", pa.float64(), "Cosine to the most similar chosen row, at least 0 (with "
                   "`neighbours`: among its neighbours).", null="the row lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: FacilityLocationParameters) -> Sequence[Column]:
        return (EMBEDDING,)

    def choose(
        self, pool: Pool, room: int | None, parameters: FacilityLocationParameters
    ) -> Choice:
        x = embeddings(pool)
        n = len(x)
        count = n if room is None else room
        self._check_size(x.shape, count, parameters)

        def told(done: int) -> None:
            if done % 10 == 0:
                pool.progress.step(Step(self.name, done, count))

        coverage: Coverage
        unit = unit_rows(x)
        if parameters.neighbours is not None:
            coverage = Neighbours(unit, parameters.neighbours)
        elif n <= parameters.exact_rows:
            coverage = Stored(unit)
        else:
            coverage = Blocks(unit)
        if _is_exact(n, parameters):
            chosen, gain = lazy_greedy(coverage, n, count, told)
        else:
            chosen, gain = stochastic_greedy(
                coverage, n, count, parameters.epsilon, pool.rng("facility_location"), told
            )
        score = np.full(n, np.nan)
        score[chosen] = gain
        left = np.ones(n, bool)
        left[chosen] = False
        rest = np.flatnonzero(left)
        rest = rest[np.argsort(coverage.cover[rest], kind="stable")]
        return Choice(
            np.concatenate([chosen, rest]),
            score,
            columns={"coverage": coverage.cover.astype(np.float64)},
        )

    def _check_size(
        self, shape: tuple[int, ...], count: int, parameters: FacilityLocationParameters
    ) -> None:
        n, d = float(shape[0]), shape[1]
        memory = 4 * n * d
        if parameters.neighbours is not None:
            operations = n * n * d
            memory += 16 * n * parameters.neighbours
            advice = "Choose from fewer rows (kmeans and k_center take more)"
        elif n <= parameters.exact_rows:
            operations = n * n * (d + _LOOKED_AT * _STORED)
            memory += 4 * n * n
            advice = "Choose from fewer rows or lower exact_rows"
        elif _is_exact(shape[0], parameters):
            operations = n * n * d * _LOOKED_AT
            advice = "Take method=stochastic or neighbours"
        else:
            operations = n * d * count * (1 + sample_size(shape[0], count, parameters.epsilon))
            advice = "Choose from fewer rows (kmeans and k_center take more) or raise epsilon"
        check_size(
            self.name,
            operations,
            parameters.max_operations,
            per_second=_PER_SECOND,
            memory=memory,
            job=f"{count:,} of {shape[0]:,} rows of width {d}",
            advice=advice,
        )


def _is_exact(n: int, parameters: FacilityLocationParameters) -> bool:
    if parameters.neighbours is not None or parameters.method == "exact":
        return True
    return parameters.method == "auto" and n <= parameters.exact_rows
