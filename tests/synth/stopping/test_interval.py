"""Both modes: vectors, the martingale, and a guarantee that is checked exactly at every rate."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta

from tests.synth.stopping.exact import beta_below, beta_inside
from tests.synth.stopping.walks import counted
from winnow.pipeline.estimate.intervals import beta_interval
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.counts import MOST, Bools, Prior, outcomes, stop_chances, tabulated
from winnow.synth.stopping.guaranteed import confidence_interval, guaranteed, log_martingale
from winnow.synth.stopping.interval import Interval
from winnow.synth.stopping.posterior import band_masses

COUNT = st.integers(0, 40)
PRIOR = st.tuples(st.integers(1, 5), st.integers(1, 5))
CAP = 20


def test_tables() -> None:
    right, wrong = outcomes(2)
    meant = np.tril(np.ones((3, 3), np.bool_))
    assert right[meant].tolist() == [0, 0, 1, 0, 1, 2]
    assert wrong[meant].tolist() == [0, 1, 0, 2, 1, 0]
    assert tabulated(2, lambda r, w: 10 * r + w).tolist() == [[0, 0, 0], [1, 10, 0], [2, 11, 20]]


@given(PRIOR, st.integers(0, 10), st.integers(0, 10))
def test_band_masses_against_exact_fractions(prior: tuple[int, int], low: int, high: int) -> None:
    low, high = sorted((low, high))
    edges = Fraction(low, 10), Fraction(high, 10)
    below, inside, above = band_masses(5, prior, (low / 10, high / 10))
    for n in range(6):
        for c in range(n + 1):
            a, b = prior[0] + c, prior[1] + n - c
            assert below[n, c] == pytest.approx(float(beta_below(a, b, edges[0])), abs=1e-13)
            assert inside[n, c] == pytest.approx(float(beta_inside(a, b, edges)), abs=1e-13)
            assert above[n, c] == pytest.approx(float(1 - beta_below(a, b, edges[1])), abs=1e-13)


# ---------------------------------------------------------------------------------------- calibrated


def test_calibrated_vector() -> None:
    """Uniform rates, band [1/2, 1]: one answer leaves an error of 1/4, none 1/2, two 1/4 again."""
    rule = calibrated(4, prior=(1, 1), band=(0.5, 1.0), error=0.25)
    assert rule.more(counted(0, 0)) == 1
    assert rule.reason(counted(1, 0)) == "in_band"
    assert rule.reason(counted(0, 1)) == "below_band"
    assert rule.decision(counted(0, 1)) == "below_band"


def test_unjudged_answers_count_neither_way_but_are_drawn() -> None:
    rule = calibrated(4, prior=(1, 1), band=(0.5, 1.0), error=0.25)
    assert rule.more(counted(0, 0, 3)) == 1
    assert rule.reason(counted(0, 0, 3)) == ""
    assert rule.more(counted(0, 0, 4)) == 0
    assert rule.reason(counted(0, 0, 4)) == "max_answers"
    assert rule.reason(counted(1, 0, 2)) == "in_band"


def test_the_cap_is_a_reason_of_its_own_and_decides_for_the_likelier_side() -> None:
    rule = calibrated(5, prior=(0.5, 0.5), band=(0.2, 0.8), error=0.225)
    at_cap = [c for c in range(6) if rule.reason(counted(c, 5 - c)) == "max_answers"]
    assert at_cap, "some sequences use all answers"
    for correct in range(6):
        mass = beta.cdf(0.8, 0.5 + correct, 5.5 - correct) - beta.cdf(
            0.2, 0.5 + correct, 5.5 - correct
        )
        side = "in_band" if mass >= 0.5 else "below_band" if correct < 3 else "above_band"
        assert rule.decision(counted(correct, 5 - correct)) == side


def test_hopeless_and_solved_vectors() -> None:
    """Uniform prior, nothing right: P(p < h) = 1 - (1 - h)^(w + 1); 0.9^29 = 0.047, 0.9^28 = 0.052."""
    rule = calibrated(60, prior=(1, 1), hopeless=0.1, solved=0.9)
    assert rule.more(counted(0, 0)) == 28
    assert rule.reason(counted(0, 28)) == "hopeless"
    assert rule.reason(counted(28, 0)) == "solved"
    assert rule.reason(counted(0, 27)) == ""
    assert rule.more(counted(0, 27)) == 1
    assert rule.decision(counted(0, 28)) is None, "there is no band"


def test_narrow_is_the_credible_interval() -> None:
    rule = calibrated(CAP, prior=(1.5, 1), width=0.4, mass=0.8)
    for n in range(CAP):
        for c in range(n + 1):
            low, high = beta_interval(1.5 + c, 1 + n - c, 0.8)
            assert rule.reason(counted(c, n - c)) == ("narrow" if high - low < 0.4 else "")


def test_of_several_reasons_the_first_is_given() -> None:
    rule = calibrated(60, prior=(1, 1), band=(0.3, 0.7), error=0.215, hopeless=0.2, width=0.4)
    assert rule.reason(counted(0, 20)) == "hopeless"
    assert rule.decision(counted(0, 20)) == "below_band"
    assert rule.reason(counted(2, 8)) == "narrow", "else another answer would be worth it"
    assert rule.decision(counted(2, 8)) == "below_band"
    assert rule.reason(counted(10, 10)) == "in_band", "it is narrow too"


def test_entries_without_meaning_hold_nothing() -> None:
    rule = calibrated(6, prior=(1, 1), band=(0.3, 0.7), error=0.3, width=0.4)
    for table in (rule.stops, rule.sides, rule.further):
        assert not table[np.triu(np.ones((7, 7), np.bool_), 1)].any()


def test_beyond_the_table() -> None:
    rule = calibrated(4, width=0.1)
    assert rule.more(counted(5, 5)) == 0
    assert rule.reason(counted(5, 5)) == "max_answers"
    with pytest.raises(ValueError, match="10 judged"):
        rule.decision(counted(5, 5))


# ---------------------------------------------------------------------------------------- guaranteed


def test_martingale_vector() -> None:
    """Uniform mixture, five right of five, against 1/2: B(6, 1) / 2^-5 = 32 / 6."""
    found = log_martingale(np.array([5.0]), np.array([0.0]), 0.5, (1, 1))
    assert math.exp(found[0]) == pytest.approx(32 / 6)
    rule = guaranteed(10, alpha=0.2, band=(0.0, 0.5), mixture=(1, 1))
    assert rule.more(counted(0, 0)) == 5
    assert rule.reason(counted(5, 0)) == "above_band"
    assert rule.reason(counted(4, 0)) == "", "16 / 5 is below 1 / alpha = 5"


@given(COUNT, COUNT, st.floats(0.01, 0.99), st.floats(0.1, 5), st.floats(0.1, 5))
def test_it_is_a_martingale(c: int, w: int, p: float, a: float, b: float) -> None:
    """The mean over the next answer is what it is now, where p is the true rate."""
    now, right, wrong = np.exp(
        log_martingale(np.array([c, c + 1.0, c]), np.array([w, w, w + 1.0]), p, (a, b))
    )
    assert p * right + (1 - p) * wrong == pytest.approx(now, rel=1e-9)
    assert float(log_martingale(np.zeros(1), np.zeros(1), p, (a, b))[0]) == 0


@pytest.mark.parametrize(("c", "w", "p"), [(3, 4, 0.2), (0, 6, 0.5), (9, 1, 0.6)])
def test_it_is_the_mixture_of_likelihood_ratios(c: int, w: int, p: float) -> None:
    def ratio(q: float) -> float:
        return float((q / p) ** c * ((1 - q) / (1 - p)) ** w * beta.pdf(q, 2, 1.5))

    found = log_martingale(np.array([float(c)]), np.array([float(w)]), p, (2, 1.5))
    assert math.exp(found[0]) == pytest.approx(quad(ratio, 0, 1)[0], rel=1e-8)


@given(COUNT, COUNT, st.sampled_from([0.01, 0.1, 0.5]), st.floats(0.2, 3))
def test_ends_of_the_confidence_interval(c: int, w: int, alpha: float, a: float) -> None:
    right, wrong = np.array([float(c)]), np.array([float(w)])
    low, high = confidence_interval(right, wrong, alpha, (a, 1.0))
    assert 0 <= low[0] < high[0] <= 1
    for end, outward in ((low[0], -1), (high[0], 1)):
        inner = log_martingale(right, wrong, float(end) - outward * 1e-6, (a, 1.0))[0]
        assert inner < -math.log(alpha)
        if 1e-6 < end < 1 - 1e-6:
            outer = log_martingale(right, wrong, float(end) + outward * 1e-6, (a, 1.0))[0]
            assert outer > -math.log(alpha)


def test_decisions_are_where_the_interval_lies() -> None:
    band, alpha, cap = (0.3, 0.75), 0.3, 60
    rule = guaranteed(cap, alpha=alpha, band=band, hopeless=0.2, solved=0.8, width=0.6)
    low, high = confidence_interval(*outcomes(cap), alpha)
    meant = np.tril(np.ones(low.shape, np.bool_))
    for table, expected in (
        (rule.says("below_band"), high < band[0]),
        (rule.says("above_band"), low > band[1]),
        (rule.says("in_band"), (low >= band[0]) & (high <= band[1])),
        (rule.stops_because("hopeless"), high < 0.2),
        (rule.stops_because("solved"), low > 0.8),
        (rule.stops != 0, (high < band[0]) | (low > band[1]) | (high - low < 0.6)
         | ((low >= band[0]) & (high <= band[1]))),
    ):  # fmt: skip
        assert (table == expected)[meant].all()
        assert table[meant].any()


RATES = st.floats(0, 1) | st.sampled_from([0.2, 0.2 - 1e-9, 0.2 + 1e-9, 0.6, 0.6 + 1e-9])
MIXTURE = st.tuples(st.floats(0.2, 4), st.floats(0.2, 4))


@given(RATES, st.sampled_from([0.05, 0.2, 0.5]), MIXTURE)
def test_at_every_rate_the_chance_of_ever_deciding_wrongly_is_at_most_alpha(
    rate: float, alpha: float, mixture: Prior
) -> None:
    """Exact, over all kinds of decisions at once: the side of the band, hopeless and solved."""
    band = (0.2, 0.6)
    rule = guaranteed(80, alpha=alpha, band=band, hopeless=0.1, solved=0.7, mixture=mixture)
    wrong = (
        (rule.says("below_band") & (rate >= band[0]))
        | (rule.says("in_band") & ((rate < band[0]) | (rate > band[1])))
        | (rule.says("above_band") & (rate <= band[1]))
        | (rule.stops_because("hopeless") & (rate >= 0.1))
        | (rule.stops_because("solved") & (rate <= 0.7))
    )
    assert chance_of(rule, wrong, rate) <= alpha


def test_the_guarantee_is_not_empty() -> None:
    """At an edge it does decide, and sometimes wrongly; far from it nearly always, and rightly."""
    rule = guaranteed(300, alpha=0.2, band=(0.2, 0.6))
    assert 0.02 < chance_of(rule, rule.says("below_band"), 0.2) <= 0.2
    assert chance_of(rule, rule.says("in_band"), 0.4) > 0.9
    assert chance_of(rule, rule.says("above_band"), 0.9) > 0.99


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_villes_inequality(rate: float, alpha: float) -> None:
    """The chance that the true rate ever leaves the confidence sequence, exactly, to 400 answers."""
    gone = log_martingale(*outcomes(400), rate) >= -math.log(alpha)
    missed = float((stop_chances(gone, np.full(gone.shape, rate)) * gone).sum())
    assert alpha / 5 < missed <= alpha


def test_without_lower_or_upper_edge() -> None:
    rule = guaranteed(40, alpha=0.1, band=(0.0, 0.5))
    assert rule.reason(counted(0, 12)) == "in_band"
    assert not rule.says("below_band").any()
    rule = guaranteed(40, alpha=0.1, band=(0.5, 1.0))
    assert rule.reason(counted(12, 0)) == "in_band"
    assert not rule.says("above_band").any()


def chance_of(rule: Interval, entries: Bools, rate: float) -> float:
    chance = stop_chances(rule.stops != 0, np.full(rule.stops.shape, rate))
    return float(chance[entries].sum())


# ---------------------------------------------------------------------------------------- both


def test_parameters_without_sense() -> None:
    for cap in (0, MOST + 1):
        with pytest.raises(ValueError, match="max_answers"):
            calibrated(cap, width=0.1)
        with pytest.raises(ValueError, match="max_answers"):
            guaranteed(cap, alpha=0.1, width=0.1)
    for band in ((0.5, 0.4), (-0.1, 0.5), (0.1, 1.1), (math.nan, 0.5)):
        with pytest.raises(ValueError, match="band"):
            calibrated(4, band=band, error=0.3)
        with pytest.raises(ValueError, match="band"):
            guaranteed(4, alpha=0.1, band=band)
    for prior in ((0.0, 1.0), (1.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="prior"):
            calibrated(4, prior=prior, width=0.1)
    with pytest.raises(ValueError, match="belong together"):
        calibrated(4, band=(0.1, 0.9))
    with pytest.raises(ValueError, match="belong together"):
        calibrated(4, error=0.1)
    with pytest.raises(ValueError, match="error"):
        calibrated(4, band=(0.1, 0.9), error=0.0)
    with pytest.raises(ValueError, match="surely"):
        calibrated(4, hopeless=0.1, surely=0.5)
    for rate in (0.0, 1.0):
        with pytest.raises(ValueError, match="hopeless"):
            calibrated(4, hopeless=rate)
        with pytest.raises(ValueError, match="solved"):
            guaranteed(4, alpha=0.1, solved=rate)
        with pytest.raises(ValueError, match="alpha"):
            guaranteed(4, alpha=rate, width=0.1)
    with pytest.raises(ValueError, match="with 4 answers the least"):
        calibrated(4, band=(0.1, 0.9), error=0.01)
