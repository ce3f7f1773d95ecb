"""Stage 3: one verdict per rollout and task, from the verifier's present version.

Most exist already, written beside sampling; here come those that a new verifier version, a corrected
reference or imported rollouts leave missing.
"""

import pyarrow as pa

from winnow.pipeline.progress import Step
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.judging import Judge, Tasks, judge_missing, missing_verdicts
from winnow.pipeline.verify.worker_pool import VerifierPool
from winnow.stages.base import Context, StageResult, fingerprint, run_async, timed
from winnow.stages.judges import judging_engine, pool_size, tasks_of

VERSION = "1"


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    tasks = tasks_of(ctx, ctx.workspace.read("prompts"))
    return fingerprint(
        ctx,
        "verdicts",
        VERSION,
        {
            "prompts": ctx.workspace.data_version("prompts"),
            "rollouts": ctx.workspace.data_version("rollouts"),
            "timeout_seconds": ctx.recipe.verify.timeout_seconds,
            "verifiers": tasks.labels,
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `verdicts`."""
    prompts, rollouts = ctx.workspace.read("prompts"), ctx.workspace.read("rollouts")
    tasks = tasks_of(ctx, prompts)
    mark_now = mark(ctx)
    made = 0
    skipped = ctx.workspace.holds("verdicts", mark_now)
    with timed() as clock:
        if not skipped:
            with ctx.workspace.verdicts(write=True, on_wait=ctx.waits) as store:
                known, lacking = missing_verdicts(
                    rollouts, tasks, store, ctx.recipe.verify.timeout_seconds
                )
                made = len(lacking)
                if lacking:
                    ctx.progress.note(
                        f"{len(known):,} verdicts are used again; {len(lacking):,} answers have none "
                        "yet by these verifiers and references, and are judged"
                    )
                    run_async(_judge(ctx, rollouts, set(lacking), tasks, known, store))
                names = [
                    name
                    for rollout, prompt in zip(
                        rollouts["rollout_id"].to_pylist(),
                        rollouts["prompt_id"].to_pylist(),
                        strict=True,
                    )
                    for name in tasks.verdict_ids(rollout, prompt)
                ]
                # The time that a judgement took is no part of what was judged.
                ctx.workspace.write(
                    "verdicts", store.get(names).drop_columns(["seconds"]), mark_now
                )
    table = ctx.workspace.read("verdicts", ["verdict"])
    found = table["verdict"].to_pylist()
    counts = {name: found.count(name) for name in ("correct", "wrong", "unjudged")}
    return StageResult(
        "verdicts",
        ctx.workspace.data_version("verdicts"),
        skipped,
        {"verdicts": len(found), **counts},
        {"seconds": clock.seconds, "judged_here": made},
    )


async def _judge(
    ctx: Context,
    rollouts: pa.Table,
    lacking: set[str],
    tasks: Tasks,
    known: set[str],
    store: Store,
) -> None:
    rows = [row for row in rollouts.to_pylist() if row["rollout_id"] in lacking]
    done = 0

    def tell(_: object) -> None:
        nonlocal done
        done += 1
        ctx.progress.step(Step("verdicts", done, len(rows), "verdicts"))

    workers = pool_size(ctx)
    pool = VerifierPool(workers, ctx.recipe.verify.timeout_seconds, verifiers=tasks.verifiers)
    async with pool, AsyncWriter(store) as writer, judging_engine(ctx, tasks) as engine:
        judge = Judge(tasks, pool, writer, known, tell, engine)
        await judge_missing(rows, judge, concurrency=64 * workers)
