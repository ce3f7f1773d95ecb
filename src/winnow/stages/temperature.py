"""Answers of a sample of a recipe's prompts at several temperatures, and the entropy of their tokens.

Two ways lead there: a forward pass over the answers reads the full vocabulary; or, where the weights
are not here, the engine tells the most likely tokens as it draws, and an estimate of that answer is
stored beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import numpy as np
import pyarrow as pa

from winnow.pipeline.contracts import Completion, Engine, Identity, Sampling, Untold
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.features import stored
from winnow.pipeline.models import ModelFolder, resolve_model
from winnow.pipeline.names import Message, canonical_json
from winnow.pipeline.progress import Step
from winnow.pipeline.recipe import VLLMEngine
from winnow.pipeline.recipe_sections.engines import WITHOUT_SAMPLING
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.stages import prompts as prompts_stage
from winnow.stages.base import Context, run_async
from winnow.stages.drawing import Meter, interruptible, messages_of
from winnow.stages.rollouts import target_of
from winnow.synth import sampling
from winnow.synth.engines import registry
from winnow.synth.temperature import Point, TopK, telling

TOP_K = 20  # the most that OpenAI tells, and vLLM unless told otherwise
_PART = 16  # answers scored between two reports
_ESTIMATE = ("entropy_topk", "outside_topk", "entropy_topk_short")  # of `TopK`, vectors over tokens
_WEIGHTS = "name the same model with --model, if you have its weights"

Judge = Callable[[sampling.Row], Awaitable[None]]


def measure(
    ctx: Context,
    temperatures: Sequence[float],
    *,
    prompts: int = 64,
    answers: int = 1,
    model: str | None = None,
    top_k: int | None = None,
) -> list[Point]:
    """The mean entropy of a token at each temperature, over `answers` answers of `prompts` prompts
    drawn by the recipe's seed.

    Answers are stored as rollouts of their temperature: they are drawn once, and a recipe that takes
    this temperature uses them. `model`: whose logits are read (default: the engine's). `top_k`:
    estimate from so many most likely tokens that the engine tells instead (default: where it has no
    weights here, from `TOP_K`). What they were is not stored, so that an estimate takes the first
    answers that were drawn for one of this `top_k`, or draws them. Raises UsageError for temperatures
    not above 0, and where there are neither weights to read nor an engine that tells.
    """
    if not temperatures or min(temperatures) <= 0:
        raise UsageError("temperatures must be above 0: at 0 nothing is drawn")
    folder = _weights(ctx, model, top_k)
    prompts_stage.run(ctx)
    table = _sample(ctx, prompts)
    targets = [_target(ctx, t, answers) for t in temperatures]
    if folder is None:
        return _estimates(ctx, table, dict(zip(temperatures, targets, strict=True)), top_k or TOP_K)
    drawn = _draw(ctx, table, targets)
    return _points(ctx, folder, table, dict(zip(temperatures, drawn, strict=True)))


def _weights(ctx: Context, model: str | None, top_k: int | None) -> ModelFolder | None:
    """Whose logits are read; None: nobody's, the engine is asked."""
    engine = ctx.recipe.engine
    if isinstance(engine, WITHOUT_SAMPLING):
        raise UsageError(
            f"engine.type {engine.type} samples nothing, so that it has no temperature"
        )
    if model is not None and top_k is not None:
        raise UsageError("--model reads the full vocabulary, --top-k asks the engine: name one")
    if model is not None:
        return resolve_model(model)
    if isinstance(engine, VLLMEngine) and top_k is None:
        return resolve_model(engine.model, engine.revision)
    return None


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
            run_async(_fill(ctx, prompts, plans, targets, store, meter, None))
        found = []
        for target in targets:
            known = sampling.stored_rows(store, ids, target)
            names = sampling.plan(ids, known, target, settle=True).stored
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
    top_k: int | None,
) -> None:
    """Draw what is missing; with `top_k`, each answer's estimate is stored behind it."""

    async def judge(row: sampling.Row) -> None:
        """Nobody needs a verdict here."""

    spending = sampling.Spending()
    jobs: _Jobs = [(plan.missing, target) for plan, target in zip(plans, targets, strict=True)]
    ctx.progress.note(f"starting the engine ({targets[0].identity.policy})")
    engine = started = await registry.start(ctx.recipe.engine)
    try:
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(AsyncWriter(store))
            if top_k is not None:
                features = stack.enter_context(
                    ctx.workspace.features(write=True, on_wait=ctx.waits)
                )
                estimates = await stack.enter_async_context(AsyncWriter(features))
                engine = asked = _Asked(started, targets[0].identity, top_k, estimates)
                judge, jobs = asked.keep, _one_ahead(jobs)
            meter.start()
            with interruptible(ctx, spending.close, meter.said):
                for missing, target in jobs:
                    await sampling.draw(
                        missing,
                        messages_of(ctx, prompts),
                        engine,
                        target,
                        writer,
                        concurrency=ctx.recipe.sampling.concurrency,
                        judge=judge,
                        spending=spending,
                        on_row=meter.drawn,
                    )
    finally:
        await started.close()


_Jobs = list[tuple[Mapping[str, Sequence[sampling.Missing]], sampling.Target]]


