"""Pairs of a better and a worse answer to one task."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.set_schemas import PREFERENCE
from winnow.pipeline.recipe import PreferenceSet
from winnow.selectors.sets import rules
from winnow.selectors.sets.form import has_form
from winnow.selectors.sets.signals import (
    LIKELIEST,
    Chosen,
    Signals,
    answers,
    assistant,
    table,
    tasks,
)
from winnow.selectors.sieve import Sieve

Answer = Mapping[str, Any]
Pair = tuple[Answer, Answer]  # better, worse


def preference(
    config: PreferenceSet, signals: Signals, stage: str = "training_set/preference"
) -> Chosen:
    """Pairs of two distinct answers to one task; the ledger's rows are tasks.

    By default a right and a wrong answer: those of each side are ordered by their mean
    log-probability, the likeliest first, and paired in that order: the right answer the policy is
    surest of against the wrong one it is surest of. `PreferenceSet` tells of the other contrasts and
    pairings.

    Pairs by reward: again and again the best answer of those that may be chosen (of equal ones the
    likeliest) is held against one of those that may be rejected, and both are used up; a pair of equal
    rewards ends it. What max_random draws depends on the seed
    and the names of task and answers alone.
    """
    candidates = tasks(signals).join(_sides(answers(signals), config), on="task_id", how="left")
    sieve = Sieve(candidates, "task_id", stage)
    rules.sampled(sieve)
    _two_sided(sieve, config)
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    pairs = _pairs(sieve, config)
    rules.cap(sieve, config)
    rows = [
        {**row, **_row(config, row, *pair)}
        for row in sieve.rows.to_dicts()
        for pair in pairs[row["task_id"]]
    ]
    return Chosen(table(rows, PREFERENCE), sieve.finish())


def _row(config: PreferenceSet, row: Answer, better: Answer, worse: Answer) -> dict[str, Any]:
    names = [better["rollout_id"], worse["rollout_id"]]
    return {
        "id": digest("preference/1", [row["task_id"], *names]),
        "prompt": row["messages"],
        "chosen": [assistant(better["completion"])],
        "rejected": [assistant(worse["completion"])],
        "chosen_rollout_id": names[0],
        "rejected_rollout_id": names[1],
        "contrast": config.contrast,
        "margin": _difference(better["reward"], worse["reward"]),
        "logprob_margin": _difference(better["per_token"], worse["per_token"]),
        "iteration": config.iteration,
        "verifier": better["judge"],
    }


def _sides(found: pl.DataFrame, config: PreferenceSet) -> pl.DataFrame:
    """By task: distinct answers that may be chosen (`better`) and rejected (`worse`), each the
    likeliest first. Only answers of one `group` make pairs; where the contrast is the reward, an answer
    stands on both sides."""
    if config.contrast == "reward":
        found = found.filter(pl.col("reward").is_not_null())
        ways = pl.lit(True), pl.lit(True)
        group = pl.lit("reward")
    elif config.contrast == "form":
        assert config.form is not None
        wanted = ["correct", "wrong"] if config.among == "equal" else ["correct"]
        found = found.filter(pl.col("verdict").is_in(wanted))
        found = found.with_columns(form=has_form(found, config.form)).drop_nulls("form")
        ways = pl.col("form"), ~pl.col("form")
        group = pl.col("verdict")
    else:
        found = found.filter(pl.col("verdict") != "unjudged")
        ways = pl.col("verdict") == "correct", pl.col("verdict") == "wrong"
        group = pl.lit("correctness")
    ordered = (
        found.with_columns(wins=ways[0], loses=ways[1], group=group)
        .sort(LIKELIEST, nulls_last=True)
        .unique(["task_id", "completion", "verdict"], keep="first", maintain_order=True)
    )
    answer = pl.struct("rollout_id", "completion", "reward", "per_token", "group", judge="verifier")
    return ordered.group_by("task_id", maintain_order=True).agg(
        better=answer.filter(pl.col("wins")), worse=answer.filter(pl.col("loses"))
    )


def _two_sided(sieve: Sieve, config: PreferenceSet) -> None:
    n_better, n_worse = pl.col("better").list.len(), pl.col("worse").list.len()
    if config.contrast == "reward":
        sieve.require("few_answers", n_better > 1, value=n_better, threshold="2 with a reward")
        return
    words = "{} have the form, {} have not" if config.contrast == "form" else "{} right, {} wrong"
    sieve.require(
        "one_sided",
        (n_better > 0) & (n_worse > 0),
        value=pl.format(words, n_better, n_worse),
        threshold="at least one of each",
    )


def _pairs(sieve: Sieve, config: PreferenceSet) -> dict[str, list[Pair]]:
    """The pairs of each task; tasks that have none are dropped, by what was wrong with the last try."""
    found = {
        row["task_id"]: _paired(row, config)
        for row in sieve.rows.select("task_id", "better", "worse").to_dicts()
    }
    ids = sieve.rows["task_id"].to_list()
    sieve.rows = sieve.rows.with_columns(
        fault=pl.Series([found[task].fault for task in ids], dtype=pl.String),
        tried=pl.Series([found[task].margin for task in ids], dtype=pl.Float64),
    )
    for rule, threshold in (
        ("one_sided", "two of one verdict"),
        ("equal_rewards", "different rewards"),
        ("min_margin", f">= {config.min_margin}"),
    ):
        passes = pl.col("fault").is_null() | (pl.col("fault") != rule)
        sieve.require(rule, passes, value=pl.col("tried"), threshold=threshold)
    return {task: each.pairs for task, each in found.items()}


@dataclass(frozen=True)
class _Paired:
    """Pairs of a task; why there is none, and the margin of the pair that was tried last."""

    pairs: list[Pair]
    fault: str | None
    margin: float | None


def _paired(row: Mapping[str, Any], config: PreferenceSet) -> _Paired:
    pairs: list[Pair] = []
    fault, margin = "one_sided", None
    for group in sorted({answer["group"] for answer in row["better"]}):  # right before wrong
        ours, theirs = (
            [a for a in row[side] if a["group"] == group] for side in ("better", "worse")
        )
        for better, worse in _tries(config, row["task_id"], ours, theirs):
            if len(pairs) == config.pairs_per_prompt:
                break
            margin = _difference(better["reward"], worse["reward"])
            if config.paired_by != "likeliest" and not margin:
                fault = "equal_rewards"
                break
            if config.min_margin is not None and (margin is None or margin < config.min_margin):
                fault = "min_margin"
                continue
            pairs.append((better, worse))
    return _Paired(pairs, None if pairs else fault, margin)


def _tries(
    config: PreferenceSet, task: str, better: Sequence[Answer], worse: Sequence[Answer]
) -> Iterator[Pair]:
    """Pairs in the order in which they are tried. Both sides come with the likeliest first."""
    by = config.paired_by
    if by == "likeliest":
        yield from zip(better, worse, strict=False)
        return
    others = sorted(worse, key=_reward if by == "max_min" else lambda a: -_reward(a))
    if by == "max_random":
        others.sort(
            key=lambda a: digest("preference-draw/1", [config.seed or 0, task, a["rollout_id"]])
        )
    used: set[str] = set()
    for best in sorted(better, key=lambda a: -_reward(a)):
        if best["rollout_id"] in used:
            continue
        used.add(best["rollout_id"])
        other = next((a for a in others if a["rollout_id"] not in used), None)
        if other is None:
            return
        used.add(other["rollout_id"])
        yield best, other


def _reward(answer: Answer) -> float:
    return -math.inf if answer["reward"] is None else float(answer["reward"])


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b
