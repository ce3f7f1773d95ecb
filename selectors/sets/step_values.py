"""Steps of solutions with their values, from search trees."""

import polars as pl

from winnow.pipeline.names import digest
from winnow.pipeline.publish.method_schemas import STEP_VALUES
from winnow.pipeline.recipe import StepValuesSet
from winnow.selectors.sets import rules
from winnow.selectors.sets.signals import Chosen, Signals, frame, table, tasks
from winnow.selectors.sieve import Sieve


def step_values(
    config: StepValuesSet, signals: Signals, stage: str = "training_set/step_values"
) -> Chosen:
    """Paths of a task's search tree, one a row; the ledger's rows are tasks.

    Of several paths those with a correct end come first, then those whose last step has the highest
    value, then the shorter ones, then by text. Equal paths stand once.
    """
    assert signals.stepwise is not None
    grouped = _paths(config, frame(signals.stepwise))
    sieve = Sieve(tasks(signals).join(grouped, on="task_id", how="left"), "task_id", stage)
    rules.sampled(sieve)
    sieve.require(
        "no_tree",
        pl.col("all_paths").is_not_null(),
        detail=pl.lit("no path of a search tree is recorded (winnow rest-mcts)"),
        otherwise="pending",
    )
    asked = "a path with values" if config.needs == "values" else "a path"
    sieve.require(
        "no_path",
        pl.col("paths").list.len() > 0,
        value=pl.format("{} paths", pl.col("all_paths")),
        threshold=f"{asked} to a correct end" if config.paths == "correct" else asked,
    )
    rules.trusted(sieve, config)
    rules.band(sieve, config)
    rules.cap(sieve, config)
    rows = []
    for row in sieve.rows.to_dicts():
        for path in row["paths"][: config.per_prompt]:
            name = digest("step_values/1", [row["task_id"], path["completions"]])
            rows.append({**row, **path, "id": name, "prompt": row["messages"]})
    return Chosen(table(rows, STEP_VALUES), sieve.finish())


def _paths(config: StepValuesSet, stepwise: pl.DataFrame) -> pl.DataFrame:
    """By task: how many paths there are, and those that are wanted, in order."""
    wanted = pl.lit(True)
    if config.needs == "values":
        wanted = wanted & pl.col("values").is_not_null()
    if config.paths == "correct":
        wanted = wanted & pl.col("correct")
    ordered = (
        stepwise.with_columns(
            wanted=wanted,
            last=pl.col("values").list.last(),
            steps=pl.col("completions").list.len(),
            text=pl.col("completions").list.join("\n"),
        )
        .sort(~pl.col("correct"), -pl.col("last"), pl.col("steps"), pl.col("text"), nulls_last=True)
        .unique(["task_id", "completions"], keep="first", maintain_order=True)
    )
    path = pl.struct("completions", "labels", "values", "correct")
    return ordered.group_by("task_id", maintain_order=True).agg(
        all_paths=pl.len(), paths=path.filter(pl.col("wanted"))
    )
