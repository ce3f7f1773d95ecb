"""LIMR: learning impact measurement (arXiv 2502.11886).

A prompt's accuracy over the epochs of a reinforcement learning run is compared with the mean
accuracy m of all prompts that have one in every epoch k:

    score = 1 - sum_k (a[k] - m[k])^2 / sum_k (1 - m[k])^2

1 is a prompt that learns exactly as the mean does; there is no lower bound. Selected is
score >= theta, as in the authors' code (the paper writes a strict >; on the released scores only >=
gives the released 1,389 prompts), with a slack of 1e-6 for rounding. Those released scores have two
decimals, so that a score of 0.595 passed: `decimals` = 2 compares as they do. The paper calls the
values rewards; the code, and this, takes the share of answers with reward exactly 1.

Epochs in which no answer was drawn are -1, null or NaN. What becomes of them is `fill`:

- `official`: what the code does, though its comment says forward fill: one pass from left to right
  gives a missing epoch the value of the next one. Of a run of missing epochs only the last is
  filled, and a missing final epoch never is.
- `none`: nothing is filled.
- `linear` (ours): a straight line between the known neighbours of a gap of any length. Gaps at
  either end have a neighbour on one side only and stay: nothing is extrapolated.

Filling looks at all epochs, also where only the first `epochs` count. A prompt with an epoch still
missing does not qualify. The code's score is not a number where m is 1 in all epochs; here it is 1
(every prompt then equals the mean curve), and the reason `always_right` marks such rows.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import ACCURACIES, but
from winnow.selectors.difficulty.checks import SLACK
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.trajectory.curves import curves

Fill = Literal["official", "none", "linear"]


class LimrParameters(Parameters):
    theta: float | None = Field(
        0.6,
        description="Least score, inclusive (README and launch script; the code's own default is "
        "0.2). null: no threshold, the budget alone decides.",
    )
    decimals: int | None = Field(
        None, ge=0, le=15,
        description="Round scores to so many decimals before they are compared with theta (the "
        "released scores have 2). null: compare them as they are.",
    )  # fmt: skip
    fill: Fill = Field(
        "official",
        description="What fills an epoch without answers: official (the next epoch's value, one "
        "place), none, or linear (between the neighbours).",
    )
    epochs: int | None = Field(
        None, ge=1,
        description="E: how many epochs count, from the first (published: 21). null, our default: all.",
    )  # fmt: skip


class Limr(Selector[LimrParameters]):
    """Prompts whose accuracy over the epochs of an RL run follows the mean learning curve."""

    name = "limr"
    paper = "LIMR, arXiv 2502.11886"
    parameters = LimrParameters
    own = pa.schema(
        [
            column("epochs_filled", pa.int64(), "Epochs without answers that were filled in.",
                   null="the row has no accuracies"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: LimrParameters) -> Sequence[Column]:
        return (but(ACCURACIES, nulls=True),)

    def choose(self, pool: Pool, room: int | None, parameters: LimrParameters) -> Choice:
        rows, given = curves(pool, ACCURACIES.name)
        given = np.where(given == -1, np.nan, given)
        _check_shares(pool, rows, given)
        most = given.shape[1]
        epochs = most if parameters.epochs is None else parameters.epochs
        if epochs > most:
            raise UsageError(f"epochs: {epochs}, but accuracies has {most}")
        filled = fill_missing(given, parameters.fill)[:, :epochs]
        whole = ~np.isnan(filled).any(axis=1)

        score = np.full(len(pool), np.nan)
        score[rows[whole]] = lim_scores(filled[whole])
        reason: list[str | None] = ["no_accuracies"] * len(pool)
        for at in rows[~whole].tolist():
            reason[at] = "missing_epoch"
        undefined = bool((filled[whole] == 1).all())
        for at in rows[whole].tolist():
            reason[at] = "always_right" if undefined else None
        order = rows[whole]
        if parameters.theta is not None:
            compared = score[order]
            if parameters.decimals is not None:
                compared = np.round(compared, parameters.decimals)
            passes = compared >= parameters.theta - SLACK
            for at in order[~passes].tolist():
                reason[at] = "below_theta"
            order = order[passes]
        order = order[np.argsort(-score[order], kind="stable")]

        counted = np.full(len(pool), np.nan)
        counted[rows] = (np.isnan(given[:, :epochs]) & ~np.isnan(filled)).sum(axis=1)
        return Choice(order, score, reason=reason, columns={"epochs_filled": counted})


def fill_missing(accuracies: NDArray[np.float64], fill: Fill) -> NDArray[np.float64]:
    """Accuracies (n, epochs) with missing ones (NaN) filled by the rule `fill`, where it fills them."""
    filled = accuracies.copy()
    if fill == "official":
        # The pass goes from left to right: the next epoch is still what it was.
        unknown = np.isnan(accuracies[:, :-1])
        filled[:, :-1] = np.where(unknown, accuracies[:, 1:], accuracies[:, :-1])
    elif fill == "linear":
        n, epochs = accuracies.shape
        known = ~np.isnan(accuracies)
        at = np.broadcast_to(np.arange(epochs), (n, epochs))
        before = np.maximum.accumulate(np.where(known, at, -1), axis=1)
        after = np.minimum.accumulate(np.where(known, at, epochs)[:, ::-1], axis=1)[:, ::-1]
        row, gap = np.nonzero(~known & (before >= 0) & (after < epochs))
        left, right = before[row, gap], after[row, gap]
        share = (gap - left) / (right - left)
        filled[row, gap] = (1 - share) * accuracies[row, left] + share * accuracies[row, right]
    return filled


def lim_scores(accuracies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Learning impact (n,) of accuracies (n, epochs) without gaps, against their own mean curve.

    Where that curve is 1 throughout, the quotient has no value: a row equal to it scores 1, any
    other -inf (impossible for accuracies up to 1). No rows give no scores.
    """
    if not len(accuracies):
        return np.zeros(0)
    mean = accuracies.mean(axis=0)
    off = ((accuracies - mean) ** 2).sum(axis=1)
    room = float(((1 - mean) ** 2).sum())
    if room == 0:
        return np.where(off == 0, 1.0, -np.inf)
    scores: NDArray[np.float64] = 1 - off / room
    return scores


def _check_shares(pool: Pool, rows: NDArray[np.int64], accuracies: NDArray[np.float64]) -> None:
    bad = (accuracies < 0) | (accuracies > 1)
    if bad.any():
        row, epoch = (int(i) for i in np.argwhere(bad)[0])
        raise UsageError(
            f"accuracies: row {pool.ids[rows[row]]}, epoch {epoch}: {accuracies[row, epoch]:g} is "
            "neither a share in 0..1 nor -1 (no answers)"
        )
