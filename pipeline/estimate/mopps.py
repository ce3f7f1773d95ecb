"""MoPPS: the pass rate of a prompt as a Beta posterior that forgets (arXiv 2507.04632).

A prompt starts at Beta(alpha0, beta0), (1, 1) or what an old run suggests (`prior_from_run`). After
k more answers with s right (`update`), with discount lam:

    alpha <- lam alpha + (1 - lam) alpha0 + s
    beta  <- lam beta  + (1 - lam) beta0  + k - s

lam = 1 never forgets; less follows a policy that learns. To select, draw g ~ Beta(alpha, beta) for
each prompt (Thompson sampling) and take those nearest the target (`nearest_first`) or those within
a band (`inside_first`). No answer has to be drawn for that. The authors' repository forms k - s with
a slip of operator precedence that shows at k = 1; this is the formula of its README.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

TARGET = 0.5
BAND = (0.3, 0.7)
RUN_WEIGHT = 3.0  # of each answer of an old run

Posterior = tuple[NDArray[np.float64], NDArray[np.float64]]


def prior_from_run(correct: ArrayLike, wrong: ArrayLike, weight: float = RUN_WEIGHT) -> Posterior:
    """Prior (alpha0, beta0) from an old run: 1 + weight c, 1 + weight (m - c). Elementwise.

    Raises ValueError for a count or weight below 0.
    """
    c, w = np.asarray(correct, np.float64), np.asarray(wrong, np.float64)
    if not ((c >= 0) & (w >= 0)).all() or weight < 0:
        raise ValueError("counts and weight must be at least 0")
    return 1 + weight * c, 1 + weight * w


def update(
    alpha: ArrayLike,
    beta: ArrayLike,
    correct: ArrayLike,
    wrong: ArrayLike,
    *,
    discount: float = 1.0,
    prior: tuple[ArrayLike, ArrayLike] = (1.0, 1.0),
) -> Posterior:
    """The posterior after one round of answers. Elementwise; answers that nobody judged count in
    neither number.

    Raises ValueError for a count below 0, or a discount outside [0, 1].
    """
    c, w = np.asarray(correct, np.float64), np.asarray(wrong, np.float64)
    if not ((c >= 0) & (w >= 0)).all():
        raise ValueError("counts must be at least 0")
    if not 0 <= discount <= 1:
        raise ValueError(f"discount ({discount}) must be at least 0 and at most 1")
    alpha0, beta0 = (np.asarray(p, np.float64) for p in prior)
    kept_alpha = discount * np.asarray(alpha, np.float64)
    kept_beta = discount * np.asarray(beta, np.float64)
    return kept_alpha + (1 - discount) * alpha0 + c, kept_beta + (1 - discount) * beta0 + w


def nearest_first(draws: NDArray[np.float64], target: float = TARGET) -> NDArray[np.int64]:
    """Indices of the draws (n,), smallest (g - target)^2 first; equal ones in their order."""
    return np.argsort((draws - target) ** 2, kind="stable")


def inside_first(
    draws: NDArray[np.float64],
    rng: np.random.Generator,
    band: tuple[float, float] = BAND,
    target: float = TARGET,
) -> NDArray[np.int64]:
    """Indices of the draws (n,): those within the band (both edges in it), shuffled, then the others,
    nearest the target first. What comes first within the band is not stated; the shuffle is ours."""
    inside = (draws >= band[0]) & (draws <= band[1])
    nearest = nearest_first(draws, target)
    return np.concatenate([rng.permutation(np.flatnonzero(inside)), nearest[~inside[nearest]]])
