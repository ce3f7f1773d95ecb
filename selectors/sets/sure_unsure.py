"""Questions with an answer and whether the policy knows it (R-Tuning, arXiv 2311.09677).

What the released code gets wrong and this does not: a list that is emptied for every row, so that one
row is left; an answer cut at a full stop that is not there; and a reference that is looked for as a
part of the answer, so that "12" holds "1". Here the verifier's verdict says what is right.
"""

import math
from collections import Counter
from collections.abc import Sequence

import polars as pl

from winnow.pipeline.clean.normalise import canonical
from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import SURE_UNSURE
from winnow.pipeline.recipe import SureUnsureSet
from winnow.pipeline.verify import get_verifier
from winnow.selectors.sets import rules
from winnow.selectors.sets.signals import Chosen, Signals, answers, assistant, table, tasks
from winnow.selectors.sieve import Sieve


def sure_unsure(
    config: SureUnsureSet, signals: Signals, stage: str = "training_set/sure_unsure"
) -> Chosen:
    """One row per task; the ledger's rows are tasks.

    unsure and unknown read the policy's first answer (greedy, where the recipe samples at temperature
    0), which must have been judged. uncertain reads all its judged answers: entropy -sum p log p over
    the different texts that were extracted, where answers with nothing to extract are one text more.
    Of the tasks, ordered by entropy, the first half is sure, and so is what has the entropy of the last
    of that half (ours: equal entropies must not be split).
    """
    found = tasks(signals).join(_known(signals), on="task_id", how="left")
    sieve = Sieve(found, "task_id", stage)
    rules.sampled(sieve)
    if config.method == "uncertain":
        sieve.require(
            "min_answers",
            pl.col("n_answers") >= config.min_answers,
            value=pl.col("n_answers").fill_null(0),
            threshold=f">= {config.min_answers} judged",
        )
        sieve.require(
            "no_extracted_answers",
            (pl.col("readable") > 0) & pl.col("verifier").is_in(_extracting(found)),
            value=pl.col("verifier"),
            detail=pl.lit("the verifier extracts no answers that could be counted"),
        )
    else:
        sieve.require(
            "first_answer_unjudged",
            pl.col("first_verdict") != "unjudged",
            value=pl.col("first_verdict"),
            threshold="correct or wrong",
        )
    sieve.require(
        "no_reference", pl.col("answer").is_not_null(), detail=pl.lit("the task has none")
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    if config.method == "uncertain":
        # Before the cap: what half of the tasks is must not depend on how many rows are wanted.
        lower = halves(sieve.rows["entropy"].to_list())
        sieve.rows = sieve.rows.with_columns(sure=pl.Series(lower, dtype=pl.Boolean))
    else:
        sieve.rows = sieve.rows.with_columns(
            sure=pl.col("first_verdict") == "correct", entropy=pl.lit(None, pl.Float64)
        )
    rules.cap(sieve, config)
    rows = sieve.rows.to_dicts()
    for row in rows:
        row["id"] = digest("sure_unsure/1", [row["task_id"]])
        said = _said(config, row["task_id"], row["answer"], row["sure"])
        row["messages"] = [*row["messages"], *said]
        row["verifier"] = row["judge"]
        row["first_rollout_id"] = None if config.method == "uncertain" else row["first"]
        if config.method != "uncertain":
            row["n_answers"] = 1
    return Chosen(table(rows, SURE_UNSURE), sieve.finish())


def halves(entropies: Sequence[float]) -> list[bool]:
    """(n,) whether each is in the lower half; the lower half is the smaller one of an odd number, and
    whatever equals its last is in it."""
    if not entropies:
        return []
    last = sorted(entropies)[max(len(entropies) // 2 - 1, 0)]
    return [each <= last for each in entropies]


def entropy(counts: Sequence[int]) -> float:
    """-sum p log p, nats, of the shares of `counts`."""
    total = sum(counts)
    return max(0.0, -math.fsum(c / total * math.log(c / total) for c in sorted(counts)))


def _extracting(found: pl.DataFrame) -> list[str]:
    """Verifiers whose `extracted` is an answer."""
    names = found["verifier"].unique().to_list()
    return [n for n in names if getattr(get_verifier(n), "extracts_answer", True)]


def _said(config: SureUnsureSet, task: str, answer: str, sure: bool) -> list[dict[str, str]]:
    if config.method == "unknown":
        if sure:
            return [assistant(answer)]
        drawn = int(digest("refusal/1", [config.seed or 0, task])[:8], 16) % len(config.refusals)
        return [assistant(config.refusals[drawn])]
    return [
        assistant(answer),
        {"role": "user", "content": config.question},
        assistant(config.sure if sure else config.unsure),
    ]


def _known(signals: Signals) -> pl.DataFrame:
    """By task: its first answer with its verdict, and how its judged answers differ."""
    judged = pl.col("verdict") != "unjudged"
    known = (
        answers(signals)
        .sort("index", "rollout_id")
        .group_by("task_id", maintain_order=True)
        .agg(
            first=pl.col("rollout_id").first(),
            first_verdict=pl.col("verdict").first(),
            judge=pl.col("verifier").first(),
            said=pl.col("extracted").filter(judged),
        )
    )
    said = [
        Counter(None if text is None else canonical(text) for text in each)
        for each in known["said"].to_list()
    ]
    return known.drop("said").with_columns(
        n_answers=pl.Series([each.total() for each in said], dtype=pl.Int32),
        readable=pl.Series([each.total() - each[None] for each in said], dtype=pl.Int32),
        entropy=pl.Series([entropy(list(each.values())) for each in said], dtype=pl.Float64),
    )
