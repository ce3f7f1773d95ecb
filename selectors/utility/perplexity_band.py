"""A band of perplexity: neither what the model knows nor what it cannot make sense of.

The perplexity of a row is exp(-logprob_mean). By quantile, a row's place is (r - 1/2) / n, where r is
its rank among the n rows of the pool by perplexity, from 1, and equal rows share their mean rank; the
row qualifies where its place lies in low..high. By value, where its perplexity does. Either way the
rows nearest the band's middle, (low + high) / 2 on the same scale, come first.

"When Less is More" (arXiv 2309.04564) keeps the middle of the distribution of a pre-training corpus,
here low = 0.5 - s / 2 and high = 0.5 + s / 2 for a share s; "Perplexed by Perplexity" (arXiv
2405.20541) compares the low, medium and high parts. Both take the perplexity of whole documents, we
that of responses given their prompts. The order within the band is not stated there; it is ours.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import LOGPROB_MEAN
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool


class PerplexityBandParameters(Parameters):
    by: Literal["quantile", "value"] = Field(
        "quantile", description="What low and high bound: the place in the pool, or the perplexity."
    )
    low: float | None = Field(
        None,
        ge=0,
        description="Lower end of the band, inclusive. By quantile: 0 to 1, 0.25 if not given (the "
        "middle half, arXiv 2309.04564). By value: perplexity, from 1; required.",
    )
    high: float | None = Field(
        None,
        ge=0,
        description="Upper end of the band, inclusive. By quantile: 0.75 if not given. By value: "
        "required.",
    )

    @model_validator(mode="after")
    def _a_band(self) -> "PerplexityBandParameters":
        if self.by == "value" and (self.low is None or self.high is None):
            raise ValueError("by value, both low and high are needed")
        low, high = self.band
        if low > high:
            raise ValueError(f"low ({low}) must be at most high ({high})")
        if self.by == "quantile" and high > 1:
            raise ValueError(
                f"high ({high}) is a quantile, at most 1; for perplexities set by=value"
            )
        if self.by == "value" and high < 1:
            raise ValueError(f"high ({high}) is a perplexity, at least 1")
        return self

    @property
    def band(self) -> tuple[float, float]:
        low = 0.25 if self.low is None else self.low
        return low, 0.75 if self.high is None else self.high


class PerplexityBand(Selector[PerplexityBandParameters]):
    """Rows whose response has a perplexity within a band, nearest the band's middle first.

    The score is the perplexity, null where it exceeds the range of float64.
    """

    name = "perplexity_band"
    paper = "When Less is More, arXiv 2309.04564"
    parameters = PerplexityBandParameters
    own = pa.schema(
        [column("quantile", pa.float64(), "Place of the perplexity in the pool, 0 to 1.")]
    )

    def inputs(self, parameters: PerplexityBandParameters) -> Sequence[Column]:
        return (LOGPROB_MEAN,)

    def choose(self, pool: Pool, room: int | None, parameters: PerplexityBandParameters) -> Choice:
        from scipy.stats import rankdata

        check_logprobs(pool, "logprob_mean")
        losses = -pool["logprob_mean"]
        with np.errstate(over="ignore"):
            perplexity = np.exp(losses)
        quantile = (rankdata(losses) - 0.5) / len(pool)
        low, high = parameters.band
        value = quantile if parameters.by == "quantile" else perplexity
        inside = np.flatnonzero((value >= low) & (value <= high))
        away = np.abs(value[inside] - (low + high) / 2)
        reason = np.full(len(pool), None, dtype=object)
        reason[value < low] = "below_band"
        reason[value > high] = "above_band"
        return Choice(
            inside[np.argsort(away, kind="stable")],
            np.where(np.isfinite(perplexity), perplexity, np.nan),
            reason=reason.tolist(),
            columns={"quantile": quantile},
        )
