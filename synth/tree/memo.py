"""What was drawn and judged for one prompt is never drawn or judged again.

A search is a function of its steps, its judgements and a seeded generator. So nothing else is stored:
every step and every judgement is a row that is named by what determines it, and on disk before it
counts. To go on after whatever stopped it, a search starts from its beginning, finds what is there,
and asks for the rest.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.contracts import Completion, Identity, Sampling, Verdict
from winnow.pipeline.names import Message, digest, prompt_id
from winnow.pipeline.verify.worker_pool import TimedVerdict
from winnow.synth.sampling import outcome
from winnow.synth.tree.node import State

Row = Mapping[str, Any]
Keep = Callable[[Row], Awaitable[None]]


async def nowhere(row: Row) -> None:
    """Keep nothing beyond this process."""
    del row


@dataclass(frozen=True)
class Drawing:
    """How steps are drawn: from whom, from which distribution, and how long one may be (tokens).
    `max_attempts`: tries at one step before its failure stands."""

    identity: Identity
    sampling: Sampling
    seed: int
    max_tokens: int
    max_attempts: int = 3


def root(messages: Sequence[Message], opening: str = "") -> State:
    """The state before the first step: the conversation that the model is sent, and how its answer
    begins."""
    images = [name for m in messages if "images" in m for name in m["images"].ids]
    name = prompt_id(messages, images)
    return State(digest("opening/1", [name, opening]) if opening else name, (), opening)


def step_id(parent: str, drawing: Drawing, index: int, attempt: int) -> str:
    """Name of a step. The parent's name says what it continues, down to the conversation; the length
    limit is no part of it, as it is none of an answer's."""
    who = drawing.identity
    return digest(
        "step/1",
        [parent, who.policy, who.template, drawing.sampling.name, drawing.seed, index, attempt],
    )


def judgement_id(state: str, task_id: str, judge: str, index: int) -> str:
    """Name of one judgement of a solution."""
    return digest("judgement/1", [state, task_id, judge, index])


class Memo:
    """The steps and judgements of one prompt: those of the store, and those that are added. A row
    counts when `keep_step` or `keep_judgement` has returned."""

    def __init__(
        self,
        prompt: str,
        steps: Iterable[Row] = (),
        judgements: Iterable[Row] = (),
        *,
        keep_step: Keep = nowhere,
        keep_judgement: Keep = nowhere,
    ) -> None:
        self.prompt = prompt
        self._keep_step, self._keep_judgement = keep_step, keep_judgement
        self._tries: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in sorted(steps, key=lambda row: row["attempt"]):
            self._tries[row["parent"], row["index"]].append(row)
        self._judgements = {row["judgement_id"]: row for row in judgements}
        self.added = 0

    def tries(self, parent: str, drawing: Drawing, index: int) -> list[Row]:
        """All tries at a step, the first one first."""
        who, name = drawing.identity, drawing.sampling.name
        return [
            row
            for row in self._tries.get((parent, index), ())
            if (row["policy"], row["template"]) == (who.policy, who.template)
            and (row["sampler"], row["recipe_seed"]) == (name, drawing.seed)
        ]

    async def add_step(self, row: Row) -> None:
        await self._keep_step(row)
        self._tries[row["parent"], row["index"]].append(row)
        self.added += 1

    async def judged(
        self,
        state: State,
        task_id: str,
        judge: str,
        index: int,
        make: Callable[[], Awaitable[TimedVerdict]],
    ) -> Verdict:
        """The stored judgement of a solution, or the one that `make` gives."""
        name = judgement_id(state.name, task_id, judge, index)
        if name not in self._judgements:
            timed = await make()
            row = self._row(name, state, task_id, judge, index)
            row |= {
                "verdict": timed.verdict.verdict,
                "reward": timed.verdict.reward,
                "extracted": timed.verdict.extracted,
                "detail": timed.verdict.detail,
                "seconds": timed.seconds,
            }
            await self._add_judgement(name, row)
        row = dict(self._judgements[name])
        return Verdict(row["verdict"], row["reward"], {}, row["extracted"], row["detail"])

    async def valued(
        self,
        state: State,
        task_id: str,
        judge: str,
        make: Callable[[], Awaitable[float]],
    ) -> float:
        """The stored value of a partial solution, or the one that `make` gives."""
        name = judgement_id(state.name, task_id, judge, 0)
        if name not in self._judgements:
            row = self._row(name, state, task_id, judge, 0)
            row |= {"verdict": None, "reward": await make(), "extracted": None, "detail": None,
                    "seconds": 0.0}  # fmt: skip
            await self._add_judgement(name, row)
        return float(self._judgements[name]["reward"])

    def _row(self, name: str, state: State, task_id: str, judge: str, index: int) -> dict[str, Any]:
        return {
            "judgement_id": name,
            "prompt_id": self.prompt,
            "state": state.name,
            "task_id": task_id,
            "judge": judge,
            "index": index,
        }

    async def _add_judgement(self, name: str, row: Row) -> None:
        await self._keep_judgement(row)
        self._judgements[name] = row
        self.added += 1


def step_row(
    prompt: str,
    state: State,
    drawing: Drawing,
    index: int,
    attempt: int,
    seed: int,
    answer: Completion | None,
    error: str | None,
) -> Row:
    """A row of the steps table; `answer` is None where `error` says why."""
    return {
        "step_id": step_id(state.name, drawing, index, attempt),
        "prompt_id": prompt,
        "parent": state.name,
        "depth": len(state.steps) + 1,
        "policy": drawing.identity.policy,
        "template": drawing.identity.template,
        "sampler": drawing.sampling.name,
        "recipe_seed": drawing.seed,
        "index": index,
        "attempt": attempt,
        "max_tokens": drawing.max_tokens,
        "seed": seed,
        **outcome(answer, error),
    }
