"""Asking a verifier how many of somebody's references it can read."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.worker_pool import VerifierPool


@dataclass(frozen=True)
class Case:
    """One row as a verifier sees it: an answer that should be right, and what it is judged by."""

    completion: str
    answer: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tried:
    """Verdicts on the cases, in their order."""

    verdicts: Sequence[Verdict]

    @property
    def readable(self) -> float:
        """Share of the references that could be read at all."""
        return self._share([v.verdict != "unjudged" for v in self.verdicts])

    @property
    def accepted(self) -> float:
        """Share of the answers that were judged correct."""
        return self._share([v.verdict == "correct" for v in self.verdicts])

    def part(self, name: str) -> float:
        """Share of the answers whose part `name` is 1."""
        return self._share([v.parts.get(name) == 1.0 for v in self.verdicts])

    def _share(self, yes: Sequence[bool]) -> float:
        return sum(yes) / len(yes) if yes else 0.0


class Bench:
    """Where verifiers are tried: in worker processes, each case under a time limit."""

    def __init__(self, pool: VerifierPool) -> None:
        self._pool = pool

    async def attempt(self, verifier: str, cases: Sequence[Case]) -> Tried:
        """Let `verifier` judge every case."""
        tasks = [
            self._pool.judge(verifier, each.completion, Task([], each.answer, each.args))
            for each in cases
        ]
        return Tried([timed.verdict for timed in await asyncio.gather(*tasks)])
