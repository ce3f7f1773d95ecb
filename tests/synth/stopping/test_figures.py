"""The exact figures against all sequences, an integral over the prior, and a simulation."""

from fractions import Fraction

import numpy as np
import pytest

from tests.synth.stopping.exact import beta_inside, sequence_chance, sequences
from tests.synth.stopping.walks import RIGHT, WRONG
from winnow.synth.stopping.base import stopped
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.figures import Figures, at_rate, under_prior
from winnow.synth.stopping.guaranteed import guaranteed
from winnow.synth.stopping.interval import Interval

EXACT_BAND = (Fraction(1, 5), Fraction(7, 10))
BAND = (0.2, 0.7)
CAP = 8
RULES = {
    "calibrated": calibrated(CAP, prior=(2, 1), band=BAND, error=0.25, hopeless=0.15, surely=0.6),
    "guaranteed": guaranteed(CAP, alpha=0.6, band=BAND),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("prior", [(1, 1), (2, 3)])
def test_under_a_prior_against_all_sequences(name: str, prior: tuple[int, int]) -> None:
    rule = RULES[name]
    answers = error = undecided = Fraction(0)
    for sequence in sequences(CAP):
        tally = stopped(rule, sequence)
        right = sum(answer is RIGHT for answer in sequence)
        chance = sequence_chance(*prior, right, CAP - right)
        inside = beta_inside(prior[0] + tally.correct, prior[1] + tally.wrong, EXACT_BAND)
        decision = rule.decision(tally)
        answers += chance * tally.drawn
        undecided += chance * (decision is None)
        if decision is not None:
            error += chance * (1 - inside if decision == "in_band" else inside)
    expected = Figures(float(answers), float(error), float(undecided))
    assert_equal(under_prior(rule, prior, BAND), expected)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("rate", ["0", "1/10", "1/5", "1/2", "7/10", "3/4", "1"])
def test_at_a_rate_against_all_sequences(name: str, rate: str) -> None:
    rule, p = RULES[name], Fraction(rate)
    answers = error = undecided = Fraction(0)
    for sequence in sequences(CAP):
        tally = stopped(rule, sequence)
        right = sum(answer is RIGHT for answer in sequence)
        chance = p**right * (1 - p) ** (CAP - right)
        decision = rule.decision(tally)
        inside = EXACT_BAND[0] <= p <= EXACT_BAND[1]
        answers += chance * tally.drawn
        undecided += chance * (decision is None)
        error += chance * (decision is not None and (decision == "in_band") != inside)
    expected = Figures(float(answers), float(error), float(undecided))
    assert_equal(at_rate(rule, float(p), BAND), expected)


@pytest.mark.parametrize("name", RULES)
def test_rates_weighted_by_the_prior_give_the_figures_under_it(name: str) -> None:
    """Gauss-Legendre is exact here: the integrands are polynomials between the edges."""
    rule = RULES[name]
    nodes, weights = np.polynomial.legendre.leggauss(20)
    answers = error = undecided = 0.0
    for low, high in ((0.0, 0.2), (0.2, 0.7), (0.7, 1.0)):
        for node, weight in zip(nodes, weights, strict=True):
            p = (low + high) / 2 + node * (high - low) / 2
            mass = weight * (high - low) / 2 * 12 * p * (1 - p) ** 2  # Beta(2, 3)
            found = at_rate(rule, float(p), BAND)
            answers += mass * found.answers
            error += mass * found.error
            undecided += mass * found.undecided
    assert_equal(under_prior(rule, (2, 3), BAND), Figures(answers, error, undecided))


def test_fixed_n_by_hand() -> None:
    """One answer, uniform rates, inside if it is right: wrong with the chance E[(1 - p) 1(p > 1/2)]
    + E[p 1(p < 1/2)] = 1/8 + 1/8."""
    right = np.array([[False, False], [False, True]])
    rule = Interval.where(1, {}, {"in_band": right, "below_band": ~right})
    assert_equal(under_prior(rule, (1, 1), (0.5, 1.0)), Figures(1, 0.25, 0))


def test_a_simulation_agrees() -> None:
    """10,000 tasks of the prior that the rule is calibrated for, at five standard errors."""
    band, tasks = (0.1, 0.9), 10_000
    rule = calibrated(64, band=band, error=0.12)
    exact = under_prior(rule, (0.5, 0.5), band)
    draw = np.random.default_rng(5)
    drawn, wrong = np.zeros(tasks), np.zeros(tasks)
    for task, rate in enumerate(draw.beta(0.5, 0.5, tasks)):
        tally = stopped(rule, [RIGHT if hit else WRONG for hit in draw.random(64) < rate])
        drawn[task] = tally.drawn
        wrong[task] = (rule.decision(tally) == "in_band") != (band[0] <= rate <= band[1])
    for sample, value in ((drawn, exact.answers), (wrong, exact.error)):
        assert abs(sample.mean() - value) < 5 * sample.std() / tasks**0.5


def assert_equal(found: Figures, expected: Figures) -> None:
    assert found.answers == pytest.approx(expected.answers, rel=1e-12)
    assert found.error == pytest.approx(expected.error, abs=1e-13)
    assert found.undecided == pytest.approx(expected.undecided, abs=1e-13)
