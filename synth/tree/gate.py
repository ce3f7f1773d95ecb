"""Many searches at once, over one engine that is kept full and never overrun."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TypeVar, cast

from winnow.pipeline.contracts import (
    CacheCounts,
    Completion,
    ContinuingEngine,
    Engine,
    Identity,
    Sampling,
)
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.names import Message

T = TypeVar("T")


class Stopped(WinnowError):  # of this kind, so that no judge takes it for a failure of its row
    """The gate takes no further request."""


@dataclass(frozen=True)
class Load:
    """What went through a gate: requests that came back, and how many were under way on average
    between the first one's start and the last one's end. `cache`: of the engine's prefix cache, None
    where it does not count."""

    requests: int
    seconds: float
    mean_in_flight: float
    cache: CacheCounts | None


def continuing(engine: Engine) -> ContinuingEngine:
    """The engine as one that can continue an answer. Raises UsageError where it cannot."""
    if "prefix" not in signature(engine.complete).parameters:
        raise UsageError(
            f"engine {engine.identity.policy} cannot go on with an answer that has begun, as a tree "
            "search needs (its `complete` takes no `prefix`)"
        )
    return cast("ContinuingEngine", engine)


class OnDemand:
    """An engine that starts with its first request: a search that finds all it needs in the store
    starts none."""

    def __init__(self, identity: Identity, start: Callable[[], Awaitable[Engine]]) -> None:
        self.identity = identity
        self._start = start
        self._starting = asyncio.Lock()
        self._engine: ContinuingEngine | None = None

    @property
    def cache_counts(self) -> CacheCounts | None:
        found: CacheCounts | None = getattr(self._engine, "cache_counts", None)
        return found

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        prefix: str = "",
    ) -> Completion:
        engine = await self.ready()
        return await engine.complete(
            messages, sampling, seed=seed, max_tokens=max_tokens, prefix=prefix
        )

    async def ready(self) -> ContinuingEngine:
        """The engine, started."""
        async with self._starting:
            if self._engine is None:
                self._engine = continuing(await self._start())
            return self._engine

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()


class Gate:
    """An engine of which at most `limit` requests are under way. Its owner closes the engine itself."""

    def __init__(self, engine: ContinuingEngine | OnDemand, limit: int) -> None:
        self._engine = engine
        self._free = asyncio.Semaphore(limit)
        self._stopped = False
        self._now = self._done = 0
        self._first: float | None = None
        self._last = self._area = 0.0

    @property
    def identity(self) -> Identity:
        return self._engine.identity

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        prefix: str = "",
    ) -> Completion:
        """The engine's answer. Raises Stopped after `stop`."""
        async with self._free:
            if self._stopped:
                raise Stopped
            if isinstance(self._engine, OnDemand):
                await self._engine.ready()  # one that is still starting carries no load
            self._count(1)
            begun = {"prefix": prefix} if prefix else {}
            try:
                return await self._engine.complete(
                    messages, sampling, seed=seed, max_tokens=max_tokens, **begun
                )
            finally:
                self._count(-1)
                self._done += 1

    def stop(self) -> None:
        """Let no further request through; those under way come to their end."""
        self._stopped = True

    @property
    def load(self) -> Load:
        seconds = self._last - (self._first or 0.0)
        return Load(
            self._done,
            seconds,
            self._area / seconds if seconds else 0.0,
            getattr(self._engine, "cache_counts", None),
        )

    async def close(self) -> None: ...

    def _count(self, change: int) -> None:
        now = time.perf_counter()
        if self._first is None:
            self._first = now
        else:
            self._area += self._now * (now - self._last)
        self._last = now
        self._now += change


async def each(jobs: Iterable[T], work: Callable[[T], Awaitable[None]], *, live: int) -> int:
    """Run `work` for every job, `live` of them at a time, none waiting for another; returns how many
    came to their end. A job that the gate stopped does not; whatever else rises ends them all."""
    free = asyncio.Semaphore(live)
    ended = 0

    async def one(job: T) -> None:
        nonlocal ended
        try:
            await work(job)
            ended += 1
        except* Stopped:
            pass
        finally:
            free.release()

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            await free.acquire()
            group.create_task(one(job))
    return ended
