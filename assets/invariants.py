"""What must hold of every table and of a published version.

Each rule is a function of a run's context, and for the last stage of the published version, that
says what it found. Nothing here knows of Dagster.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from winnow.pipeline import schema
from winnow.pipeline.publish import set_schemas
from winnow.pipeline.publish.version import Version, verify_version
from winnow.pipeline.recipe_sections.engines import WITHOUT_SAMPLING
from winnow.stages import scores
from winnow.stages.base import Context

# Which verdict took how long is in the store, not in the stage's table.
VERDICTS = pa.schema([f for f in schema.VERDICTS if f.name != "seconds"])


@dataclass(frozen=True)
class Found:
    """What a rule found: the figures it compared, and the first few faults in words."""

    faults: list[str] = field(default_factory=list)
    figures: Mapping[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.faults


Rule = Callable[[Context, Version | None], Found]


def columns_as_documented(expected: Mapping[str, pa.Schema]) -> Rule:
    """Names, types and nullability of stage tables are those of `winnow.pipeline.schema`."""

    def check(ctx: Context, version: Version | None) -> Found:
        return Found(
            [
                fault
                for stage, wanted in expected.items()
                for fault in _differences(ctx.workspace.table_path(stage), wanted)
            ],
            {"tables": len(expected)},
        )

    return check


def prompts_conserved(ctx: Context, version: Version | None) -> Found:
    """Source rows = kept + dropped, and every prompt stands in the ledger as kept, once."""
    ledger = ctx.workspace.read("prompts_ledger", ["row_id", "decision"])
    tasks = ctx.workspace.read("prompts", ["task_id"])["task_id"].to_pylist()
    ids, decisions = ledger["row_id"].to_pylist(), ledger["decision"].to_pylist()
    kept = [row for row, decision in zip(ids, decisions, strict=True) if decision == "kept"]
    count = Counter(decisions)
    faults = _unequal("source rows", len(ids), "kept + dropped", count["kept"] + count["dropped"])
    faults += _twice("ledger", ids) + _twice("prompts", tasks)
    faults += _sets("kept in the ledger", set(kept), "prompts", set(tasks))
    return Found(faults, {"source rows": len(ids), "kept": len(kept), "dropped": count["dropped"]})


def answers_drawn(ctx: Context, version: Version | None) -> Found:
    """Every prompt has each answer below n once, or that answer is still to be drawn.

    Answers that the user brings are as many as there are: there may be fewer than n. Under a stop
    rule a prompt has the first of its answers, at most n.
    """
    from winnow.stages import rollouts

    table = ctx.workspace.read("rollouts", ["rollout_id", "prompt_id", "index"])
    prompts = set(ctx.workspace.read("prompts", ["prompt_id"])["prompt_id"].to_pylist())
    have = list(zip(table["prompt_id"].to_pylist(), table["index"].to_pylist(), strict=True))
    faults = _twice("answers", have) + _twice("rollouts", table["rollout_id"].to_pylist())
    faults += [f"{p}: an answer to no prompt" for p in sorted({p for p, _ in have} - prompts)]
    figures = {"prompts": len(prompts), "answers": len(have), "pending": 0}
    n = ctx.recipe.sampling.n
    if isinstance(ctx.recipe.engine, WITHOUT_SAMPLING):
        counts = Counter(prompt for prompt, _ in have)
        faults += [f"{p}: {c} answers, more than {n}" for p, c in counts.items() if c > n]
        figures["prompts without answers"] = len(prompts) - len(counts)
        return Found(faults, figures)
    if ctx.recipe.sampling.adaptive:
        counts = Counter(prompt for prompt, _ in have)
        faults += [f"{p}: answer {i}, but only {counts[p]}" for p, i in have if i >= counts[p]]
        faults += [f"{p}: {c} answers, more than {n}" for p, c in counts.items() if c > n]
        return Found(faults, figures)
    lacking = {(prompt, index) for prompt in prompts for index in range(n)} - set(have)
    if lacking:
        todo = rollouts.plan_of(ctx, sorted(prompts)).missing.values()
        pending = {(m.prompt_id, m.index) for requests in todo for m in requests}
        figures["pending"] = len(lacking & pending)
        faults += [f"{p}: answer {i} is missing" for p, i in sorted(lacking - pending)]
    return Found(faults, figures)


def every_answer_judged(ctx: Context, version: Version | None) -> Found:
    """One verdict per answer and task of its prompt, each correct, wrong or unjudged."""
    work = ctx.workspace
    prompts = work.read("prompts", ["prompt_id", "task_id"])
    tasks: dict[str, list[str]] = {}
    for prompt, task in zip(*(prompts[c].to_pylist() for c in prompts.column_names), strict=True):
        tasks.setdefault(prompt, []).append(task)
    rollouts = work.read("rollouts", ["rollout_id", "prompt_id"])
    wanted = {
        (rollout, task)
        for rollout, prompt in zip(
            *(rollouts[c].to_pylist() for c in rollouts.column_names), strict=True
        )
        for task in tasks.get(prompt, ())
    }
    verdicts = work.read("verdicts", ["rollout_id", "task_id", "verdict", "reward"])
    rows = verdicts.to_pylist()
    have = [(row["rollout_id"], row["task_id"]) for row in rows]
    faults = _twice("verdicts", have) + _sets("wanted", wanted, "verdicts", set(have))
    for row in rows:
        if row["verdict"] not in ("correct", "wrong", "unjudged"):
            faults.append(f"{row['rollout_id']}: verdict {row['verdict']!r}")
        elif row["verdict"] != "unjudged" and row["reward"] is None:
            faults.append(f"{row['rollout_id']}: {row['verdict']} with reward {row['reward']}")
    return Found(faults, {"wanted": len(wanted), "verdicts": len(have)})


def verdicts_counted(ctx: Context, version: Version | None) -> Found:
    """Every verdict is counted once: right + wrong + unjudged of all tasks = verdicts."""
    names = ["n", "n_correct", "n_wrong", "n_unjudged"]
    table = ctx.workspace.read("difficulty", ["task_id", *names])
    total, *parts = (sum(table[name].to_pylist()) for name in names)
    verdicts = ctx.workspace.num_rows("verdicts")
    faults = _unequal("verdicts", verdicts, "answers of all tasks", total)
    faults += _unequal("answers of all tasks", total, "right + wrong + unjudged", sum(parts))
    faults += _twice("tasks", table["task_id"].to_pylist())
    return Found(faults, {"verdicts": verdicts, "tasks": table.num_rows})


def every_task_audited(ctx: Context, version: Version | None) -> Found:
    """Every task is audited once."""
    tasks = set(ctx.workspace.read("prompts", ["task_id"])["task_id"].to_pylist())
    have = ctx.workspace.read("audit", ["task_id"])["task_id"].to_pylist()
    faults = _twice("audit", have) + _sets("tasks", tasks, "audit", set(have))
    return Found(faults, {"tasks": len(tasks), "audited": len(have)})


def one_row_per_prompt(stage: str) -> Rule:
    """The table has every prompt once."""

    def check(ctx: Context, version: Version | None) -> Found:
        prompts = set(ctx.workspace.read("prompts", ["prompt_id"])["prompt_id"].to_pylist())
        have = ctx.workspace.read(stage, ["prompt_id"])["prompt_id"].to_pylist()
        faults = _twice(stage, have) + _sets("prompts", prompts, stage, set(have))
        return Found(faults, {"prompts": len(prompts), "rows": len(have)})

    return check


def correct_answers_scored(ctx: Context, version: Version | None) -> Found:
    """Every answer that a set with UDS can take has one score, and nothing else has.

    These are the correct ones, unless a set also takes others (`verdicts`).
    """
    from winnow.selectors.sets.kind_rules import accepted

    verdicts = ctx.workspace.read("verdicts", ["rollout_id", "verdict", "detail"])
    taken = pl.DataFrame(verdicts).filter(accepted(scores.asked_verdicts(ctx.recipe)))
    wanted = set(taken["rollout_id"].to_list())
    have = ctx.workspace.read("scores", ["rollout_id"])["rollout_id"].to_pylist()
    faults = _twice("scores", have) + _sets("answers to score", wanted, "scores", set(have))
    return Found(faults, {"answers to score": len(wanted), "scores": len(have)})


def sets_conserved(ctx: Context, version: Version | None) -> Found:
    """Per set: candidates = kept + dropped + pending, and the kept rows are the published ones."""
    assert version is not None
    ledger = version.ledger().select(["row_id", "stage", "decision"]).to_pylist()
    judged = ctx.workspace.read("verdicts", ["rollout_id"])["rollout_id"].unique()
    candidates = dict.fromkeys(set_schemas.OF_ANSWERS, len(judged))  # the others choose among tasks
    faults: list[str] = []
    figures: dict[str, int] = {}
    for name, config in ctx.recipe.sets.items():
        rows = [row for row in ledger if row["stage"] == f"training_set/{name}"]
        count = Counter(row["decision"] for row in rows)
        coming = candidates.get(config.type, ctx.workspace.num_rows("prompts"))
        going = count["kept"] + count["dropped"] + count["pending"]
        faults += _unequal(f"{name}: candidates", coming, "kept + dropped + pending", going)
        faults += _unequal(f"{name}: ledger rows", len(rows), "known decisions", going)
        key = "rollout_id" if config.type in set_schemas.OF_ANSWERS else "task_id"
        published = [
            row
            for split in version.rows[name]
            for row in _column(version.table_path(name, split), key)
        ]
        if config.type in set_schemas.SEVERAL_ROWS:
            published = sorted(set(published))
        kept = sorted(row["row_id"] for row in rows if row["decision"] == "kept")
        if kept != sorted(published):
            faults += _unequal(f"{name}: kept", len(kept), "published", len(published))
            faults += _sets(f"{name}: kept", set(kept), "published", set(published))
        for decision in ("kept", "dropped", "pending"):
            figures[f"{name} {decision}"] = count[decision]
    return Found(faults, figures)


def set_columns(ctx: Context, version: Version | None) -> Found:
    """The published files have the columns of `winnow.pipeline.publish.set_schemas`."""
    assert version is not None
    faults = _differences(version.path / "ledger.parquet", schema.LEDGER)
    files = 1
    for name, config in ctx.recipe.sets.items():
        for split in version.rows[name]:
            wanted = set_schemas.columns_of(config.type, images=ctx.recipe.shows_images)
            faults += _differences(version.table_path(name, split), wanted)
            files += 1
    return Found(faults, {"files": files})


def reloads(ctx: Context, version: Version | None) -> Found:
    """`datasets.load_dataset` opens every split and finds the rows that the manifest tells."""
    assert version is not None
    import tempfile

    import datasets

    shown = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    faults: list[str] = []
    figures: dict[str, int] = {}
    try:
        with tempfile.TemporaryDirectory() as cache:
            for name, splits in version.rows.items():
                for split, rows in splits.items():
                    if not rows:  # `datasets` refuses a split without rows
                        continue
                    faults += _reload(version, name, split, rows, cache)
                    figures[f"{name}/{split}"] = rows
    finally:
        if not shown:
            datasets.enable_progress_bars()
    return Found(faults, figures)


def undamaged(ctx: Context, version: Version | None) -> Found:
    """Every file of the version has the SHA-256 that the version is named by."""
    assert version is not None
    return Found(verify_version(version.path))


def _reload(version: Version, name: str, split: str, rows: int, cache: str) -> list[str]:
    from datasets import load_dataset

    try:
        found = load_dataset(str(version.path), name, split=split, cache_dir=cache)
        count = sum(1 for _ in found.select_columns(["id"]))
    except Exception as error:  # noqa: BLE001  whatever it is, the set does not open
        return [f"{name}/{split}: {type(error).__name__}: {error}"]
    return _unequal(f"{name}/{split}: rows in the manifest", rows, "loaded", count)


def _differences(path: Path, wanted: pa.Schema) -> list[str]:
    import pyarrow.parquet as pq

    have = {f.name: f for f in pq.read_schema(path)}
    faults = [f"{path.name}: {name} is not documented" for name in have if name not in wanted.names]
    for column in wanted:
        found = have.get(column.name)
        if found is None:
            faults.append(f"{path.name}: {column.name} is missing")
        elif found.type != column.type:
            faults.append(f"{path.name}: {column.name} is {found.type}, not {column.type}")
        elif found.nullable and not column.nullable and None in _column(path, column.name):
            faults.append(f"{path.name}: {column.name} holds a null")
    return faults


def _column(path: Path, name: str) -> list[Any]:
    import pyarrow.parquet as pq

    return list(pq.read_table(path, columns=[name])[name].to_pylist())


def _unequal(left: str, a: int, right: str, b: int) -> list[str]:
    return [] if a == b else [f"{left}: {a:,}, {right}: {b:,}"]


def _twice(what: str, rows: list[Any]) -> list[str]:
    return [f"{what}: {row} stands {n} times" for row, n in Counter(rows).items() if n > 1]


def _sets(left: str, a: set[Any], right: str, b: set[Any]) -> list[str]:
    """What stands in one of two sets only."""
    return [f"{row}: in {left}, not in {right}" for row in sorted(a - b)] + [
        f"{row}: in {right}, not in {left}" for row in sorted(b - a)
    ]
