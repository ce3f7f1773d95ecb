"""The child process of a comparison: one selector over files, measured.

    python -m winnow.selectors.comparison.worker JOB.json

It prints lines of JSON: {"step": [stage, done, total, unit]} and {"note": text} on the way, and in the
end {"seconds", "peak_bytes"}, {"refused": why} for wrong input, or {"failed": why} for a bug.
"""

import contextlib
import ctypes
import ctypes.util
import json
import resource
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.progress import Silent, Step
from winnow.pipeline.row_files import RowFile
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.budget import Budget
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.registry import get_selector
from winnow.selectors.rows import FileRows
from winnow.selectors.run import select_rows

_FEW = 64  # rows that load the libraries
_CLEAR_REFS = Path("/proc/self/clear_refs")


class Measured(Selector[Any]):
    """A selector that chooses as `selector` does and notes what that took."""

    def __init__(self, selector: Selector[Any]) -> None:
        self._selector = selector
        self.name = selector.name  # type: ignore[misc] # of this one object
        self.needs_budget = selector.needs_budget  # type: ignore[misc]
        self.own = selector.own  # type: ignore[misc]
        self.parameters = selector.parameters
        self.seconds = 0.0
        self.peak_bytes = 0

    def inputs(self, parameters: Any) -> Sequence[Column]:
        return self._selector.inputs(parameters)

    def choose(self, pool: Pool, room: int | None, parameters: Any) -> Choice:
        few = _first(pool, _FEW)
        # Too few rows for its rule, or a bug: the real run tells.
        with contextlib.suppress(Exception):
            self._selector.choose(few, None if room is None else min(room, len(few)), parameters)
        _release()
        before = psutil.Process().memory_info().rss
        reset = _reset_peak()
        began = time.perf_counter()
        choice = self._selector.choose(pool, room, parameters)
        self.seconds = time.perf_counter() - began
        self.peak_bytes = size_of(pool) + max(0, _peak(reset) - before)
        return choice


def size_of(pool: Pool) -> int:
    """Bytes that the pool's columns hold."""
    return sum(_size(value) for value in pool.columns.values())


def _size(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, Ragged):
        return value.values.nbytes + value.offsets.nbytes
    return sys.getsizeof(value) + sum(sys.getsizeof(each) for each in value)


def _first(pool: Pool, n: int) -> Pool:
    """The first n rows."""
    columns = {}
    for name, value in pool.columns.items():
        if isinstance(value, Ragged):
            offsets = value.offsets[: n + 1]
            columns[name] = Ragged(value.values[: offsets[-1]], offsets)
        else:
            columns[name] = value[:n]
    return replace(pool, ids=pool.ids[:n], columns=columns, progress=Silent())


def _release() -> None:
    """Give memory that nothing uses back to the system: the choice must not find it and seem frugal."""
    pa.default_memory_pool().release_unused()
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(0)


def _reset_peak() -> bool:
    """Make the kernel count the highest resident memory from now on; False where it cannot."""
    try:
        _CLEAR_REFS.write_text("5")  # proc(5)
    except OSError:
        return False
    return True


def _peak(reset: bool) -> int:
    """Highest resident memory, bytes: since it was reset, else since the process began."""
    if reset:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class _Told:
    """Progress as lines on standard output, at most five a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def step(self, step: Step) -> None:
        now = time.monotonic()
        if step.done >= step.total or now - self._last > 0.2:
            self._last = now
            say(step=[step.stage, step.done, step.total, step.unit])

    def note(self, text: str) -> None:
        say(note=text)


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def main(job: Path) -> int:
    """Do the job; returns the exit code."""
    asked = json.loads(job.read_text())
    try:
        selector = Measured(get_selector(asked["selector"]))
        found = select_rows(
            selector,
            FileRows(RowFile(Path(asked["source"]))),
            [FileRows(RowFile(Path(path))) for path in asked["features"]],
            parameters=asked["parameters"],
            budget=Budget.parse(asked["budget"]),
            seed=asked["seed"],
            columns=asked["columns"],
            progress=_Told(),
        )
    except WinnowError as error:
        say(refused=str(error))
        return 2
    except Exception as error:  # noqa: BLE001 - whatever a selector raises is told to the parent
        traceback.print_exc()
        say(failed=f"{type(error).__name__}: {error}")
        return 1
    pq.write_table(found.table, asked["output"])
    say(seconds=selector.seconds, peak_bytes=selector.peak_bytes)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
