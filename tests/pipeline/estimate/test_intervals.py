"""Wilson's and the Beta interval against scipy's own and against their defining equations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, norm

from winnow.pipeline.estimate.intervals import beta_interval, wilson_interval

COUNTS = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
CONFIDENCE = st.floats(0.5, 0.999)


@given(COUNTS, CONFIDENCE)
def test_wilson_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    c, n = counts
    wanted = binomtest(c, n).proportion_ci(confidence, method="wilson")
    low, high = wilson_interval(c, n, confidence)
    assert float(low) == pytest.approx(wanted.low, abs=1e-12)
    assert float(high) == pytest.approx(wanted.high, abs=1e-12)


@given(COUNTS, CONFIDENCE)
def test_wilson_bounds_are_z_standard_errors_from_the_share(
    counts: tuple[int, int], confidence: float
) -> None:
    """The interval holds every p with (p - c/n)^2 <= z^2 p (1 - p) / n: equality at its ends."""
    c, n = counts
    z = norm.ppf((1 + confidence) / 2)
    for p in map(float, wilson_interval(c, n, confidence)):
        assert (p - c / n) ** 2 == pytest.approx(z * z * p * (1 - p) / n, abs=1e-12)


def test_wilson_vectors() -> None:
    low, high = wilson_interval([4, 0, 8, 0], [8, 8, 8, 0], 0.95)
    z2 = norm.ppf(0.975) ** 2
    assert low[0] == pytest.approx(0.5 - math.sqrt(z2 / (8 + z2)) / 2)
    assert high[0] == pytest.approx(0.5 + math.sqrt(z2 / (8 + z2)) / 2)
    assert (low[1], high[2]) == (0, 1)
    assert high[1] == pytest.approx(z2 / (8 + z2)) == 1 - low[2]
    assert (low[3], high[3]) == (0, 1), "nothing judged: anything is possible"


def test_beta_vectors() -> None:
    """Three of four right, uniform prior: Beta(4, 2); nothing seen: the prior itself."""
    low, high = beta_interval(np.array([4.0, 1.0]), np.array([2.0, 1.0]))
    assert low[0] == pytest.approx(0.34259, abs=1e-5)
    assert high[0] == pytest.approx(0.92356, abs=1e-5)
    assert (low[1], high[1]) == (pytest.approx(0.05), pytest.approx(0.95))


@given(st.floats(0.5, 50), st.floats(0.5, 50), st.floats(0.05, 0.99))
def test_beta_has_equal_tails(a: float, b: float, mass: float) -> None:
    low, high = map(float, beta_interval(a, b, mass))
    assert beta(a, b).cdf(low) == pytest.approx((1 - mass) / 2, abs=1e-9)
    assert beta(a, b).sf(high) == pytest.approx((1 - mass) / 2, abs=1e-9)


@pytest.mark.parametrize("mass", [0.0, 1.0, -0.1, float("nan")])
def test_a_confidence_that_is_none(mass: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        beta_interval(1, 1, mass)
    with pytest.raises(ValueError, match="between 0 and 1"):
        wilson_interval(1, 2, mass)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_posterior_that_is_none(bad: float) -> None:
    for a, b in ((bad, 1.0), (1.0, bad)):
        with pytest.raises(ValueError, match="above 0 and finite"):
            beta_interval([1.0, a], [1.0, b])


@pytest.mark.parametrize(("c", "n"), [(3, 2), (-1, 2), (float("nan"), 2)])
def test_counts_that_make_no_sense(c: float, n: float) -> None:
    with pytest.raises(ValueError, match="at most judged"):
        wilson_interval(c, n)
