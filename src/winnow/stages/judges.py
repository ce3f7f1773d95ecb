"""Who judges answers: how many workers, and which model where a verifier asks one."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyarrow as pa

from winnow.pipeline.contracts import Engine
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import EngineConfig
from winnow.pipeline.recipe_sections.engines import WITHOUT_SAMPLING
from winnow.pipeline.verify.judging import Tasks
from winnow.stages.base import Context
from winnow.synth.engines import registry


def pool_size(ctx: Context) -> int:
    """The recipe's number of verifier workers, else one per usable core, at most 8."""
    return ctx.recipe.verify.workers or min(len(os.sched_getaffinity(0)), 8)


def tasks_of(ctx: Context, prompts: pa.Table) -> Tasks:
    """The tasks of `prompts`, whose verdicts are named by the model that judges here."""
    tasks = Tasks(prompts)
    if not tasks.ask_a_model:
        return tasks
    return Tasks(prompts, registry.identity_of(_config(ctx)).policy)


@asynccontextmanager
async def judging_engine(
    ctx: Context, tasks: Tasks, running: Engine | None = None
) -> AsyncIterator[Engine | None]:
    """The engine that verifiers ask, where some verifier asks one: `running` where the policy judges
    itself, else one that is started here and closed after the block."""
    if not tasks.ask_a_model:
        yield None
    elif running is not None and ctx.recipe.judge is None:
        yield running
    else:
        ctx.progress.note("starting the engine that judges")
        engine = await registry.start(_config(ctx))
        try:
            yield engine
        finally:
            await engine.close()


def _config(ctx: Context) -> EngineConfig:
    engine = ctx.recipe.engine
    if ctx.recipe.judge is None and isinstance(engine, WITHOUT_SAMPLING):
        raise UsageError(
            f"judge: a verifier asks a model, and engine {engine.type} has none; name one in the "
            "recipe's section `judge`"
        )
    return ctx.recipe.judge or engine
