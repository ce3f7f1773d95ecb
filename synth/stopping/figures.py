"""What a rule over (correct, wrong) costs and how often it is wrong: exact, by forward recursion.

A band decision is wrong where it says inside and the rate is outside, or the other way round. All
answers are taken to be judged.
"""

from dataclasses import dataclass

import numpy as np

from winnow.synth.stopping.counts import Band, Floats, Prior, next_correct, stop_chances
from winnow.synth.stopping.interval import Interval
from winnow.synth.stopping.posterior import band_masses


@dataclass(frozen=True)
class Figures:
    """Expected answers per task, the chance of a wrong band decision, and that of none at all."""

    answers: float
    error: float
    undecided: float


def under_prior(rule: Interval, prior: Prior, band: Band) -> Figures:
    """For a task whose pass rate is drawn from Beta(prior)."""
    cap = rule.max_answers
    below, inside, above = band_masses(cap, prior, band)
    chance = stop_chances(rule.stops != 0, next_correct(cap, prior))
    mistaken = np.select([rule.says("in_band"), rule.sides != 0], [below + above, inside], 0.0)
    return _figures(rule, chance, mistaken)


def at_rate(rule: Interval, rate: float, band: Band) -> Figures:
    """For a task whose pass rate is `rate`."""
    chance = stop_chances(rule.stops != 0, np.full(rule.stops.shape, rate))
    says_in = rule.says("in_band")
    mistaken = (~says_in & (rule.sides != 0)) if band[0] <= rate <= band[1] else says_in
    return _figures(rule, chance, mistaken.astype(np.float64))


def _figures(rule: Interval, chance: Floats, mistaken: Floats) -> Figures:
    judged = np.arange(rule.max_answers + 1)
    return Figures(
        float(chance.sum(axis=1) @ judged),
        float((chance * mistaken).sum()),
        float(chance[rule.sides == 0].sum()),
    )