def _one_ahead(jobs: _Jobs) -> _Jobs:
    """One answer is drawn before all others: of an engine that does not tell it is the only one."""
    at, (missing, target) = next((at, job) for at, job in enumerate(jobs) if job[0])
    prompt, requests = next(iter(missing.items()))
    rest = {**missing, prompt: requests[1:]}
    return [({prompt: requests[:1]}, target), (rest, target), *jobs[at + 1 :]]


class _Asked:
    """An engine that is asked for the k most likely tokens, and what is kept of them.

    `sampling.draw` asks for an answer, stores it and has it judged (`keep`) in one task, by which
    the two find each other.
    """

    def __init__(self, engine: Engine, identity: Identity, top_k: int, writer: AsyncWriter) -> None:
        self.identity = identity
        self._engine, self._top_k, self._writer = telling(engine), top_k, writer
        self._told: dict[object, tuple[Completion, float]] = {}

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        try:
            answer = await self._engine.complete(
                messages, sampling, seed=seed, max_tokens=max_tokens, top_logprobs=self._top_k
            )
        except Untold as error:
            raise UsageError(f"{error}; ask for fewer with --top-k, or {_WEIGHTS}") from None
        self._told[asyncio.current_task()] = answer, sampling.temperature
        return answer

    async def keep(self, row: sampling.Row) -> None:
        """Store the estimate of an answer that is stored. Raises UsageError where there is none."""
        if row["error"] is not None:
            return
        answer, temperature = self._told.pop(asyncio.current_task())
        policy = self.identity.policy
        if answer.top_logprobs is None:
            raise UsageError(f"{policy}: the engine tells no most likely tokens; {_WEIGHTS}")
        try:
            found = TopK.of(answer.top_logprobs, temperature)
        except ValueError as error:
            raise UsageError(
                f"{policy}: the engine tells no log-probabilities ({error}); {_WEIGHTS}"
            ) from None
        vectors = (found.entropies, found.outside, found.short)
        signals = dict(zip(_ESTIMATE, vectors, strict=True))
        kind = _kind(self.identity, self._top_k)
        rows = stored.table_rows(kind, row["rollout_id"], signals)
        await asyncio.gather(*map(self._writer.put, rows))

    async def close(self) -> None: ...


def _kind(identity: Identity, top_k: int) -> stored.Kind:
    """Of a rollout, whose own temperature it is."""
    return stored.Kind(_ESTIMATE, identity.policy, canonical_json({"top_k": top_k}))


def _estimates(
    ctx: Context, prompts: pa.Table, targets: Mapping[float, sampling.Target], top_k: int
) -> list[Point]:
    ids = prompts["prompt_id"].to_pylist()
    wanted = list(targets.values())
    kind = _kind(wanted[0].identity, top_k)
    with ctx.workspace.rollouts(write=True, on_wait=ctx.waits) as store:
        with ctx.workspace.features() as features:
            plans = [_estimated(ids, store, features, target, kind) for target in wanted]
        if any(plan.n_missing for plan in plans):
            meter = Meter(ctx, prompts)
            meter.total = sum(plan.n_missing for plan in plans)
            run_async(_fill(ctx, prompts, plans, wanted, store, meter, top_k))
        points = []
        with ctx.workspace.features() as features:
            for temperature, target in targets.items():
                names = _estimated(ids, store, features, target, kind, settle=True).stored
                points.append(_estimate(temperature, top_k, features, kind, names))
    return points


def _estimated(
    ids: Sequence[str],
    store: Store,
    features: Store,
    target: sampling.Target,
    kind: stored.Kind,
    *,
    settle: bool = False,
) -> sampling.Plan:
    """As `sampling.plan`, of answers that have an estimate: an index whose answer has none is passed
    over, since what the engine would have told of it is gone."""
    rows = list(sampling.stored_rows(store, ids, target))
    answers = [row["rollout_id"] for row in rows if row["error"] is None]
    unknown = set(stored.missing(features, kind, answers))
    shelf = sampling.Shelf(rows, target, settle=settle)
    plan = sampling.Plan([], {})
    for prompt in ids:
        index = taken = 0
        while taken < target.n:
            found = shelf.at(prompt, index)
            if isinstance(found, sampling.Missing):
                plan.missing.setdefault(prompt, []).append(found)
                taken += 1
            elif found["rollout_id"] not in unknown:
                plan.stored.append(found["rollout_id"])
                taken += 1
            index += 1
    return plan


def _estimate(
    temperature: float, top_k: int, features: Store, kind: stored.Kind, names: Sequence[str]
) -> Point:
    columns = [stored.optional_lists(features, kind, name, names) for name in _ESTIMATE]
    answers = [
        TopK(*(np.asarray(part.values, dtype=np.float64) for part in parts))
        for parts in zip(*columns, strict=True)
        if all(part.is_valid for part in parts)  # a failure has none
    ]
    try:
        return Point.of_top_k(temperature, top_k, answers)
    except ValueError as error:
        raise WinnowError(str(error)) from None


def _points(
    ctx: Context,
    folder: ModelFolder,
    prompts: pa.Table,
    drawn: dict[float, list[sampling.Row]],
) -> list[Point]:
    from winnow.pipeline.features.scorer import CausalScorer, TokenRow
    from winnow.pipeline.tokens import render, tokenizer

    words, scorer, messages = tokenizer(folder), CausalScorer(folder), messages_of(ctx, prompts)
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
