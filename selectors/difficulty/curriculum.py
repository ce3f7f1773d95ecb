"""Light-R1's stages from two graders (arXiv 2503.10460), and ReLIFT's hardest pool (2506.07527).

Rows are prompts; `pool` says which set is chosen.

- `stage_1`: the weak grader's pass rate is below `cut`. The cut is not published; 0.5 is our choice.
- `stage_2`: those of stage 1 that no strong grader always solves (published: neither of two; its
  stage 2 is mostly, not wholly, a subset of stage 1). Each strong grader's pass rate is a column,
  named in `strong`.
- `hardest`: all n answers are wrong. With `format_failures=apart`, as in the authors' code, a prompt
  with a single format failure among them is out, and so is one whose answers all failed so. `fail`
  counts format failures and truncated answers as wrong, which is what the shipped configuration
  amounts to. An answer that nobody could judge for another reason never counts as wrong.
  `n_format_fail` is optional, and no stage of winnow counts it: without it format failures are in
  n_wrong, as our verifiers judge them, and `apart` cannot tell them. `n_truncated` must be no part of
  n_wrong; in the difficulty table it is not, for a truncated answer is never judged there.
  Demonstrations must be verified and at most `max_demonstration_tokens` long, where the table has
  `demonstration_verdict` and `demonstration_tokens`. Without the former a note says that nobody
  verified them.

The own column `stage` is 2 for the rows of stage 2, 1 for the others of stage 1. Order, ours: in
stage 1 the lowest weak pass rate first, in stage 2 the lowest pass rate of the best strong grader;
in the hardest pool the prompt with the most answers, whose hardness is known best. The score is 1
minus that rate, or n. Rates are compared with a slack of 1e-6, since float32 holds 0.7 as 0.69999999.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    DEMONSTRATION_TOKENS,
    DEMONSTRATION_VERDICT,
    N_FORMAT_FAIL,
    N_TRUNCATED,
    N_WRONG,
    PASS_RATE_STRONG,
    PASS_RATE_WEAK,
    N,
    but,
)
from winnow.selectors.difficulty.checks import SLACK, counts, rates, refuse
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool


class CurriculumParameters(Parameters):
    pool: Literal["stage_1", "stage_2", "hardest"] = Field(
        "stage_1", description="Which set is chosen; see above."
    )
    cut: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Weak pass rate, exclusive, below which a prompt is in stage 1 (our choice).",
    )
    strong: tuple[str, ...] = Field(
        (PASS_RATE_STRONG.name,),
        min_length=1,
        description="Columns of the strong graders' pass rates; the best of them counts.",
    )
    format_failures: Literal["apart", "fail"] = Field(
        "apart",
        description="hardest: what answers are that fail by their form, or (fail) are truncated.",
    )
    max_demonstration_tokens: int = Field(
        8192, ge=1, description="hardest: longest demonstration, tokens, inclusive (published)."
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        of_stages = {"cut", "strong"} & self.model_fields_set
        of_hardest = {"format_failures", "max_demonstration_tokens"} & self.model_fields_set
        idle = of_stages if self.pool == "hardest" else of_hardest
        if idle:
            raise ValueError(f"{min(idle)} is no parameter of pool={self.pool}")
        return self


class Curriculum(Selector[CurriculumParameters]):
    """Prompts for a training stage: failed by a weak grader, also by strong ones, or always failed."""

    name = "curriculum"
    paper = "Light-R1, arXiv 2503.10460; ReLIFT, arXiv 2506.07527"
    parameters = CurriculumParameters
    own = pa.schema(
        [
            column("stage", pa.int64(), "Last stage that the prompt belongs to: 1 or 2.",
                   null="it is in neither, or pool=hardest"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: CurriculumParameters) -> Sequence[Column]:
        if parameters.pool == "hardest":
            found = [N, N_WRONG, but(N_FORMAT_FAIL, optional=True)]
            if parameters.format_failures == "fail":
                found.append(but(N_TRUNCATED, optional=True))
            return [
                *found,
                but(DEMONSTRATION_VERDICT, optional=True, nulls=True),
                but(DEMONSTRATION_TOKENS, optional=True),
            ]
        needed = parameters.pool == "stage_2"
        strong = (but(PASS_RATE_STRONG, name=name) for name in parameters.strong)
        return [
            PASS_RATE_WEAK,
            *(but(each, optional=not needed, nulls=not needed) for each in strong),
        ]

    def choose(self, pool: Pool, room: int | None, parameters: CurriculumParameters) -> Choice:
        if parameters.pool == "hardest":
            return _hardest(pool, parameters)
        weak = rates(pool, PASS_RATE_WEAK.name)
        best = _best_strong(pool, parameters)
        first = weak < parameters.cut - SLACK
        second = first & (best < 1 - SLACK)  # unknown: false
        stage = np.where(second, 2.0, np.where(first, 1.0, np.nan))
        chosen = second if parameters.pool == "stage_2" else first
        score = 1 - (best if parameters.pool == "stage_2" else weak)
        reason = np.where(chosen, "", np.where(first, "solved_by_strong", "solved_by_weak"))
        return Choice(
            _best_first(chosen, score), score, reason=reason.tolist(), columns={"stage": stage}
        )


def _best_strong(pool: Pool, parameters: CurriculumParameters) -> NDArray[np.float64]:
    """(n,) largest strong pass rate; NaN where one is not known."""
    best = np.zeros(len(pool))
    for name in parameters.strong:
        best = np.maximum(best, rates(pool, name) if pool.has(name) else np.nan)
    return best


def _hardest(pool: Pool, parameters: CurriculumParameters) -> Choice:
    n, wrong = counts(pool, N.name), counts(pool, N_WRONG.name)
    malformed = counts(pool, N_FORMAT_FAIL.name) if pool.has(N_FORMAT_FAIL.name) else 0 * n
    refuse(pool, wrong > n, N_WRONG.name, "is above n")
    refuse(pool, malformed + wrong > n, N_FORMAT_FAIL.name, "with n_wrong it is above n")
    if parameters.format_failures == "fail":
        cut = counts(pool, N_TRUNCATED.name) if pool.has(N_TRUNCATED.name) else 0 * n
        wrong = wrong + malformed + cut
        refuse(
            pool, wrong > n, N_TRUNCATED.name, "with the other failures it is above n (where truncated "
            "answers were judged wrong, they are in n_wrong already: format_failures=apart)",
        )  # fmt: skip
        malformed = 0 * n
    reason = np.full(len(pool), "", dtype=object)
    if pool.has(DEMONSTRATION_TOKENS.name):
        length = counts(pool, DEMONSTRATION_TOKENS.name)
        reason[length > parameters.max_demonstration_tokens] = "demonstration_too_long"
    if pool.has(DEMONSTRATION_VERDICT.name):
        verified = np.array([v == "correct" for v in pool[DEMONSTRATION_VERDICT.name]])
        reason[~verified] = "demonstration_not_verified"
    else:
        pool.progress.note(
            f"no {DEMONSTRATION_VERDICT.name}: demonstrations must be verified elsewhere"
        )
    reason[wrong < n] = "not_all_wrong"
    reason[malformed > 0] = "format_failure"
    reason[n == 0] = "no_answers"
    return Choice(
        _best_first(reason == "", n),
        n,
        reason=reason.tolist(),
        columns={"stage": np.full(len(pool), np.nan)},
    )


def _best_first(chosen: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.int64]:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-score[rows], kind="stable")]
