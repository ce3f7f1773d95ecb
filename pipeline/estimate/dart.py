"""DART: how many right answers a prompt gets, and when to stop sampling for it (arXiv 2407.13690).

Elementwise over arrays that broadcast; one entry per prompt.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

K_UNIFORM = 40  # right answers per prompt under Uniform
K_PROP2DIFF = 192  # right answers of the hardest prompt under Prop2Diff
_GUARD = 1e-9  # 10 (1 - 0.7) is 3.0000000000000004; rounding up must not make it 4


def uniform_targets(prompts: int, k_u: int = K_UNIFORM) -> NDArray[np.int64]:
    """DARS-Uniform: k_u right answers for each of the prompts."""
    return np.full(prompts, _positive("k_u", k_u), np.int64)


def prop2diff_targets(
    fail_rate: ArrayLike, k_p: int = K_PROP2DIFF, *, cover: bool = True
) -> NDArray[np.int64]:
    """DARS-Prop2Diff: ceil(k_p f / max f) right answers for fail rates f (n,) in [0, 1].

    The authors did not release this code; dividing by the largest fail rate is our reading of "the
    most challenging queries receive k_p". `cover` gives every prompt at least 1: rounding up alone
    leaves 0 where f = 0. Where no prompt ever fails all get 1 with cover and 0 without.
    Raises ValueError for a rate that is outside [0, 1] or NaN.
    """
    f = _shares(fail_rate)
    hardest = f.max(initial=0.0)
    share = f / hardest if hardest > 0 else np.zeros_like(f)
    targets = np.ceil(_positive("k_p", k_p) * share - _GUARD).astype(np.int64)
    return np.maximum(targets, 1 if cover else 0)


def stop_reason(
    trials: ArrayLike,
    correct: ArrayLike,
    *,
    max_trials: ArrayLike | None = None,
    min_correct: ArrayLike | None = None,
    official_strict: bool = False,
) -> NDArray[np.str_]:
    """Why to stop sampling for a prompt with so many trials and right answers; "" to go on.

    "max_n_trials" where trials >= max_trials, else "max_n_corrects" where correct >= min_correct. A
    limit that is None or not above 0 is none. `official_strict`: the second comparison as in the
    authors' code, correct > min_correct, which stops after one right answer more than it was asked
    for.
    """
    n, c = np.asarray(trials), np.asarray(correct)
    most = np.asarray(0 if max_trials is None else max_trials)
    least = np.asarray(0 if min_correct is None else min_correct)
    enough = c > least if official_strict else c >= least
    return np.where(
        (most > 0) & (n >= most),
        "max_n_trials",
        np.where((least > 0) & enough, "max_n_corrects", ""),
    )


def expected_trials(target: ArrayLike, fail_rate: ArrayLike) -> NDArray[np.float64]:
    """Answers that have to be drawn, in the mean, for `target` right ones: target / (1 - fail_rate);
    infinite where no answer is ever right, 0 where none is wanted.

    Raises ValueError for a target that is negative or NaN, and for a rate that is outside [0, 1] or NaN.
    """
    wanted, f = np.asarray(target, np.float64), _shares(fail_rate)
    if not (wanted >= 0).all():
        raise ValueError("targets must be at least 0")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(wanted == 0, 0.0, wanted / (1 - f))


def _shares(fail_rate: ArrayLike) -> NDArray[np.float64]:
    f = np.asarray(fail_rate, np.float64)
    if not ((f >= 0) & (f <= 1)).all():
        raise ValueError("fail rates must be at least 0 and at most 1")
    return f


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(f"{name} ({value}) must be at least 1")
    return value
