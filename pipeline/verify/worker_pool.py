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
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from pebble import ProcessExpired, ProcessPool

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.verify import get_verifier

ATTEMPTS = 3  # pools that may break under one row before the run is given up
WATCH_SECONDS = 0.5
CHUNK = 64  # rows that go to a worker together at most
CHUNK_SECONDS = 0.2
AHEAD = 2  # chunks on their way per worker, so that none waits for the next
MAX_TEXT = 4_000  # characters of `extracted` and `detail` that are kept


@dataclass(frozen=True)
class TimedVerdict:
    """A verdict and the wall time, in seconds, that it took in its worker."""

    verdict: Verdict
    seconds: float


class _Row:
    """One row on its way to a verdict. `alone`: it goes to its worker without others."""

    def __init__(
        self, verifier: str, completion: str, task: Task, verdict: asyncio.Future[TimedVerdict]
    ) -> None:
        self.verifier, self.completion, self.task = verifier, completion, task
        self.verdict = verdict
        self.alone = False
        self._pools_broken = 0

    def settle(self, outcome: TimedVerdict | Exception) -> None:
        if self.verdict.done():  # the caller has left
            return
        if isinstance(outcome, Exception):
            self.verdict.set_exception(outcome)
        else:
            self.verdict.set_result(outcome)

    def survives(self) -> bool:
        """Count one broken pool; False where that was the last one, and the row is given up."""
        self._pools_broken += 1
        if self._pools_broken < ATTEMPTS:
            return True
        self.settle(
            WinnowError(
                f"verifier workers died {ATTEMPTS} times before they could take a row "
                "(out of memory, or a main module without the __main__ guard?)"
            )
        )
        return False


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
        self._waiting: dict[Future[list[TimedVerdict]], ProcessPool] = {}
        self._queue: deque[_Row] = deque()
        self._sent: set[asyncio.Task[None]] = set()
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
        for row in self._queue:
            row.verdict.cancel()
        self._queue.clear()
        for sent in list(self._sent):
            sent.cancel()
        await asyncio.gather(*self._sent, return_exceptions=True)
        if pool is not None:
            await asyncio.to_thread(_end, pool)

    async def judge(self, verifier: str, completion: str, task: Task) -> TimedVerdict:
        """Judge one answer. Raises UsageError for an unknown verifier, WinnowError where workers
        cannot be kept alive at all; whatever the row itself does is in the verdict."""
        get_verifier(verifier)
        if self._pool is None:
            raise RuntimeError("the pool is not open: use it in `async with`")
        row = _Row(verifier, completion, task, asyncio.get_running_loop().create_future())
        self._queue.append(row)
        self._send()
        return await row.verdict

    def _send(self) -> None:
        """Hand waiting rows to the workers, several at a time where many wait: the way to a worker
        and back takes longer than most judgements."""
        while self._queue and len(self._sent) < AHEAD * self.workers:
            size = min(CHUNK, -(-len(self._queue) // (AHEAD * self.workers)))
            chunk = [self._queue.popleft()]
            while (
                self._queue and len(chunk) < size and not (chunk[0].alone or self._queue[0].alone)
            ):
                chunk.append(self._queue.popleft())
            chunk = [row for row in chunk if not row.verdict.done()]  # nobody waits for the others
            if chunk:
                sent = asyncio.create_task(self._judge_chunk(chunk))
                self._sent.add(sent)
                sent.add_done_callback(self._returned)

    def _returned(self, sent: asyncio.Task[None]) -> None:
        self._sent.discard(sent)
        if self._pool is not None:
            self._send()

    async def _judge_chunk(self, chunk: list["_Row"]) -> None:
        pool = self._pool
        if pool is None:
            return
        started = time.perf_counter()
        try:
            judged_rows = await self._outcome(pool, chunk)
        except TimeoutError:
            self._failed(chunk, Verdict.unjudged("timeout"), self.timeout_seconds)
        except ProcessExpired:
            waited = min(time.perf_counter() - started, self.timeout_seconds)
            self._failed(chunk, Verdict.unjudged("worker_died"), waited)
        except RuntimeError:  # BrokenProcessPool is one
            # A worker that is killed while idle breaks the whole pool, not one row.
            self._replace(pool)
            self._again([row for row in chunk if row.survives()])
        except asyncio.CancelledError:
            for row in chunk:
                row.verdict.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - what cannot travel to a worker is the callers'
            for row in chunk:
                row.settle(error)
        else:
            for row, timed in zip(chunk, judged_rows, strict=False):
                row.settle(timed)
            self._again(chunk[len(judged_rows) :])

    def _failed(self, chunk: list["_Row"], verdict: Verdict, seconds: float) -> None:
        """One row of `chunk` cost its worker; where there are several, each is tried alone."""
        if len(chunk) == 1:
            chunk[0].settle(TimedVerdict(verdict, seconds))
            return
        for row in chunk:
            row.alone = True
        self._again(chunk)

    def _again(self, rows: list["_Row"]) -> None:
        self._queue.extendleft(reversed(rows))

    async def _outcome(self, pool: ProcessPool, chunk: list["_Row"]) -> list[TimedVerdict]:
        future = pool.schedule(
            _judge_rows,
            args=([(row.verifier, row.completion, row.task) for row in chunk],),
            timeout=self.timeout_seconds + (CHUNK_SECONDS if len(chunk) > 1 else 0),
        )
        self._waiting[future] = pool

        def stop(_: object) -> None:
            if all(row.verdict.cancelled() for row in chunk):
                future.cancel()

        for row in chunk:
            row.verdict.add_done_callback(stop)
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
    of words, and must make the same entry here as in the process that made the prompts. Until
    `_prepare`, Ctrl-C is held back from it."""

    def start(self) -> None:
        before = os.environ.get("PYTHONHASHSEED")
        os.environ["PYTHONHASHSEED"] = "0"  # a child reads it when it starts, and only then
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if before is None:
                del os.environ["PYTHONHASHSEED"]
            else:
                os.environ["PYTHONHASHSEED"] = before


class _Context(SpawnContext):
    Process = _Process


def _end(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


def _judge_rows(rows: Sequence[tuple[str, str, Task]]) -> list[TimedVerdict]:
    """Runs in a worker. After `CHUNK_SECONDS` it returns what it has, at least one verdict; the
    rows that are left come again."""
    ends = time.perf_counter() + CHUNK_SECONDS
    timed: list[TimedVerdict] = []
    for row in rows:
        timed.append(_judge(*row))
        if time.perf_counter() > ends:
            break
    return timed


def _judge(name: str, completion: str, task: Task) -> TimedVerdict:
    started = time.perf_counter()
    verdict = judged(name, completion, task)
    return TimedVerdict(verdict, time.perf_counter() - started)


def judged(name: str, completion: str, task: Task) -> Verdict:
    """The verdict of the verifier `name`, in this process; whatever it raises is in the verdict."""
    try:
        return checked(get_verifier(name).verify(completion, task))
    except MemoryError:
        return Verdict.unjudged("out_of_memory")
    except BadArguments as error:
        return Verdict.unjudged(f"bad_arguments: {encodable(str(error)[:200])}")
    except BaseException as error:  # noqa: BLE001 - a verifier's bug costs its row, no more
        message = encodable(str(error)[:200])
        return Verdict.unjudged(f"verifier_error: {type(error).__name__}: {message}")


def checked(verdict: Verdict) -> Verdict:
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
        None if verdict.extracted is None else encodable(verdict.extracted[:MAX_TEXT]),
        None if verdict.detail is None else encodable(verdict.detail[:MAX_TEXT]),
    )


def encodable(text: str) -> str:
    """Without lone surrogates, which hostile text can hold and Arrow cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _prepare(verifiers: Sequence[str], memory_bytes: int, parent: int) -> None:
    """Runs in every worker before it takes its first row."""
    # Python's own handlers wait for the interpreter, which a row may never come back to.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Ctrl-C reaches the whole group: the main process decides what to finish, and ends the workers.
    # A handler, for what is ignored stays so in the programs that a worker starts.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
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
