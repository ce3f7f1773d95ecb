"""RLPR: the model's own probability of the reference answer as reward, and its spread as filter.

For each answer the reference stands in the place of its final answer; PR is the arithmetic mean of
the probabilities of the reference's tokens there, PR0 the same with the reference directly after the
prompt. With delta = max(0, PR - PR0) and format f in {0, 1},

    score = 0.9 delta + 0.1 f  (- 1 where ten words in a row stand ten times or more).

A prompt is kept iff the standard deviation sigma (n - 1 form; 1 where there is one answer) of its
scores is at least the threshold beta * mean, where the mean is

- `pool`: of the sigmas of all prompts, one mean for each source (our form for a table at rest), or
- `ema`: of the training steps so far. The average starts with the mean sigma of the first step from
  `ema_start` on, m <- 0.99 m + 0.01 (mean sigma of the step) in each later one, and filters from
  `ema_filter` on; earlier steps are kept whole. The paper does not say where the average starts and
  whether a step counts in its own threshold: here it starts at the first mean, and a step counts.

Where the released code and the paper differ: the code leaves out the penalty where a score is
exactly 0, the paper does not, and neither do we (`penalty_at_zero`). Words are separated by spaces
and underscores, as in the code, and by nothing else. Not stated, our choice: several of those are one
separator; a source's multiplier multiplies its threshold; the source of a prompt is that of its first
row by id; a reference is `guessable` from PR0 = 0.9 on; f is 1 throughout where the table has no
`format_ok`, and 0 where it is null in a row, since nothing says that the form was kept.
Thresholds are compared with a tolerance of 1e-12 of their size, so that prompts with equal sigmas
and beta = 1 are all kept.

A row has one reference. Of several valid ones give each answer that of the highest PR - PR0.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import (
    COMPLETION,
    FORMAT_OK,
    PROMPT_ID,
    REFERENCE_LOGPROBS,
    REFERENCE_LOGPROBS_ALONE,
    SOURCE,
    STEP,
    but,
)
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.verifier_free.reference import checked

_ROUNDING = 1e-12


class RlprParameters(Parameters):
    """Parameters of `rlpr`."""

    beta: float = Field(
        0.5, ge=0, description="Share of the mean sigma that a prompt must reach. Authors' code."
    )
    threshold: Literal["pool", "ema"] = Field(
        "pool",
        description="What the mean is taken over: the pool, by source (ours), or the training steps "
        "in the column `step`, as a moving average (authors' code).",
    )
    per_source: bool = Field(
        True, description="With `pool`: a mean for each source, where the rows name one. Ours."
    )
    multipliers: dict[str, float] = Field(
        default_factory=dict,
        description="Factor, at least 0, on the threshold of a source; 1 where it is not named.",
    )
    format_weight: float = Field(
        0.1, ge=0, le=1, description="Weight of the format in the score; delta has the rest. Paper."
    )
    repetition_words: int = Field(10, ge=1, description="Length of a repeated passage, words.")
    repetition_times: int = Field(
        10,
        ge=2,
        description="How often a passage must stand to count as repetition. Authors' code.",
    )
    repetition_penalty: float = Field(1.0, ge=0, description="What a repetition costs. Paper.")
    penalty_at_zero: bool = Field(
        True,
        description="Whether a score of exactly 0 is penalised too; the authors' code does not.",
    )
    ema_decay: float = Field(0.99, ge=0, lt=1, description="With `ema`: weight of the past. Paper.")
    ema_start: int = Field(6, description="With `ema`: step at which the average starts. Paper.")
    ema_filter: int = Field(11, description="With `ema`: first step that is filtered. Paper.")
    guessable: float = Field(
        0.9, ge=0, le=1, description="PR0 from which on a reference counts as guessable. Ours."
    )
    whole_prompts: bool = Field(
        False,
        description="Whether a budget never divides the answers of a prompt; it can then stay unspent "
        "by less than one prompt's answers.",
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name, factor in self.multipliers.items():
            if factor < 0:
                raise ValueError(f"multipliers: {name}: {factor} is below 0")
        return self


class Rlpr(Selector[RlprParameters]):
    """Prompts whose answers differ in how probable they make the reference (no verifier needed).

    A row is an answer; all answers of a kept prompt qualify, the prompts with the largest sigma
    first. Without `format_ok` the format counts as right; without `completion` no repetition is
    looked for. The cost is linear in the rows and in the length of the texts.
    """

    name = "rlpr"
    paper = "RLPR, arXiv 2506.18254"
    parameters = RlprParameters
    own = pa.schema(
        [
            column("pr", pa.float64(), "Mean probability of the reference's tokens, this answer.",
                   null="the row lacks a value"),
            column("pr0", pa.float64(), "The same directly after the prompt.",
                   null="the row lacks a value"),
            column("delta", pa.float64(), "max(0, pr - pr0).", null="the row lacks a value"),
            column("sigma", pa.float64(), "Standard deviation of the prompt's scores.",
                   null="the row lacks a value"),
            column("threshold", pa.float64(), "What sigma must reach.",
                   null="the step is not filtered, or the row lacks a value"),
            column("guessable", pa.bool_(), "Whether pr0 is so high that the reference is trivial or "
                   "known.", null="the row lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: RlprParameters) -> Sequence[Column]:
        return (
            PROMPT_ID,
            REFERENCE_LOGPROBS,
            REFERENCE_LOGPROBS_ALONE,
            but(FORMAT_OK, optional=True, nulls=True),
            but(COMPLETION, optional=True, nulls=True),
            but(SOURCE, optional=True, nulls=True),
            *((STEP,) if parameters.threshold == "ema" else ()),
        )

    def choose(self, pool: Pool, room: int | None, parameters: RlprParameters) -> Choice:
        pr, pr0 = (
            _mean_probability(pool, c) for c in (REFERENCE_LOGPROBS, REFERENCE_LOGPROBS_ALONE)
        )
        delta = np.maximum(0.0, pr - pr0)
        score = _scores(pool, delta, parameters)
        group = pool.groups(PROMPT_ID.name)
        if parameters.threshold == "ema":  # a prompt may come back in a later step
            steps, step = np.unique(pool[STEP.name], return_inverse=True)
            group = step * (group.max() + 1) + group
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        sigma = spread(score, group)
        if parameters.threshold == "ema":
            limit = moving_thresholds(sigma, steps, step[first], parameters)
        else:
            limit = parameters.beta * _means(sigma, _sources(pool, parameters)[first])
        limit = limit * _factors(pool, parameters)[first]
        kept = np.isnan(limit) | (sigma >= limit * (1 - _ROUNDING))
        order = np.lexsort((first[group], -sigma[group]))  # stable: rows of a prompt stay in order
        order = order[kept[group][order]]
        return Choice(
            order,
            score,
            reason=np.where(kept[group], None, "low_std").tolist(),  # type: ignore[call-overload]
            unit=group[order] if parameters.whole_prompts else None,
            columns={
                "pr": pr,
                "pr0": pr0,
                "delta": delta,
                "sigma": sigma[group],
                "threshold": limit[group],
                "guessable": pr0 >= parameters.guessable,
            },
        )


def repeats(text: str, words: int = 10, times: int = 10) -> bool:
    """Whether some `words` words in a row stand `times` times or more (overlaps count).

    Time linear in the text: a word of such a passage itself stands that often, so only passages of
    frequent words are counted.
    """
    found = [word for word in text.replace("_", " ").split(" ") if word]
    least = words + times - 1  # words in the shortest such text
    if len(found) < least:
        return False
    counts = Counter(found)
    frequent = {word for word, count in counts.items() if count >= times}
    if sum(counts[word] for word in frequent) < least:
        return False
    seen: Counter[tuple[str, ...]] = Counter()
    run = 0
    for end, word in enumerate(found, 1):
        run = run + 1 if word in frequent else 0
        if run >= words:
            passage = tuple(found[end - words : end])
            seen[passage] += 1
            if seen[passage] >= times:
                return True
    return False


def spread(score: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard deviation (n - 1 form) of the scores (n,) of each group 0, 1, ...; 1 where it has one.

    Exactly 0 where all scores of a group are equal.
    """
    count = np.bincount(group)
    off = score - (np.bincount(group, score) / count)[group]
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = np.sqrt(np.bincount(group, off * off) / (count - 1))
    low, high = np.full(len(count), np.inf), np.full(len(count), -np.inf)
    np.minimum.at(low, group, score)
    np.maximum.at(high, group, score)
    return np.where(count == 1, 1.0, np.where(low == high, 0.0, sigma))


