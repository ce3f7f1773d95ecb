"""Intervals for a pass rate, given how many of how many judged answers were right.

Elementwise over arrays that broadcast; float64.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

CREDIBLE = 0.90
CONFIDENCE = 0.95

Interval = tuple[NDArray[np.float64], NDArray[np.float64]]


def wilson_interval(
    correct: ArrayLike, judged: ArrayLike, confidence: float = CONFIDENCE
) -> Interval:
    """Wilson's score interval (Wilson 1927) of c right among n judged, without continuity correction.

    With z the normal quantile of (1 + confidence) / 2:

        (c + z^2 / 2) / (n + z^2)  -+  z / (n + z^2) sqrt(c (n - c) / n + z^2 / 4)

    It stays within [0, 1]; 0 of 0 gives (0, 1). Raises ValueError where not 0 <= c <= n, or the
    confidence is not between 0 and 1.
    """
    from scipy.special import ndtri

    c, n = np.asarray(correct, np.float64), np.asarray(judged, np.float64)
    if not ((c >= 0) & (c <= n)).all():
        raise ValueError("correct must be at least 0 and at most judged")
    z = float(ndtri((1 + _checked(confidence)) / 2))
    spread = c * (n - c) / np.maximum(n, 1)
    centre = (c + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * np.sqrt(spread + z * z / 4)
    # At 0 and n right the bound is 0 or 1 up to rounding.
    return (
        np.where(c == 0, 0.0, np.maximum(centre - half, 0.0)),
        np.where(c == n, 1.0, np.minimum(centre + half, 1.0)),
    )


def beta_interval(alpha: ArrayLike, beta: ArrayLike, mass: float = CREDIBLE) -> Interval:
    """Equal-tailed credible interval of Beta(alpha, beta). Raises ValueError unless 0 < mass < 1, and
    alpha and beta are above 0 and finite."""
    from scipy.special import betaincinv

    tail = (1 - _checked(mass)) / 2
    a, b = np.asarray(alpha, np.float64), np.asarray(beta, np.float64)
    if not all(((x > 0) & np.isfinite(x)).all() for x in (a, b)):
        raise ValueError("alpha and beta must be above 0 and finite")
    return np.asarray(betaincinv(a, b, tail)), np.asarray(betaincinv(a, b, 1 - tail))


def _checked(mass: float) -> float:
    if not 0 < mass < 1:
        raise ValueError(f"{mass} must be between 0 and 1")
    return mass
