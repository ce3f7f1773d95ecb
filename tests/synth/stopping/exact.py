"""Whole-number Beta posteriors in exact fractions, and all sequences of right and wrong answers."""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

from tests.synth.stopping.walks import RIGHT, WRONG
from winnow.synth.stopping.base import Answer


def beta_below(a: int, b: int, rate: Fraction) -> Fraction:
    """P(p < rate) for p ~ Beta(a, b): at least a of a + b - 1 draws with chance `rate` succeed."""
    n = a + b - 1
    return sum(
        (math.comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in range(a, n + 1)), Fraction(0)
    )


def beta_inside(a: int, b: int, band: tuple[Fraction, Fraction]) -> Fraction:
    return beta_below(a, b, band[1]) - beta_below(a, b, band[0])


def sequence_chance(a: int, b: int, correct: int, wrong: int) -> Fraction:
    """Of one sequence with so many right and wrong answers, p ~ Beta(a, b)."""
    chance = Fraction(1)
    for i in range(correct):
        chance *= Fraction(a + i, a + b + i)
    for i in range(wrong):
        chance *= Fraction(b + i, a + b + correct + i)
    return chance


def sequences(length: int) -> Iterator[tuple[Answer, ...]]:
    return itertools.product((RIGHT, WRONG), repeat=length)
