"""Policies, judges and engines that say what a test tells them."""

import asyncio
import random
from collections.abc import Callable, Sequence

from winnow.pipeline.contracts import Completion, Identity, Sampling, Verdict
from winnow.pipeline.names import Message, digest
from winnow.synth.tree.node import State, Step

IDENTITY = Identity("model@1", "template")
RIGHT, WRONG = Verdict("correct", 1.0), Verdict("wrong", 0.0)
ROOT = State("root")


class First(random.Random):
    """Always chooses the given places, in turn."""

    def __init__(self, *places: int) -> None:
        super().__init__(0)
        self._places = list(places)
        self.asked: list[int] = []

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        del stop, step
        self.asked.append(start)
        return self._places[(len(self.asked) - 1) % len(self._places)]


class Scripted:
    """A policy: the step's name is its path (`0/2/1`), its text a function of the name. `calls` are
    the names in the order in which they were asked for."""

    def __init__(self, text: Callable[[str], str] = lambda name: f"{name} <end>") -> None:
        self._text = text
        self.calls: list[str] = []
        self.together = self._now = 0

    async def step(self, state: State, index: int) -> Step:
        name = f"{state.name}/{index}" if state.steps else str(index)
        assert name not in self.calls, "no step is drawn twice"
        self.calls.append(name)
        self._now += 1
        self.together = max(self.together, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        return Step(name, self._text(name), 2)


class Says:
    """A judge: a function of the solution's name. `asked` are (name, index) in order."""

    def __init__(self, verdict: Callable[[str], Verdict] = lambda name: WRONG) -> None:
        self._verdict = verdict
        self.asked: list[tuple[str, int]] = []

    async def judge(self, state: State, index: int) -> Verdict:
        self.asked.append((state.name, index))
        return self._verdict(state.name)


class StepEngine:
    """An engine whose steps are a function of (prompt, prefix, seed): some end, some are right.

    `fail_at`: the number of the request, from 1, that raises. `log`: what each request that came back
    was, as (prefix, seed).
    """

    identity = IDENTITY

    def __init__(self, fail_at: int | None = None, error: Exception | None = None) -> None:
        self._fail_at = fail_at
        self._error = error or ConnectionResetError("the engine is gone")
        self.asked = 0
        self.log: list[tuple[str, int]] = []

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        seed: int,
        max_tokens: int,
        prefix: str = "",
    ) -> Completion:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        if number == self._fail_at:
            raise self._error
        self.log.append((prefix, seed))
        text = step_text(messages, prefix, seed)
        return Completion(text, [seed % 7, 2], -0.5, 2, "stop")

    async def close(self) -> None: ...


def step_text(messages: Sequence[Message], prefix: str, seed: int) -> str:
    """A third of the steps are final answers; a sixth of these are right (7)."""
    chance = random.Random(digest("scripted", [[dict(m) for m in messages], prefix, seed]))
    number = prefix.count("### Step") + 1
    if chance.random() < 1 / 3:
        value = 7 if chance.random() < 1 / 6 else chance.randint(8, 30)
        return f"\n### Final Answer: {value} <end>"
    return f"\n### Step {number}: thought {chance.randint(0, 9)} <end>"
