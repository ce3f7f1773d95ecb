"""`interval`, mode `guaranteed`: at every true rate the chance of ever deciding wrongly is at most
alpha, however often one looks.

For a rate p the likelihood ratio of a mixture of all rates, weighted by Beta(a, b), against p,

    M_n(p) = B(a + c, b + w) / ( B(a, b) p^c (1 - p)^w )

after c right and w wrong answers, is a martingale of mean 1 where p is the true rate, so that it ever
reaches 1 / alpha with a chance of at most alpha (Ville 1939). The rates with M_n(p) < 1 / alpha are
therefore a confidence sequence: with a chance of at least 1 - alpha the true rate is in all of them
at once (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021). They are an interval around c / n,
as log M is convex in p, so that an edge of the band tells on which side of it the interval lies.

Whatever is decided from the interval is right wherever it holds the true rate: all kinds of decisions
share one alpha. The price is more answers than `calibrated` draws, and tasks that `max_answers`
leaves undecided.
"""

import numpy as np

from winnow.synth.stopping.counts import (
    Band,
    Bools,
    Floats,
    Prior,
    check_band,
    check_cap,
    check_prior,
    check_rate,
    outcomes,
)
from winnow.synth.stopping.interval import Interval, Reason, Side

MIXTURE = (0.5, 0.5)
_HALVINGS = 30  # to 1e-9


def guaranteed(
    max_answers: int,
    *,
    alpha: float,
    band: Band | None = None,
    hopeless: float | None = None,
    solved: float | None = None,
    width: float | None = None,
    mixture: Prior = MIXTURE,
) -> Interval:
    """The rule that stops once the interval of the confidence sequence

    - lies wholly inside or outside the band (both edges in it),
    - lies below `hopeless`, or above `solved`,
    - is narrower than `width`,

    or at `max_answers` drawn, then without a decision. `mixture` changes the cost, never the
    guarantee. Raises ValueError for parameters without sense.
    """
    right, wrong = outcomes(check_cap(max_answers))
    check_prior(mixture)
    reject = -np.log(check_rate("alpha", alpha))
    rate = right / np.maximum(right + wrong, 1)

    def excluded(p: float) -> Bools:
        """Where the interval does not hold p."""
        return log_martingale(right, wrong, p, mixture) >= reject

    def lies_below(p: float) -> Bools:
        return excluded(p) & (rate < p)

    def lies_above(p: float) -> Bools:
        return excluded(p) & (rate > p)

    sides: dict[Side, Bools] = {}
    reasons: dict[Reason, Bools] = {}
    if band is not None:
        low, high = check_band(band)
        everywhere = np.ones(right.shape, np.bool_)
        sides = {
            "below_band": lies_below(low),
            "above_band": lies_above(high),
            "in_band": (lies_above(low) if low > 0 else everywhere)
            & (lies_below(high) if high < 1 else everywhere),
        }
        for side, holds in sides.items():
            reasons[side] = holds
    if hopeless is not None:
        reasons["hopeless"] = lies_below(check_rate("hopeless", hopeless))
    if solved is not None:
        reasons["solved"] = lies_above(check_rate("solved", solved))
    if width is not None:
        lower, upper = confidence_interval(right, wrong, alpha, mixture)
        reasons["narrow"] = upper - lower < width
    return Interval.where(max_answers, reasons, sides)


def log_martingale(
    correct: Floats, wrong: Floats, rate: float | Floats, mixture: Prior = MIXTURE
) -> Floats:
    """log M_n(rate), elementwise; infinite where the rate makes what was seen impossible."""
    return _log_mixture(correct, wrong, mixture) - _log_likelihood(correct, wrong, rate)


def confidence_interval(
    correct: Floats, wrong: Floats, alpha: float, mixture: Prior = MIXTURE
) -> tuple[Floats, Floats]:
    """Ends of the rates with M_n < 1 / alpha, elementwise, by bisection, rounded outwards."""
    judged = correct + wrong
    rate = np.where(judged > 0, correct / np.maximum(judged, 1), 0.5)
    least = _log_mixture(correct, wrong, mixture) + np.log(alpha)  # of the log-likelihood held
    ends: list[Floats] = []
    for end in (0.0, 1.0):
        out, within = np.full(rate.shape, end), rate.copy()
        for _ in range(_HALVINGS):
            middle = (out + within) / 2
            held = _log_likelihood(correct, wrong, middle) > least
            out, within = np.where(held, out, middle), np.where(held, middle, within)
        ends.append(out)
    return ends[0], ends[1]


def _log_mixture(correct: Floats, wrong: Floats, mixture: Prior) -> Floats:
    from scipy.special import betaln

    return np.asarray(betaln(mixture[0] + correct, mixture[1] + wrong) - betaln(*mixture))


def _log_likelihood(correct: Floats, wrong: Floats, rate: float | Floats) -> Floats:
    from scipy.special import xlog1py, xlogy

    return np.asarray(xlogy(correct, rate) + xlog1py(wrong, -np.asarray(rate)))
