"""Forecasts against all sequences, the order of work, and when enough tasks are in the band."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.synth.stopping.exact import sequence_chance, sequences
from tests.synth.stopping.walks import RIGHT, counted
from winnow.synth.stopping.band_fill import BandFill, forecast
from winnow.synth.stopping.base import Answer, Tally, stopped
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.counts import next_correct, stop_chances
from winnow.synth.stopping.figures import under_prior
from winnow.synth.stopping.guaranteed import guaranteed
from winnow.synth.stopping.interval import Interval

BAND = (0.2, 0.7)
CAP = 7
RULE = calibrated(CAP, prior=(1, 1), band=BAND, error=0.26)


@given(st.integers(0, 3), st.integers(0, 3), st.sampled_from([(1, 1), (3, 2)]))
def test_forecast_against_all_continuations(c: int, w: int, prior: tuple[int, int]) -> None:
    if RULE.reason(counted(c, w)):
        return
    answers = inside = Fraction(0)
    left = CAP - c - w
    for rest in sequences(left):
        right = sum(answer is RIGHT for answer in rest)
        chance = sequence_chance(prior[0] + c, prior[1] + w, right, left - right)
        tally = counted(c, w)
        for answer in rest:
            if RULE.reason(tally):
                break
            tally = tally.add(answer)
        answers += chance * (tally.judged - c - w)
        inside += chance * (RULE.reason(tally) == "in_band")
    found = forecast(RULE, prior)
    assert found[0][c + w, c] == pytest.approx(float(answers), rel=1e-12)
    assert found[1][c + w, c] == pytest.approx(float(inside), rel=1e-12)


@pytest.mark.parametrize("rule", [RULE, guaranteed(100, alpha=0.2, band=BAND)])
def test_forecast_at_the_start_is_that_of_the_exact_figures(rule: Interval) -> None:
    answers, inside = forecast(rule, (0.5, 0.5))
    assert answers[0, 0] == pytest.approx(under_prior(rule, (0.5, 0.5), BAND).answers)
    chance = stop_chances(rule.stops != 0, next_correct(rule.max_answers, (0.5, 0.5)))
    assert inside[0, 0] == pytest.approx(float(chance[rule.stops_because("in_band")].sum()))
    assert 0 < inside[0, 0] < 1


def fill(wanted: int = 2) -> BandFill:
    return BandFill.of(wanted, calibrated(64, band=(0.2, 0.8), error=0.1), (0.5, 0.5))


def test_filled() -> None:
    assert not fill(2).filled(["in_band", "", "max_answers", "below_band"])
    assert fill(2).filled(["in_band", "", "in_band"])


def test_the_cheapest_first() -> None:
    tallies = [
        Tally(3, 0, 3, tokens=300),  # going badly
        Tally(),
        Tally(4, 2, 2, tokens=400),  # nearly in
        Tally(18, 9, 9, tokens=1800),  # decided
        Tally(4, 2, 2, tokens=9000),  # nearly in, but its answers are long
        Tally(),
        Tally(4, 1, 1, 2, tokens=400),  # half of its answers cannot be judged
        Tally(2, 1, 1, tokens=200),
    ]
    decisions = ["", "", "", "in_band", "", "", "", ""]
    plan = fill()
    order = plan.order(tallies, decisions, tokens_per_answer=100)
    assert order == [2, 7, 6, 1, 5, 0, 4]
    costs = [plan.cost(tallies[i], 100) for i in order]
    assert costs == sorted(costs)


def test_cost_vector() -> None:
    """Expected answers, times tokens for one, over the chance of the band."""
    plan = fill()
    tally = Tally(drawn=5, correct=1, wrong=2, unjudged=2, tokens=500)
    expected = plan.expected_answers[3, 1] * (500 + 100) / 4 / plan.chance_inside[3, 1]
    assert plan.cost(tally, 100) == pytest.approx(expected)
    assert plan.cost(counted(32, 32), 100) == math.inf, "no answers are left"
    assert plan.cost(counted(0, 40), 100) == math.inf, "it is out of the band"


def test_working_in_this_order_is_cheaper_than_in_turn() -> None:
    """The same 300 tasks until 30 are in the band: one task after another, against cheapest first."""
    draw = np.random.default_rng(0)
    right, wrong = Answer("correct", 1), Answer("wrong", 1)
    answers = [
        [right if hit else wrong for hit in draw.random(64) < p] for p in draw.beta(0.5, 0.5, 300)
    ]
    plan = fill(30)
    in_turn = found = 0
    for mine in answers:
        tally = stopped(plan.rule, mine)
        in_turn += tally.drawn
        found += plan.rule.reason(tally) == "in_band"
        if found == plan.wanted:
            break
    tallies = [Tally()] * len(answers)
    decisions = [""] * len(answers)
    while not plan.filled(decisions):
        task = plan.order(tallies, decisions, tokens_per_answer=1.0)[0]
        tallies[task] = tallies[task].add(answers[task][tallies[task].drawn])
        decisions[task] = plan.rule.reason(tallies[task])
    drawn = sum(tally.drawn for tally in tallies)
    assert drawn < 0.8 * in_turn


def test_parameters_without_sense() -> None:
    with pytest.raises(ValueError, match="wanted"):
        fill(0)
    with pytest.raises(ValueError, match="never finds"):
        BandFill.of(3, calibrated(8, width=0.2), (1, 1))
    with pytest.raises(ValueError, match="prior"):
        BandFill.of(3, RULE, (0, 1))
