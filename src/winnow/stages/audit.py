"""Stage beside 4: references that the answers agree against, from recorded verdicts."""

import asyncio
from collections.abc import Collection

from winnow.pipeline.contracts import Task
from winnow.pipeline.progress import Step
from winnow.pipeline.verify.audit import (
    MATH,
    Question,
    audit,
    credible_majorities,
    questions,
    tasks_of,
)
from winnow.pipeline.verify.worker_pool import VerifierPool
from winnow.stages.base import Context, StageResult, fingerprint, run_async, timed
from winnow.stages.judges import pool_size

VERSION = "1"
_VERDICTS = ["task_id", "verdict", "extracted", "detail"]
_ASKED_AT_ONCE = 1_000


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    work = ctx.workspace
    return fingerprint(
        ctx,
        "audit",
        VERSION,
        {
            "prompts": work.data_version("prompts"),
            "verdicts": work.data_version("verdicts"),
            "audit": ctx.recipe.audit.model_dump(),
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `audit`."""
    work = ctx.workspace
    mark_now = mark(ctx)
    skipped = work.holds("audit", mark_now)
    asked = 0
    with timed() as clock:
        if not skipped:
            prompts = work.read("prompts", ["task_id", "answer", "verifier"])
            tasks = tasks_of(prompts, work.read("verdicts", _VERDICTS))
            open_ = questions(tasks, ctx.recipe.audit)
            asked = len(open_)
            work.write("audit", audit(tasks, ctx.recipe.audit, equal_ones(ctx, open_)), mark_now)
    table = work.read("audit")
    agreed, with_reference = credible_majorities(table)
    counts = {
        "tasks": table.num_rows,
        "suspects": table["suspect"].to_pylist().count(True),
        "doubts": table.num_rows - table["doubt"].null_count,
        "agreed": agreed,
        "agreed_with_reference": with_reference,
    }
    return StageResult(
        "audit",
        work.data_version("audit"),
        skipped,
        counts,
        {"seconds": clock.seconds, "compared_here": asked},
    )


def equal_ones(ctx: Context, open_: Collection[Question]) -> set[Question]:
    """Those of the questions that the verifier `math` answers with yes, asked in workers: answers are
    hostile, and a comparison may hang."""
    asked = sorted(open_)
    equal: set[Question] = set()

    async def ask() -> None:
        timeout = ctx.recipe.verify.timeout_seconds
        async with VerifierPool(pool_size(ctx), timeout, verifiers=[MATH]) as pool:

            async def one(question: Question) -> None:
                reference, answer = question
                task = Task([], reference)
                judged = await pool.judge(MATH, rf"\boxed{{{answer}}}", task)
                if judged.verdict.verdict == "correct":
                    equal.add(question)

            for start in range(0, len(asked), _ASKED_AT_ONCE):
                batch = asked[start : start + _ASKED_AT_ONCE]
                async with asyncio.TaskGroup() as group:
                    for question in batch:
                        group.create_task(one(question))
                done = start + len(batch)
                ctx.progress.step(Step("audit", done, len(asked), "comparisons"))

    if asked:
        run_async(ask())
    return equal
