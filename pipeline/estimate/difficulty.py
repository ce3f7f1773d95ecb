"""How hard a task is for one policy: pass rates and the Beta posterior over them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.pipeline import schema
from winnow.pipeline.estimate.intervals import beta_interval

_KEY = ["task_id", "policy", "template", "sampler"]


def difficulty(
    rollouts: pa.Table, verdicts: pa.Table, *, prior: tuple[float, float] = (1.0, 1.0)
) -> pa.Table:
    """The difficulty table from one verdict per (rollout, task).

    With c correct, w wrong and t unjudged because truncated: pass_rate = c / (c + w),
    pass_rate_low = c / (c + w + t), posterior Beta(prior_alpha + c, prior_beta + w). Unjudged answers count in n
    and n_unjudged only. A row's key is (task, policy, template, sampler).

    Raises ValueError for a prior that is not above 0 and finite.
    """
    if not all(0 < p < math.inf for p in prior):
        raise ValueError(f"prior {prior}: both must be above 0 and finite")
    drawn = pl.from_arrow(rollouts.select(["rollout_id", "policy", "template", "sampler",
                                           "finish_reason"]))  # fmt: skip
    judged = pl.from_arrow(verdicts.select(["rollout_id", "task_id", "verdict", "reward"]))
    assert isinstance(drawn, pl.DataFrame) and isinstance(judged, pl.DataFrame)
    counts = (
        judged.join(drawn, on="rollout_id", how="inner")
        .group_by(_KEY)
        .agg(
            n=pl.len().cast(pl.Int32),
            n_correct=_count("verdict", "correct"),
            n_wrong=_count("verdict", "wrong"),
            n_unjudged=_count("verdict", "unjudged"),
            n_truncated=_count("finish_reason", "length"),
            n_cut=((pl.col("finish_reason") == "length") & (pl.col("verdict") == "unjudged")).sum(),
            reward_mean=pl.col("reward").filter(pl.col("verdict") != "unjudged").mean(),
        )
        .sort(_KEY)
    )
    correct = counts["n_correct"].to_numpy().astype(float)
    wrong = counts["n_wrong"].to_numpy().astype(float)
    cut = counts["n_cut"].to_numpy().astype(float)
    alpha, beta = prior[0] + correct, prior[1] + wrong
    low, high = beta_interval(alpha, beta)
    columns: Mapping[str, Any] = {
        **{name: counts[name].to_arrow() for name in counts.columns},
        "pass_rate": _ratio(correct, correct + wrong),
        "pass_rate_low": _ratio(correct, correct + wrong + cut),
        "alpha": alpha,
        "beta": beta,
        "interval_low": low,
        "interval_high": high,
    }
    return pa.table(
        [pa.array(columns[f.name]).cast(f.type) for f in schema.DIFFICULTY],
        schema=schema.DIFFICULTY,
    )


def _count(column: str, value: str) -> pl.Expr:
    return (pl.col(column) == value).sum().cast(pl.Int32)


def _ratio(part: np.ndarray[Any, Any], whole: np.ndarray[Any, Any]) -> pa.Array:
    """part / whole, null where whole is 0."""
    with np.errstate(invalid="ignore"):
        return pa.array(part / whole, mask=whole == 0)
