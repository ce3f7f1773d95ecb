"""MoPPS: prompts by a predicted pass rate, without new rollouts (arXiv 2507.04632); rows are prompts.

What is known of a prompt is a Beta posterior (formulas: `winnow.pipeline.estimate.mopps`). Row by
row it comes from `alpha` and `beta`; where a row lacks those, from `round_correct` and `round_wrong`,
one entry per round, oldest first, discounted from round to round; where it lacks those too, from
`n_correct` and `n_wrong` as one round (one round from the prior is not discounted). The prior is
(1, 1), or 1 + 3 c and 1 + 3 w where `prior_correct` and `prior_wrong` tell of an older run. A prompt
of which nothing is known stands at the prior, and so is explored.

For each prompt a pass rate g is drawn from its posterior (one draw, seeded). `topk` takes those with
the smallest (g - target)^2, `threshold` those with g in the band, topped up with the nearest; in what
order it takes the former is not stated, here it is a seeded shuffle. During training the authors
draw 8 candidates for each prompt that they need and choose among them; here all rows are candidates
unless `candidates` says how many. The rest of the rows then stands behind them.

The authors' task scripts discount by 0.5, their configuration by 1. The score is -(g - target)^2.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.mopps import (
    BAND,
    RUN_WEIGHT,
    TARGET,
    Posterior,
    inside_first,
    nearest_first,
    prior_from_run,
    update,
)
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    ALPHA,
    BETA,
    N_CORRECT,
    N_WRONG,
    PRIOR_CORRECT,
    PRIOR_WRONG,
    ROUND_CORRECT,
    ROUND_WRONG,
    but,
)
from winnow.selectors.difficulty.checks import counts, refuse
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged


class MoppsParameters(Parameters):
    rule: Literal["topk", "threshold"] = Field(
        "topk", description="The draws nearest the target, or those in the band first."
    )
    target: float = Field(TARGET, ge=0, le=1, description="Pass rate to aim at (published: 0.5).")
    band: tuple[float, float] = Field(
        BAND, description="threshold: least and largest draw, both inclusive (published)."
    )
    discount: float = Field(
        0.5,
        ge=0,
        le=1,
        description="What remains of the evidence after each further round (the authors' task "
        "scripts; their configuration has 1.0, which forgets nothing).",
    )
    prior: tuple[float, float] = Field(
        (1.0, 1.0), description="Beta prior of a prompt without an older run (published)."
    )
    prior_weight: float = Field(
        RUN_WEIGHT, ge=0, description="Weight of each answer of an older run (published: 3)."
    )
    candidates: int | None = Field(
        None,
        ge=1,
        description="Candidates drawn at random for each row of the budget (published: 8). null, "
        "our default: all rows.",
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.band[0] > self.band[1]:
            raise ValueError(f"band {self.band}: the first is above the second")
        if min(self.prior) <= 0:
            raise ValueError(f"prior {self.prior}: both must be above 0")
        if "band" in self.model_fields_set and self.rule != "threshold":
            raise ValueError("band is a parameter of rule=threshold")
        return self


class Mopps(Selector[MoppsParameters]):
    """Prompts whose pass rate, drawn from its Beta posterior, is nearest 1/2; no new rollouts."""

    name = "mopps"
    paper = "MoPPS, arXiv 2507.04632"
    needs_budget = True
    parameters = MoppsParameters
    own = pa.schema(
        [
            column("posterior_alpha", pa.float64(), "Beta posterior: successes and prior."),
            column("posterior_beta", pa.float64(), "Beta posterior: failures and prior."),
            column("posterior_mean", pa.float64(), "Predicted pass rate."),
            column("draw", pa.float64(), "Pass rate drawn from the posterior."),
        ]
    )

    def inputs(self, parameters: MoppsParameters) -> Sequence[Column]:
        known = (ALPHA, BETA, ROUND_CORRECT, ROUND_WRONG, N_CORRECT, N_WRONG)
        return [
            but(each, optional=True, nulls=True) for each in (*known, PRIOR_CORRECT, PRIOR_WRONG)
        ]

    def choose(self, pool: Pool, room: int | None, parameters: MoppsParameters) -> Choice:
        alpha, beta = _posterior(pool, parameters)
        draws = pool.rng("draw").beta(alpha, beta)
        if parameters.rule == "topk":
            order = nearest_first(draws, parameters.target)
        else:
            order = inside_first(draws, pool.rng("band"), parameters.band, parameters.target)
        if parameters.candidates is not None and room is not None:
            size = min(len(pool), parameters.candidates * room)
            drawn = np.zeros(len(pool), dtype=bool)
            drawn[pool.rng("candidates").choice(len(pool), size, replace=False)] = True
            order = np.concatenate([order[drawn[order]], order[~drawn[order]]])
        return Choice(
            order,
            -((draws - parameters.target) ** 2),
            columns={
                "posterior_alpha": alpha,
                "posterior_beta": beta,
                "posterior_mean": alpha / (alpha + beta),
                "draw": draws,
            },
        )


def _posterior(pool: Pool, parameters: MoppsParameters) -> Posterior:
    """alpha, beta (n,) of every row, from the best evidence that it has."""
    evidence = [
        (ALPHA, BETA, _given),
        (ROUND_CORRECT, ROUND_WRONG, _after_rounds),
        (N_CORRECT, N_WRONG, _after_counts),
    ]
    usable = [read for one, two, read in evidence if pool.has(one.name) and pool.has(two.name)]
    if not (usable or (pool.has(PRIOR_CORRECT.name) and pool.has(PRIOR_WRONG.name))):
        raise UsageError(
            "mopps needs alpha and beta, or round_correct and round_wrong, or n_correct and n_wrong, "
            "or prior_correct and prior_wrong"
        )
    alpha, beta = _prior(pool, parameters)
    left = np.arange(len(pool))  # rows that still stand at the prior
    for read in usable:
        a, b = read(pool.take(left), (alpha[left], beta[left]), parameters.discount)
        known = ~np.isnan(a)
        alpha[left[known]], beta[left[known]] = a[known], b[known]
        left = left[~known]
    return alpha, beta


def _prior(pool: Pool, parameters: MoppsParameters) -> Posterior:
    alpha = np.full(len(pool), parameters.prior[0])
    beta = np.full(len(pool), parameters.prior[1])
    if pool.has(PRIOR_CORRECT.name) and pool.has(PRIOR_WRONG.name):
        right, wrong = _pair(pool, PRIOR_CORRECT.name, PRIOR_WRONG.name)
        known = ~np.isnan(right)
        alpha[known], beta[known] = prior_from_run(
            right[known], wrong[known], parameters.prior_weight
        )
    return alpha, beta


def _pair(pool: Pool, right: str, wrong: str) -> Posterior:
    """Two columns of counts; NaN in both where a row has neither."""
    a, b = counts(pool, right), counts(pool, wrong)
    refuse(pool, np.isnan(a) != np.isnan(b), right, f"{wrong} must be there exactly where it is")
    return a, b


# Evidence of one kind: alpha, beta (n,) of every row, NaN where the row has none.


def _given(pool: Pool, prior: Posterior, discount: float) -> Posterior:
    del prior, discount
    a, b = np.asarray(pool[ALPHA.name], np.float64), np.asarray(pool[BETA.name], np.float64)
    refuse(pool, np.isnan(a) != np.isnan(b), ALPHA.name, "beta must be there exactly where it is")
    for name, values in ((ALPHA.name, a), (BETA.name, b)):
        refuse(pool, values <= 0, name, "must be above 0")
    return a, b


def _after_counts(pool: Pool, prior: Posterior, discount: float) -> Posterior:
    del discount
    right, wrong = _pair(pool, N_CORRECT.name, N_WRONG.name)
    alpha, beta = update(*prior, np.nan_to_num(right), np.nan_to_num(wrong))
    return np.where(np.isnan(right), np.nan, alpha), beta


def _after_rounds(pool: Pool, prior: Posterior, discount: float) -> Posterior:
    right: Ragged = pool[ROUND_CORRECT.name]
    wrong: Ragged = pool[ROUND_WRONG.name]
    _check_rounds(pool, right, wrong)
    alpha, beta = np.where(right.lengths > 0, prior[0], np.nan), prior[1].copy()
    for at in range(int(right.lengths.max(initial=0))):
        rows: NDArray[np.int64] = np.flatnonzero(right.lengths > at)
        alpha[rows], beta[rows] = update(
            alpha[rows],
            beta[rows],
            right.values[right.offsets[rows] + at],
            wrong.values[wrong.offsets[rows] + at],
            discount=discount,
            prior=(prior[0][rows], prior[1][rows]),
        )
    return alpha, beta


def _check_rounds(pool: Pool, right: Ragged, wrong: Ragged) -> None:
    uneven = np.flatnonzero(right.lengths != wrong.lengths)
    if len(uneven):
        raise UsageError(
            f"row {pool.ids[uneven[0]]}: round_correct and round_wrong are of different lengths"
        )
    for name, lists in ((ROUND_CORRECT.name, right), (ROUND_WRONG.name, wrong)):
        bad = ~(np.isfinite(lists.values) & (lists.values >= 0))
        if bad.any():
            row = int(np.searchsorted(lists.offsets, np.flatnonzero(bad)[0], side="right")) - 1
            raise UsageError(f"row {pool.ids[row]}: {name}: a count must be at least 0")
