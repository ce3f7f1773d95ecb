"""What a stage that draws answers needs: a running engine, a writer, a judge, a meter, and a way to
be stopped."""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from winnow.pipeline.contracts import Engine
from winnow.pipeline.names import Message
from winnow.pipeline.progress import Step
from winnow.pipeline.recipe_sections.engines import WITHOUT_SAMPLING
from winnow.pipeline.store import prompt_images
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.judging import Judge, Tasks
from winnow.pipeline.verify.worker_pool import VerifierPool
from winnow.stages.base import Context
from winnow.stages.judges import judging_engine, pool_size
from winnow.synth.adaptive import Decision
from winnow.synth.engines import registry
from winnow.synth.sampling import Missing


@dataclass(frozen=True)
class Parts:
    engine: Engine
    writer: AsyncWriter
    judge: Judge


@asynccontextmanager
async def drawing(
    ctx: Context,
    tasks: Tasks,
    store: Store,
    verdict_store: Store,
    known: set[str],
    on_verdict: Callable[[Mapping[str, Any]], None],
) -> AsyncIterator[Parts]:
    """The recipe's engine and all that stands around it, for the length of the block. `known`: names
    of the verdicts that exist."""
    policy = registry.identity_of(ctx.recipe.engine).policy
    if not isinstance(ctx.recipe.engine, WITHOUT_SAMPLING):
        ctx.progress.note(f"starting the engine ({policy})")
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
            yield Parts(engine, writer, Judge(tasks, pool, verdicts, known, on_verdict, asked))
    finally:
        await engine.close()


@contextmanager
def interruptible(
    ctx: Context, stop: Callable[[], None], said: Callable[[], str]
) -> Iterator[None]:
    """Within a running event loop. Ctrl-C once: `stop` is called, after which nothing new must be asked
    for; what is in flight is finished and stored, `said` tells what was done, and KeyboardInterrupt
    rises behind the block. Twice: it rises at once."""
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before in (signal.SIG_IGN, None):
        yield
        return
    loop = asyncio.get_running_loop()
    stopped = False

    def give_back() -> None:
        if loop.remove_signal_handler(signal.SIGINT):
            signal.signal(signal.SIGINT, before)

    def first() -> None:
        nonlocal stopped
        give_back()
        stopped = True
        stop()
        ctx.progress.note("finishing the answers in flight; Ctrl-C again stops at once")

    loop.add_signal_handler(signal.SIGINT, first)
    try:
        yield
    finally:
        give_back()
    if stopped:
        ctx.progress.note(f"stopped after {said()}")
        raise KeyboardInterrupt


def messages_of(ctx: Context, prompts: pa.Table) -> dict[str, list[Message]]:
    """The conversation of each prompt, by name, with its images."""
    messages = prompt_images.conversations(prompts, ctx.workspace.home)
    return dict(zip(prompts["prompt_id"].to_pylist(), messages, strict=True))


def reuse(counting: int, missing: Iterable[Missing]) -> str:
    """What is done with the stored answers, for people; "" where there are none. `counting`: how many
    of them are used; `missing`: what is drawn."""
    drawn = cut = failed = 0
    for each in missing:
        drawn += 1
        failed += each.failures > 0
        cut += each.attempt > 0 and each.failures == 0
    why = [
        f"{number:,} {reason}"
        for number, reason in (
            (cut, "because the stored one does not hold at this max_tokens"),
            (failed, "because the last try failed"),
        )
        if number
    ]
    if not counting and not why:
        return ""
    said = f"{counting:,} stored answers are used again, {drawn:,} are drawn"
    return f"{said}, of them {' and '.join(why)}" if why else said


class Meter:
    """Running figures of the sampling: answers, tokens, tokens/s, pass rate. `total`: answers to draw,
    or, where that is not known, prompts to decide (`unit`)."""

    def __init__(self, ctx: Context, prompts: pa.Table, unit: str = "answers") -> None:
        self._ctx, self._unit = ctx, unit
        self._price = ctx.recipe.sampling.price
        lengths = zip(
            prompts["prompt_id"].to_pylist(), prompts["n_tokens"].to_pylist(), strict=True
        )
        self._read = {prompt: n or 0 for prompt, n in lengths}  # tokens of each prompt
        self.total = self.reused = 0  # `reused`: stored answers that count
        self._ends: dict[str, str] = {}  # by prompt: how it ended, as far as is known
        self._decided: Counter[str] = Counter()
        self._started = time.perf_counter()
        self._seconds = 0.0
        self._drawn = self._tokens = self._prompt_tokens = self._correct = self._judged = 0

    def start(self) -> None:
        self._started = time.perf_counter()

    def drawn(self, row: Mapping[str, Any]) -> None:
        self._drawn += 1
        self._tokens += row["n_tokens"]
        self._prompt_tokens += self._read.get(row["prompt_id"], 0)
        self._seconds = time.perf_counter() - self._started
        self._tell()

    def judged(self, row: Mapping[str, Any]) -> None:
        self._judged += row["verdict"] != "unjudged"
        self._correct += row["verdict"] == "correct"

    def decided(self, decision: Decision) -> None:
        if before := self._ends.get(
            decision.prompt_id
        ):  # a steered prompt is told of several times
            self._decided[before] -= 1
        self._ends[decision.prompt_id] = reason = decision.reason or "undecided"
        self._decided[reason] += 1
        self._tell()

    def _tell(self) -> None:
        speed = self._tokens / max(self._seconds, 1e-9)
        numbers = {"tokens": float(self._tokens), "tokens_per_second": speed}
        done = self._drawn
        if self._unit == "prompts":
            done = self._n_decided
            numbers = {"answers": float(self._drawn), **numbers}
            numbers |= {reason: float(n) for reason, n in sorted(self._decided.items()) if n}
        if self._price:
            numbers["cost"] = round(self._cost(), 4)
        if self._judged:
            numbers["pass_rate"] = self._correct / self._judged
        self._ctx.progress.step(Step("rollouts", done, self.total, self._unit, numbers))

    def _cost(self) -> float:
        """By the recipe's price; every answer reads its prompt."""
        assert self._price is not None
        return (self._tokens * self._price.answer + self._prompt_tokens * self._price.prompt) / 1e6

    def said(self) -> str:
        """What was drawn so far, for people."""
        text = f"{self._drawn:,} answers of {self._tokens:,} tokens in this run"
        if self._unit == "prompts":
            text += f"; {self._n_decided:,} of {self.total:,} prompts are decided"
        return text

    @property
    def _n_decided(self) -> int:
        return self._decided.total() - self._decided["undecided"]

    def cost(self) -> dict[str, float]:
        """Tokens and seconds of the sampling itself (the engine's start is not in it)."""
        if not self._drawn:
            return {"answers_reused": self.reused}
        return {
            "answers_reused": self.reused,
            "answers_drawn": self._drawn,
            "tokens_drawn": self._tokens,
            "tokens_read": self._prompt_tokens,
            **({"cost": self._cost()} if self._price else {}),
            **({"pass_rate": self._correct / self._judged} if self._judged else {}),
            "sampling_seconds": self._seconds,
            "tokens_per_second": self._tokens / max(self._seconds, 1e-9),
        }
