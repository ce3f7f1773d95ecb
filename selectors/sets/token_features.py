"""Signals of single tokens, from a file that `winnow features` wrote, and masks made of them."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from winnow.pipeline.recipe_sections.sets import TokenMasks
from winnow.pipeline.schema import MESSAGES
from winnow.selectors.rows import TableRows, row_ids
from winnow.selectors.run import select
from winnow.selectors.sets.signals import Signals, assistant, frame
from winnow.selectors.sieve import Sieve


def of_answers(
    signals: Signals,
    path: str,
    rollouts: Sequence[str | None],
    prompts: Sequence[list[dict[str, str]]],
    texts: Sequence[str],
) -> list[dict[str, Any] | None]:
    """The features of each answer in the file `path`, by their names; None for what is not in it.

    Rows of the file are named by the rollout, or by prompt and answer as a conversation (`messages`), as
    those of a published set of type sft are.
    """
    found = {row["row_id"]: row for row in signals.token_features[path].to_pylist()}
    if not texts:
        return []
    said = [[*prompt, assistant(text)] for prompt, text in zip(prompts, texts, strict=True)]
    names = row_ids(TableRows(pa.table({"messages": pa.array(said, MESSAGES)})))
    assert names is not None  # the column is there
    return [
        (found.get(rollout) if rollout is not None else None) or found.get(name)
        for rollout, name in zip(rollouts, names, strict=True)
    ]


def masked(sieve: Sieve, config: TokenMasks, signals: Signals) -> None:
    """Keep the rows that Q-Tuning keeps, and add their `token_keep`: which tokens of the answer count in
    the loss; the others stay in the input."""
    rows = sieve.rows
    features = of_answers(
        signals,
        config.features,
        rows["rollout_id"].to_list(),
        rows["messages"].to_list(),
        rows["completion"].to_list(),
    )
    sieve.rows = rows.with_columns(
        pl.Series(name, [each and each[name] for each in features], dtype=pl.List(pl.Float64))
        for name in ("token_logprobs", "token_entropies")
    )
    sieve.require(
        "no_token_features",
        pl.col("token_logprobs").is_not_null() & pl.col("token_entropies").is_not_null(),
        detail=pl.lit(f"{config.features} has none of this answer"),
        otherwise="pending",
    )
    pool = sieve.rows.select(
        "token_logprobs", "token_entropies", row_id=pl.col("rollout_id")
    ).to_arrow(compat_level=pl.CompatLevel.oldest())
    chosen = select("q_tuning", pool, r_sample=config.r_sample, r_token=config.r_token)
    told = frame(chosen).select(
        "token_keep", rollout_id="row_id", q_tuning="selected", q_tuning_reason="reason"
    )
    sieve.rows = sieve.rows.join(told, on="rollout_id", how="left")
    sieve.require("q_tuning", pl.col("q_tuning"), value=pl.col("q_tuning_reason"))
