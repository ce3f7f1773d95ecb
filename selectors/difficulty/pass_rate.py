"""Prompts by how often the policy solves them; a row is a prompt.

With c answers judged right and w judged wrong the pass rate is p = c / (c + w); answers that nobody
could judge count in neither. Rules (`rule`):

- `band`: low <= p <= high, both inclusive, as in open-instruct's difficulty filter (its default, 0
  to 1, keeps all). There p is the mean reward of 8 samples, and a prompt without answers counts as
  0; here it is `too_few_judged`.
- `qwen`: 2 to 5 of 8 right (Qwen2.5-Math, arXiv 2409.12122); for another number of judged answers
  the share, 2/8 <= p <= 5/8 (our reading).
- `acereason`: p <= 6/16, the later stages of AceReason-Nemotron (arXiv 2505.16400). Of its other
  filters, dropping code prompts that 8 attempts all fail is `rif`; whether the majority answer is
  right cannot be told from a rate (a recipe's audit tells it).
- `miromind`: neither all right nor all wrong (MiroMind-M1, arXiv 2507.14683; 5 answers).
- `rif`: at least one success (RIF-RFT, arXiv 2507.05386); with rewards, the largest is >= tau.
  Neither tau nor the number of answers is confirmed; tau = 1 and 8 answers are our choice. Of
  prompts that are solved with probability p, (1 - p)^n show no success in n answers and are dropped
  although there is hope: 43 % at p = 0.1 and n = 8. A second pass with more answers for those alone
  is cheap.
- `wilson`, `beta` (ours): the Wilson interval of p, or the equal-tailed interval of the posterior
  Beta(prior + c, prior + w), lies inside the band or overlaps it. 0 of 4 and 0 of 64 differ.
- `variance`: population standard deviation of the rewards >= v_min, and mean reward in the band where
  one is given; then the largest deviation first (after Temporal-RLT, arXiv 2506.01908, whose cut is
  not public). Our reading of it takes the best of each kind of task; `stratify` does so by source.

`stratify`: the order is rearranged so that every beginning of it, and so any budget, holds the
sources in the shares that they have among the rows that qualify. For other groups, such as the kind
of task: --column source=NAME.

The score is p (1 - p), the variance of a right-or-wrong reward (largest at 1/2), unless `prefer`
says otherwise, and the deviation for `variance`. Rates from counts are compared exactly; given rates
and mean rewards with a slack of 1e-6, since float32 holds 0.7 as 0.69999999.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.intervals import CREDIBLE, beta_interval, wilson_interval
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import N_CORRECT, N_WRONG, PASS_RATE, REWARDS, SOURCE, but
from winnow.selectors.difficulty.checks import SLACK, counts, rates
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.proportion import in_proportion

Rule = Literal["band", "qwen", "acereason", "miromind", "rif", "wilson", "beta", "variance"]
Use = Literal["counts", "rate", "rewards"]

QWEN = (2 / 8, 5 / 8)
ACEREASON = (0.0, 6 / 16)

# Which rules a parameter belongs to, where not to all.
_BELONGS: dict[str, tuple[Rule, ...]] = {
    "low": ("band", "wilson", "beta", "variance"),
    "high": ("band", "wilson", "beta", "variance"),
    "interval": ("wilson", "beta"),
    "confidence": ("wilson", "beta"),
    "prior": ("beta",),
    "v_min": ("variance",),
    "prefer": ("band", "qwen", "acereason", "miromind", "rif", "wilson", "beta"),
    "tau": ("qwen", "acereason", "miromind", "rif", "wilson", "beta"),
}


class PassRateParameters(Parameters):
    rule: Rule = Field("band", description="Which prompts qualify; see above.")
    low: float | None = Field(
        None,
        description="Least pass rate, inclusive (mean reward, in its unit, with use=rewards). null: no "
        "limit, as open-instruct's default of 0.",
    )
    high: float | None = Field(
        None, description="Largest pass rate, inclusive. null: no limit, as open-instruct's 1."
    )
    use: Use | None = Field(
        None,
        description="What the rate is made from: counts (n_correct, n_wrong), rate (pass_rate) or "
        "rewards. null: counts where the table has them, else the rate; rewards for variance. For "
        "another rate beside counts, say use=rate and --column pass_rate=pass_rate_low.",
    )
    tau: float = Field(
        1.0,
        description="With use=rewards: an answer is right from this reward on, in its unit (our "
        "choice for right-or-wrong rewards). band and variance take the mean reward instead.",
    )
    min_judged: int = Field(
        1, ge=1, description="Fewest judged answers, or rewards (ours: any rate needs at least 1)."
    )
    interval: Literal["inside", "overlap"] = Field(
        "inside", description="wilson, beta: the interval lies inside the band or overlaps it."
    )
    confidence: float = Field(
        CREDIBLE, gt=0, lt=1, description="wilson, beta: probability mass of the interval (ours)."
    )
    prior: tuple[float, float] = Field(
        (1.0, 1.0), description="beta: prior counts of right and wrong answers; uniform."
    )
    v_min: float = Field(
        1e-9,
        ge=0,
        description="variance: least standard deviation of the rewards. The published cut is not "
        "known; the default keeps whatever differs at all, the rule for discrete tasks.",
    )
    prefer: Literal["middle", "hard", "easy"] = Field(
        "middle", description="First come the pass rates nearest 1/2, the lowest or the highest."
    )
    stratify: bool = Field(
        False,
        description="Keep the sources' shares of what qualifies, whatever the budget; see above.",
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name in sorted(self.model_fields_set & set(_BELONGS)):
            if self.rule not in _BELONGS[name]:
                raise ValueError(f"{name} is no parameter of the rule {self.rule}")
        if self.band[0] > self.band[1]:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        if self.rule == "variance" and self.use not in (None, "rewards"):
            raise ValueError(f"the rule variance reads rewards, not {self.use}")
        if self.rule in ("wilson", "beta") and self.use == "rate":
            raise ValueError(f"the rule {self.rule} needs counts; a rate does not say of how many")
        if "tau" in self.model_fields_set and self.use != "rewards":
            raise ValueError("tau needs use=rewards")
        if min(self.prior) <= 0:
            raise ValueError(f"prior {self.prior}: both must be above 0")
        return self

    @property
    def band(self) -> tuple[float, float]:
        return (
            -np.inf if self.low is None else self.low,
            np.inf if self.high is None else self.high,
        )


@dataclass(frozen=True, eq=False)
class _Rates:
    """Pass rates (n,), NaN where nothing was judged; `of`, how many were, NaN where unknown; `right`
    among them; `spread`, the deviation of the rewards; `slack` of comparisons; `missing`, the column
    that a row lacks."""

    rate: NDArray[np.float64]
    of: NDArray[np.float64]
    right: NDArray[np.float64]
    slack: float
    spread: NDArray[np.float64] | None = None
    missing: NDArray[np.object_] | None = None


class PassRate(Selector[PassRateParameters]):
    """Prompts whose pass rate lies in a band, surely or as measured; the uncertain ones first."""

    name = "pass_rate"
    paper = "Qwen2.5-Math, AceReason, MiroMind-M1, RIF-RFT, Temporal-RLT"
    parameters = PassRateParameters
    own = pa.schema(
        [
            column("rate", pa.float64(), "Pass rate or mean reward.", null="nothing was judged"),
            column("n_judged", pa.int64(), "Answers that it is made from.", null="not known"),
            column("rate_low", pa.float64(), "Lower end of its interval.", null="no interval"),
            column("rate_high", pa.float64(), "Upper end of its interval.", null="no interval"),
        ]
    )

    def inputs(self, parameters: PassRateParameters) -> Sequence[Column]:
        use = _use(parameters)
        wanted: list[Column]
        if use == "rewards":
            wanted = [REWARDS]
        elif use == "rate":
            wanted = [PASS_RATE]
        elif use == "counts":
            wanted = [N_CORRECT, N_WRONG]
        else:
            either = (N_CORRECT, N_WRONG, PASS_RATE)
            wanted = [but(each, optional=True, nulls=True) for each in either]
        return [*wanted, but(SOURCE, nulls=True)] if parameters.stratify else wanted

    def choose(self, pool: Pool, room: int | None, parameters: PassRateParameters) -> Choice:
        found = _rates(pool, parameters)
        n = len(pool)
        reason = np.full(n, "", dtype=object)
        low, high = _intervals(found, parameters)
        _judge(reason, found, low, high, parameters)
        few = found.of < parameters.min_judged  # unknown: false
        reason[few] = "too_few_judged"
        if found.missing is not None:
            lacks = found.missing != ""
            reason[lacks] = found.missing[lacks]
        score = _score(found, parameters)
        score[few] = np.nan
        order = np.flatnonzero(reason == "")
        order = order[np.argsort(-score[order], kind="stable")]
        if parameters.stratify:
            order = in_proportion(order, pool.groups(SOURCE.name))
        return Choice(
            order,
            score,
            reason=reason.tolist(),
            columns={"rate": found.rate, "n_judged": found.of, "rate_low": low, "rate_high": high},
        )


def _use(parameters: PassRateParameters) -> Use | None:
    """What is read; None: counts or the rate, whichever is there."""
    if parameters.rule == "variance":
        return "rewards"
    if parameters.rule in ("wilson", "beta") and parameters.use is None:
        return "counts"
    return parameters.use


def _rates(pool: Pool, parameters: PassRateParameters) -> _Rates:
    use = _use(parameters)
    if use is None:
        if pool.has(N_CORRECT.name) and pool.has(N_WRONG.name):
            use = "counts"
        elif pool.has(PASS_RATE.name):
            use = "rate"
        else:
            raise UsageError(
                "pass_rate needs n_correct and n_wrong, or pass_rate, or rewards with use=rewards"
            )
    if use == "rate":
        if parameters.min_judged > 1:
            raise UsageError("min_judged needs counts; a rate does not say of how many")
        rate = rates(pool, PASS_RATE.name)
        missing = np.where(np.isnan(rate), "no_pass_rate", "").astype(object)
        unknown = np.full(len(pool), np.nan)
        return _Rates(rate, unknown, unknown, SLACK, missing=missing)
    if use == "counts":
        right, wrong = counts(pool, N_CORRECT.name), counts(pool, N_WRONG.name)
        missing = np.where(
            np.isnan(right), "no_n_correct", np.where(np.isnan(wrong), "no_n_wrong", "")
        ).astype(object)
        of = right + wrong
        return _Rates(_share(right, of), of, right, 0.0, missing=missing)
    rewards: Ragged = pool[REWARDS.name]
    of = rewards.lengths.astype(np.float64)
    if parameters.rule in ("band", "variance"):
        # Less the first reward of each row: equal rewards deviate by exactly 0, however large.
        off = rewards.values - rewards.values[np.repeat(rewards.offsets[:-1], rewards.lengths)]
        spread = Ragged(off, rewards.offsets).stds()
        return _Rates(rewards.means(), of, np.full(len(pool), np.nan), SLACK, spread)
    successes = Ragged((rewards.values >= parameters.tau - SLACK).astype(float), rewards.offsets)
    right = successes.sums()
    return _Rates(_share(right, of), of, right, 0.0)


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return part / whole


def _intervals(
    found: _Rates, parameters: PassRateParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends (n,) of the intervals; NaN where the rule has none or nothing is known."""
    low, high = np.full(len(found.rate), np.nan), np.full(len(found.rate), np.nan)
    if parameters.rule in ("wilson", "beta"):
        known = ~np.isnan(found.of)
        right, of = found.right[known], found.of[known]
        if parameters.rule == "wilson":
            low[known], high[known] = wilson_interval(right, of, parameters.confidence)
        else:
            a, b = parameters.prior
            low[known], high[known] = beta_interval(
                a + right, b + of - right, parameters.confidence
            )
    return low, high


