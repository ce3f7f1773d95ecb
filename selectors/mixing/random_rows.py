"""A uniform draw: the baseline that every comparison needs."""

from collections.abc import Sequence

import numpy as np

from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.parameters import NoParameters
from winnow.selectors.pool import Pool


class RandomRows(Selector[NoParameters]):
    """A uniform draw without replacement, the baseline of every comparison."""

    name = "random"
    paper = "none"
    parameters = NoParameters

    def inputs(self, parameters: NoParameters) -> Sequence[Column]:
        return ()

    def choose(self, pool: Pool, room: int | None, parameters: NoParameters) -> Choice:
        score = pool.rng("random").random(len(pool))
        return Choice(np.argsort(-score, kind="stable"), score)
