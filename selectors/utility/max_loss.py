"""MaxLoss: what the model predicts worst.

The score is the mean loss of the response's tokens, minus `logprob_mean`. The baseline that UDS (arXiv
2510.16882) compares with takes the highest losses of each training batch under the model as it is
then; here the losses are recorded ones, and the whole pool is one batch. Noise and wrong answers have
high losses too.
"""

from collections.abc import Sequence

import numpy as np

from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import LOGPROB_MEAN
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.parameters import NoParameters
from winnow.selectors.pool import Pool


class MaxLoss(Selector[NoParameters]):
    """Rows whose responses have the highest mean loss per token."""

    name = "max_loss"
    paper = "MaxLoss, a baseline of UDS, arXiv 2510.16882"
    needs_budget = True
    parameters = NoParameters

    def inputs(self, parameters: NoParameters) -> Sequence[Column]:
        return (LOGPROB_MEAN,)

    def choose(self, pool: Pool, room: int | None, parameters: NoParameters) -> Choice:
        check_logprobs(pool, "logprob_mean")
        score = -pool["logprob_mean"]
        return Choice(np.argsort(-score, kind="stable"), score)
