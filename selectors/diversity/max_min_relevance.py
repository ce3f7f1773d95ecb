"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

Of the rows R not chosen yet, the next one is

    argmax over i in R of  lambda rel_i - (1 - lambda) max over chosen j of cos(i, j)

of equals the first; nothing chosen yet counts as a maximum of 0, so the first is the most relevant.
`relevance` should be on the scale of a cosine, as in the paper, where both come from one measure;
`scale=min_max` maps it to 0..1 over the pool first (our option). lambda = 0.5 is our default: the
paper names none.

n rows of width d and k to choose take n k d multiply-adds and a copy of the embeddings.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.progress import Step
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import EMBEDDING, RELEVANCE
from winnow.selectors.diversity.similarity import check_size, embeddings, unit_rows
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool

_PER_SECOND = 4e9  # multiply-adds on two cores, measured at d = 384: bound by reading the rows


class MaxMinRelevanceParameters(Parameters):
    relevance_weight: float = Field(
        0.5, ge=0, le=1,
        description="lambda: 1 counts relevance alone, 0 only the difference to chosen rows (ours).",
    )  # fmt: skip
    scale: Literal["as_given", "min_max"] = Field(
        "as_given",
        description="min_max: map the pool's relevances to 0..1 first; all equal: 0 (our option).",
    )
    max_operations: float = Field(
        2e12, gt=0,
        description="Refuse a job of more multiply-adds (rows x budget x width); 2e12 are about ten "
        "minutes on two cores.",
    )  # fmt: skip


class MaxMinRelevance(Selector[MaxMinRelevanceParameters]):
    """Relevant rows that differ from those chosen before: maximal marginal relevance, one by one.

    The first rows of the order are as they were chosen; after them come the others by what they
    would score next. `score` is the marginal relevance at the time a row is chosen, or at the end. A
    job of more than `max_operations` is refused.
    """

    name = "max_min_relevance"
    paper = "MMR, Carbonell and Goldstein, SIGIR 1998"
    needs_budget = True
    parameters = MaxMinRelevanceParameters
    own = pa.schema(
        [
            column("similarity", pa.float64(), "Largest cosine to a row chosen before it, or to any "
                   "chosen row where it is none.", null="none is chosen before it, or it lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: MaxMinRelevanceParameters) -> Sequence[Column]:
        return (EMBEDDING, RELEVANCE)

    def choose(self, pool: Pool, room: int | None, parameters: MaxMinRelevanceParameters) -> Choice:
        x = embeddings(pool)
        n, d = x.shape
        count = n if room is None else room
        check_size(
            self.name,
            float(n) * count * d,
            parameters.max_operations,
            per_second=_PER_SECOND,
            memory=4.0 * n * d + 32.0 * n,
            job=f"{count:,} of {n:,} rows of width {d}",
            advice="Lower the budget",
        )
        relevance = np.asarray(pool[RELEVANCE.name], np.float64)
        if parameters.scale == "min_max":
            relevance = _to_unit_range(relevance)
        unit = unit_rows(x)
        gain = parameters.relevance_weight * relevance
        similarity = np.full(n, -np.inf)
        score, before = np.empty(n), np.empty(n)
        left = np.ones(n, bool)
        chosen = np.empty(count, np.int64)
        for at in range(count):
            value = _marginal(gain, similarity, parameters.relevance_weight)
            row = int(np.where(left, value, -np.inf).argmax()) if at else int(value.argmax())
            chosen[at], left[row] = row, False
            score[row], before[row] = value[row], similarity[row]
            np.maximum(similarity, unit @ unit[row], out=similarity)
            if (at + 1) % 50 == 0:
                pool.progress.step(Step(self.name, at + 1, count))
        score[left] = _marginal(gain, similarity, parameters.relevance_weight)[left]
        before[left] = similarity[left]
        rest = np.flatnonzero(left)
        rest = rest[np.argsort(-score[rest], kind="stable")]
        before[np.isinf(before)] = np.nan
        return Choice(np.concatenate([chosen, rest]), score, columns={"similarity": before})


def _marginal(
    gain: NDArray[np.float64], similarity: NDArray[np.float64], weight: float
) -> NDArray[np.float64]:
    return gain - (1 - weight) * np.where(np.isinf(similarity), 0.0, similarity)


def _to_unit_range(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = values.min(), values.max()
    if not high > low:
        return np.zeros(len(values))
    return (values / 2 - low / 2) / (high / 2 - low / 2)  # halves: the difference stays finite
