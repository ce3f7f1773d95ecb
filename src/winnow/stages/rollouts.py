"""Stage 2: the answers that each prompt should have, drawn where they are missing.

Verdicts are written beside sampling, so that this stage, not the next one, spends the time that
judging takes.
"""

import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from winnow.pipeline.contracts import Engine
from winnow.pipeline.progress import Step
from winnow.pipeline.recipe import ReplayEngine
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.judging import Judge
from winnow.pipeline.verify.worker_pool import VerifierPool
from winnow.stages.base import Context, StageResult, fingerprint, run_async, timed
from winnow.stages.judges import judging_engine, pool_size, tasks_of
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
    meter = _Meter(ctx)
    with timed() as clock:
        ids = sorted(set(prompts["prompt_id"].to_pylist()))
        ctx.workspace.note_target(target.name)  # garbage collection spares what is drawn for it
        if plan_of(ctx, ids).n_missing:
            # What is drawn stays, whatever stops this: the next run asks for the rest only. The plan
            # is made again under the lock, since another run may have drawn the same meanwhile.
            with (
                ctx.workspace.rollouts(write=True, on_wait=ctx.waits) as store,
                ctx.workspace.verdicts(write=True, on_wait=ctx.waits) as verdicts,
            ):
                plan = _plan(ctx, store, ids, target, retry=ctx.retry_errors)
                meter.total = plan.n_missing
                if plan.n_missing:
                    run_async(_draw(ctx, prompts, plan, target, store, verdicts, meter))
        with ctx.workspace.rollouts() as store:
            open_ends = _plan(ctx, store, ids, target).n_missing
            table = store.get(_plan(ctx, store, ids, target, settle=True).stored)
        # A failure that another try may mend must not make the next run skip this stage.
        ctx.workspace.write("rollouts", table, f"{mark_now}/incomplete" if open_ends else mark_now)
    cost = {"seconds": clock.seconds, **meter.cost()}
    return _result(ctx, skipped=False, cost=cost)


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
    stored = store.get(ids, "prompt_id", columns=sampling.PLAN_COLUMNS)
    if isinstance(ctx.recipe.engine, ReplayEngine):
        return replay.plan(ids, stored, ctx.recipe.engine, target.n)
    return sampling.plan(ids, stored, target, settle=settle, retry=retry)


def _imports(ctx: Context) -> int:
    """Imported rollouts can change without the recipe changing."""
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
    meter: "_Meter",
) -> None:
    tasks = tasks_of(ctx, prompts)
    messages = dict(
        zip(prompts["prompt_id"].to_pylist(), prompts["messages"].to_pylist(), strict=True)
    )
    ctx.progress.note(f"starting the engine ({target.identity.policy})")
    engine: Engine = await registry.start(ctx.recipe.engine)
    try:
        workers, seconds = pool_size(ctx), ctx.recipe.verify.timeout_seconds
        pool = VerifierPool(workers, seconds, verifiers=tasks.verifiers)
        async with (
            pool,
            AsyncWriter(store) as writer,
            AsyncWriter(verdict_store) as verdicts,
            judging_engine(ctx, tasks, engine) as asked,
        ):
            judge = Judge(tasks, pool, verdicts, set(), meter.judged, asked)
            meter.start()
            await sampling.draw(
                plan.missing,
                messages,
                engine,
                target,
                writer,
                concurrency=ctx.recipe.sampling.concurrency,
                judge=judge,
                on_row=meter.drawn,
            )
    finally:
        await engine.close()


class _Meter:
    """Running figures of the sampling: answers, tokens, tokens/s, pass rate."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.total = 0
        self._started = time.perf_counter()
        self._seconds = 0.0
        self._drawn = self._tokens = self._correct = self._judged = 0

    def start(self) -> None:
        self._started = time.perf_counter()

    def drawn(self, row: Mapping[str, Any]) -> None:
        self._drawn += 1
        self._tokens += row["n_tokens"]
        self._seconds = time.perf_counter() - self._started
        self._tell()

    def judged(self, row: Mapping[str, Any]) -> None:
        self._judged += row["verdict"] != "unjudged"
        self._correct += row["verdict"] == "correct"

    def _tell(self) -> None:
        numbers = {"tokens_per_second": self._tokens / max(self._seconds, 1e-9)}
        if self._judged:
            numbers["pass_rate"] = self._correct / self._judged
        self._ctx.progress.step(Step("rollouts", self._drawn, self.total, "answers", numbers))

    def cost(self) -> dict[str, float]:
        """Tokens and seconds of the sampling itself (the engine's start is not in it)."""
        if not self._drawn:
            return {}
        return {
            "answers_drawn": self._drawn,
            "tokens_drawn": self._tokens,
            "sampling_seconds": self._seconds,
            "tokens_per_second": self._tokens / max(self._seconds, 1e-9),
        }


def _result(ctx: Context, *, skipped: bool, cost: Mapping[str, float] | None = None) -> StageResult:
    reasons = ctx.workspace.read("rollouts", ["finish_reason"])["finish_reason"].to_pylist()
    counts = {
        "rollouts": len(reasons),
        "stopped": reasons.count("stop"),
        "truncated": reasons.count("length"),
        "errors": reasons.count("error"),
    }
    return StageResult(
        "rollouts", ctx.workspace.data_version("rollouts"), skipped, counts, cost or {}
    )
