"""The pool against verifiers that hang, die, eat memory and break their contract.

The hostile verifiers are a real installed-looking package (module, entry points), so that workers
find them as they would find a third party's.
"""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.errors import UsageError
from winnow.pipeline.verify import get_verifier, verifier_label, verifier_names
from winnow.pipeline.verify.worker_pool import TimedVerdict, VerifierPool

T = TypeVar("T")
TASK = Task(messages=[{"role": "user", "content": "?"}], answer="42")
LIMIT = 1.0  # seconds

PACKAGE = """
import ctypes, os, time, types
from winnow.pipeline.contracts import Verdict

WARMED = []

class Hostile:
    name = "hostile"
    version = "7"

    def warm(self):
        time.sleep(1.3)  # longer than the limit of a row
        WARMED.append(True)

    def verify(self, completion, task):
        if completion == "fine":
            return Verdict("correct", 1, {"a": 1}, "fine", f"warm={bool(WARMED)}")
        if completion == "hang":
            return Verdict("correct", float(7 ** 10**9 % 2))  # one call into C, deaf to signals
        if completion == "sleep":
            time.sleep(3600)
        if completion.startswith("exit"):
            os._exit(int(completion[4:]))
        if completion == "segfault":
            ctypes.string_at(0)
        if completion == "memory":
            hoard = []
            while True:
                hoard.append(bytearray(2**24))
        if completion == "recursion":
            return self.verify(completion, task)
        if completion == "raise":
            raise ZeroDivisionError("x" * 1000)
        if completion == "system_exit":
            raise SystemExit(3)
        if completion == "none":
            return None
        if completion == "nan":
            return Verdict("correct", float("nan"))
        if completion == "no_reward":
            return Verdict("wrong")
        if completion == "surrogate":
            return Verdict("wrong", 0.0, extracted="\\ud800" * 9000, detail="\\udfff")
        if completion == "unpicklable":
            return Verdict("wrong", 0.0, types.MappingProxyType({"part": 0.5}))

class CannotStart:
    name = "cannot_start"
    version = "1"

    def warm(self):
        raise ImportError("no such library")

    def verify(self, completion, task):
        raise ImportError("no such library")
"""
ENTRY_POINTS = """
[winnow.verifiers]
hostile = hostile_verifiers:Hostile
cannot_start = hostile_verifiers:CannotStart
broken = hostile_verifiers:NoSuchClass
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "hostile_verifiers.py").write_text(PACKAGE)
    info = tmp_path / "hostile_verifiers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile-verifiers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    get_verifier.cache_clear()
    sys.modules.pop("hostile_verifiers", None)


def run(use: Callable[[VerifierPool], Awaitable[T]], *, workers: int = 2, **options: int) -> T:
    async def main() -> T:
        async with VerifierPool(workers, LIMIT, ["hostile"], **options) as pool:
            return await use(pool)

    return asyncio.run(main())


def worker_processes() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_third_party_verifier_is_found(package: Path) -> None:
    assert {"hostile", "math", "reasoning_gym"} <= set(verifier_names())
    assert verifier_label("hostile") == "hostile@7"
    with pytest.raises(UsageError, match="package hostile-verifiers cannot be loaded"):
        get_verifier("broken")


def test_hostile_rows_end_and_the_others_go_on(package: Path) -> None:
    hostile = ["hang", "sleep", "exit3", "segfault", "memory", "exit0"]
    rows = [row for name in hostile for row in ("fine", name, "fine")]

    async def use(pool: VerifierPool) -> list[TimedVerdict]:
        return await asyncio.gather(*[pool.judge("hostile", row, TASK) for row in rows])

    timed = run(use, memory_bytes=2**28)
    details = {row: t.verdict.detail for row, t in zip(rows, timed, strict=True) if row != "fine"}
    assert details == {
        "hang": "timeout",
        "sleep": "timeout",
        "exit3": "worker_died",
        "segfault": "worker_died",
        "memory": "out_of_memory",
        "exit0": "timeout",  # a worker that leaves quietly is missed when its time is up
    }
    assert all(t.verdict.verdict == "unjudged" and t.verdict.reward is None
               for row, t in zip(rows, timed, strict=True) if row != "fine")  # fmt: skip
    # Warming takes longer than a row may, and no row paid for it.
    fine = Verdict("correct", 1.0, {"a": 1.0}, "fine", "warm=True")
    assert [t.verdict for t in timed if t.verdict.verdict == "correct"] == [fine] * 12
    assert worker_processes() == []


@pytest.mark.parametrize(
    ("completion", "detail"),
    [
        ("raise", "verifier_error: ZeroDivisionError: " + "x" * 200),
        ("system_exit", "verifier_error: SystemExit: 3"),
        ("none", "verifier_error: TypeError: verify returned NoneType, not a Verdict"),
        ("nan", "verifier_error: ValueError: a reward is not finite"),
        ("no_reward", "verifier_error: ValueError: 'wrong' with reward None is no verdict"),
    ],
)
def test_a_bug_of_a_verifier_is_an_unjudged_row(
    package: Path, completion: str, detail: str
) -> None:
    from winnow.pipeline.verify.worker_pool import _judge

    timed = _judge("hostile", completion, TASK)
    assert timed.verdict == Verdict.unjudged(detail)
    assert timed.seconds >= 0


def test_verdicts_are_made_fit_for_the_tables(package: Path) -> None:
    async def use(pool: VerifierPool) -> list[Verdict]:
        rows = ["surrogate", "unpicklable", "recursion"]
        return [(await pool.judge("hostile", row, TASK)).verdict for row in rows]

    surrogate, unpicklable, recursion = run(use, workers=1)
    assert surrogate == Verdict("wrong", 0.0, {}, "?" * 4000, "?")
    assert unpicklable == Verdict("wrong", 0.0, {"part": 0.5})
    assert (recursion.detail or "").startswith("verifier_error: RecursionError")


def test_a_verifier_that_cannot_start_says_so_in_its_rows(package: Path) -> None:
    async def main() -> TimedVerdict:
        async with VerifierPool(1, LIMIT, ["cannot_start"]) as pool:
            return await pool.judge("cannot_start", "fine", TASK)

    detail = asyncio.run(main()).verdict.detail
    assert detail == "verifier_error: ImportError: no such library"


def test_unknown_verifiers_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="'maths' is not known.*math, .*reasoning_gym"):
        VerifierPool(1, LIMIT, ["maths"])

    async def main() -> None:
        async with VerifierPool(1, LIMIT) as pool:
            await pool.judge("maths", "42", TASK)

    with pytest.raises(UsageError, match="'maths' is not known"):
        asyncio.run(main())


def test_workers_killed_while_idle_are_replaced(package: Path) -> None:
    async def use(pool: VerifierPool) -> list[str]:
        verdicts: list[str] = []
        for _ in range(3):
            verdicts.append((await pool.judge("hostile", "fine", TASK)).verdict.verdict)
            for worker in worker_processes():
                worker.kill()
        return verdicts

    assert run(use) == ["correct"] * 3
    assert worker_processes() == []


def test_a_cancelled_row_frees_its_worker(package: Path) -> None:
    async def use(pool: VerifierPool) -> str:
        hanging = asyncio.create_task(pool.judge("hostile", "hang", TASK))
        await pool.judge("hostile", "fine", TASK)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        return (await pool.judge("hostile", "fine", TASK)).verdict.verdict

    assert run(use) == "correct"


def test_leaving_the_block_early_ends_workers_and_waiting_rows(package: Path) -> None:
    async def main() -> None:
        async with VerifierPool(1, LIMIT, ["hostile"]) as pool:
            waiting = [asyncio.create_task(pool.judge("hostile", "hang", TASK)) for _ in range(3)]
            await asyncio.sleep(0.1)
            assert len(worker_processes()) == 1
        for row in waiting:
            with pytest.raises(asyncio.CancelledError):
                await row
        with pytest.raises(RuntimeError, match="not open"):
            await pool.judge("hostile", "fine", TASK)

    asyncio.run(main())
    assert worker_processes() == []


PROGRAM = """
import asyncio, sys
import psutil
from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.worker_pool import VerifierPool

async def main():
    task = Task([{"role": "user", "content": "?"}], "42")
    async with VerifierPool(2, 600, ["hostile"]) as pool:
        await pool.judge("hostile", "fine", task)
        asyncio.create_task(pool.judge("hostile", "hang", task))  # one busy in C, one idle
        await asyncio.sleep(1)
        pids = [c.pid for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline())]
        print(*pids, flush=True)
        await asyncio.sleep(600)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("start", ["script", "module"])
def test_workers_die_with_a_killed_parent(package: Path, start: str) -> None:
    (package / "pool_program.py").write_text(textwrap.dedent(PROGRAM))
    command = ["pool_program.py"] if start == "script" else ["-m", "pool_program"]
    parent = subprocess.Popen(
        [sys.executable, *command],
        cwd=package,
        env={**os.environ, "PYTHONPATH": str(package)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    workers = [psutil.Process(pid) for pid in pids]
    assert len(workers) == 2
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [worker for worker in workers if alive(worker)]
    for worker in left:
        worker.kill()
    assert left == []


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
