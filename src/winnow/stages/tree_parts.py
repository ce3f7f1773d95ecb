"""What the stages share that search: steps and judgements that are stored as they are made, an engine
that starts with its first request, and a gate that keeps it full and never overruns it.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.contracts import Embedder, Engine, Sampling
from winnow.pipeline.names import Message
from winnow.pipeline.progress import Step
from winnow.pipeline.store import prompt_images
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.asking import Local
from winnow.pipeline.verify.judging import OUT_OF_TIME, Tasks
from winnow.pipeline.verify.worker_pool import VerifierPool
from winnow.stages.base import Context, run_async
from winnow.stages.drawing import interruptible
from winnow.stages.judges import judging_engine, pool_size
from winnow.synth.engines import registry
from winnow.synth.sampling import PERMANENT
from winnow.synth.tree.gate import Gate, Load, OnDemand, each
from winnow.synth.tree.judges import is_of_task
from winnow.synth.tree.memo import Drawing, Memo

_PROMPTS = 10_000  # whose judgements are looked through at once
_COUNTS = b"winnow.counts"
_MADE_FROM = b"winnow.prompts"


@dataclass(frozen=True)
class Prompt:
    """One prompt, whose tasks are searched one after the other, over the same steps."""

    prompt_id: str
    messages: Sequence[Message]


@dataclass(frozen=True)
class Parts:
    """What a search is made with; without its parts it gets as far as what is stored. `asked`: the
    engine that judges and value functions ask, where they ask one."""

    gate: Gate | None = None
    local: Local | None = None
    asked: Engine | None = None


STORED = Parts()
Work = Callable[[Parts, Prompt, Memo], Awaitable[None]]


def search_prompts(
    ctx: Context,
    tasks: Tasks,
    prompts: Sequence[Prompt],
    work: Work,
    *,
    asks: bool,
    said: Callable[[], str],
    opened: Callable[[Gate], None],
) -> Load:
    """Run `work` for every prompt, many at once, over what is stored for it; what it adds is on disk
    before it counts.

    The engine starts with the first request. `asks`: not only verifiers ask a model. `said` and the
    gate, which `opened` is given, are for stopping in order: requests under way come to their end.
    """
    with (
        ctx.workspace.steps(write=True, on_wait=ctx.waits) as steps,
        ctx.workspace.judgements(write=True, on_wait=ctx.waits) as judgements,
    ):
        names = [prompt.prompt_id for prompt in prompts]
        _forget_time_outs(judgements, names, ctx.recipe.verify.timeout_seconds)
        return run_async(
            _search(ctx, tasks, prompts, work, steps, judgements, asks, said, opened)
        )  # fmt: skip


async def _search(
    ctx: Context,
    tasks: Tasks,
    prompts: Sequence[Prompt],
    work: Work,
    steps: Store,
    judgements: Store,
    asks: bool,
    said: Callable[[], str],
    opened: Callable[[Gate], None],
) -> Load:
    identity = registry.identity_of(ctx.recipe.engine)
    concurrency = ctx.recipe.sampling.concurrency

    async def start() -> Engine:
        ctx.progress.note(f"starting the engine ({identity.policy})")
        return await registry.start(ctx.recipe.engine)

    engine = OnDemand(identity, start)
    gate = Gate(engine, concurrency)
    opened(gate)
    seconds = ctx.recipe.verify.timeout_seconds
    try:
        async with (
            VerifierPool(pool_size(ctx), seconds, verifiers=tasks.verifiers) as pool,
            AsyncWriter(steps) as step_writer,
            AsyncWriter(judgements) as judgement_writer,
            _asked(ctx, tasks, gate, asks) as asked,
        ):
            parts = Parts(gate, pool.judge, asked)
            # What is stored is read on connections of its own, beside the writers.
            with ctx.workspace.steps() as old_steps, ctx.workspace.judgements() as old:

                async def one(prompt: Prompt) -> None:
                    memo = Memo(
                        prompt.prompt_id,
                        _rows(old_steps, prompt.prompt_id),
                        _rows(old, prompt.prompt_id),
                        keep_step=step_writer.put,
                        keep_judgement=judgement_writer.put,
                    )
                    await work(parts, prompt, memo)

                with interruptible(ctx, gate.stop, said):
                    await each(prompts, one, live=2 * concurrency)
    finally:
        await engine.close()
    return gate.load


def stored_memo(ctx: Context, prompt_id: str) -> Memo:
    """What is stored for one prompt, to look at; nothing that is added to it is kept."""
    with ctx.workspace.steps() as steps, ctx.workspace.judgements() as judgements:
        return Memo(prompt_id, _rows(steps, prompt_id), _rows(judgements, prompt_id))


def drawing_of(ctx: Context, sampling: Sampling, max_tokens: int | None) -> Drawing:
    """How the recipe's engine draws; `max_tokens` None: the recipe's `sampling.max_tokens`."""
    config = ctx.recipe.sampling
    return Drawing(
        identity=registry.identity_of(ctx.recipe.engine),
        sampling=sampling,
        seed=ctx.recipe.seed,
        max_tokens=max_tokens or config.max_tokens,
        max_attempts=config.max_attempts,
    )


def prompts_of(prompts: pa.Table, home: Path) -> list[Prompt]:
    """Each prompt once, in the order of their names, with its images in the store of `home`."""
    found = prompt_images.conversations(prompts, home)
    messages = dict(zip(prompts["prompt_id"].to_pylist(), found, strict=True))
    return [Prompt(name, messages[name]) for name in sorted(messages)]


def is_final(error: str) -> bool:
    """Whether another run would come to the same error."""
    return error.startswith(PERMANENT) or is_of_task(error)


def asked_policy(ctx: Context) -> str:
    """The model that a critic or a value function asks: the recipe's judge, else its policy."""
    return registry.identity_of(ctx.recipe.judge or ctx.recipe.engine).policy