def moving_thresholds(
    sigma: NDArray[np.float64],
    steps: NDArray[np.int64],
    step: NDArray[np.int64],
    parameters: RlprParameters,
) -> NDArray[np.float64]:
    """beta * moving average for each prompt (g,), NaN where its step is not filtered.

    `steps`: the distinct steps in ascending order; `step` (g,): which of them each prompt is of.
    """
    limits = np.full(len(steps), np.nan)
    average = None
    for at, mean in enumerate((np.bincount(step, sigma) / np.bincount(step)).tolist()):
        if steps[at] < parameters.ema_start:
            continue
        if average is None:
            average = mean
        else:
            average = parameters.ema_decay * average + (1 - parameters.ema_decay) * mean
        if steps[at] >= parameters.ema_filter:
            limits[at] = parameters.beta * average
    return limits[step]


def _mean_probability(pool: Pool, of: Column) -> NDArray[np.float64]:
    logprobs = checked(pool, of)
    probabilities = type(logprobs)(np.exp(np.minimum(logprobs.values, 0.0)), logprobs.offsets)
    return probabilities.means()


def _scores(
    pool: Pool, delta: NDArray[np.float64], parameters: RlprParameters
) -> NDArray[np.float64]:
    form = np.ones(len(pool))
    if pool.has(FORMAT_OK.name):
        form[[known is not True for known in pool[FORMAT_OK.name]]] = 0.0
    score = (1 - parameters.format_weight) * delta + parameters.format_weight * form
    if pool.has(COMPLETION.name) and parameters.repetition_penalty:
        words, times = parameters.repetition_words, parameters.repetition_times
        repeated = [text is not None and repeats(text, words, times) for text in pool["completion"]]
        hit = np.array(repeated, bool) & (parameters.penalty_at_zero | (score != 0))
        score = np.where(hit, score - parameters.repetition_penalty, score)
    return score


def _means(sigma: NDArray[np.float64], of: NDArray[np.int64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return (np.bincount(of, sigma) / np.bincount(of))[of]


def _sources(pool: Pool, parameters: RlprParameters) -> NDArray[np.int64]:
    if parameters.per_source and pool.has(SOURCE.name):
        return pool.groups(SOURCE.name)
    return np.zeros(len(pool), np.int64)


def _factors(pool: Pool, parameters: RlprParameters) -> NDArray[np.float64]:
    wanted = parameters.multipliers
    names = pool[SOURCE.name] if pool.has(SOURCE.name) else []
    unknown = sorted(set(wanted) - {name for name in names if name is not None})
    if unknown:
        there = ", ".join(sorted({str(name) for name in names})[:30]) or "none"
        raise UsageError(f"multipliers: no row has the source {unknown[0]!r}; there are: {there}")
    if not wanted:
        return np.ones(len(pool))
    return np.array([wanted.get(name, 1.0) for name in names])
