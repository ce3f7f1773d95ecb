"""IFD, instruction-following difficulty: how little the prompt helps to predict the response.

IFD(x, y) = PPL(y | x) / PPL(y) = exp(logprob_mean_alone - logprob_mean), the perplexity of the
response given its prompt over that without one. Below 1 the prompt helps; the nearer to 1 it is, the
harder the model finds it to follow. Rows at 1 or above are dropped, for there prompt and response do
not belong together; of the others the highest come first.

Source: Cherry LLM, "From Quantity to Quality" (arXiv 2308.12032), which takes the top 5 to 10 per
cent. Its text divides the mean losses, s(A | Q) / s(A); Superfiltering (arXiv 2402.00530) and the code
released with it divide the perplexities, which is the default here. Both are below 1 for the same
rows, and order them differently.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import LOGPROB_MEAN, LOGPROB_MEAN_ALONE
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool

_NO_LOSS = 1e-6  # nats; smaller losses are 0 up to rounding


class IfdParameters(Parameters):
    ratio: Literal["perplexity", "loss"] = Field(
        "perplexity",
        description="What is divided: perplexities (Superfiltering), or mean losses (the text of "
        "Cherry LLM).",
    )
    below: float = Field(
        1.0, gt=0, description="Rows with this score or more are dropped. Both papers: 1."
    )


class Ifd(Selector[IfdParameters]):
    """Rows whose prompt helps least to predict the response, of those where it helps at all.

    A response of loss 0 (up to 1e-6) without its prompt leaves nothing to help with: whatever `below`
    is, it is dropped (`no_loss_alone`), and by ratio=loss has no score.
    """

    name = "ifd"
    paper = "Cherry LLM, arXiv 2308.12032"
    parameters = IfdParameters

    def inputs(self, parameters: IfdParameters) -> Sequence[Column]:
        return LOGPROB_MEAN, LOGPROB_MEAN_ALONE

    def choose(self, pool: Pool, room: int | None, parameters: IfdParameters) -> Choice:
        for name in ("logprob_mean", "logprob_mean_alone"):
            check_logprobs(pool, name)
        given, alone = -pool["logprob_mean"], -pool["logprob_mean_alone"]
        no_loss = alone <= _NO_LOSS
        with np.errstate(over="ignore"):
            if parameters.ratio == "perplexity":
                score = np.exp(given - alone)
            else:
                score = np.divide(given, alone, out=np.full(len(pool), np.nan), where=~no_loss)
        kept = np.flatnonzero((score < parameters.below) & ~no_loss)
        reason = np.where(no_loss, "no_loss_alone", "ifd_too_high").astype(object)
        reason[kept] = None
        return Choice(
            kept[np.argsort(-score[kept], kind="stable")],
            np.where(np.isfinite(score), score, np.nan),
            reason=reason.tolist(),
        )
