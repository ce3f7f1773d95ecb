"""How long a run over a large store takes until it knows what is missing, and how much memory.

    python benchmarks/resume.py [--prompts 1000000] [--stored 1] [--n 2] [--home FOLDER]

Fills a store with `--stored` answers of about 1.2 kB for each prompt (kept in the folder, where one
is given), then, in a process of its own, opens it and plans `--n` answers each. Beside it: reading the
same columns of all rows into Python with the sqlite3 module, which is the least that any plan must do.
"""

import argparse
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from winnow.pipeline import schema
from winnow.pipeline.contracts import Completion, Identity, Sampling
from winnow.pipeline.names import digest
from winnow.pipeline.store.store import Store
from winnow.synth import sampling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("prompts", 1_000_000), ("stored", 1), ("n", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.open:
        opened(a.open, a.prompts, a.n)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = (a.home or Path(scratch)) / "rollouts.sqlite"
        if not path.exists():
            fill(path, a.prompts, a.stored)
        print(f"{a.prompts * a.stored:,} answers, {path.stat().st_size / 2**30:.2f} GiB")
        command = [sys.executable, __file__, "--open", str(path), "--prompts", str(a.prompts)]
        subprocess.run([*command, "--n", str(a.n)], check=True)
        start = time.perf_counter()
        names = ", ".join(f'"{name}"' for name in ("rollout_id", *sampling.PLAN_COLUMNS))
        with sqlite3.connect(path) as database:
            count = len(database.execute(f"SELECT {names} FROM rows").fetchall())
        print(f"sqlite3 alone, {count:,} rows: {time.perf_counter() - start:.1f} s")


def target_of(n: int) -> sampling.Target:
    return sampling.Target(Identity("model@1", "template"), Sampling(), 0, n, 512, 3)


def prompts_of(count: int) -> list[str]:
    return [digest("prompt", number) for number in range(count)]


def fill(path: Path, prompts: int, stored: int) -> None:
    answer = Completion("word " * 110, list(range(128)), -12.5, 128, "stop")
    target, ids = target_of(stored), prompts_of(prompts)
    with Store(path, schema.ROLLOUTS, "rollout_id", index=("prompt_id",), write=True) as store:
        for start in range(0, prompts, 5_000):
            store.put(
                [
                    sampling.rollout_row(prompt, target, index, 0, 1, answer, None)
                    for prompt in ids[start : start + 5_000]
                    for index in range(stored)
                ]
            )


def opened(path: Path, prompts: int, n: int) -> None:
    ids, target = prompts_of(prompts), target_of(n)
    start = time.perf_counter()
    with Store(path, schema.ROLLOUTS, "rollout_id", index=("prompt_id",), write=True) as store:
        plan = sampling.plan(ids, sampling.stored_rows(store, ids, target), target)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"opened and planned in {seconds:.1f} s, peak {peak:.2f} GiB: "
        f"{len(plan.stored):,} stored, {plan.n_missing:,} missing"
    )


if __name__ == "__main__":
    main()