def _judge(
    reason: NDArray[np.object_],
    found: _Rates,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    parameters: PassRateParameters,
) -> None:
    """Enter why rows do not qualify."""
    rate, slack = found.rate, found.slack
    least, most = parameters.band
    match parameters.rule:
        case "band" | "variance":
            _outside(reason, rate, rate, (least - slack, most + slack))
        case "qwen":
            _outside(reason, rate, rate, (QWEN[0] - slack, QWEN[1] + slack))
        case "acereason":
            _outside(reason, rate, rate, (ACEREASON[0] - slack, ACEREASON[1] + slack))
        case "miromind":
            reason[rate <= slack] = "all_wrong"
            reason[rate >= 1 - slack] = "all_right"
        case "rif":
            reason[rate <= slack] = "no_success"
        case "wilson" | "beta":
            if parameters.interval == "inside":
                reason[low < least] = "straddles_low"
                reason[high > most] = "straddles_high"
                reason[(low < least) & (high > most)] = "straddles_both"
            _outside(reason, high, low, (least, most))
    if found.spread is not None and parameters.rule == "variance":
        # Relative: deviations are square roots of sums, which are right to a few units in the last
        # place only.
        reason[found.spread < parameters.v_min * (1 - 1e-9)] = "low_variance"


def _outside(
    reason: NDArray[np.object_],
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    band: tuple[float, float],
) -> None:
    reason[top < band[0]] = "below_band"
    reason[bottom > band[1]] = "above_band"


def _score(found: _Rates, parameters: PassRateParameters) -> NDArray[np.float64]:
    """Rounded, so that p and 1 - p, and the same rewards in another order, get one score."""
    if parameters.rule == "variance":
        assert found.spread is not None
        return np.round(found.spread, 12)
    p = np.round(found.rate, 12)
    match parameters.prefer:
        case "middle":
            return np.round(p * (1 - p), 12)
        case "hard":
            return 1 - p
        case "easy":
            return p