def embedder_of(ctx: Context) -> Embedder:
    """The recipe's embedder, for merging."""
    from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
    from winnow.pipeline.models import resolve_embedder

    config = ctx.recipe.embedding
    return SentenceTransformerEmbedder(resolve_embedder(config.model), batch_size=config.batch_size)


def cost_of(load: Load, seconds: float) -> dict[str, float]:
    """What a search cost, by name."""
    cost = {"seconds": seconds, "requests": load.requests, "mean_in_flight": load.mean_in_flight}
    if load.cache is not None and load.cache.hit_rate is not None:
        cost["prefix_cache_hit_rate"] = load.cache.hit_rate
    return cost


def described(ctx: Context, table: pa.Table, counts: Mapping[str, int]) -> pa.Table:
    """The table with counts that its rows do not tell, and the prompts that it was made from, in its
    metadata."""
    prompts = ctx.workspace.data_version("prompts")
    facts = {_COUNTS: json.dumps(counts).encode(), _MADE_FROM: prompts.encode()}
    return table.replace_schema_metadata(facts)


def is_stale(ctx: Context, table: pa.Table) -> bool:
    """Whether a table of `described` was made from other prompts than the recipe has now."""
    made_from = (table.schema.metadata or {}).get(_MADE_FROM, b"").decode()
    return made_from != ctx.workspace.data_version("prompts")


def counts_in(table: pa.Table) -> dict[str, int]:
    """The counts that `described` has put there."""
    found: dict[str, int] = json.loads((table.schema.metadata or {}).get(_COUNTS, b"{}"))
    return found


def tell_errors(ctx: Context, errors: Sequence[str]) -> None:
    """Tell why searches ended early: their commonest error."""
    if errors:
        error, times = Counter(errors).most_common(1)[0]
        ctx.progress.note(f"{len(errors):,} ended in an error; {times:,} of them in: {error}")


class Meter:
    """Running figures of the searches."""

    def __init__(self, ctx: Context, stage: str, total: int, unit: str) -> None:
        self._ctx, self._stage, self._total, self._unit = ctx, stage, total, unit
        self._done = 0
        self._sums: dict[str, float] = {}

    def said(self) -> str:
        """What was done so far, for people."""
        return f"{self._done:,} of {self._total:,} {self._unit}"

    def add(self, parts: Parts, **figures: float) -> None:
        """One search came to its end, with these `figures`, which are summed up."""
        self._done += 1
        for name, figure in figures.items():
            self._sums[name] = self._sums.get(name, 0) + figure
        numbers = dict(self._sums)
        if parts.gate is not None:
            numbers["mean_in_flight"] = parts.gate.load.mean_in_flight
        self._ctx.progress.step(Step(self._stage, self._done, self._total, self._unit, numbers))


def _rows(store: Store, prompt: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.get([prompt], "prompt_id").to_pylist()
    return rows


def _forget_time_outs(store: Store, prompts: Sequence[str], timeout_seconds: float) -> None:
    """Remove judgements that ran into a lower time limit than the present one."""
    for start in range(0, len(prompts), _PROMPTS):
        judged = store.get(
            prompts[start : start + _PROMPTS],
            "prompt_id",
            columns=["verdict", "detail", "seconds"],
        )
        late = [
            row["judgement_id"]
            for row in judged.to_pylist()
            if row["verdict"] == "unjudged"
            and row["detail"] in OUT_OF_TIME
            and row["seconds"] + 1 < timeout_seconds
        ]
        if late:
            store.delete(late)


@asynccontextmanager
async def _asked(
    ctx: Context, tasks: Tasks, gate: Gate, asks: bool
) -> AsyncIterator[Engine | None]:
    """The engine that is asked, where one is: behind the gate where the policy judges itself."""
    if not asks:
        async with judging_engine(ctx, tasks, gate) as engine:
            yield engine
    elif ctx.recipe.judge is None:
        yield gate
    else:
        engine = await registry.start(ctx.recipe.judge)
        try:
            yield engine
        finally:
            await engine.close()
