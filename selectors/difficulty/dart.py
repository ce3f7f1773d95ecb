"""DART-Math's curation: how many right answers each prompt contributes (arXiv 2407.13690).

Rows are answers. A prompt's difficulty is its fail rate, wrong answers among all raw ones. With
`allocation` `uniform` every prompt contributes up to k_u right answers; with `prop2diff` up to
ceil(k_p f / max f), so that the hardest contributes k_p, and with `cover` no prompt less than 1
(`winnow.pipeline.estimate.dart`); with `vanilla` (VRT, the baseline that draws equally many answers
to every prompt) all right answers. A prompt that has fewer gives those that it has.

- The fail rate is counted in the table, which must then hold the wrong answers too, or taken from
  `n` and `n_correct` where the table has them (`fail_rate_from`). Where a prompt has several tasks
  (references), an answer that is right for any of them counts as right; the counts of a task do not
  say that, so `auto` counts the rows of such a prompt (`task_id`). The authors' code counts answers
  that hit the length limit as wrong, and so does the default for all unjudged ones;
  `unjudged=left_out` leaves them out of both numbers.
- Which of a prompt's right answers: the original takes the first in file order. The order of a file
  means nothing here, so it is the order of `row_id`, or a seeded draw (`which=random`).
- Right answers that repeat an earlier one of their prompt to the letter are dropped first; the
  original keeps them (`deduplicate=false`).
- Under a budget, ours: the answers of all prompts interleave in proportion to what each contributes
  (Webster's divisor method), so that any part keeps the allocation's shares. The score is the fail
  rate of the prompt.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from winnow.pipeline.estimate.dart import (
    K_PROP2DIFF,
    K_UNIFORM,
    prop2diff_targets,
    uniform_targets,
)
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    COMPLETION,
    N_CORRECT,
    N_WRONG,
    PROMPT_ID,
    TASK_ID,
    VERDICT,
    N,
    but,
)
from winnow.selectors.difficulty.checks import counts, refuse
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.proportion import in_proportion
from winnow.selectors.response.answers import CORRECT, UNJUDGED, WRONG, places, verdicts

Allocation = Literal["uniform", "prop2diff", "vanilla"]


class DartParameters(Parameters):
    allocation: Allocation = Field(
        "prop2diff", description="uniform, in proportion to difficulty, or no limit."
    )
    k_u: int = Field(
        K_UNIFORM,
        ge=1,
        description="uniform: right answers per prompt (the recipe's 40; the script's default is 50).",
    )
    k_p: int = Field(
        K_PROP2DIFF, ge=1, description="prop2diff: right answers of the hardest prompt (published)."
    )
    cover: bool = Field(True, description="prop2diff: at least one right answer of every prompt.")
    fail_rate_from: Literal["auto", "rows", "counts"] = Field(
        "auto",
        description="Where the fail rate comes from: the table's rows or the columns n and "
        "n_correct (n_correct and n_wrong with unjudged=left_out); auto: the columns where they are "
        "there, but the rows of a prompt with several task_id.",
    )
    unjudged: Literal["wrong", "left_out"] = Field(
        "wrong",
        description="How answers without a verdict count in the fail rate (the authors' code: as "
        "wrong).",
    )
    deduplicate: bool = Field(
        True, description="Drop right answers that repeat another to the letter (original: false)."
    )
    which: Literal["first", "random"] = Field(
        "first", description="Which right answers: the first by row_id, or a seeded draw."
    )


class Dart(Selector[DartParameters]):
    """Right answers, more of them for prompts that the policy fails more often."""

    name = "dart"
    paper = "DART-Math, arXiv 2407.13690"
    parameters = DartParameters
    own = pa.schema(
        [
            column("target", pa.int64(), "Right answers that the prompt may contribute.",
                   null="no limit, or no answer of the prompt was judged"),
            column("fail_rate", pa.float64(), "Share of wrong answers of the prompt.",
                   null="no answer of the prompt was judged"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: DartParameters) -> Sequence[Column]:
        found = [PROMPT_ID, VERDICT]
        if parameters.deduplicate:
            found.append(but(COMPLETION, nulls=True))
        if parameters.fail_rate_from != "rows":
            optional = parameters.fail_rate_from == "auto"
            found += [but(each, optional=optional) for each in _counted(parameters)]
            found += [but(TASK_ID, optional=True, nulls=True)] if optional else []
        return found

    def choose(self, pool: Pool, room: int | None, parameters: DartParameters) -> Choice:
        prompt = pool.groups(PROMPT_ID.name)
        verdict = verdicts(pool)
        fail_rate = _fail_rates(pool, prompt, verdict, parameters)
        target = _targets(fail_rate, parameters)

        reason = np.full(len(pool), "", dtype=object)
        reason[verdict == WRONG], reason[verdict == UNJUDGED] = "wrong", "unjudged"
        if parameters.deduplicate:
            reason[_repeated(prompt, pool[COMPLETION.name], verdict)] = "duplicate"
        right = np.flatnonzero(reason == "")
        if parameters.which == "random":
            place = places(prompt[right], pool.rng("which").random(len(pool))[right])
        else:
            place = places(prompt[right])
        beyond = place >= target[prompt[right]]  # NaN: no limit
        reason[right[beyond]] = "over_target"
        kept, place = right[~beyond], place[~beyond]
        order = in_proportion(kept[np.lexsort((place, prompt[kept]))], prompt)
        return Choice(
            order,
            fail_rate[prompt],
            reason=reason.tolist(),
            columns={"target": target[prompt], "fail_rate": fail_rate[prompt]},
        )


def _counted(parameters: DartParameters) -> tuple[Column, ...]:
    return (N, N_CORRECT) if parameters.unjudged == "wrong" else (N_CORRECT, N_WRONG)


def _fail_rates(
    pool: Pool,
    prompt: NDArray[np.int64],
    verdict: NDArray[np.int8],
    parameters: DartParameters,
) -> NDArray[np.float64]:
    """Fail rate of each prompt, NaN where nothing was judged."""
    size = int(prompt.max()) + 1
    right = np.bincount(prompt[verdict == CORRECT], minlength=size).astype(np.float64)
    raw = prompt if parameters.unjudged == "wrong" else prompt[verdict != UNJUDGED]
    n = np.bincount(raw, minlength=size).astype(np.float64)
    if parameters.fail_rate_from != "rows" and all(pool.has(c.name) for c in _counted(parameters)):
        first = np.unique(prompt, return_index=True)[1]
        several = np.zeros(size, dtype=bool)
        if pool.has(TASK_ID.name):
            task = pool.groups(TASK_ID.name)
            several[prompt[task != task[first][prompt]]] = True
        for column in _counted(parameters):
            values = counts(pool, column.name)
            refuse(
                pool, (values != values[first][prompt]) & ~several[prompt], column.name,
                "other rows of its prompt differ (fail_rate_from=rows counts the rows instead)",
            )  # fmt: skip
        n_given, right_given = _given(pool, verdict, parameters)
        n = np.where(several, n, n_given[first])
        right = np.where(several, right, right_given[first])
    with np.errstate(invalid="ignore"):
        return (n - right) / n


def _given(
    pool: Pool, verdict: NDArray[np.int8], parameters: DartParameters
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Answers that count, and right ones among them, as the columns of each row say."""
    right = counts(pool, N_CORRECT.name)
    if parameters.unjudged == "wrong":
        n = counts(pool, N.name)
        refuse(pool, n < 1, N.name, "a prompt with an answer has n of at least 1")
        refuse(pool, right > n, N_CORRECT.name, "is above n")
    else:
        n = right + counts(pool, N_WRONG.name)
        refuse(
            pool, (n < 1) & (verdict == CORRECT), N_CORRECT.name,
            "with n_wrong it is 0, but this answer was judged (fail_rate_from=rows counts the rows)",
        )  # fmt: skip
    return n, right


def _targets(fail_rate: NDArray[np.float64], parameters: DartParameters) -> NDArray[np.float64]:
    """Right answers wanted of each prompt; NaN for no limit."""
    target = np.full(len(fail_rate), np.nan)
    if parameters.allocation == "uniform":
        target[:] = uniform_targets(len(fail_rate), parameters.k_u)
    elif parameters.allocation == "prop2diff":
        known = ~np.isnan(fail_rate)
        target[known] = prop2diff_targets(fail_rate[known], parameters.k_p, cover=parameters.cover)
    return target


def _repeated(
    prompt: NDArray[np.int64], texts: Sequence[str | None], verdict: NDArray[np.int8]
) -> NDArray[np.bool_]:
    """(n,) right answers whose text an earlier right answer of the prompt has."""
    seen: set[tuple[int, str]] = set()
    repeated = np.zeros(len(prompt), dtype=bool)
    right = np.flatnonzero(verdict == CORRECT)
    for at, of in zip(right.tolist(), prompt[right].tolist(), strict=True):
        text = texts[at]
        if text is not None:
            repeated[at] = (of, text) in seen
            seen.add((of, text))
    return repeated
