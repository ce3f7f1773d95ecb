"""Whole trajectories of agents, with the messages to train on (EEF, arXiv 2504.13145)."""

import json
from typing import Any

import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.formats.adp import message_row
from winnow.pipeline.publish.formats.adp_marks import (
    MASK,
    TrainOn,
    actions,
    final_reward,
    trained,
    with_details,
)
from winnow.pipeline.publish.formats.adp_schema import Trajectory, build
from winnow.pipeline.publish.method_schemas import TRAJECTORIES
from winnow.pipeline.recipe import TrajectoriesSet
from winnow.selectors.sets import kind_rules, rules
from winnow.selectors.sets.signals import Chosen, Signals, answers_once, frame, table
from winnow.selectors.sieve import Sieve

# Of all that pass, those of most reward come first, then by name.
_BEST = [-pl.col("reward"), pl.col("rollout_id")]
_FACTS = {"reward": pl.Float64, "n_actions": pl.Int32, "n_trained": pl.Int32, "same": pl.String}


def trajectories(
    config: TrajectoriesSet, signals: Signals, stage: str = "training_set/trajectories"
) -> Chosen:
    """Trajectories that answers end; the ledger's rows are rollouts.

    The reward is the trajectory's own, not the verifier's. Two trajectories of a prompt with the same
    actions and observations are one, whatever else is said of them.
    """
    assert signals.completions is not None
    brought = frame(signals.completions, ["rollout_id", "trajectory"])
    found = answers_once(signals).drop("reward").join(brought, on="rollout_id", how="left")
    facts = [_facts(text, config) for text in found["trajectory"].to_list()]
    found = found.with_columns(
        pl.Series(name, [each[name] for each in facts], dtype) for name, dtype in _FACTS.items()
    )
    sieve = Sieve(found, "rollout_id", stage)
    sieve.require(
        "no_trajectory",
        pl.col("trajectory").is_not_null(),
        value=pl.col("source"),
        threshold="a source of type trajectories",
    )
    sieve.require(
        "verdict",
        kind_rules.accepted(config.accepted),
        value=pl.col("verdict"),
        threshold=" or ".join(config.accepted),
        detail=pl.col("detail"),
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    _fitting(sieve, config)
    sieve.rows = sieve.rows.sort(_BEST, nulls_last=True)
    sieve.require(
        "duplicate_trajectory",
        pl.struct("prompt_id", "same").is_first_distinct(),
        detail=pl.lit("same actions and observations as another trajectory of this prompt"),
    )
    if config.per_prompt:
        sieve.top("per_prompt", config.per_prompt, _BEST, within="prompt_id")
    rules.cap(sieve, config, _BEST)
    rows = sieve.rows.to_dicts()
    for row in rows:
        row |= message_row(_as_trained(_read(row["trajectory"]), config.train_on))
        row["id"] = digest("trajectories/1", [row["task_id"], row["rollout_id"]])
    return Chosen(table(rows, TRAJECTORIES), sieve.finish())


def _fitting(sieve: Sieve, config: TrajectoriesSet) -> None:
    if config.min_reward is not None:
        reward = pl.col("reward")
        sieve.require(
            "min_reward",
            reward >= config.min_reward,
            value=reward,
            threshold=f">= {config.min_reward:g}",
        )
    if config.max_actions is not None:
        number = pl.col("n_actions")
        sieve.require(
            "max_actions",
            number <= config.max_actions,
            value=number,
            threshold=f"<= {config.max_actions}",
        )
    sieve.require(
        "nothing_to_train",
        pl.col("n_trained") > 0,
        value=pl.col("n_trained"),
        threshold=f"> 0 actions, of {config.train_on}",
    )


def _facts(text: str | None, config: TrajectoriesSet) -> dict[str, Any]:
    """What the rules look at; nulls where there is no trajectory."""
    if text is None:
        return dict.fromkeys(_FACTS)
    found = _read(text)
    return {
        "reward": final_reward(found),
        "n_actions": sum(actions(found)),
        "n_trained": sum(trained(found, config.train_on)),
        "same": digest("trajectory_content/1", found.plain()["content"]),
    }


def _as_trained(found: Trajectory, train_on: TrainOn) -> Trajectory:
    """The trajectory with the mask that is asked for, where that is not what it says itself."""
    mask = trained(found, train_on)
    if mask == trained(found):
        return found
    return with_details(found, {**found.details, MASK: mask})


def _read(text: str) -> Trajectory:
    return build(json.loads(text))
