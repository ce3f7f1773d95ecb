"""The dynamic program against every possible rule, and the figures that it must reach."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.counts import Band, Bools, Floats, Prior, next_correct, stop_chances
from winnow.synth.stopping.figures import under_prior
from winnow.synth.stopping.interval import Interval
from winnow.synth.stopping.optimal import calibrated_stops, least_answers, optimal_stops
from winnow.synth.stopping.posterior import band_masses

CAP = 4
OPEN = [(n, c) for n in range(CAP) for c in range(n + 1)]  # entries at which a rule can choose


def problem(cap: int, prior: Prior, band: Band) -> tuple[Floats, Floats]:
    _, inside, _ = band_masses(cap, prior, band)
    return np.minimum(inside, 1 - inside), next_correct(cap, prior)


def figures(stops: Bools, error: Floats, q: Floats) -> tuple[float, float]:
    chance = stop_chances(stops, q)
    return float(chance.sum(axis=1) @ np.arange(len(stops))), float((chance * error).sum())


def every_rule(error: Floats, q: Floats) -> NDArray[np.float64]:
    """(answers, error) of all 2^10 rules with a cap of 4."""
    found = []
    for choices in itertools.product((False, True), repeat=len(OPEN)):
        stops = np.zeros((CAP + 1, CAP + 1), np.bool_)
        for (n, c), choice in zip(OPEN, choices, strict=True):
            stops[n, c] = choice
        found.append(figures(stops, error, q))
    return np.array(found)


PROBLEMS = [((0.5, 0.5), (0.2, 0.8)), ((1.0, 2.0), (0.3, 1.0)), ((2.0, 1.0), (0.3, 0.7))]


@pytest.mark.parametrize(("prior", "band"), PROBLEMS)
def test_no_rule_costs_less(prior: Prior, band: Band) -> None:
    error, q = problem(CAP, prior, band)
    rules = every_rule(error, q)
    for price in (1.0, 4.0, 10.0, 30.0, 100.0, 1000.0):
        stops, cost = optimal_stops(error, q, price)
        assert cost == pytest.approx((rules[:, 0] + price * rules[:, 1]).min(), rel=1e-12)
        answers, rate = figures(stops, error, q)
        assert cost == pytest.approx(answers + price * rate, rel=1e-12)


@pytest.mark.parametrize(("prior", "band"), PROBLEMS)
def test_the_least_answers_are_those_of_the_best_mixture_of_two_rules(
    prior: Prior, band: Band
) -> None:
    error, q = problem(CAP, prior, band)
    rules = every_rule(error, q)
    least = rules[:, 1].min()
    for wanted in np.linspace(least, error[0, 0], 7)[1:-1]:
        good, bad = rules[rules[:, 1] <= wanted], rules[rules[:, 1] > wanted]
        share = (wanted - good[:, None, 1]) / (bad[None, :, 1] - good[:, None, 1])
        mixed = good[:, None, 0] * (1 - share) + bad[None, :, 0] * share
        found = least_answers(error, q, float(wanted))
        assert found == pytest.approx(mixed.min(), rel=1e-3)
        assert found <= mixed.min() * (1 + 1e-9), "it is a bound"
        answers, rate = figures(calibrated_stops(error, q, float(wanted)), error, q)
        assert rate <= wanted * (1 + 1e-9)
        assert answers >= found * (1 - 1e-9)
        assert answers <= rules[rules[:, 1] <= rate * (1 + 1e-9), 0].min() * (1 + 1e-9)


def test_forced_stops_hold_and_are_counted() -> None:
    error, q = problem(CAP, (0.5, 0.5), (0.2, 0.8))
    forced = np.zeros(error.shape, np.bool_)
    forced[1, 1] = True
    stops, cost = optimal_stops(error, q, 100.0, forced)
    free, free_cost = optimal_stops(error, q, 100.0)
    assert not free[1, 1] and not stops[1, 1], "another answer would be worth it"
    answers, rate = figures(stops | forced, error, q)
    assert cost == pytest.approx(answers + 100 * rate) and cost > free_cost


def test_an_error_that_the_cap_cannot_reach() -> None:
    error, q = problem(CAP, (0.5, 0.5), (0.2, 0.8))
    least = figures(np.zeros(error.shape, np.bool_), error, q)[1]
    assert figures(calibrated_stops(error, q, least), error, q)[1] == pytest.approx(least)
    with pytest.raises(ValueError, match=f"the least is {least:.4g}"):
        calibrated_stops(error, q, least * 0.999)


@pytest.mark.parametrize("band", [(0.1, 0.9), (0.2, 0.8)])
@pytest.mark.parametrize(("n", "share"), [(16, 0.70), (64, 0.48)])
def test_calibrated_against_fixed_n(band: Band, n: int, share: float) -> None:
    """Pass rates from Beta(1/2, 1/2); the better of the two decisions after n answers."""
    prior = (0.5, 0.5)
    _, inside, _ = band_masses(n, prior, band)
    rate = np.arange(n + 1) / n
    by_rate = np.zeros(inside.shape, np.bool_)
    by_rate[n] = (rate >= band[0]) & (rate <= band[1])
    fixed = min(
        under_prior(
            Interval.where(n, {}, {"in_band": says, "below_band": ~says}), prior, band
        ).error
        for says in (by_rate, inside >= 0.5)
    )
    found = under_prior(calibrated(4 * n, prior=prior, band=band, error=fixed), prior, band)
    assert found.error <= fixed * (1 + 1e-9)
    assert found.answers <= share * n
    least = least_answers(*problem(4 * n, prior, band), fixed)
    assert least <= found.answers <= 1.06 * least
