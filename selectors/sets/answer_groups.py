"""All answers of a task in one row: as a group with its pass rate, or in order of reward."""

from typing import Any

import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import GROUPS, RANKED
from winnow.pipeline.recipe import GroupsSet, RankedSet
from winnow.selectors.sets import rules
from winnow.selectors.sets.signals import Chosen, Signals, answers, table, tasks
from winnow.selectors.sieve import Sieve

_TRUNCATED = pl.col("finish_reason") == "length"


def groups(config: GroupsSet, signals: Signals, stage: str = "training_set/groups") -> Chosen:
    """Tasks with right and wrong answers, all of them in one row; the ledger's rows are tasks.

    A group holds the answers that were judged correct or wrong, and with `truncated: wrong` those that
    were cut off, as wrong ones; equal answers stay, since the group's rate counts them.
    """
    found = answers(signals)
    is_wrong = pl.col("verdict") == "wrong"
    if config.truncated == "wrong":
        is_wrong = is_wrong | (_TRUNCATED & (pl.col("verdict") == "unjudged"))
    is_right = pl.col("verdict") == "correct"
    members = found.filter(is_right | is_wrong).sort("index", "rollout_id")
    if config.answers:
        members = members.group_by("task_id", maintain_order=True).head(config.answers)
    grouped = _grouped(members, wrong=is_wrong)
    sieve = Sieve(tasks(signals).join(grouped, on="task_id", how="left"), "task_id", stage)
    rules.sampled(sieve)
    if config.answers:
        sieve.require(
            "few_answers",
            pl.col("size") == config.answers,
            value=pl.col("size").fill_null(0),
            threshold=f"{config.answers} that count",
        )
    sieve.require(
        "one_sided",
        (pl.col("right") > 0) & (pl.col("right") < pl.col("size")),
        value=pl.format(
            "{} right, {} wrong",
            pl.col("right").fill_null(0),
            (pl.col("size") - pl.col("right")).fill_null(0),
        ),
        threshold="at least one of each",
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    rules.cap(sieve, config)
    rows = sieve.rows.to_dicts()
    for row in rows:
        wrong = row["size"] - row["right"]
        row["id"] = digest(
            "groups/1", [row["task_id"], [a["rollout_id"] for a in row["responses"]]]
        )
        row["prompt"], row["n"], row["verifier"] = row["messages"], row["size"], row["judge"]
        row["r_hat"] = row["right"] / row["size"]
        row["weight"] = wrong / row["size" if config.weighting == "nft" else "right"]
    return Chosen(table(rows, GROUPS), sieve.finish())


def ranked(config: RankedSet, signals: Signals, stage: str = "training_set/ranked") -> Chosen:
    """Distinct answers of a task, the best reward first; the ledger's rows are tasks.

    Every answer that has a reward counts, whatever its verdict. Where there are more than `answers`,
    the worst one stays at the end of the list, so that the list keeps its range.
    """
    best_first = [-pl.col("reward"), -pl.col("per_token"), pl.col("rollout_id")]
    members = (
        answers(signals)
        .filter(pl.col("reward").is_not_null())
        .sort(best_first, nulls_last=True)
        .unique(["task_id", "completion"], keep="first", maintain_order=True)
    )
    grouped = _grouped(members, wrong=pl.col("verdict") == "wrong")
    sieve = Sieve(tasks(signals).join(grouped, on="task_id", how="left"), "task_id", stage)
    rules.sampled(sieve)
    sieve.require(
        "few_rewards",
        pl.col("levels") > 1,
        value=pl.col("levels").fill_null(0),
        threshold="at least 2 different rewards",
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    rules.cap(sieve, config)
    rows = sieve.rows.to_dicts()
    for row in rows:
        row["responses"] = _shortened(row["responses"], config.answers)
        row["levels"] = len({answer["reward"] for answer in row["responses"]})
        row["id"] = digest(
            "ranked/1", [row["task_id"], [a["rollout_id"] for a in row["responses"]]]
        )
        row["prompt"], row["verifier"] = row["messages"], row["judge"]
    return Chosen(table(rows, RANKED), sieve.finish())


def _shortened(responses: list[Any], most: int | None) -> list[Any]:
    """At most so many answers: the best, and the worst."""
    if most is None or len(responses) <= most:
        return responses
    return [*responses[: most - 1], responses[-1]]


def _grouped(members: pl.DataFrame, *, wrong: pl.Expr) -> pl.DataFrame:
    """By task: its answers in the order given, as the sets hold them, and counts. `wrong`: which are."""
    response = pl.struct(
        "rollout_id",
        "reward",
        "logprob_sum",
        text="completion",
        correct=pl.when(pl.col("verdict") == "correct").then(True).when(wrong).then(False),
        truncated=_TRUNCATED,
        n_tokens=pl.col("n_tokens"),
    )
    return members.group_by("task_id", maintain_order=True).agg(
        responses=response,
        right=(pl.col("verdict") == "correct").sum(),
        size=pl.len(),
        levels=pl.col("reward").n_unique(),
        judge=pl.col("verifier").first(),
    )
