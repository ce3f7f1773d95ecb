"""Answers drawn under stop rules: what is stored and judged decides whether a prompt needs more."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from winnow.pipeline import schema
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import ReplayEngine
from winnow.pipeline.recipe_sections.stopping import (
    BandFillSteering,
    IntervalStop,
    MajorityStop,
    MoppsSteering,
    Prop2DiffSteering,
    StopConfig,
    UntilKCorrectStop,
)
from winnow.pipeline.store.store import Store
from winnow.pipeline.verify.judging import Tasks, missing_verdicts
from winnow.stages.base import Context, run_async
from winnow.stages.drawing import Meter, drawing, interruptible, messages_of
from winnow.stages.judges import tasks_of
from winnow.synth import sampling
from winnow.synth.adaptive import AnyShelf, Decision, Desk, draw_until, settled
from winnow.synth.engines import replay
from winnow.synth.steering import BandFiller, Director, Prop2Diff, Thompson, draw_steered
from winnow.synth.steering import replay as replay_choices
from winnow.synth.stopping.any_of import AnyOf
from winnow.synth.stopping.band_fill import BandFill
from winnow.synth.stopping.base import Rule
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.cap import Cap
from winnow.synth.stopping.guaranteed import guaranteed
from winnow.synth.stopping.interval import Interval
from winnow.synth.stopping.majority import Majority
from winnow.synth.stopping.mopps import Mopps
from winnow.synth.stopping.until_k_correct import UntilKCorrect

_VERDICT = ("rollout_id", "task_id", "verdict", "extracted")


def rule_of(ctx: Context) -> Rule:
    """The recipe's rules: a prompt is done when one of them stops, or at `sampling.n` answers."""
    config = ctx.recipe.sampling
    tokens = config.budget.tokens_per_prompt
    cap = Cap(config.n, tokens, config.max_tokens if tokens else None)
    return AnyOf((*(_rule(each, config.n) for each in config.stop), cap))


def _rule(config: StopConfig, n: int) -> Rule:
    match config:
        case IntervalStop():
            return _interval(config, n)
        case UntilKCorrectStop():
            return UntilKCorrect(config.k, official_strict=config.official_strict)
        case MajorityStop():
            return Majority(n, config.confidence)


def _interval(config: IntervalStop, n: int) -> Interval:
    try:
        if config.mode == "guaranteed":
            return guaranteed(
                n,
                alpha=config.error,
                band=config.band,
                hopeless=config.hopeless,
                solved=config.solved,
                width=config.width,
                mixture=config.prior,
            )
        return calibrated(
            n,
            prior=config.prior,
            band=config.band,
            error=config.error if config.band else None,
            hopeless=config.hopeless,
            solved=config.solved,
            surely=1 - config.error,
            width=config.width,
        )
    except ValueError as error:
        raise UsageError(f"sampling.stop: interval: {error}") from None


def director_of(ctx: Context, ids: Sequence[str]) -> tuple[Director, int] | None:
    """Who chooses among the prompts, and how far ahead of what is known; None where nobody does."""
    config, rule = ctx.recipe.sampling, rule_of(ctx)
    match config.steer:
        case BandFillSteering() as fill:
            stop = next(each for each in config.stop if isinstance(each, IntervalStop))
            try:
                table = BandFill.of(fill.prompts, _interval(stop, config.n), stop.prior)
            except ValueError as error:
                raise UsageError(f"sampling.steer: band_fill: {error}") from None
            return BandFiller(ids, rule, table, config.max_tokens), fill.window
        case MoppsSteering() as mopps:
            choose = Mopps(
                mopps.prompts, mopps.candidates, target=mopps.target, discount=mopps.discount
            )
            director = Thompson(
                ids,
                choose,
                rule,
                answers=mopps.answers,
                rounds=mopps.rounds,
                seed=ctx.recipe.seed,
                prior=mopps.prior,
            )
            return director, mopps.window
        case Prop2DiffSteering() as dart:
            steered = Prop2Diff(ids, rule, k=dart.k, pilot=dart.pilot, cover=dart.cover)
            return steered, dart.window
    return None


class Stored:
    """The answers and verdicts that a run finds, read once."""

    def __init__(
        self,
        ctx: Context,
        ids: Sequence[str],
        target: sampling.Target,
        tasks: Tasks,
        store: Store,
        verdicts: Store,
    ) -> None:
        self._ctx, self._target = ctx, target
        engine = ctx.recipe.engine
        self._rows = list(
            replay.stored_rows(store, ids, engine)
            if isinstance(engine, ReplayEngine)
            else sampling.stored_rows(store, ids, target)
        )
        self.verdicts = KnownVerdicts(tasks, verdicts, [row["rollout_id"] for row in self._rows])

    @property
    def answers(self) -> int:
        """Stored answers, failed tries left out."""
        return sum(row["finish_reason"] != "error" for row in self._rows)

    def shelf(self, *, settle: bool = False) -> AnyShelf:
        """The answers that count. `settle`: a failure that another try may mend counts too."""
        if isinstance(self._ctx.recipe.engine, ReplayEngine):
            return replay.Imports(self._rows)
        retry = self._ctx.retry_errors and not settle
        return sampling.Shelf(self._rows, self._target, settle=settle, retry=retry)


