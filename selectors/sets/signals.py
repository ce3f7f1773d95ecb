"""What sets are chosen from, and the frames that all of them start with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

# Text to the character spans (start, end) of its tokens, in order.
TokenSpans = Callable[[str], Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Signals:
    """Tables of one run, by the names and schemas of `winnow.pipeline.schema`.

    The optional ones are there where some set asks for them: `recorded`, answers of other policies
    and samplers to the same prompts, with their verdicts (RECORDED); `trees`, `hinted` and `stepwise`, of
    commands of their own; `completions`, the answers that sources bring, with their trajectories;
    `solutions`, those that sources keep, with their verdicts; `token_features`, by path, with `row_id`,
    `token_logprobs` and `token_entropies`. `token_spans` is the policy's tokenizer, where it is known here.
    """

    prompts: pa.Table
    rollouts: pa.Table
    verdicts: pa.Table
    audit: pa.Table
    difficulty: pa.Table
    clusters: pa.Table
    scores: pa.Table
    trees: pa.Table | None = None
    recorded: pa.Table | None = None
    hinted: pa.Table | None = None
    stepwise: pa.Table | None = None
    completions: pa.Table | None = None
    solutions: pa.Table | None = None
    token_features: Mapping[str, pa.Table] = field(default_factory=dict)
    token_spans: TokenSpans | None = None


# One row per answer and task of its prompt.
RECORDED = pa.schema(
    [
        pa.field("rollout_id", pa.string(), nullable=False),
        pa.field("task_id", pa.string(), nullable=False),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("template", pa.string(), nullable=False),
        pa.field("sampler", pa.string(), nullable=False),
        pa.field("completion", pa.string(), nullable=False),
        pa.field("logprob_sum", pa.float64()),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("verifier", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
    ]
)

# What `answers` reads of the rollouts table.
ROLLOUT_COLUMNS = ("rollout_id", "policy", "template", "sampler", "index", "completion",
                   "logprob_sum", "n_tokens", "finish_reason")  # fmt: skip
_SAMPLED = ["task_id", "policy", "template", "sampler"]  # what a pass rate belongs to
_AUDIT = ("task_id", "suspect", "majority_answer", "n_majority", "n_agree_reference")
_VERDICT_COLUMNS = ("rollout_id", "task_id", "verifier", "verdict", "reward", "parts", "extracted",
                    "detail")  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """Rows of one set, sorted by id, and the decision about every row that came in question."""

    rows: pa.Table
    ledger: pa.Table


def tasks(signals: Signals) -> pl.DataFrame:
    """Every task with its difficulty and cluster, where it has them.

    Where several policies or samplers have answered (sources that bring answers of their own), the
    difficulty is that of the one with the most answers, then of the first by name.
    """
    most = [pl.col("task_id"), -pl.col("n"), *map(pl.col, _SAMPLED[1:])]
    one = frame(signals.difficulty).sort(most).unique("task_id", keep="first", maintain_order=True)
    return _described(signals).join(one, on="task_id", how="left")


def answers(signals: Signals) -> pl.DataFrame:
    """Every (rollout, task) with a verdict, in order of their names, with the task's columns and the
    difficulty of the task for the policy that answered.

    `verifier` is the judge's label, `n_tokens` the answer's length, and `per_token` its mean
    log-probability, nats.
    """
    verdicts = frame(signals.verdicts, _VERDICT_COLUMNS)
    drawn = frame(signals.rollouts, ROLLOUT_COLUMNS).with_columns(per_token=per_token())
    return (
        verdicts.join(drawn, on="rollout_id")
        .join(_described(signals).drop("verifier", "n_tokens"), on="task_id")
        .join(frame(signals.difficulty), on=_SAMPLED, how="left")
        .sort("rollout_id", "task_id")
    )


def _described(signals: Signals) -> pl.DataFrame:
    """Every task with what the audit and the clusters say of it."""
    audited = frame(signals.audit, _AUDIT)
    clusters = frame(signals.clusters, ["prompt_id", "cluster"])
    prompts = frame(signals.prompts).join(audited, on="task_id", how="left")
    return prompts.join(clusters, on="prompt_id", how="left")


def answers_once(signals: Signals) -> pl.DataFrame:
    """Every judged rollout once. Where a prompt has several references, an answer counts for a task
    that it is right for, if there is one, else for one that cannot tell."""
    verdict = pl.col("verdict")
    best_first = [verdict != "correct", verdict == "wrong", pl.col("task_id")]
    found = answers(signals).sort("rollout_id", *best_first)
    return found.unique("rollout_id", keep="first", maintain_order=True)


def per_token() -> pl.Expr:
    """Mean log-probability of an answer's tokens."""
    return pl.col("logprob_sum") / pl.max_horizontal(pl.col("n_tokens"), pl.lit(1))


LIKELIEST = [-pl.col("per_token"), pl.col("rollout_id")]  # ascending order


def assistant(text: str) -> dict[str, str]:
    """The message that an answer is."""
    return {"role": "assistant", "content": text}


def table(rows: Sequence[Mapping[str, Any]], columns: pa.Schema) -> pa.Table:
    """The columns of `columns` of `rows`, sorted by id."""
    picked = [{name: row[name] for name in columns.names} for row in rows]
    return pa.Table.from_pylist(sorted(picked, key=lambda row: row["id"]), schema=columns)


def frame(source: pa.Table, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """An Arrow table for Polars."""
    found = pl.from_arrow(source.select(list(columns)) if columns else source)
    assert isinstance(found, pl.DataFrame)
    return found
