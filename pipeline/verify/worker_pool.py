"""Worker processes that judge answers, each row under a time limit that really ends it.

Answers are hostile and verifiers are allowed to be slow or wrong: a row can hang inside C code, eat
memory or bring its process down. Whatever happens, it costs that row (unjudged, with the reason)
and one worker, which is replaced; the other rows go on.
"""

import asyncio
import contextlib
import ctypes
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessPool

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.verify import get_verifier
from winnow.pipeline.verify.arguments import BadArguments

ATTEMPTS = 3  # pools that may break under one row before the run is given up
WATCH_SECONDS = 0.5
MAX_TEXT = 4_000  # characters of `extracted` and `detail` that are kept


@dataclass(frozen=True)
class TimedVerdict:
    """A verdict and the wall time, in seconds, that it took in its worker."""

    verdict: Verdict
    seconds: float


class VerifierPool:
    """`workers` processes that judge rows for as many coroutines as like to wait.

    `timeout_seconds` counts from the moment a worker takes the row; time in the queue, the start of
    a worker and the first imports of the `verifiers` named here are not charged to any row. A row
    may take `memory_bytes` beyond what its worker holds when idle (checked on Linux only).

        async with VerifierPool(workers=2, timeout_seconds=10, verifiers=["math"]) as pool:
            timed = await pool.judge("math", completion, task)

    Unjudged rows carry one of these details: `timeout`, `worker_died`, `out_of_memory`, or
    `verifier_error: Class: message`. Leaving the block ends every worker and cancels the rows that
    nobody waited for. Workers are spawned: the program's main module needs the `__main__` guard.
    """

    def __init__(
        self,
        workers: int,
        timeout_seconds: float,
        verifiers: Sequence[str] = (),
        memory_bytes: int = 2 * 2**30,
    ) -> None:
        """Raises UsageError where a name in `verifiers` is not known."""
        for name in verifiers:
            get_verifier(name)
        self.workers = workers
        self.timeout_seconds = timeout_seconds
        self._setup = (tuple(verifiers), memory_bytes, os.getpid())
        self._pool: ProcessPool | None = None
        self._waiting: dict[Future[TimedVerdict], ProcessPool] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._pool = self._started()
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pool, self._pool = self._pool, None
        if self._watcher is not None:
            self._watcher.cancel()
        for future in list(self._waiting):
            future.cancel()
        if pool is not None:
            await asyncio.to_thread(_end, pool)

    async def judge(self, verifier: str, completion: str, task: Task) -> TimedVerdict:
        """Judge one answer. Raises UsageError for an unknown verifier, WinnowError where workers
        cannot be kept alive at all; whatever the row itself does is in the verdict."""
        get_verifier(verifier)
        for _ in range(ATTEMPTS):
            pool = self._pool
            if pool is None:
                raise RuntimeError("the pool is not open: use it in `async with`")
            started = time.perf_counter()
            try:
                return await self._outcome(pool, verifier, completion, task)
            except TimeoutError:
                return TimedVerdict(Verdict.unjudged("timeout"), self.timeout_seconds)
            except ProcessExpired:
                waited = time.perf_counter() - started
                seconds = min(waited, self.timeout_seconds)
                return TimedVerdict(Verdict.unjudged("worker_died"), seconds)
            except RuntimeError:  # BrokenProcessPool is one
                # A worker that is killed while idle breaks the whole pool, not one row.
                self._replace(pool)
        raise WinnowError(
            f"verifier workers died {ATTEMPTS} times before they could take a row "
            "(out of memory, or a main module without the __main__ guard?)"
        )

    async def _outcome(
        self, pool: ProcessPool, verifier: str, completion: str, task: Task
    ) -> TimedVerdict:
        future = pool.schedule(
            _judge, args=(verifier, completion, task), timeout=self.timeout_seconds
        )
        self._waiting[future] = pool
        try:
            return await asyncio.wrap_future(future)
        finally:
            del self._waiting[future]

    def _started(self) -> ProcessPool:
        pool = ProcessPool(
            max_workers=self.workers,
            initializer=_prepare,
            initargs=self._setup,
            context=_Context(),
        )
        if not pool.active:  # asking starts the workers, which then warm up in the background
            raise RuntimeError("the verifier pool did not start")
        return pool

    def _replace(self, broken: ProcessPool) -> None:
        """Put a new pool in the place of `broken` and send its rows back to their coroutines."""
        if self._pool is not broken:
            return  # another row has done it, or the pool was closed
        self._pool = self._started()
        for future, pool in list(self._waiting.items()):
            if pool is broken:
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(BrokenProcessPool("the pool broke"))
        threading.Thread(target=_end, args=(broken,), daemon=True).start()

    async def _watch(self) -> None:
        """A pool can break just after it took a row, which then nobody would ever end."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._pool is not None and self._waiting and not self._pool.active:
                self._replace(self._pool)


class _Process(SpawnProcess):
    """A worker with fixed string hashes: generators of some reasoning-gym families walk over sets
    of words, and must make the same entry here as in the process that made the prompts."""

    def start(self) -> None:
        before = os.environ.get("PYTHONHASHSEED")
        os.environ["PYTHONHASHSEED"] = "0"  # a child reads it when it starts, and only then
        try:
            super().start()
        finally:
            if before is None:
                del os.environ["PYTHONHASHSEED"]
            else:
                os.environ["PYTHONHASHSEED"] = before


class _Context(SpawnContext):
    Process = _Process


def _end(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


def _judge(name: str, completion: str, task: Task) -> TimedVerdict:
    """Runs in a worker."""
    started = time.perf_counter()
    verdict = judged(name, completion, task)
    return TimedVerdict(verdict, time.perf_counter() - started)


def judged(name: str, completion: str, task: Task) -> Verdict:
    """The verdict of the verifier `name`, in this process; whatever it raises is in the verdict."""
    try:
        return _checked(get_verifier(name).verify(completion, task))
    except MemoryError:
        return Verdict.unjudged("out_of_memory")
    except BadArguments as error:
        return Verdict.unjudged(f"bad_arguments: {_encodable(str(error)[:200])}")
    except BaseException as error:  # noqa: BLE001 - a verifier's bug costs its row, no more
        message = _encodable(str(error)[:200])
        return Verdict.unjudged(f"verifier_error: {type(error).__name__}: {message}")


def _checked(verdict: Verdict) -> Verdict:
    """The verdict as the tables can hold it; raises where a verifier broke its contract."""
    if not isinstance(verdict, Verdict):
        raise TypeError(f"verify returned {type(verdict).__name__}, not a Verdict")
    if verdict.verdict == "unjudged":
        numbers = list(verdict.parts.values())
    elif verdict.verdict in ("correct", "wrong") and verdict.reward is not None:
        numbers = [verdict.reward, *verdict.parts.values()]
    else:
        raise ValueError(f"{verdict.verdict!r} with reward {verdict.reward!r} is no verdict")
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a reward is not finite")
    return Verdict(
        verdict.verdict,
        None if verdict.reward is None else float(verdict.reward),
        {str(name): float(reward) for name, reward in verdict.parts.items()},
        None if verdict.extracted is None else _encodable(verdict.extracted[:MAX_TEXT]),
        None if verdict.detail is None else _encodable(verdict.detail[:MAX_TEXT]),
    )


def _encodable(text: str) -> str:
    """Without lone surrogates, which hostile text can hold and Arrow cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _prepare(verifiers: Sequence[str], memory_bytes: int, parent: int) -> None:
    """Runs in every worker before it takes its first row."""
    # Python's own handlers wait for the interpreter, which a row may never come back to.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with(parent)
    for name in verifiers:
        # A verifier that cannot start says so for each of its rows; the others still work.
        with contextlib.suppress(Exception):
            warm = getattr(get_verifier(name), "warm", None)
            if warm is not None:
                warm()
    _limit_memory(memory_bytes)


def _die_with(parent: int) -> None:
    """No worker outlives the main process, even where that was killed and this one is busy."""
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _limit_memory(extra: int) -> None:
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + extra
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
