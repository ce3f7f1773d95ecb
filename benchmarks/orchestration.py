"""Durable answers per second where the engine takes no time: what the orchestration alone can do.

    python benchmarks/orchestration.py [--prompts 10000] [--n 8] [--in-flight 1024]

An engine answers each request at once, with 128 token ids and a text that makes rows of about 1.2 kB.
Every answer is named, stored and synced before it counts. Measured are the fixed number of answers,
and a stop rule that looks at a verdict after each answer (the verdict is given at once as well);
beside them the same rows written by the store alone, as many in flight.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from winnow.pipeline import schema
from winnow.pipeline.contracts import Completion, Identity, Sampling
from winnow.pipeline.names import Message, digest
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.synth import sampling
from winnow.synth.adaptive import Desk, draw_until
from winnow.synth.stopping.any_of import AnyOf
from winnow.synth.stopping.cap import Cap
from winnow.synth.stopping.until_k_correct import UntilKCorrect

TOKENS = list(range(128))
TEXT = "word " * 110


class AtOnce:
    """An engine that answers at once."""

    identity = Identity("model@1", "template")

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        return Completion(TEXT, TOKENS, -12.5, len(TOKENS), "stop")

    async def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name, default in (("prompts", 10_000), ("n", 8), ("in-flight", 1_024)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    ids = [digest("prompt", i) for i in range(a.prompts)]
    messages = {prompt: [{"role": "user", "content": prompt}] for prompt in ids}
    target = sampling.Target(AtOnce.identity, Sampling(), 0, a.n, 512, 3)

    async def fixed(writer: AsyncWriter) -> None:
        async def judge(row: sampling.Row) -> None:
            pass

        plan = sampling.plan(ids, [], target)
        await sampling.draw(
            plan.missing, messages, AtOnce(), target, writer, concurrency=a.in_flight, judge=judge
        )

    async def adaptive(writer: AsyncWriter) -> None:
        async def judge(row: sampling.Row) -> list[dict[str, Any]]:
            return [{"task_id": "t", "verdict": "wrong", "extracted": None}]

        shelf = sampling.Shelf([], target)
        desk = Desk(shelf, messages, AtOnce(), target, writer, concurrency=a.in_flight, judge=judge)
        await draw_until(ids, AnyOf((UntilKCorrect(1), Cap(a.n))), desk)

    answer = Completion(TEXT, TOKENS, -12.5, len(TOKENS), "stop")
    rows = [
        sampling.rollout_row(prompt, target, index, 0, 1, answer, None)
        for prompt in ids
        for index in range(a.n)
    ]

    async def store_alone(writer: AsyncWriter) -> None:
        left = iter(rows)

        async def worker() -> None:
            for row in left:
                await writer.put(row)

        await asyncio.gather(*(worker() for _ in range(a.in_flight)))

    print(f"{a.prompts * a.n:,} answers, {a.in_flight:,} in flight")
    for name, work in (
        ("fixed n", fixed), ("stop rule", adaptive), ("store alone", store_alone)
    ):  # fmt: skip
        count, seconds = measure(work)
        assert count == a.prompts * a.n
        print(f"{name:12} {count / seconds:10,.0f} answers/s")


def measure(work: Callable[[AsyncWriter], Awaitable[None]]) -> tuple[int, float]:
    """Rows that are on disk at the end, and seconds."""

    async def run(store: Store) -> None:
        async with AsyncWriter(store) as writer:
            await work(writer)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rollouts.sqlite"
        with Store(path, schema.ROLLOUTS, "rollout_id", index=("prompt_id",), write=True) as store:
            start = time.perf_counter()
            asyncio.run(run(store))
            return store.count(), time.perf_counter() - start


if __name__ == "__main__":
    main()
