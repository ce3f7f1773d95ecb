"""DRO: prompts whose reference is within reach and depends on the reasoning; R3 as reward.

For a prompt with reference tokens j and sampled answers i, l_ij is the log-probability of token j
after the reasoning of answer i, and rk_ij its place in the vocabulary.

1. Too hard: h_i is the mean rank of the worst `rho` % of the tokens after reasoning i. The prompt
   passes iff min_i h_i <= k.
2. No effect of the reasoning: sigma_j is the standard deviation of l_ij over i, and the key of the
   prompt is max_j sigma_j. Of the prompts that pass, sorted by key, the last `tail` % are dropped.
3. `carry_over` % of the prompts of the previous set (rows with `previous`) stay whatever the stages
   say.

The reward of an answer is

    R3_i = sum_j w(sigma_j) (l_ij - l_j(masked)) + 1 - b | |y| - |y_i| | / |y|

with l_j(masked) the log-probability after the masked reasoning (`reference_logprobs_masked`; where
the table has no such column, `reference_logprobs_alone`, which is no reasoning at all), |y| the
length of the reference and |y_i| that of the answer's own final answer (`answer_tokens`, as
`winnow features --need reference` gives it; where there is none, the length part is left out).

The score is the prompt's key, max_j sigma_j; R3 is a column of its own.

Not stated in the paper's text, our choice: rho = 10, k = 50, tail = 25, b = 1; the worst rho % are
rounded up to whole tokens, at least one; the standard deviation has n below, so that one answer gives
0; the share that is dropped or carried over is rounded down; which prompts are carried over is a
seeded draw; w(sigma) = sigma, or its square (`spread_weight`; the paper only asks that w increases).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    ANSWER_TOKENS,
    PREVIOUS,
    PROMPT_ID,
    REFERENCE_LOGPROBS,
    REFERENCE_LOGPROBS_ALONE,
    REFERENCE_LOGPROBS_MASKED,
    REFERENCE_RANKS,
    but,
)
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.verifier_free.reference import check_filled, checked, row_of

_BLOCK = 1 << 22  # numbers held at a time as a matrix


class DroParameters(Parameters):
    """Parameters of `dro`."""

    rho: float = Field(
        10.0, gt=0, le=100, description="Share of the worst tokens that make up hardness, %. Ours."
    )
    k: float = Field(50.0, ge=1, description="Highest hardness of the best answer, ranks. Ours.")
    tail: float = Field(
        25.0, ge=0, le=100, description="Share of the prompts that pass the first stage to drop, %. "
        "Ours."
    )  # fmt: skip
    carry_over: float = Field(
        10.0, ge=0, le=100, description="Share of the previous set's prompts that stay, %. Paper."
    )
    b: float = Field(1.0, ge=0, description="Weight of the length part of R3. Ours.")
    spread_weight: Literal["identity", "square"] = Field(
        "identity", description="w in R3: sigma, or its square (the variance). Ours."
    )
    whole_prompts: bool = Field(
        False,
        description="Whether a budget never divides the answers of a prompt; it can then stay unspent "
        "by less than one prompt's answers.",
    )


class Dro(Selector[DroParameters]):
    """Prompts with a reachable reference that depends on the reasoning (open-ended tasks).

    A row is an answer; all answers of a kept prompt qualify. Prompts that are carried over come
    first, then the largest keys. The cost is linear in the tokens.
    """

    name = "dro"
    paper = "DRO, arXiv 2506.13351"
    parameters = DroParameters
    own = pa.schema(
        [
            column("hardness", pa.float64(), "Lowest mean rank of the worst tokens over the prompt's "
                   "answers.", null="the row lacks a value"),
            column("reflection", pa.float64(), "Largest standard deviation of a reference token's "
                   "log-probability over the answers, nats.", null="the row lacks a value"),
            column("r3", pa.float64(), "R3 reward of this answer.",
                   null="no masked or plain log-probabilities, or the row lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: DroParameters) -> Sequence[Column]:
        return (
            PROMPT_ID,
            REFERENCE_RANKS,
            REFERENCE_LOGPROBS,
            but(REFERENCE_LOGPROBS_MASKED, optional=True, nulls=True),
            but(REFERENCE_LOGPROBS_ALONE, optional=True, nulls=True),
            but(ANSWER_TOKENS, optional=True, nulls=True),
            but(PREVIOUS, optional=True, nulls=True),
        )

    def choose(self, pool: Pool, room: int | None, parameters: DroParameters) -> Choice:
        group = pool.groups(PROMPT_ID.name)
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        ranks, logprobs = (
            check_filled(pool, REFERENCE_RANKS),
            checked(pool, REFERENCE_LOGPROBS),
        )
        _check_lengths(pool, ranks, logprobs, group, first)
        each = hardness(ranks, parameters.rho)
        hard = np.full(len(first), np.inf)
        np.minimum.at(hard, group, each)
        sigmas = token_spread(logprobs, group)
        key = np.full(len(first), -np.inf)
        np.maximum.at(key, group, _maxima(sigmas))
        reachable = hard <= parameters.k
        kept = _without_tail(key, reachable, parameters.tail)
        carried = _carried(pool, group, len(first), parameters.carry_over)
        reasons = np.full(len(first), None, dtype=object)
        reasons[~kept] = "no_reasoning_effect"
        reasons[~reachable] = "too_hard"
        reasons[carried] = "carried_over"
        order = np.lexsort((first[group], -key[group], ~carried[group]))
        order = order[(kept | carried)[group][order]]
        return Choice(
            order,
            key[group],
            reason=reasons[group].tolist(),
            unit=group[order] if parameters.whole_prompts else None,
            columns={
                "hardness": hard[group],
                "reflection": key[group],
                "r3": _rewards(pool, logprobs, sigmas, parameters),
            },
        )


def hardness(ranks: Ragged, rho: float) -> NDArray[np.float64]:
    """h (n,): mean of the largest `rho` % of each row's ranks, rounded up to whole tokens.

    Rows must not be empty.
    """
    found = np.empty(len(ranks))
    for rows, matrix in _by_length(ranks):
        length = matrix.shape[1]
        worst = max(1, math.ceil(rho * length / 100 - 1e-9))  # 10 % of 30 is a little above 3
        found[rows] = np.partition(matrix, length - worst, axis=1)[:, length - worst :].mean(axis=1)
    return found


def token_spread(logprobs: Ragged, group: NDArray[np.int64]) -> Ragged:
    """sigma_j of its group (n,), for every row: standard deviation over the rows, n below.

    The rows of a group must be of one length. Exactly 0 where all rows agree.
    """
    order = np.argsort(group, kind="stable")
    sorted_ = logprobs.take(order)
    spread = np.empty_like(sorted_.values)
    for rows, matrix in _by_length(sorted_, group[order]):
        starts = np.flatnonzero(np.diff(group[order][rows], prepend=-1))
        counts = np.diff(starts, append=len(rows))
        of = np.repeat(np.arange(len(starts)), counts)
        off = matrix - (np.add.reduceat(matrix, starts) / counts[:, None])[of]
        sigma = np.sqrt(np.add.reduceat(off * off, starts) / counts[:, None])
        agree = np.maximum.reduceat(matrix, starts) == np.minimum.reduceat(matrix, starts)
        at = sorted_.offsets[rows][:, None] + np.arange(matrix.shape[1])
        spread[at] = np.where(agree, 0.0, sigma)[of]
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return Ragged(spread, sorted_.offsets).take(back)


def _by_length(
    values: Ragged, together: NDArray[np.int64] | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Rows of one length as a matrix, so many at a time; rows `together` (sorted) stay together."""
    lengths = values.lengths
    by_length = np.argsort(lengths, kind="stable")
    for rows in np.split(by_length, np.flatnonzero(np.diff(lengths[by_length])) + 1):
        length = int(lengths[rows[0]])
        size = max(1, _BLOCK // max(1, length))
        cuts = np.arange(size, len(rows), size)
        if together is not None:  # a block ends where a group does
            ends = np.append(np.flatnonzero(np.diff(together[rows])) + 1, len(rows))
            cuts = np.unique(ends[np.searchsorted(ends, cuts)])
        for part in np.split(rows, cuts):
            if len(part):
                yield part, values.values[values.offsets[part][:, None] + np.arange(length)]


def _maxima(values: Ragged) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.maximum.reduceat(values.values, values.offsets[:-1])
    return found


def _without_tail(
    key: NDArray[np.float64], among: NDArray[np.bool_], tail: float
) -> NDArray[np.bool_]:
    """Which of the prompts `among` are left when those with the smallest keys are dropped."""
    ranked = np.flatnonzero(among)
    ranked = ranked[np.argsort(-key[ranked], kind="stable")]
    dropped = math.floor(len(ranked) * tail / 100 + 1e-9)
    kept = np.zeros(len(key), dtype=bool)
    kept[ranked[: len(ranked) - dropped]] = True
    return kept


def _carried(pool: Pool, group: NDArray[np.int64], prompts: int, share: float) -> NDArray[np.bool_]:
    """Which prompts (g,) of the previous set stay whatever the stages say."""
    carried = np.zeros(prompts, dtype=bool)
    if pool.has(PREVIOUS.name):
        was = np.unique(group[np.array([flag is True for flag in pool[PREVIOUS.name]], bool)])
        stay = math.floor(len(was) * share / 100 + 1e-9)
        carried[pool.rng("carry over").permutation(was)[:stay]] = True
    return carried


def _rewards(
    pool: Pool, logprobs: Ragged, sigmas: Ragged, parameters: DroParameters
) -> NDArray[np.float64]:
    """R3 of each answer; NaN where it has nothing to compare with."""
    names = (REFERENCE_LOGPROBS_MASKED.name, REFERENCE_LOGPROBS_ALONE.name)
    name = next((n for n in names if pool.has(n)), None)
    if name is None:
        return np.full(len(pool), np.nan)
    check_logprobs(pool, name)
    masked: Ragged = pool[name]
    there = masked.lengths > 0
    _refuse(pool, there & (masked.lengths != logprobs.lengths), name,
            "has another number of tokens than reference_logprobs")  # fmt: skip
    compared = np.full(len(logprobs.values), np.nan)
    compared[np.repeat(there, logprobs.lengths)] = masked.values
    compared[~np.isfinite(compared)] = np.nan
    weights = sigmas.values if parameters.spread_weight == "identity" else sigmas.values**2
    gain = Ragged(weights * (logprobs.values - compared), logprobs.offsets).sums()
    if not pool.has(ANSWER_TOKENS.name):
        return gain
    own = pool[ANSWER_TOKENS.name]
    _refuse(pool, own < 0, ANSWER_TOKENS.name, "is below 0")
    length = 1 - parameters.b * np.abs(logprobs.lengths - own) / logprobs.lengths
    reward: NDArray[np.float64] = gain + np.where(np.isnan(own), 0.0, length)
    return reward


def _check_lengths(
    pool: Pool,
    ranks: Ragged,
    logprobs: Ragged,
    group: NDArray[np.int64],
    first: NDArray[np.int64],
) -> None:
    if len(ranks.values) and ranks.values.min() < 1:
        row = row_of(ranks, int(ranks.values.argmin()))
        raise UsageError(
            f"row {pool.ids[row]!r}: {REFERENCE_RANKS.name}: holds {ranks.values.min():.4g}; "
            "ranks count from 1"
        )
    _refuse(pool, ranks.lengths != logprobs.lengths, REFERENCE_RANKS.name,
            "has another number of tokens than reference_logprobs")  # fmt: skip
    _refuse(pool, logprobs.lengths != logprobs.lengths[first][group], REFERENCE_LOGPROBS.name,
            "has another number of tokens than another row of its prompt")  # fmt: skip


def _refuse(pool: Pool, bad: NDArray[np.bool_], name: str, why: str) -> None:
    if bad.any():
        raise UsageError(f"row {pool.ids[int(np.flatnonzero(bad)[0])]!r}: {name}: {why}")
