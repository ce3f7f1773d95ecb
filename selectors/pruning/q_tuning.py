"""Q-Tuning (arXiv 2509.23873): which rows to train on, and on which of their tokens, by perplexity and
entropy.

Over the T tokens of a row's answer, under the model to be tuned,

    PPL = exp(-(1 / T) sum_i log p_i)        Ent = (1 / T) sum_i H_i        nats

with p_i the probability of token i and H_i the entropy of the whole distribution there. Rows are kept
in two of four corners of the plane, with low meaning at most the a-quantile of the pool and high at
least the (1 - a)-quantile, so that the middle belongs to no corner:

              Ent low                                 Ent high
    PPL high  Q2 misconception: kept, tokens pruned   Q1 noise: dropped
    PPL low   Q3 known already: dropped               Q4 calibration: kept whole

The level a is found by bisection, `steps` times from low = 0 and high = `highest_level`:
a = (low + high) / 2, r = |Q2 u Q4| / n, then low = a where r is below the wanted share, else high = a.
Quantiles are interpolated linearly. The corners are those of the last a that was tried (our reading).
What is missing then is filled up from the other rows by

    |PPL_n - Ent_n|, largest first (the score),

where _n is min-max scaling to [0, 1] over the pool. These rows are the `supplement`; perplexity and
entropy go together in real data, so that much of a selection can be supplement: a note in the log says
the share, and warns above one half.

The wanted share is the budget over the rows of the pool, and a budget is met exactly: corner rows come
first, then the others, both by |PPL_n - Ent_n|, ties by canonical order, and the order is cut at the
budget (the cut of corner rows is ours). Without a budget the share is `r_sample`, and all corner rows
are kept, filled up to floor(r_sample * n).

Tokens of a row in Q2 are scored, and the share `r_token` with the lowest scores stays:

    s_i = (1 - l) PPL_i + l (PPL_{i-1} + PPL_{i+1})        PPL_i = 1 / p_i, l = neighbour_weight

At an end the one neighbour that is there counts. ceil(r_token * T) tokens stay, at least one; of equal
scores the earlier token stays (both ours). A token that goes is one whose loss has weight 0: it must
stay in the input.

Where the paper's text is at odds with itself: high = 0.5 in the text and 0.49 in the pseudocode (0.49
here); the formula adds the neighbours and the prose averages them (`neighbour`, default sum); the
pseudocode keeps the highest scores while figure and prose call the tokens with high ones harmful
(`keep`, default lowest: our reading, no code to confirm it).

Not stated in the paper, our choice: PPL is cut at its 99 % quantile before it is scaled, since one
outlier would press all others to 0 (`ppl_scale`). A row in both corners, as all are where all values
are equal, is in Q4, that is kept whole. Below 8 rows quantiles say nothing: all are kept, up to the
budget (reason `small_pool`). An answer of no tokens is out (reason `empty`). Numbers above exp(700)
count as exp(700).

The original works on every batch of 8 rows with the model as it is by then. This is one look at the
whole pool with one model: an approximation.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import TOKEN_ENTROPIES, TOKEN_LOGPROBS
from winnow.selectors.logprobs import check_entropies, check_logprobs
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged

SMALL = 8  # rows below which quantiles say nothing
NONE, Q1, Q2, Q3, Q4 = range(5)
_NAMES = np.array(["none", "Q1", "Q2", "Q3", "Q4"], dtype=object)
_LARGEST = 700.0  # exponent, below what float64 can hold
_BLOCK = 2**22  # tokens that are ranked at a time


class QTuningParameters(Parameters):
    r_sample: float = Field(
        0.125, gt=0, le=1, description="Share of rows to keep where no budget is given (the paper's "
        "12.5 %; it also has 25 and 50)."
    )  # fmt: skip
    r_token: float = Field(
        0.5, gt=0, le=1, description="Share of the tokens of a row in Q2 that stay (the paper's 50 %; "
        "it also has 70 and 100)."
    )  # fmt: skip
    steps: int = Field(10, ge=1, description="Steps of the bisection (the paper: about 10).")
    highest_level: float = Field(
        0.49, gt=0, le=0.5, description="Upper end of the bisection, a quantile level (pseudocode; the "
        "text says 0.5)."
    )  # fmt: skip
    neighbour_weight: float = Field(
        0.5, ge=0, le=1, description="Lambda: weight of a token's neighbours (the paper's 0.5)."
    )
    neighbour: Literal["sum", "mean"] = Field(
        "sum", description="How two neighbours count (sum: the formula; mean: the prose)."
    )
    keep: Literal["lowest", "highest"] = Field(
        "lowest", description="Which tokens stay (lowest: figure and prose; highest: pseudocode)."
    )
    ppl_scale: Literal["clip", "log", "raw"] = Field(
        "clip",
        description="Perplexity before it is scaled for the supplement: cut at clip_quantile (ours), "
        "its logarithm, or as it is (the paper's).",
    )
    clip_quantile: float = Field(
        0.99, gt=0, le=1, description="Quantile at which ppl_scale = clip cuts. Ours."
    )


class QTuning(Selector[QTuningParameters]):
    """Rows of high error and low uncertainty, tokens pruned, and of low error and high uncertainty, whole."""

    name = "q_tuning"
    paper = "Q-Tuning (Winning the Pruning Gamble), arXiv 2509.23873"
    parameters = QTuningParameters
    own = pa.schema(
        [
            column("quadrant", pa.string(), "Q1 to Q4, or none between the thresholds.",
                   null="the pool has fewer than 8 rows, or the row no tokens"),
            column("perplexity", pa.float64(), "exp of the mean negative log-probability of a token.",
                   null="the row has no tokens"),
            column("entropy", pa.float64(), "Mean entropy at a token, nats.",
                   null="the row has no tokens"),
            column("keep_reason", pa.string(), "What the row is kept as where it is: Q2, Q4, supplement "
                   "or small_pool.", null="the row is not in the order"),
            column("token_keep", pa.large_list(pa.bool_()), "Which tokens of the answer count in the loss; "
                   "the others stay in the input.", null="the row is not in the order"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: QTuningParameters) -> Sequence[Column]:
        return (TOKEN_LOGPROBS, TOKEN_ENTROPIES)

    def choose(self, pool: Pool, room: int | None, parameters: QTuningParameters) -> Choice:
        logprobs, entropies = _checked(pool)
        surprise, entropy = -logprobs.means(), entropies.means()
        ppl = np.exp(np.minimum(surprise, _LARGEST))
        rows = np.flatnonzero(logprobs.lengths > 0)
        n = len(rows)
        small = n < SMALL
        quadrant = np.full(len(pool), NONE)
        score = np.full(len(pool), np.nan)
        if small:
            order, count = rows, n
        else:
            wanted = math.floor(parameters.r_sample * n + 1e-9) if room is None else min(room, n)
            share = parameters.r_sample if room is None else wanted / n
            quadrant[rows] = quadrants(ppl[rows], entropy[rows], share, parameters)
            score[rows] = _distance(ppl[rows], entropy[rows], parameters)
            corner = np.isin(quadrant, (Q2, Q4))
            order = rows[np.lexsort((-score[rows], ~corner[rows]))]
            count = max(int(corner.sum()), wanted)
            _tell(pool, int(corner.sum()), count if room is None else wanted)
        if room is None:
            order = order[:count]
        kept_as = np.full(len(pool), None, dtype=object)
        kept_as[order] = "small_pool" if small else np.where(
            np.isin(quadrant[order], (Q2, Q4)), _NAMES[quadrant[order]], "supplement"
        )  # fmt: skip
        named = _NAMES[quadrant]
        named[(logprobs.lengths == 0) | small] = None
        return Choice(
            order,
            score,
            count=count,
            reason=_reasons(kept_as, quadrant, logprobs.lengths == 0),
            columns={
                "quadrant": named.tolist(),
                "perplexity": np.where(logprobs.lengths > 0, ppl, np.nan),
                "entropy": entropy,
                "keep_reason": kept_as.tolist(),
                "token_keep": _masks(logprobs, order, quadrant, parameters),
            },
        )


def quadrants(
    ppl: NDArray[np.float64],
    entropy: NDArray[np.float64],
    share: float,
    parameters: QTuningParameters,
) -> NDArray[np.int64]:
    """(n,) NONE or Q1 ... Q4, for the level at which the bisection towards `share` of rows in Q2 and Q4
    ends; of what is in two corners, Q4 goes before Q2, Q2 before Q1 and Q1 before Q3."""
    low, high = 0.0, parameters.highest_level
    found = np.full(len(ppl), NONE)
    for _ in range(parameters.steps):
        level = (low + high) / 2
        ppl_low, ppl_high = np.quantile(ppl, [level, 1 - level])
        entropy_low, entropy_high = np.quantile(entropy, [level, 1 - level])
        found = np.select(
            [
                (ppl <= ppl_low) & (entropy >= entropy_high),
                (ppl >= ppl_high) & (entropy <= entropy_low),
                (ppl >= ppl_high) & (entropy >= entropy_high),
                (ppl <= ppl_low) & (entropy <= entropy_low),
            ],
            [Q4, Q2, Q1, Q3],
            NONE,
        )
        if np.isin(found, (Q2, Q4)).mean() < share:
            low = level
        else:
            high = level
    return found


def _distance(
    ppl: NDArray[np.float64], entropy: NDArray[np.float64], parameters: QTuningParameters
) -> NDArray[np.float64]:
    """(n,) |PPL_n - Ent_n|."""
    match parameters.ppl_scale:
        case "clip":
            ppl = np.minimum(ppl, np.quantile(ppl, parameters.clip_quantile))
        case "log":
            ppl = np.log(ppl)
    return np.abs(_scaled(ppl) - _scaled(entropy))


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Min-max to [0, 1]; 0 where all are equal."""
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else np.zeros(len(values))


