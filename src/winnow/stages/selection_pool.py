"""The rows that a recipe's last run recorded, as a pool for selectors: answers, or tasks.

The columns have the names that `winnow.selectors.columns` reads; those of the pool's own schemas say
what a row is.
"""

from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.pipeline.features import stored
from winnow.stages.base import Context
from winnow.stages.scores import scorer_of, scoring_model

RowKind = Literal["answers", "tasks"]

_PROMPT = ["task_id", "prompt_id", "messages", "answer", "source", "domain", "template_id"]
_DIFFICULTY = [
    "n",
    "n_correct",
    "n_wrong",
    "n_unjudged",
    "n_truncated",
    "pass_rate",
    "pass_rate_low",
    "reward_mean",
    "alpha",
    "beta",
]
_CLUSTER = ["cluster", "centroid_distance", "x", "y"]


def pool_table(ctx: Context, rows: RowKind) -> pa.Table:
    """The pool of the recipe's last run, with `row_id`, sorted by it.

    answers: every judged answer (errors of the engine are none), named by its rollout, with its
    verdict, reward, length and mean log-probability, its task's difficulty, and its prompt's
    embedding and cluster; `nuclear_norm` and `sketch` where the recipe's scorer stored them. An
    answer to a prompt with several references counts once: for a task that it is right for, if there
    is one, else the first by name.

    tasks: every task, with its difficulty, embedding, cluster, and `rewards`, those of its judged
    answers in the order they were drawn; `n_tokens` is the prompt's length.

    Raises WinnowError where a stage has not run.
    """
    return _answers(ctx) if rows == "answers" else _tasks(ctx)


def _answers(ctx: Context) -> pa.Table:
    right_first = [pl.col("verdict") != "correct", pl.col("task_id")]
    judged = (
        _verdicts(ctx)
        .sort("rollout_id", *right_first)
        .unique("rollout_id", keep="first", maintain_order=True)
    )
    drawn = _rollouts(ctx, "completion", "n_tokens", "logprob_sum", "finish_reason").with_columns(
        logprob_mean=pl.when(pl.col("n_tokens") > 0).then(
            pl.col("logprob_sum") / pl.col("n_tokens")
        )
    )
    table = (
        judged.join(drawn, on="rollout_id")
        .join(_described(ctx).drop("n_tokens"), on="task_id")
        .sort("rollout_id")
        .rename({"rollout_id": "row_id"})
        .drop("logprob_sum")
    )
    return _arrow(table.join(_uds(ctx), on="row_id", how="left", maintain_order="left"))


def _tasks(ctx: Context) -> pa.Table:
    drawn = _rollouts(ctx, "index")
    rewards = (
        _verdicts(ctx)
        .filter(pl.col("reward").is_not_null())
        .join(drawn, on="rollout_id")
        .sort("task_id", "index", "rollout_id")
        .group_by("task_id", maintain_order=True)
        .agg(rewards=pl.col("reward"))
    )
    table = _described(ctx).join(rewards, on="task_id", how="left").sort("task_id")
    return _arrow(table.with_columns(row_id=pl.col("task_id")))


def _verdicts(ctx: Context) -> pl.DataFrame:
    return pl.DataFrame(
        ctx.workspace.read("verdicts", ["rollout_id", "task_id", "verdict", "reward"])
    )


def _rollouts(ctx: Context, *columns: str) -> pl.DataFrame:
    drawn = pl.DataFrame(ctx.workspace.read("rollouts", ["rollout_id", "error", *columns]))
    return drawn.filter(pl.col("error").is_null()).drop("error")


def _described(ctx: Context) -> pl.DataFrame:
    """Every task with its difficulty, cluster and embedding, where it has them."""
    work = ctx.workspace
    prompts = pl.DataFrame(work.read("prompts", [*_PROMPT, "n_tokens"]))
    hard = pl.DataFrame(work.read("difficulty", ["task_id", *_DIFFICULTY]))
    clusters = pl.DataFrame(work.read("clusters", ["prompt_id", *_CLUSTER]))
    embeddings = pl.DataFrame(work.read("embeddings", ["prompt_id", "embedding"]))
    return (
        prompts.join(hard.unique("task_id", keep="first", maintain_order=True), on="task_id",
                     how="left")
        .join(clusters, on="prompt_id", how="left")
        .join(embeddings, on="prompt_id", how="left")
    )  # fmt: skip


def _uds(ctx: Context) -> pl.DataFrame:
    """Nuclear norms and sketches by answer, as far as the recipe's scorer stored them."""
    empty = pl.DataFrame(
        schema={"row_id": pl.String, "nuclear_norm": pl.Float64, "sketch": pl.List(pl.Float32)}
    )
    folder = scoring_model(ctx)
    if folder is None:
        return empty
    ids = ctx.workspace.read("rollouts", ["rollout_id"])["rollout_id"].to_pylist()
    with ctx.workspace.features() as store:
        kind = scorer_of(ctx, folder, store)[1]
        if kind is None:
            return empty
        lacking = set(stored.missing(store, kind, ids))
        ids = [row for row in ids if row not in lacking]
        if not ids:
            return empty
        norms = stored.scalars(store, kind, "nuclear_norm", ids)
        sketches = stored.vectors(store, kind, "sketch", ids)
    # An answer on which the model overflows has neither.
    usable = np.isfinite(norms) & np.isfinite(sketches).all(axis=1)
    return pl.DataFrame(
        {
            "row_id": [row for row, good in zip(ids, usable, strict=True) if good],
            "nuclear_norm": norms[usable],
            "sketch": pl.Series(list(sketches[usable]), dtype=pl.List(pl.Float32)),
        }
    )


def _arrow(frame: pl.DataFrame) -> pa.Table:
    others = [name for name in frame.columns if name != "row_id"]
    return frame.select("row_id", *others).to_arrow(compat_level=pl.CompatLevel.oldest())
