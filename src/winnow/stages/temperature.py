"""Answers of a sample of a recipe's prompts at several temperatures, and the entropy of their tokens."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.models import ModelFolder, resolve_model
from winnow.pipeline.progress import Step
from winnow.pipeline.recipe import ReplayEngine, VLLMEngine
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.stages import prompts as prompts_stage
from winnow.stages.base import Context, run_async
from winnow.stages.drawing import Meter, interruptible, messages_of
from winnow.stages.rollouts import target_of
from winnow.synth import sampling
from winnow.synth.engines import registry
from winnow.synth.temperature import Point

_PART = 16  # answers scored between two reports


def measure(
    ctx: Context,
    temperatures: Sequence[float],
    *,
    prompts: int = 64,
    answers: int = 1,
    model: str | None = None,
) -> list[Point]:
    """The mean entropy of a token at each temperature, over `answers` answers of `prompts` prompts
    drawn by the recipe's seed.

    Answers are stored as rollouts of their temperature: they are drawn once, and a recipe that takes
    this temperature uses them. `model`: whose logits are read (default: the engine's). Raises
    UsageError for temperatures not above 0, and where there are no weights to read.
    """
    if not temperatures or min(temperatures) <= 0:
        raise UsageError("temperatures must be above 0: at 0 nothing is drawn")
    folder = _weights(ctx, model)
    prompts_stage.run(ctx)
    table = _sample(ctx, prompts)
    drawn = _draw(ctx, table, [_target(ctx, t, answers) for t in temperatures])
    return _points(ctx, folder, table, dict(zip(temperatures, drawn, strict=True)))


def _weights(ctx: Context, model: str | None) -> ModelFolder:
    engine = ctx.recipe.engine
    if isinstance(engine, ReplayEngine):
        raise UsageError("engine.type replay samples nothing, so that it has no temperature")
    if model is not None:
        return resolve_model(model)
    if isinstance(engine, VLLMEngine):
        return resolve_model(engine.model, engine.revision)
    raise UsageError(
        f"engine {engine.type} has no weights here whose logits could be read; name the same model "
        "with --model"
    )


def _sample(ctx: Context, wanted: int) -> pa.Table:
    """So many prompts, one row each."""
    table = ctx.workspace.read("prompts")
    first = {name: at for at, name in reversed(list(enumerate(table["prompt_id"].to_pylist())))}
    names = sorted(first)
    if not names:
        raise WinnowError("the recipe has no prompts")
    chosen = np.random.default_rng(ctx.recipe.seed).permutation(len(names))[:wanted]
    return table.take(pa.array([first[names[at]] for at in sorted(chosen.tolist())]))


def _target(ctx: Context, temperature: float, answers: int) -> sampling.Target:
    target = target_of(ctx)
    return replace(target, n=answers, sampling=replace(target.sampling, temperature=temperature))


def _draw(
    ctx: Context, prompts: pa.Table, targets: Sequence[sampling.Target]
) -> list[list[sampling.Row]]:
    """The answers of each target, errors left out."""
    ids = prompts["prompt_id"].to_pylist()
    with ctx.workspace.rollouts(write=True, on_wait=ctx.waits) as store:
        plans = [sampling.plan(ids, sampling.stored_rows(store, ids, t), t) for t in targets]
        if any(plan.n_missing for plan in plans):
            meter = Meter(ctx, prompts)
            meter.total = sum(plan.n_missing for plan in plans)
            run_async(_fill(ctx, prompts, plans, targets, store, meter))
        found = []
        for target in targets:
            stored = sampling.stored_rows(store, ids, target)
            names = sampling.plan(ids, stored, target, settle=True).stored
            columns = ["prompt_id", "completion", "token_ids", "error", "policy"]
            rows = store.get(names, columns=columns).to_pylist()
            found.append([row for row in rows if row["error"] is None])
    return found


async def _fill(
    ctx: Context,
    prompts: pa.Table,
    plans: Sequence[sampling.Plan],
    targets: Sequence[sampling.Target],
    store: Store,
    meter: Meter,
) -> None:
    async def judge(row: sampling.Row) -> None:
        """Nobody needs a verdict here."""

    spending = sampling.Spending()
    ctx.progress.note(f"starting the engine ({targets[0].identity.policy})")
    engine = await registry.start(ctx.recipe.engine)
    try:
        async with AsyncWriter(store) as writer:
            meter.start()
            with interruptible(ctx, spending.close, meter.said):
                for plan, target in zip(plans, targets, strict=True):
                    await sampling.draw(
                        plan.missing,
                        messages_of(prompts),
                        engine,
                        target,
                        writer,
                        concurrency=ctx.recipe.sampling.concurrency,
                        judge=judge,
                        spending=spending,
                        on_row=meter.drawn,
                    )
    finally:
        await engine.close()


def _points(
    ctx: Context,
    folder: ModelFolder,
    prompts: pa.Table,
    drawn: dict[float, list[sampling.Row]],
) -> list[Point]:
    from winnow.pipeline.features.scorer import CausalScorer, TokenRow
    from winnow.pipeline.tokens import render, tokenizer

    words, scorer, messages = tokenizer(folder), CausalScorer(folder), messages_of(prompts)
    total, done, points = sum(map(len, drawn.values())), 0, []
    try:
        before = {prompt: render(words, each) for prompt, each in messages.items()}
        for temperature, rows in drawn.items():
            entropies = []
            for start in range(0, len(rows), _PART):
                part = rows[start : start + _PART]
                read = [
                    TokenRow.of(before[row["prompt_id"]], _tokens(row, folder, words))
                    for row in part
                ]
                found = scorer.score(read, {"entropies"}, temperature=temperature)
                entropies += [each.tokens.entropies for each in found]
                done += len(part)
                ctx.progress.step(Step("entropy", done, total, "answers"))
            points.append(Point.of(temperature, entropies))
    except ValueError as error:
        raise WinnowError(str(error)) from None
    finally:
        scorer.close()
    return points


def _tokens(row: sampling.Row, folder: ModelFolder, words: object) -> list[int]:
    """The answer's tokens; the engine's own only where it has the same weights."""
    if row["token_ids"] is not None and row["policy"] == folder.identity:
        return list(row["token_ids"])
    ids: list[int] = words.encode(row["completion"], add_special_tokens=False)  # type: ignore[attr-defined]
    return ids
