"""The Beta posterior of a pass rate, at every entry of a table over (correct, wrong)."""

from winnow.pipeline.estimate.intervals import beta_interval
from winnow.synth.stopping.counts import Band, Floats, Prior, tabulated


def band_masses(cap: int, prior: Prior, band: Band) -> tuple[Floats, Floats, Floats]:
    """Probability that the rate is below the band, in it, above it; they add up to 1.

    With c right and w wrong answers the posterior is Beta(prior_alpha + c, prior_beta + w). Its
    distribution function is the regularised incomplete beta function; an edge weighs nothing.
    """
    low, high = band
    below, above = mass_below(cap, prior, low), mass_above(cap, prior, high)
    return below, 1 - below - above, above


def mass_below(cap: int, prior: Prior, rate: float) -> Floats:
    from scipy.special import betainc

    return tabulated(cap, lambda right, wrong: betainc(prior[0] + right, prior[1] + wrong, rate))


def mass_above(cap: int, prior: Prior, rate: float) -> Floats:
    from scipy.special import betaincc

    return tabulated(cap, lambda right, wrong: betaincc(prior[0] + right, prior[1] + wrong, rate))


def interval_width(cap: int, prior: Prior, mass: float) -> Floats:
    """Width of the equal-tailed credible interval that holds `mass`."""

    def width(right: Floats, wrong: Floats) -> Floats:
        low, high = beta_interval(prior[0] + right, prior[1] + wrong, mass)
        return high - low

    return tabulated(cap, width)
