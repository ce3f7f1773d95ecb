"""Verdicts on the solutions that sources keep, for the sets that offer them as demonstrations.

A solution is judged as an answer would be, by its row's own verifier against its row's reference: a
source can be wrong, and its worked solution can end in another answer than its reference.
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from winnow.pipeline.contracts import Task
from winnow.pipeline.progress import Step
from winnow.pipeline.recipe import DemonstrationsSet, HardestSet
from winnow.pipeline.schema import SOLUTIONS
from winnow.pipeline.verify.judging import OUT_OF_TIME, Tasks, judge_missing, judge_text
from winnow.pipeline.verify.worker_pool import VerifierPool
from winnow.stages.base import Context, fingerprint, run_async
from winnow.stages.judges import judging_engine, pool_size, tasks_of

VERSION = "1"
_STAGE = "solutions"
_KEY = ("task_id", "solution", "verifier")  # what determines a verdict

Row = dict[str, Any]


def judged(ctx: Context) -> pa.Table:
    """The table `solutions` (SOLUTIONS, sorted) of this recipe and its prompts, which is made where it is
    missing or old; verdicts that it has are used again."""
    prompts = ctx.workspace.read("prompts")
    tasks = tasks_of(ctx, prompts)
    columns = _columns(ctx)
    mark = fingerprint(
        ctx,
        _STAGE,
        VERSION,
        {
            "prompts": ctx.workspace.data_version("prompts"),
            "columns": columns,
            "timeout_seconds": ctx.recipe.verify.timeout_seconds,
            "verifiers": tasks.labels,
        },
    )
    if not ctx.workspace.holds(_STAGE, mark):
        known = _known(ctx)
        rows = _unjudged(prompts, tasks, columns)
        lacking = [row for row in rows if tuple(row[key] for key in _KEY) not in known]
        if lacking:
            ctx.progress.note(
                f"{len(lacking):,} of {len(rows):,} solutions that the sources keep are judged"
            )
            run_async(_judge(ctx, lacking, tasks))
        found = [known.get(tuple(row[key] for key in _KEY), {}) | row for row in rows]
        table = pa.Table.from_pylist(found, schema=SOLUTIONS)
        ctx.workspace.write(
            _STAGE, table.sort_by([("task_id", "ascending"), ("column", "ascending")]), mark
        )
    return ctx.workspace.read(_STAGE)


def _columns(ctx: Context) -> list[str]:
    """The kept columns that some set takes solutions from."""
    offering = (HardestSet, DemonstrationsSet)
    sets = [each for each in ctx.recipe.sets.values() if isinstance(each, offering)]
    return sorted({each.solution for each in sets if each.solution is not None})


def _known(ctx: Context) -> dict[tuple[str, ...], Row]:
    """Verdicts that the table has already, but those that a longer time limit may mend."""
    if ctx.workspace.stamps(_STAGE) is None:
        return {}
    return {
        tuple(row[key] for key in _KEY): {
            name: row[name] for name in ("verdict", "extracted", "detail")
        }
        for row in ctx.workspace.read(_STAGE).to_pylist()
        if row["detail"] not in OUT_OF_TIME
    }


def _unjudged(prompts: pa.Table, tasks: Tasks, columns: Sequence[str]) -> list[Row]:
    """What the sources keep in `columns`, where it is text, with who judges it."""
    labels = {
        name: tasks.label(verifier, task) for name, (verifier, task) in _by_task(tasks).items()
    }
    rows = []
    for row in prompts.select(["task_id", "meta"]).to_pylist():
        kept = json.loads(row["meta"])
        for column in columns:
            text = kept.get(column)
            if isinstance(text, str) and text.strip():
                rows.append(
                    {
                        "task_id": row["task_id"],
                        "column": column,
                        "solution": text,
                        "verifier": labels[row["task_id"]],
                    }
                )
    return rows


def _by_task(tasks: Tasks) -> dict[str, tuple[str, Task]]:
    return {
        name: (verifier, task) for each in tasks.by_prompt.values() for name, verifier, task in each
    }


async def _judge(ctx: Context, rows: Sequence[Row], tasks: Tasks) -> None:
    """Add a verdict to each of `rows`."""
    by_task, done = _by_task(tasks), 0
    workers = pool_size(ctx)
    pool = VerifierPool(workers, ctx.recipe.verify.timeout_seconds, verifiers=tasks.verifiers)
    async with pool, judging_engine(ctx, tasks) as engine:

        async def one(row: Row) -> None:
            nonlocal done
            verifier, task = by_task[row["task_id"]]
            found = (await judge_text(verifier, row["solution"], task, pool, engine)).verdict
            row |= {"verdict": found.verdict, "extracted": found.extracted, "detail": found.detail}
            done += 1
            ctx.progress.step(Step(_STAGE, done, len(rows), "verdicts"))

        await judge_missing(rows, one, concurrency=64 * workers)
