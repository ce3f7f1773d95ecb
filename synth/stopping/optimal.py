"""Optimal stopping for a band decision under a Beta prior, by dynamic programming.

A wrong decision costs `price` answers. Given c right and w wrong answers, e is the smaller of the
posterior probabilities inside and outside the band (the decision is the likelier side) and q the
posterior mean. The least expected cost from here, in answers, is (Bellman)

    V(c, w) = min( price e,  1 + q V(c + 1, w) + (1 - q) V(c, w + 1) ),   price e at the cap

and the rule stops where the first term is not the larger. Of all rules with its error rate under
the prior it has the fewest expected answers: the price is the Lagrange multiplier of the error (Wald
and Wolfowitz 1948; Arrow, Blackwell and Girshick 1949). `calibrated_stops` searches the price.
"""

import numpy as np

from winnow.synth.stopping.counts import Bools, Floats, stop_chances

_DEAREST = 1e12  # price of an error, in answers, at which every answer that can change one is drawn
_FINE = 1.0005  # ratio of neighbouring prices at which the search ends
_TIE = 1e-12  # relative: rounding must not decide whether to go on
_SLACK = 1 + 1e-9  # of an error rate that a rule meets exactly


def optimal_stops(
    error: Floats, next_right: Floats, price: float, forced: Bools | None = None
) -> tuple[Bools, float]:
    """Where another answer is not worth its cost, and the least expected cost V(0, 0) in answers.

    `error` is e at each entry of a table as in `counts`, `next_right` is q. Where `forced`, the rule
    stops in any case.
    """
    cost = price * error[-1]
    stops = np.ones(error.shape, np.bool_)
    for n in range(len(error) - 2, -1, -1):
        q = next_right[n, : n + 1]
        going_on = 1 + q * cost[1 : n + 2] + (1 - q) * cost[: n + 1]
        now = price * error[n, : n + 1]
        stop = stops[n, : n + 1] = now <= going_on * (1 + _TIE)
        if forced is not None:
            stop = stop | forced[n, : n + 1]
        cost = np.where(stop, now, going_on)
    return stops, float(cost[0])


def calibrated_stops(
    error: Floats, next_right: Floats, most: float, forced: Bools | None = None
) -> Bools:
    """Where another answer is not worth its cost, by the optimal rule whose error rate is at most
    `most`, and as near it as can be; where `forced`, it stops too.

    Raises ValueError where even all answers (as far as `forced` leaves them) leave a larger error.
    """

    def solved(price: float) -> tuple[Bools, float]:
        stops, _ = optimal_stops(error, next_right, price, forced)
        all_stops = stops if forced is None else stops | forced
        return stops, float((stop_chances(all_stops, next_right) * error).sum())

    best, least = solved(_DEAREST)
    if least > most * _SLACK:
        raise ValueError(
            f"a rate of wrong band decisions of {most} is out of reach: with {len(error) - 1} answers "
            f"{'' if forced is None else 'and the other reasons to stop '}the least is {least:.4g}"
        )
    cheap, dear = 1.0, _DEAREST  # an answer that costs as much as an error is never drawn
    while dear > _FINE * cheap:
        price = (cheap * dear) ** 0.5
        stops, rate = solved(price)
        if rate <= most * _SLACK:
            best, dear = stops, price
        else:
            cheap = price
    return best


def least_answers(error: Floats, next_right: Floats, most: float) -> float:
    """Expected answers below which no rule with this cap and error rate can go, randomised or not:
    the largest V(0, 0) - price most over all prices (Lagrange duality)."""

    def bound(price: float) -> float:
        return optimal_stops(error, next_right, price)[1] - price * most

    cheap, dear = 1.0, _DEAREST
    while dear > _FINE * cheap:
        third = (dear / cheap) ** (1 / 3)
        if bound(cheap * third) < bound(dear / third):  # concave in the price: one hill
            cheap *= third
        else:
            dear /= third
    return bound(cheap)
