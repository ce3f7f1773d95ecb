"""`interval`, mode `calibrated`: the fewest answers for a wanted rate of wrong band decisions.

The stated prior is what tasks' pass rates are drawn from. Over that prior, not for each single rate,
the chance of a wrong decision is at most `error`; near an edge of the band it is larger, far from it
smaller. For an error that holds at every rate: `guaranteed`.

Constant posterior thresholds would spend many answers on tasks close to an edge, which then stay
doubtful anyway. So the table is the optimal one (`optimal`): it stops where another answer is not
worth its cost, and the only numbers to choose are the error and the cap.
"""

import numpy as np

from winnow.pipeline.estimate.intervals import CREDIBLE
from winnow.synth.stopping.counts import (
    Band,
    Bools,
    Prior,
    check_band,
    check_cap,
    check_prior,
    check_rate,
    next_correct,
)
from winnow.synth.stopping.interval import Interval, Reason, Side
from winnow.synth.stopping.optimal import calibrated_stops
from winnow.synth.stopping.posterior import band_masses, interval_width, mass_above, mass_below

JEFFREYS = (0.5, 0.5)  # most tasks are easy or hard for one policy
SURELY = 0.95


def calibrated(
    max_answers: int,
    *,
    prior: Prior = JEFFREYS,
    band: Band | None = None,
    error: float | None = None,
    hopeless: float | None = None,
    solved: float | None = None,
    surely: float = SURELY,
    width: float | None = None,
    mass: float = CREDIBLE,
) -> Interval:
    """The rule that stops at the first of these:

    - `band` (both edges in it) and `error`: the side of the band is known well enough, so that over
      the prior at most a share `error` of all decisions is wrong; the decision is the likelier of
      inside and outside. What the other reasons, or the cap, decide is counted in that rate. Nothing
      is drawn where the prior alone is as sure.
    - `hopeless`, `solved`: P(rate < hopeless) >= surely, P(rate > solved) >= surely.
    - `width`: the equal-tailed credible interval that holds `mass` is narrower than this.
    - `max_answers` drawn.

    Raises ValueError for parameters without sense, and for an error that `max_answers` answers
    cannot reach (the message says the least).
    """
    cap = check_cap(max_answers)
    check_prior(prior)
    if not 0.5 < surely < 1:
        raise ValueError(f"surely ({surely}) must be above 1/2 and below 1")
    if (band is None) != (error is None):
        raise ValueError("band and error belong together: give both or none")
    reasons: dict[Reason, Bools] = {}
    if hopeless is not None:
        reasons["hopeless"] = mass_below(cap, prior, check_rate("hopeless", hopeless)) >= surely
    if solved is not None:
        reasons["solved"] = mass_above(cap, prior, check_rate("solved", solved)) >= surely
    if width is not None:
        reasons["narrow"] = interval_width(cap, prior, mass) < width
    sides: dict[Side, Bools] = {}
    if band is not None and error is not None:
        check_rate("error", error)
        below, inside, above = band_masses(cap, prior, check_band(band))
        likelier = inside >= 0.5
        sides = {
            "in_band": likelier,
            "below_band": ~likelier & (below >= above),
            "above_band": ~likelier & (below < above),
        }
        forced = np.logical_or.reduce(list(reasons.values())) if reasons else None
        stops = calibrated_stops(
            np.minimum(inside, 1 - inside), next_correct(cap, prior), error, forced
        )
        stops[-1] = False  # the cap is a reason of its own
        reasons |= {side: holds & stops for side, holds in sides.items()}
    return Interval.where(cap, reasons, sides)
