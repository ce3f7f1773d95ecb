"""GRAPE (arXiv 2502.04194): of several answers to one instruction, fine-tune on the likeliest one.

With N response tokens y_1 ... y_N to the instruction x, a candidate's score under the model that
will be tuned is

    s = (1 / N) sum_i log p(y_i | x, y_<i)        normalise = mean, the third version of the paper
    s =         sum_i log p(y_i | x, y_<i)        normalise = sum

The first version says no more than "conditional probability", which the sum is. Of each instruction
the top_m candidates with the highest s are kept. `prefer = lowest` is the paper's control: the least
likely ones. All scores must come from one model and tokenizer, the one to be tuned.

The study on Tulu and OLMo data keeps one answer and filters nothing, which are the defaults. The one
on UltraInteract drops answers with a wrong result before (`correct_only`) and keeps as many of each
instruction as the original set had (`top_m = null` with a column `n_keep`).

Not stated in the paper, our choice: ties go to the shorter answer, then to the canonical order;
length is in tokens where token_logprobs is read, else in characters of `completion`, where the table
has that. An answer that shows nothing is rejected (reason `empty`), though its end token may have a
fine log-probability. A prompt needs min_candidates that were neither rejected nor dropped. The mean
favours long and repetitive answers: filter repetition first. Without `correct_only` a fluent wrong
answer may win.

GRAPE ranks within an instruction only. So under a budget the prompts come in a seeded order, first the
best answer of each, then the second of each: never the instructions whose answers are likeliest.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    COMPLETION,
    LOGPROB_MEAN,
    PROMPT_ID,
    TOKEN_LOGPROBS,
    VERDICT,
    but,
)
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.response.answers import (
    CORRECT,
    UNJUDGED,
    WRONG,
    blank,
    by_turns,
    places,
    sizes,
    verdicts,
)

N_KEEP = Column("n_keep", "integer", "Answers to keep of this row's prompt.")


class GrapeParameters(Parameters):
    normalise: Literal["mean", "sum"] = Field(
        "mean",
        description="mean: log-probability per token, from logprob_mean (the paper's third version); "
        "sum: of the whole answer, from token_logprobs.",
    )
    top_m: Annotated[int, Field(ge=1)] | None = Field(
        1,
        description="Answers kept of a prompt (the paper's 1); null: what the column n_keep says, "
        "as in the study on UltraInteract.",
    )
    min_candidates: int = Field(
        2, ge=1, description="Candidates that a prompt needs (the paper's 2)."
    )
    correct_only: bool = Field(
        False,
        description="Drop answers that are not judged correct before they are compared; off as in "
        "the study on Tulu, on in the one on UltraInteract.",
    )
    prefer: Literal["highest", "lowest"] = Field(
        "highest", description="lowest: the paper's control, the least likely answers."
    )


class Grape(Selector[GrapeParameters]):
    """Of each prompt's answers, the one most likely under the model to be tuned."""

    name = "grape"
    paper = "GRAPE, arXiv 2502.04194"
    parameters = GrapeParameters
    own = pa.schema(
        [
            column("n_candidates", pa.int64(), "Answers of the prompt that were compared."),
            column("place", pa.int64(), "Place among them, from 0.", null="it was not compared"),
        ]
    )

    def inputs(self, parameters: GrapeParameters) -> Sequence[Column]:
        return (
            PROMPT_ID,
            LOGPROB_MEAN if parameters.normalise == "mean" else TOKEN_LOGPROBS,
            but(COMPLETION, optional=True),
            *([VERDICT] if parameters.correct_only else []),
            *([N_KEEP] if parameters.top_m is None else []),
        )

    def choose(self, pool: Pool, room: int | None, parameters: GrapeParameters) -> Choice:
        prompts = pool.groups(PROMPT_ID.name)
        score, length, empty = _scored(pool)
        reason = np.full(len(pool), None, dtype=object)
        reason[empty] = "empty"
        compared = ~empty
        if parameters.correct_only:
            verdict = verdicts(pool)
            reason[verdict == WRONG] = "wrong"
            reason[verdict == UNJUDGED] = "unjudged"
            compared &= verdict == CORRECT
        rows = np.flatnonzero(compared)
        count = sizes(prompts, compared)
        better = score if parameters.prefer == "lowest" else -score
        place = np.full(len(pool), -1, dtype=np.int64)
        place[rows] = places(prompts[rows], better[rows], length[rows])
        enough = count >= parameters.min_candidates
        reason[rows] = np.where(enough[rows], "not_best", "few_candidates")
        best = rows[enough[rows] & (place[rows] < _kept(pool, prompts, parameters)[rows])]
        reason[best] = None
        return Choice(
            by_turns(pool, prompts, best, place[best]),
            score,
            reason=reason.tolist(),
            columns={"n_candidates": count, "place": pa.array(place, mask=place < 0)},
        )


def _scored(pool: Pool) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Score, length as far as it is known, and whether the answer is empty."""
    empty = blank(pool)
    if pool.has(TOKEN_LOGPROBS.name):
        tokens: Ragged = pool[TOKEN_LOGPROBS.name]
        check_logprobs(pool, TOKEN_LOGPROBS.name)
        score, length = tokens.sums(), tokens.lengths
        empty = empty | (length == 0)
    else:
        score = pool[LOGPROB_MEAN.name]
        check_logprobs(pool, LOGPROB_MEAN.name)
        texts = pool[COMPLETION.name] if pool.has(COMPLETION.name) else [""] * len(pool)
        length = np.array([len(t) for t in texts], dtype=np.int64)
    return np.where(empty, -np.inf, score), length, empty


def _kept(pool: Pool, prompts: NDArray[np.int64], parameters: GrapeParameters) -> NDArray[np.int64]:
    """(n,) answers kept of each row's prompt."""
    if parameters.top_m is not None:
        return np.full(len(pool), parameters.top_m, dtype=np.int64)
    kept: NDArray[np.int64] = pool[N_KEEP.name]
    first = np.unique(prompts, return_index=True)[1][prompts]
    odd = np.flatnonzero((kept != kept[first]) | (kept < 0))
    if len(odd):
        at, other = int(odd[0]), int(first[odd[0]])
        raise UsageError(
            f"row {pool.ids[at]}: {N_KEEP.name} is {kept[at]}; it must be at least 0 and the same for "
            f"all answers of a prompt (row {pool.ids[other]}: {kept[other]})"
        )
    return kept
