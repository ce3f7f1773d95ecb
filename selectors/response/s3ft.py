"""S3FT, selective self-to-supervised fine-tuning: train on the model's own words where they are right.

A row is a candidate target of a prompt, told apart by `origin`: an answer of the model that will be
tuned (model), the reference restated by it (paraphrase), or the reference itself (gold). For each
prompt the first success in this order is the target:

    1. model        judged correct
    2. paraphrase   judged correct, and no copy of the reference
    3. gold

One row per prompt and no prompt lost, where each has its reference; a prompt without one and without
a success has no target (its rows keep their own reasons, a note in the log counts such prompts). The
score is 2 for a success of the model, 1 for a paraphrase's, 0 for the reference. The judge is whatever
made the verdicts: equal final answers for mathematics, unit tests for code, a model for open
questions. Paraphrases are judged too, since the reference stood in their prompt.

Not stated in the paper, our choice. A paraphrase that is the reference but for white space (and
Unicode form) is gold: the reference is taken in its place. Of several right answers of the model (the
paper draws one) the one with the highest logprob_mean is taken where the table has it, as GRAPE would,
those without a value last; else the first in canonical order, as of several paraphrases or
references. Text that shows nothing is no target (reason `empty`). Under a budget the prompts come in a
seeded order.

The paper's own shares of model / paraphrase / gold are a sanity check: 49.5 / 42.1 / 8.4 % on GSM8K,
30.2 / 32.4 / 37.4 % on MBPP, 66.0 / 25.6 / 8.1 % on NQ. A note in the log says the table's.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.clean.normalise import canonical
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import COMPLETION, LOGPROB_MEAN, ORIGIN, PROMPT_ID, VERDICT, but
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.parameters import NoParameters
from winnow.selectors.pool import Pool
from winnow.selectors.response.answers import (
    GOLD,
    MODEL,
    ORIGINS,
    PARAPHRASE,
    blank,
    origins,
    places,
    unset,
    verdict_reasons,
)


class S3ft(Selector[NoParameters]):
    """One target per prompt: the model's own right answer, else a right paraphrase, else the reference."""

    name = "s3ft"
    paper = "Selective Self-to-Supervised Fine-Tuning (S3FT), arXiv 2502.08130"
    parameters = NoParameters
    own = pa.schema(
        [
            column("target_origin", pa.string(), "model, paraphrase or gold.",
                   null="the row is not its prompt's target")
        ]
    )  # fmt: skip

    def inputs(self, parameters: NoParameters) -> Sequence[Column]:
        return (
            PROMPT_ID,
            ORIGIN,
            COMPLETION,
            but(VERDICT, nulls=True),  # the reference needs none
            but(LOGPROB_MEAN, optional=True, nulls=True),
        )

    def choose(self, pool: Pool, room: int | None, parameters: NoParameters) -> Choice:
        prompts = pool.groups(PROMPT_ID.name)
        origin, reason = origins(pool), verdict_reasons(pool)
        copies, empty = _copies(pool, prompts, origin), blank(pool)
        success = ~empty & ((origin == GOLD) | (unset(reason) & ~copies))
        reason[copies] = "copies_gold"
        reason[empty] = "empty"

        rows = np.flatnonzero(success)
        likely = np.where(origin == MODEL, _logprobs(pool), -np.inf)
        place = places(prompts[rows], origin[rows], -likely[rows])
        target = rows[place == 0]
        chosen = np.full(int(prompts.max()) + 1, -1, dtype=np.int64)
        chosen[prompts[target]] = origin[target]
        reason[rows] = np.where(origin[rows] == chosen[prompts[rows]], "not_best", "not_needed")
        names = np.array(ORIGINS, dtype=object)
        reason[target] = names[origin[target]]
        tag = np.full(len(pool), None, dtype=object)
        tag[target] = names[origin[target]]
        _tell(pool, origin[target], int((chosen < 0).sum()))
        return Choice(
            pool.rng("prompts").permutation(target),
            np.where(success, float(GOLD) - origin, np.nan),
            reason=reason.tolist(),
            columns={"target_origin": tag.tolist()},
        )


def _copies(pool: Pool, prompts: NDArray[np.int64], origin: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) paraphrases that are a reference of their prompt but for white space."""
    texts = pool[COMPLETION.name]
    gold = {(int(prompts[i]), canonical(texts[i])) for i in np.flatnonzero(origin == GOLD)}
    found = np.zeros(len(pool), dtype=bool)
    for i in np.flatnonzero(origin == PARAPHRASE):
        found[i] = (int(prompts[i]), canonical(texts[i])) in gold
    return found


def _logprobs(pool: Pool) -> NDArray[np.float64]:
    if not pool.has(LOGPROB_MEAN.name):
        return np.zeros(len(pool))
    check_logprobs(pool, LOGPROB_MEAN.name)
    values: NDArray[np.float64] = pool[LOGPROB_MEAN.name]
    return np.where(np.isnan(values), -np.inf, values)


def _tell(pool: Pool, origin: NDArray[np.int64], without: int) -> None:
    if len(origin):
        shares = np.bincount(origin, minlength=len(ORIGINS)) / len(origin)
        told = ", ".join(f"{name} {share:.1%}" for name, share in zip(ORIGINS, shares, strict=True))
        pool.progress.note(f"s3ft: {len(origin)} targets: {told}")
    if without:
        pool.progress.note(f"s3ft: {without} prompts have no target: no success and no reference")