class KnownVerdicts:
    """The verdicts of stored answers, and of those that are judged meanwhile."""

    def __init__(self, tasks: Tasks, store: Store, rollouts: Sequence[str]) -> None:
        self._tasks = tasks
        table = store.get(rollouts, "rollout_id", columns=_VERDICT)
        self._rows = {row["verdict_id"]: row for row in table.to_pylist()}

    @property
    def names(self) -> set[str]:
        return set(self._rows)

    def note(self, verdict: Mapping[str, Any]) -> None:
        """Remember a verdict that was made here."""
        self._rows[verdict["verdict_id"]] = {
            name: verdict[name] for name in ("verdict_id", *_VERDICT)
        }

    def of(self, answer: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """An answer's verdicts, one for each task of its prompt; None where one is missing."""
        names = self._tasks.verdict_ids(answer["rollout_id"], answer["prompt_id"])
        if not self._rows.keys() >= set(names):
            return None
        return [self._rows[name] for name in names]


def decisions(
    ctx: Context, ids: Sequence[str], stored: Stored, *, settle: bool = False
) -> tuple[list[Decision], list[str], bool]:
    """How far each prompt gets with what is stored, the names of the answers that count, and whether
    no more is wanted."""
    shelf, known = stored.shelf(settle=settle), stored.verdicts
    steered = director_of(ctx, ids)
    if steered is None:
        found = settled(ids, shelf, known.of, rule_of(ctx))
        whole = all(decision.reason is not None for decision in found)
    else:
        whole = replay_choices(*steered, shelf, known.of)
        found = steered[0].decisions()
    names = []
    for decision in found:
        rows = [shelf.at(decision.prompt_id, index) for index in range(decision.answers)]
        names += [row["rollout_id"] for row in rows if not isinstance(row, sampling.Missing)]
    return found, names, whole


def fill(
    ctx: Context, prompts: pa.Table, ids: list[str], target: sampling.Target, meter: Meter
) -> tuple[pa.Table, bool, pa.Table]:
    """Draw until every prompt is decided; the answers that count, whether another try may mend some,
    and how each prompt ended (`schema.SAMPLED`)."""
    tasks = tasks_of(ctx, prompts)
    work = ctx.workspace
    with (
        work.rollouts(write=True, on_wait=ctx.waits) as store,
        work.verdicts(write=True, on_wait=ctx.waits) as verdicts,
    ):
        drawn = store.get(ids, "prompt_id", columns=["prompt_id"])
        missing_verdicts(drawn, tasks, verdicts, ctx.recipe.verify.timeout_seconds)
        stored = Stored(ctx, ids, target, tasks, store, verdicts)
        meter.total = len(ids)
        found, names, whole = decisions(ctx, ids, stored)
        meter.reused = len(names)
        if stored.answers:
            decided = sum(each.reason is not None for each in found)
            ctx.progress.note(
                f"{len(names):,} of {stored.answers:,} stored answers count under the present rules, "
                f"by which {decided:,} of {len(ids):,} prompts are decided"
            )
        if not whole:
            run_async(_draw(ctx, prompts, ids, target, tasks, store, verdicts, stored, meter))
            stored = Stored(ctx, ids, target, tasks, store, verdicts)
        _, names, _ = decisions(ctx, ids, stored)
        found, settled_names, _ = decisions(ctx, ids, stored, settle=True)
        table = store.get(settled_names)
    ends = [
        {"prompt_id": each.prompt_id, "answers": each.answers, "reason": each.reason}
        for each in found
    ]
    ended = pa.Table.from_pylist(ends, schema=schema.SAMPLED)
    return table, len(names) < len(settled_names), ended


async def _draw(
    ctx: Context,
    prompts: pa.Table,
    ids: list[str],
    target: sampling.Target,
    tasks: Tasks,
    store: Store,
    verdict_store: Store,
    stored: Stored,
    meter: Meter,
) -> None:
    shelf, known = stored.shelf(), stored.verdicts

    def on_verdict(row: Mapping[str, Any]) -> None:
        known.note(row)
        meter.judged(row)

    async with drawing(ctx, tasks, store, verdict_store, known.names, on_verdict) as parts:

        async def judge(row: sampling.Row) -> list[dict[str, Any]]:
            if (verdicts := known.of(row)) is None:
                if "completion" not in row:  # a stored one, of which only light columns were read
                    row = store.get([row["rollout_id"]]).to_pylist()[0]
                await parts.judge(row)
                verdicts = known.of(row)
            assert verdicts is not None
            return verdicts

        spending = _left(ctx, shelf, ids)
        meter.start()
        with interruptible(ctx, spending.close, meter.said):
            desk = Desk(
                shelf,
                messages_of(ctx, prompts),
                parts.engine,
                target,
                parts.writer,
                concurrency=ctx.recipe.sampling.concurrency,
                judge=judge,
                spending=spending,
                on_row=meter.drawn,
            )
            steered = director_of(ctx, ids)
            if steered is None:
                await draw_until(ids, rule_of(ctx), desk, meter.decided)
            else:
                await draw_steered(*steered, desk, meter.decided)


def _left(ctx: Context, shelf: AnyShelf, ids: Sequence[str]) -> sampling.Spending:
    """The run's budget less what is stored already; nothing of imported answers."""
    config = ctx.recipe.sampling
    if isinstance(ctx.recipe.engine, ReplayEngine):
        return sampling.Spending(answers=0)
    if config.budget.answers is None and config.budget.tokens is None:
        return sampling.Spending()
    rows = [shelf.at(prompt, index) for prompt in ids for index in range(config.n)]
    tokens = [row["n_tokens"] for row in rows if not isinstance(row, sampling.Missing)]
    return sampling.Spending(
        None if config.budget.answers is None else max(config.budget.answers - len(tokens), 0),
        None if config.budget.tokens is None else config.budget.tokens - sum(tokens),
    )
