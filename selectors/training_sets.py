"""The rows of a training set, as a pure function of recorded signals and the recipe.

Every function takes the `Signals` of a run and one set's section of the recipe and gives the rows,
with a ledger that holds the decision about every row that could have been in the set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from winnow.pipeline.names import digest
from winnow.pipeline.publish.set_schemas import PREFERENCE, RL, SFT
from winnow.pipeline.recipe import PreferenceSet, RLSet, SetConfig, SFTSet
from winnow.selectors.sieve import Sieve

_BY_RATE = [(pl.col("pass_rate") - 0.5).abs(), pl.col("task_id")]


@dataclass(frozen=True)
class Signals:
    """Tables of one run, by the names and schemas of `winnow.pipeline.schema`."""

    prompts: pa.Table
    rollouts: pa.Table
    verdicts: pa.Table
    audit: pa.Table
    difficulty: pa.Table
    clusters: pa.Table
    scores: pa.Table


@dataclass(frozen=True)
class Chosen:
    """Rows of one set, sorted by id, and the decision about every row that came in question."""

    rows: pa.Table
    ledger: pa.Table


def choose(name: str, config: SetConfig, signals: Signals) -> Chosen:
    """Choose the set `name`."""
    stage = f"training_set/{name}"
    match config:
        case SFTSet():
            return sft(config, signals, stage)
        case RLSet():
            return rl(config, signals, stage)
        case PreferenceSet():
            return preference(config, signals, stage)


def sft(config: SFTSet, signals: Signals, stage: str = "training_set/sft") -> Chosen:
    """Verified answers; the ledger's rows are rollouts.

    Among the answers that pass, the best by score come first (then by name), per prompt, per
    cluster and in the whole. Where a prompt has several references, an answer counts once: for a
    task that it is right for, if there is one.
    """
    right_first = [pl.col("verdict") != "correct", pl.col("task_id")]
    answers = _answers(signals).sort("rollout_id", *right_first)
    answers = answers.unique("rollout_id", keep="first", maintain_order=True)
    scores = _frame(signals.scores, ["rollout_id", "score", "selected"])
    sieve = Sieve(answers.join(scores, on="rollout_id", how="left"), "rollout_id", stage)
    sieve.require(
        "verdict",
        pl.col("verdict") == "correct",
        value=pl.col("verdict"),
        threshold="correct",
        detail=pl.col("detail"),
    )
    _trusted(sieve, config)
    _band(sieve, config)
    # Of equal answers to one prompt the first by name stays, whatever its score: they score alike.
    sieve.rows = sieve.rows.sort("rollout_id")
    sieve.require(
        "duplicate_answer",
        pl.struct("prompt_id", "completion").is_first_distinct(),
        detail=pl.lit("same text as another answer to this prompt"),
    )
    if config.uds:
        sieve.require(
            "uds", pl.col("selected"), value=pl.col("score"), threshold="selected in its batch"
        )
    best = [-pl.col("score"), pl.col("rollout_id")]
    sieve.top("per_prompt", config.per_prompt, best, within="prompt_id")
    if config.per_cluster:
        sieve.top("per_cluster", config.per_cluster, best, within="cluster")
    if config.budget:
        sieve.top("budget", config.budget, best)
    weight = pl.lit(1.0)
    if config.weighting == "per_prompt":
        weight = 1.0 / pl.len().over("prompt_id")
    rows = sieve.rows.with_columns(weight=weight).to_dicts()
    for row in rows:
        row["id"] = digest("sft/1", [row["task_id"], row["rollout_id"]])
        row["messages"] = [*row["messages"], _assistant(row["completion"])]
    return Chosen(_table(rows, SFT), sieve.finish())


def rl(config: RLSet, signals: Signals, stage: str = "training_set/rl") -> Chosen:
    """Prompts worth rolling out; the ledger's rows are tasks.

    Where there are too many, those with a pass rate nearest 0.5 come first: p (1 - p), the variance
    of the reward, is largest there.
    """
    sieve = Sieve(_tasks(signals), "task_id", stage)
    _sampled(sieve)
    _trusted(sieve, config)
    _band(sieve, config)
    _cap(sieve, config)
    rows = sieve.rows.with_columns(
        prompt=pl.col("messages"), n_judged=pl.col("n_correct") + pl.col("n_wrong")
    ).to_dicts()
    for row in rows:
        row["id"] = digest("rl/1", [row["task_id"]])
    return Chosen(_table(rows, RL), sieve.finish())


def preference(
    config: PreferenceSet, signals: Signals, stage: str = "training_set/preference"
) -> Chosen:
    """Pairs of a right and a wrong answer to one task; the ledger's rows are tasks.

    The answers of each side are ordered by their mean log-probability, the likeliest first, and
    paired in that order: the right answer the policy is surest of against the wrong one it is
    surest of.
    """
    sides = _sides(_answers(signals))
    tasks = _tasks(signals).join(sides, on="task_id", how="left")
    sieve = Sieve(tasks, "task_id", stage)
    _sampled(sieve)
    counts = pl.format("{} right, {} wrong", pl.col("right").list.len(), pl.col("wrong").list.len())
    sieve.require(
        "one_sided",
        (pl.col("right").list.len() > 0) & (pl.col("wrong").list.len() > 0),
        value=counts,
        threshold="at least one of each",
    )
    _trusted(sieve, config)
    _band(sieve, config)
    _cap(sieve, config)
    rows = []
    for row in sieve.rows.to_dicts():
        pairs = list(zip(row["right"], row["wrong"], strict=False))[: config.pairs_per_prompt]
        for right, wrong in pairs:
            names = [right["rollout_id"], wrong["rollout_id"]]
            rows.append(
                {
                    **row,
                    "id": digest("preference/1", [row["task_id"], *names]),
                    "prompt": row["messages"],
                    "chosen": [_assistant(right["completion"])],
                    "rejected": [_assistant(wrong["completion"])],
                    "chosen_rollout_id": names[0],
                    "rejected_rollout_id": names[1],
                    "verifier": right["judge"],
                }
            )
    return Chosen(_table(rows, PREFERENCE), sieve.finish())


def _sides(answers: pl.DataFrame) -> pl.DataFrame:
    """Distinct right and wrong answers of each task, the likeliest first."""
    per_token = pl.col("logprob_sum") / pl.max_horizontal(pl.col("n_tokens"), pl.lit(1))
    ordered = (
        answers.filter(pl.col("verdict") != "unjudged")
        .with_columns(per_token=per_token)
        .sort([-pl.col("per_token"), pl.col("rollout_id")], nulls_last=True)
        .unique(["task_id", "completion", "verdict"], keep="first", maintain_order=True)
    )
    answer = pl.struct("rollout_id", "completion", judge="verifier")
    return ordered.group_by("task_id", maintain_order=True).agg(
        right=answer.filter(pl.col("verdict") == "correct"),
        wrong=answer.filter(pl.col("verdict") == "wrong"),
    )


def _tasks(signals: Signals) -> pl.DataFrame:
    """Every task with its difficulty and cluster, where it has them."""
    prompts = _frame(signals.prompts)
    audited = _frame(signals.audit, ["task_id", "suspect", "majority_answer", "n_majority"])
    prompts = prompts.join(audited, on="task_id", how="left")
    return prompts.join(_frame(signals.difficulty), on="task_id", how="left").join(
        _frame(signals.clusters, ["prompt_id", "cluster"]), on="prompt_id", how="left"
    )


def _answers(signals: Signals) -> pl.DataFrame:
    """Every judged (rollout, task) with the task's columns; `verifier` is the judge's label."""
    verdicts = _frame(
        signals.verdicts, ["rollout_id", "task_id", "verifier", "verdict", "extracted", "detail"]
    )
    drawn = _frame(signals.rollouts, ["rollout_id", "completion", "logprob_sum", "n_tokens"])
    tasks = _tasks(signals).drop("verifier", "n_tokens")
    return verdicts.join(drawn, on="rollout_id").join(tasks, on="task_id")


def _sampled(sieve: Sieve) -> None:
    sieve.require(
        "not_sampled",
        pl.col("n").is_not_null(),
        detail=pl.lit("no answer to this prompt is stored"),
        otherwise="pending",
    )


def _trusted(sieve: Sieve, config: SetConfig) -> None:
    """No reference that the answers agree against, where the set asks for that."""
    if config.suspects == "keep":
        return
    sieve.require(
        "suspect_reference",
        ~pl.col("suspect").fill_null(False),
        value=pl.format("{} answers say {}", pl.col("n_majority"), pl.col("majority_answer")),
        threshold="the reference",
        detail=pl.col("answer"),
    )


def _band(sieve: Sieve, config: SetConfig) -> None:
    """Enough judged answers, and a pass rate inside the set's band."""
    judged = pl.col("n_correct") + pl.col("n_wrong")
    sieve.require(
        "min_judged", judged >= config.min_judged, value=judged, threshold=f">= {config.min_judged}"
    )
    if config.pass_rate:
        low, high = config.pass_rate
        rate = pl.col(config.pass_rate_column)
        sieve.require(
            "pass_rate", rate.is_between(low, high), value=rate, threshold=f"{low} to {high}"
        )


def _cap(sieve: Sieve, config: SetConfig) -> None:
    if config.per_cluster:
        sieve.top("per_cluster", config.per_cluster, _BY_RATE, within="cluster")
    if config.budget:
        sieve.top("budget", config.budget, _BY_RATE)


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _table(rows: list[dict[str, Any]], columns: pa.Schema) -> pa.Table:
    picked: list[Mapping[str, Any]] = [{name: row[name] for name in columns.names} for row in rows]
    return pa.Table.from_pylist(sorted(picked, key=lambda row: row["id"]), schema=columns)


def _frame(table: pa.Table, columns: list[str] | None = None) -> pl.DataFrame:
    frame = pl.from_arrow(table.select(columns) if columns else table)
    assert isinstance(frame, pl.DataFrame)
    return frame
