"""Single answers with what they are worth: a label, or a class with its weight."""

import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import C_RLFT, UNPAIRED
from winnow.pipeline.recipe import CRlftSet, UnpairedSet
from winnow.selectors.sets import rules
from winnow.selectors.sets.signals import (
    LIKELIEST,
    Chosen,
    Signals,
    answers_once,
    assistant,
    table,
)
from winnow.selectors.sieve import Sieve


def unpaired(config: UnpairedSet, signals: Signals, stage: str = "training_set/unpaired") -> Chosen:
    """Right and wrong answers one by one; the ledger's rows are rollouts."""
    sieve = Sieve(answers_once(signals), "rollout_id", stage)
    rules.judged(sieve)
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    rules.distinct(sieve)
    if config.per_label:
        sieve.top("per_label", config.per_label, LIKELIEST, within=["prompt_id", "verdict"])
    rules.cap_answers(sieve, config)
    rows = sieve.rows.to_dicts()
    for row in rows:
        row["id"] = digest("unpaired/1", [row["task_id"], row["rollout_id"]])
        row["prompt"] = row["messages"]
        row["completion"] = [assistant(row["completion"])]
        row["label"] = row["verdict"] == "correct"
    return Chosen(table(rows, UNPAIRED), sieve.finish())


def c_rlft(config: CRlftSet, signals: Signals, stage: str = "training_set/c_rlft") -> Chosen:
    """Every answer of a class, weighted by it; the ledger's rows are rollouts.

    Only answers that ended by themselves: by source, whatever their verdict; by verdict, those that
    were judged. An answer whose quality has no class is dropped.
    """
    quality = pl.col("verdict" if config.by == "verdict" else "source")
    found = answers_once(signals).with_columns(quality=quality)
    sieve = Sieve(found, "rollout_id", stage)
    if config.by == "verdict":
        rules.judged(sieve)
    sieve.require(
        "unfinished",
        pl.col("finish_reason") == "stop",
        value=pl.col("finish_reason"),
        threshold="stop",
    )
    classes = {key: config.classes[key] for key in sorted(config.classes)}
    sieve.require(
        "no_class",
        pl.col("quality").is_in(list(classes)),
        value=pl.col("quality"),
        threshold=", ".join(classes),
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    rules.distinct(sieve)
    names = pl.col("quality").replace_strict(classes, default=None, return_dtype=pl.String)
    sieve.rows = sieve.rows.with_columns(condition=names)
    if config.per_class:
        sieve.top("per_class", config.per_class, LIKELIEST, within=["prompt_id", "condition"])
    rules.cap_answers(sieve, config)
    rows = sieve.rows.to_dicts()
    for row in rows:
        weight = config.weights[row["condition"]]
        before = [m for m in row["messages"] if m["role"] != "system"]
        systems = [m["content"] for m in row["messages"] if m["role"] == "system"]
        row["id"] = digest("c_rlft/1", [row["task_id"], row["rollout_id"]])
        row["system"] = "\n\n".join(systems) or None
        row["items"] = [
            *({**message, "weight": 0.0} for message in before),
            {**assistant(row["completion"]), "weight": weight},
        ]
        row["weight"] = weight
    return Chosen(table(rows, C_RLFT), sieve.finish())
