"""Stage 2: the answers that each prompt should have, drawn where they are missing.

Verdicts are written beside sampling, so that this stage, not the next one, spends the time that
judging takes.
"""

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from winnow.pipeline.recipe import ReplayEngine, SourceEngine, dump
from winnow.pipeline.store.store import Store
from winnow.stages import adaptive_rollouts, source_answers
from winnow.stages.base import Context, StageResult, fingerprint, run_async, timed
from winnow.stages.drawing import Meter, drawing, interruptible, messages_of, reuse
from winnow.stages.judges import tasks_of
from winnow.synth import sampling
from winnow.synth.engines import registry, replay

VERSION = "1"


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    return fingerprint(
        ctx,
        "rollouts",
        VERSION,
        {
            "prompts": ctx.workspace.data_version("prompts"),
            "target": repr(target_of(ctx)),
            **_stopping(ctx),
            "imported": _imports(ctx),
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `rollouts`: one row per prompt and index, errors included."""
    prompts = ctx.workspace.read("prompts")
    target = target_of(ctx)
    mark_now = mark(ctx)
    if not ctx.retry_errors and ctx.workspace.holds("rollouts", mark_now):
        return _result(ctx, skipped=True)
    adaptive = ctx.recipe.sampling.adaptive
    from_sources = isinstance(ctx.recipe.engine, SourceEngine)
    meter = Meter(ctx, prompts, "prompts" if adaptive else "answers")
    with timed() as clock:
        ids = sorted(set(prompts["prompt_id"].to_pylist()))
        # Garbage collection spares what is drawn for this target.
        ctx.workspace.note_target(source_answers.TARGET if from_sources else target.name)
        if adaptive:
            table, open_ends, ended = adaptive_rollouts.fill(ctx, prompts, ids, target, meter)
            ctx.workspace.write("sampled", ended, mark_now)
            reasons = _reasons(ended)
        else:
            if from_sources:
                table, open_ends = source_answers.fill(ctx, ids, target.n), False
                if (more := source_answers.left_out(ctx, ids, target.n)).answers:
                    ctx.progress.note(str(more))
            else:
                table, open_ends = _fill(ctx, prompts, ids, target, meter)
            reasons = {}
            ctx.workspace.table_path("sampled").unlink(missing_ok=True)
        # A failure that another try may mend must not make the next run skip this stage.
        ctx.workspace.write("rollouts", table, f"{mark_now}/incomplete" if open_ends else mark_now)
    ends = {f"prompts_{reason}": number for reason, number in reasons.items()}
    cost = {"seconds": clock.seconds, **meter.cost(), **ends}
    return _result(ctx, skipped=False, cost=cost)


def _fill(
    ctx: Context, prompts: pa.Table, ids: list[str], target: sampling.Target, meter: Meter
) -> tuple[pa.Table, bool]:
    """Draw what is missing of answers 0..n-1; the answers, and whether another try may mend some."""
    plan = plan_of(ctx, ids)
    meter.reused = len(plan.stored)
    if said := reuse(len(plan.stored), itertools.chain.from_iterable(plan.missing.values())):
        ctx.progress.note(said)
    if plan.n_missing:
        # What is drawn stays, whatever stops this: the next run asks for the rest only. The plan is
        # made again under the lock, since another run may have drawn the same meanwhile.
        with (
            ctx.workspace.rollouts(write=True, on_wait=ctx.waits) as store,
            ctx.workspace.verdicts(write=True, on_wait=ctx.waits) as verdicts,
        ):
            plan = _plan(ctx, store, ids, target, retry=ctx.retry_errors)
            meter.total = plan.n_missing
            if plan.n_missing:
                run_async(_draw(ctx, prompts, plan, target, store, verdicts, meter))
    with ctx.workspace.rollouts() as store:
        open_ends = _plan(ctx, store, ids, target).n_missing > 0
        return store.get(_plan(ctx, store, ids, target, settle=True).stored), open_ends


def target_of(ctx: Context) -> sampling.Target:
    """What the recipe asks of every prompt."""
    config = ctx.recipe.sampling
    return sampling.Target(
        identity=registry.identity_of(ctx.recipe.engine),
        sampling=config.distribution,
        seed=ctx.recipe.seed,
        n=config.n,
        max_tokens=config.max_tokens,
        max_attempts=config.max_attempts,
    )


def plan_of(ctx: Context, prompt_ids: list[str]) -> sampling.Plan:
    """What is stored and what is missing, without drawing anything."""
    with ctx.workspace.rollouts() as store:
        return _plan(ctx, store, prompt_ids, target_of(ctx), retry=ctx.retry_errors)


def _plan(
    ctx: Context,
    store: Store,
    ids: list[str],
    target: sampling.Target,
    *,
    settle: bool = False,
    retry: bool = False,
) -> sampling.Plan:
    if isinstance(ctx.recipe.engine, SourceEngine):
        return source_answers.plan(ctx, ids, target.n)
    if isinstance(ctx.recipe.engine, ReplayEngine):
        return replay.plan(ids, replay.stored_rows(store, ids, ctx.recipe.engine), target.n)
    stored = sampling.stored_rows(store, ids, target)
    return sampling.plan(ids, stored, target, settle=settle, retry=retry)


def _stopping(ctx: Context) -> dict[str, Any]:
    """What else decides how many answers there are."""
    config = ctx.recipe.sampling
    if not config.adaptive:
        return {}
    tasks = tasks_of(ctx, ctx.workspace.read("prompts"))
    return {
        "stop": [dump(rule) for rule in config.stop],
        "steer": dump(config.steer) if config.steer else None,
        "budget": dump(config.budget),
        "verifiers": tasks.labels,
    }


def _imports(ctx: Context) -> int | str:
    """Imported rollouts can change without the recipe changing, and those of the sources."""
    if isinstance(ctx.recipe.engine, SourceEngine):
        return ctx.workspace.data_version("completions")
    if not isinstance(ctx.recipe.engine, ReplayEngine):
        return 0
    with ctx.workspace.rollouts() as store:
        return store.count()


async def _draw(
    ctx: Context,
    prompts: pa.Table,
    plan: sampling.Plan,
    target: sampling.Target,
    store: Store,
    verdict_store: Store,
    meter: Meter,
) -> None:
    tasks = tasks_of(ctx, prompts)
    spending = sampling.Spending()
    async with drawing(ctx, tasks, store, verdict_store, set(), meter.judged) as parts:
        meter.start()
        with interruptible(ctx, spending.close, meter.said):
            await sampling.draw(
                plan.missing,
                messages_of(ctx, prompts),
                parts.engine,
                target,
                parts.writer,
                concurrency=ctx.recipe.sampling.concurrency,
                judge=parts.judge,
                spending=spending,
                on_row=meter.drawn,
            )


def _result(ctx: Context, *, skipped: bool, cost: Mapping[str, float] | None = None) -> StageResult:
    reasons = ctx.workspace.read("rollouts", ["finish_reason"])["finish_reason"].to_pylist()
    counts = {
        "rollouts": len(reasons),
        "stopped": reasons.count("stop"),
        "truncated": reasons.count("length"),
        "errors": reasons.count("error"),
    }
    if isinstance(ctx.recipe.engine, SourceEngine):
        ids = ctx.workspace.read("prompts", ["prompt_id"])["prompt_id"].to_pylist()
        counts["beyond_n"] = source_answers.left_out(ctx, ids, ctx.recipe.sampling.n).answers
    if ctx.recipe.sampling.adaptive:
        counts |= _reasons(ctx.workspace.read("sampled", ["reason"]))
    return StageResult(
        "rollouts", ctx.workspace.data_version("rollouts"), skipped, counts, cost or {}
    )


def _reasons(sampled: pa.Table) -> dict[str, int]:
    """How many prompts ended for each reason."""
    ended = Counter(reason or "undecided" for reason in sampled["reason"].to_pylist())
    return dict(sorted(ended.items()))
