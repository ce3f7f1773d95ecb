"""The verifier `python` against a bare `python -I` per program.

    python benchmarks/python_sandbox.py [--programs 328] [--workers 2] [--rounds 3]

Short programs with their tests (HumanEval's where ../shared/data has them, else made here) are
judged by two processes that each call `PythonCode.verify`, with every protection on, and, in the same
run, by two threads that each start one interpreter after the other on prompt, answer and tests: no
protection, no limit but a time-out, and a verdict that the program itself reports. The rounds
alternate; the best of each is printed, with all of them.
"""

import argparse
import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.python_code import PythonCode
from winnow.pipeline.verify.sandbox import protections

DATA = Path(__file__).parents[2] / "shared" / "data" / "humaneval.parquet"
VERIFIER = PythonCode()


@dataclass(frozen=True)
class Program:
    """A task as HumanEval has it, and its right answer."""

    prompt: str
    answer: str
    test: str
    entry_point: str

    @property
    def args(self) -> dict[str, Any]:
        return {
            "kind": "check",
            "prompt": self.prompt,
            "test": self.test,
            "entry_point": self.entry_point,
        }

    @property
    def script(self) -> str:
        return f"{self.prompt}{self.answer}\n{self.test}\ncheck({self.entry_point})\n"


def programs(count: int) -> tuple[str, list[Program]]:
    """Where they come from, and `count` of them."""
    if DATA.exists():
        import polars as pl

        rows = pl.read_parquet(DATA).to_dicts()
        known = [
            Program(row["prompt"], row["canonical_solution"], row["test"], row["entry_point"])
            for row in rows
        ]
        return "HumanEval", [known[number % len(known)] for number in range(count)]
    return "made here", [made(number) for number in range(count)]


def made(number: int) -> Program:
    prompt = (
        f"from typing import List\n\n\ndef total_{number}(items: List[int], k: int) -> int:\n"
        f'    """ Sum of the items that k + {number} divides.\n    >>> total_{number}([], 1)\n    0\n    """\n'
    )
    answer = f"    return sum(item for item in items if item % (k + {number}) == 0)\n"
    lines = [
        f"    assert candidate(list(range({size})), 1) == "
        f"{sum(item for item in range(size) if item % (1 + number) == 0)}\n"
        for size in range(0, 70, 10)
    ]
    test = "def check(candidate):\n" + "".join(lines)
    return Program(prompt, answer, test, f"total_{number}")


def start(_: int) -> None:
    VERIFIER.warm()
    time.sleep(0.5)  # so that each process takes one of these


def judge(program: Program) -> str:
    task = Task([], None, program.args)
    return VERIFIER.verify(program.answer, task).verdict


def interpret(program: Program) -> str:
    command = [sys.executable, "-I", "-c", program.script]
    run = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return "correct" if run.returncode == 0 else "wrong"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=328)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    source, work = programs(given.programs)
    wanting = protections().missing
    print(f"{len(work)} programs ({source}), {given.workers} workers; "
          f"protections missing here: {', '.join(one.name for one in wanting) or 'none'}")  # fmt: skip
    speeds: dict[str, list[float]] = {"winnow": [], "python -I": []}
    with (
        ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn")) as processes,
        ThreadPoolExecutor(given.workers) as threads,
    ):
        list(processes.map(start, range(given.workers)))
        for _ in range(given.rounds):
            for name, pool, one in (
                ("winnow", processes, judge),
                ("python -I", threads, interpret),
            ):
                started = time.perf_counter()
                verdicts = list(pool.map(one, work))
                speeds[name].append(len(work) / (time.perf_counter() - started))
                print(f"{name:>10}: {speeds[name][-1]:6.1f} programs/s, "
                      f"{verdicts.count('correct')} correct")  # fmt: skip
    best = {name: max(each) for name, each in speeds.items()}
    print(f"best: winnow {best['winnow']:.1f} programs/s, python -I {best['python -I']:.1f}, "
          f"ratio {best['winnow'] / best['python -I']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