def token_scores(logprobs: Ragged, weight: float, neighbour: str) -> NDArray[np.float64]:
    """(tokens,) s_i of every token of every row."""
    ppl = np.exp(np.minimum(-logprobs.values, _LARGEST))
    first = np.zeros(len(ppl) + 1, dtype=bool)  # the last entry stands for the start after the end
    first[logprobs.offsets] = True
    before = np.where(first[:-1], 0.0, np.concatenate([[0.0], ppl[:-1]]))
    after = np.where(first[1:], 0.0, np.concatenate([ppl[1:], [0.0]]))
    around = before + after
    if neighbour == "mean":
        around /= np.maximum(2 - first[:-1].astype(np.int64) - first[1:], 1)
    scores: NDArray[np.float64] = (1 - weight) * ppl + weight * around
    return scores


def lowest_tokens(scores: Ragged, share: float) -> NDArray[np.bool_]:
    """(tokens,) the ceil(share * T) lowest of each row's T tokens, at least one; of equal ones the
    earlier."""
    keep = np.zeros(len(scores.values), dtype=bool)
    lengths = scores.lengths
    by_length = np.argsort(lengths, kind="stable")
    by_length = by_length[lengths[by_length] > 0]
    ends = np.append(np.flatnonzero(np.diff(lengths[by_length])) + 1, len(by_length))
    start = 0
    for end in ends.tolist():
        length = int(lengths[by_length[start]]) if end > start else 1
        step = max(_BLOCK // length, 1)
        count = max(math.ceil(share * length - 1e-9), 1)
        for at in range(start, end, step):  # rows of one length are a matrix
            rows = by_length[at : min(at + step, end)]
            where = scores.offsets[rows][:, None] + np.arange(length)
            block = scores.values[where]
            last = np.partition(block, count - 1, axis=1)[:, count - 1 : count]
            below, equal = block < last, block == last
            left = count - below.sum(axis=1, keepdims=True)
            keep[where] = below | (equal & (equal.cumsum(axis=1) <= left))
        start = end
    return keep


def _masks(
    logprobs: Ragged,
    order: NDArray[np.int64],
    quadrant: NDArray[np.int64],
    parameters: QTuningParameters,
) -> pa.Array:
    """token_keep of every row; null outside the order."""
    kept = np.zeros(len(logprobs), dtype=bool)
    kept[order] = True
    pruned = np.flatnonzero(kept & (quadrant == Q2))
    mine = logprobs.take(pruned)
    scores = token_scores(mine, parameters.neighbour_weight, parameters.neighbour)
    sign = 1.0 if parameters.keep == "lowest" else -1.0
    flags = np.ones(len(logprobs.values), dtype=bool)
    in_pruned = np.repeat(kept & (quadrant == Q2), logprobs.lengths)
    flags[in_pruned] = lowest_tokens(Ragged(sign * scores, mine.offsets), parameters.r_token)
    return pa.LargeListArray.from_arrays(  # a pool can have more tokens than int32 counts
        pa.array(logprobs.offsets, pa.int64()), pa.array(flags), mask=pa.array(~kept)
    )


def _reasons(
    kept_as: NDArray[np.object_], quadrant: NDArray[np.int64], empty: NDArray[np.bool_]
) -> list[str | None]:
    reason = np.array(["quadrant_" + name.lower() for name in _NAMES], dtype=object)[quadrant]
    filled = np.isin(kept_as, ["supplement", "small_pool"])
    reason[filled] = kept_as[filled]
    reason[empty] = "empty"
    reasons: list[str | None] = reason.tolist()
    return reasons


def _checked(pool: Pool) -> tuple[Ragged, Ragged]:
    logprobs, entropies = pool[TOKEN_LOGPROBS.name], pool[TOKEN_ENTROPIES.name]
    odd = np.flatnonzero(logprobs.lengths != entropies.lengths)
    if len(odd):
        at = int(odd[0])
        raise UsageError(
            f"row {pool.ids[at]}: {TOKEN_ENTROPIES.name} holds {entropies.lengths[at]} numbers, but "
            f"{TOKEN_LOGPROBS.name} {logprobs.lengths[at]}; both must hold one for each token"
        )
    check_logprobs(pool, TOKEN_LOGPROBS.name)
    check_entropies(pool, TOKEN_ENTROPIES.name)
    return logprobs, entropies


def _tell(pool: Pool, corner: int, chosen: int) -> None:
    """How much of the selection lies outside Q2 and Q4. `chosen`: its rows, for a budget in tokens
    about."""
    share = max(chosen - corner, 0) / max(chosen, 1)
    text = f"q_tuning: {share:.0%} of {chosen} selected rows are supplement, outside Q2 and Q4"
    if share > 0.5:
        text = (
            f"warning: {text}; perplexity and entropy go together here, and the choice is mostly the "
            "supplement rule's"
        )
    pool.progress.note(text)
