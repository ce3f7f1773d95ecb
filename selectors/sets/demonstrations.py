"""Verified answers for what the policy cannot do, and to begin answers with."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import DEMONSTRATIONS, HARDEST
from winnow.pipeline.recipe import DemonstrationsSet, HardestSet
from winnow.selectors.sets import rules
from winnow.selectors.sets.cut_points import cut_points
from winnow.selectors.sets.form import has_form
from winnow.selectors.sets.offers import Demonstration, choose_one, offered
from winnow.selectors.sets.signals import Chosen, Signals, answers, table, tasks
from winnow.selectors.sets.token_features import of_answers
from winnow.selectors.sieve import Sieve

_NO_ANSWER = "no_answer"  # detail of an answer with nothing to extract


def hardest(config: HardestSet, signals: Signals, stage: str = "training_set/hardest") -> Chosen:
    """Tasks whose answers all fail, each with a demonstration (ReLIFT); the ledger's rows are tasks.

    Answers that could not be judged for another reason than their length never count as failed. A task
    that has no demonstration yet is pending. Where there are too many, those with the most answers come
    first: their hardness is known best.
    """
    found = tasks(signals).drop("n_truncated")
    sieve = Sieve(
        found.join(_failures(config, signals), on="task_id", how="left"), "task_id", stage
    )
    rules.sampled(sieve)
    _all_fail(sieve, config)
    rules.trusted(sieve, config)
    offers = offered(signals, config.offers, config.solution)
    chosen = choose_one(sieve, offers, config.max_demonstration_tokens, signals.token_spans)
    rules.cap(sieve, config, [-pl.col("n"), pl.col("task_id")])
    rows = []
    for row in sieve.rows.to_dicts():
        one = chosen[row["task_id"]]
        name = digest("hardest/1", [row["task_id"], one.rollout_id, one.text])
        demonstration = one.columns(signals.token_spans)
        rows.append({**row, **demonstration, "id": name, "prompt": row["messages"]})
    return Chosen(table(rows, HARDEST), sieve.finish())


def demonstrations(
    config: DemonstrationsSet, signals: Signals, stage: str = "training_set/demonstrations"
) -> Chosen:
    """A demonstration of each task with the points where a prefix may end (Prefix-RFT); the ledger's
    rows are tasks."""
    sieve = Sieve(tasks(signals), "task_id", stage)
    rules.sampled(sieve)
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    offers = offered(signals, config.offers, config.solution)
    chosen = choose_one(sieve, offers, config.max_demonstration_tokens, signals.token_spans)
    cuts = {task: _cuts(each, config, signals) for task, each in chosen.items()}
    numbers = [len(cuts[task]) for task in sieve.rows["task_id"].to_list()]
    sieve.rows = sieve.rows.with_columns(cuts=pl.Series(numbers, dtype=pl.Int32))
    sieve.require(
        "no_cut_point",
        pl.col("cuts") > 0,
        detail=pl.lit("no sentence ends inside the share, before the final answer"),
        threshold=f"{config.share[0]} to {config.share[1]}",
    )
    rules.cap(sieve, config)
    left = sieve.rows.to_dicts()
    entropies = _entropies(config, signals, left, chosen)
    rows = []
    for row, known in zip(left, entropies, strict=True):
        one = chosen[row["task_id"]]
        rows.append(
            {
                **row,
                **one.columns(signals.token_spans),
                "id": digest("demonstrations/1", [row["task_id"], one.rollout_id, one.text]),
                "prompt": row["messages"],
                "cut_points": cuts[row["task_id"]],
                "entropy_mask": known and highest(known, config.entropy_share),
            }
        )
    return Chosen(table(rows, DEMONSTRATIONS), sieve.finish())


def highest(values: Sequence[float], share: float) -> list[bool]:
    """(n,) which are among the ceil(share * n) highest; of equal ones the earlier."""
    count = math.ceil(share * len(values) - 1e-9)
    places = np.argsort(-np.asarray(values, np.float64), kind="stable")[:count]
    mask = np.zeros(len(values), dtype=bool)
    mask[places] = True
    return [bool(each) for each in mask]


def _failures(config: HardestSet, signals: Signals) -> pl.DataFrame:
    """By task, how many of its answers failed, and how."""
    found = answers(signals)
    well_formed = found["detail"].fill_null("") != _NO_ANSWER
    if config.form is not None:
        # What cannot be told is no failure of form.
        well_formed = has_form(found, config.form).fill_null(True)
    wrong = pl.col("verdict") == "wrong"
    cut = (pl.col("verdict") == "unjudged") & (pl.col("finish_reason") == "length")
    return (
        found.with_columns(well_formed=well_formed)
        .group_by("task_id")
        .agg(
            n_fail=(wrong & pl.col("well_formed")).sum().cast(pl.Int32),
            n_format_fail=(wrong & ~pl.col("well_formed")).sum().cast(pl.Int32),
            n_truncated=cut.sum().cast(pl.Int32),
        )
    )


def _all_fail(sieve: Sieve, config: HardestSet) -> None:
    sieve.require(
        "solved", pl.col("n_correct") == 0, value=pl.col("n_correct"), threshold="no right answer"
    )
    failed = pl.col("n_fail")
    if config.format_failures == "fail":
        failed = failed + pl.col("n_format_fail") + pl.col("n_truncated")
    else:
        for rule, column in (("format_failure", "n_format_fail"), ("truncated", "n_truncated")):
            sieve.require(rule, pl.col(column) == 0, value=pl.col(column), threshold="none")
    sieve.require(
        "unjudged",
        failed == pl.col("n"),
        value=pl.col("n") - failed,
        threshold="every answer judged",
    )
    sieve.require(
        "min_judged", failed >= config.min_judged, value=failed, threshold=f">= {config.min_judged}"
    )


def _cuts(
    one: Demonstration, config: DemonstrationsSet, signals: Signals
) -> list[dict[str, int | float | None]]:
    spans = None if signals.token_spans is None else signals.token_spans(one.text)
    found = cut_points(one.text, spans, config.share)
    return [{"character": c.character, "token": c.token, "share": c.share} for c in found]


def _entropies(
    config: DemonstrationsSet,
    signals: Signals,
    rows: Sequence[Mapping[str, Any]],
    chosen: Mapping[str, Demonstration],
) -> list[list[float] | None]:
    """Of each row's demonstration, the entropy at each of its tokens, where the set names a file that
    has them."""
    if config.token_features is None:
        return [None] * len(rows)
    found = [chosen[row["task_id"]] for row in rows]
    # A hinted answer has the name of the plain one, which is another text.
    names = [one.rollout_id if one.origin != "hinted" else None for one in found]
    features = of_answers(
        signals,
        config.token_features,
        names,
        [row["messages"] for row in rows],
        [one.text for one in found],
    )
    return [each["token_entropies"] if each else None for each in features]
