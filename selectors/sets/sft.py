"""Answers to imitate."""

import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.set_schemas import SFT
from winnow.pipeline.recipe import SFTSet
from winnow.selectors.sets import kind_rules, rules, token_features
from winnow.selectors.sets.signals import Chosen, Signals, answers_once, assistant, frame, table
from winnow.selectors.sieve import Sieve


def sft(config: SFTSet, signals: Signals, stage: str = "training_set/sft") -> Chosen:
    """Verified answers, or those that the set takes unverified; the ledger's rows are rollouts.

    Among the answers that pass, the best by score come first (then by name), per prompt, per
    cluster and in the whole. Where a prompt has several references, an answer counts once: for a
    task that it is right for, if there is one, else one that cannot tell.
    """
    scores = frame(signals.scores, ["rollout_id", "score", "selected"])
    candidates = answers_once(signals).join(scores, on="rollout_id", how="left")
    sieve = Sieve(candidates, "rollout_id", stage)
    sieve.require(
        "verdict",
        kind_rules.accepted(config.accepted),
        value=pl.col("verdict"),
        threshold=" or ".join(config.accepted),
        detail=pl.col("detail"),
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    rules.distinct(sieve)  # whatever their scores: equal answers score alike
    if config.uds:
        sieve.require(
            "uds", pl.col("selected"), value=pl.col("score"), threshold="selected in its batch"
        )
    if config.token_masks is None:
        sieve.rows = sieve.rows.with_columns(token_keep=None)
    else:
        token_features.masked(sieve, config.token_masks, signals)
    best = [-pl.col("score"), pl.col("rollout_id")]
    sieve.top("per_prompt", config.per_prompt, best, within="prompt_id")
    rules.cap(sieve, config, best)
    weight = pl.lit(1.0)
    if config.weighting == "per_prompt":
        weight = 1.0 / pl.len().over("prompt_id")
    rows = sieve.rows.with_columns(weight=weight).to_dicts()
    for row in rows:
        row["id"] = digest("sft/1", [row["task_id"], row["rollout_id"]])
        row["messages"] = [*row["messages"], assistant(row["completion"])]
    return Chosen(table(rows, SFT), sieve.finish())
