"""Klear-Reasoner's rule: filter by correctness where prompts are easy (arXiv 2508.07629).

Rows are answers. Right ones are kept. A wrong one is kept if its prompt's pass rate is below `t`:
filtering the traces of easy prompts by correctness helps, filtering those of hard prompts hurts. The
paper gives no threshold; 0.5 is our choice. An unjudged answer is never kept, and neither is a wrong
one of a prompt whose pass rate is not known.

Order, ours: right answers first, then wrong ones, those to the hardest prompts first. The score is 1
for right answers and minus the pass rate for wrong ones.
"""

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import PASS_RATE, VERDICT, but
from winnow.selectors.difficulty.checks import SLACK, rates
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.response.answers import CORRECT, UNJUDGED, WRONG, verdicts


class KlearParameters(Parameters):
    t: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Pass rate, exclusive, below which wrong answers are kept (our choice; the "
        "paper names none). 0 keeps none.",
    )


class Klear(Selector[KlearParameters]):
    """Right answers, and to hard prompts the wrong ones too."""

    name = "klear"
    paper = "Klear-Reasoner, arXiv 2508.07629"
    parameters = KlearParameters

    def inputs(self, parameters: KlearParameters) -> Sequence[Column]:
        return [VERDICT, but(PASS_RATE, nulls=True)]

    def choose(self, pool: Pool, room: int | None, parameters: KlearParameters) -> Choice:
        verdict = verdicts(pool)
        rate = rates(pool, PASS_RATE.name)
        right, wrong = verdict == CORRECT, verdict == WRONG
        hard = wrong & (rate < parameters.t - SLACK)

        score = np.where(right, 1.0, np.where(wrong, -rate, np.nan))
        reason = np.full(len(pool), "correct", dtype=object)
        reason[wrong], reason[hard] = "wrong_easy_prompt", "wrong_hard_prompt"
        reason[wrong & np.isnan(rate)] = "no_pass_rate"
        reason[verdict == UNJUDGED] = "unjudged"
        order = np.flatnonzero(right | hard)
        return Choice(
            order[np.argsort(-score[order], kind="stable")], score, reason=reason.tolist()
        )
