"""Draw answers until a rule is content with what is known of a prompt.

A rule looks at the judged answers 0..n-1 of a prompt, never at the order in which they arrived, and
tells the fewest further answers after which it could stop. So many are asked for together: none of
them can turn out to be one too many, and nothing is waited for that could be under way. While a
prompt waits for its verdicts, the engine is full of other prompts.

Decisions are a function of the stored answers and verdicts alone: a run that was killed, or one
that finds answers drawn under another rule, walks through what is stored and goes on behind it.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from winnow.pipeline.contracts import Engine
from winnow.pipeline.names import Message
from winnow.pipeline.store.store import AsyncWriter
from winnow.synth.sampling import Missing, Row, Spending, Target, ask
from winnow.synth.stopping.base import Answer, Rule, Tally

# Of one answer: for each task of its prompt, the verdict row.
Verdicts = Sequence[Mapping[str, Any]]
Judged = tuple[Row, Verdicts]

_NOTHING = Tally()


class AnyShelf(Protocol):
    """Where answers are looked up: `sampling.Shelf`, or imported answers."""

    def at(self, prompt: str, index: int) -> Row | Missing: ...


@dataclass(frozen=True)
class Decision:
    """A prompt's answers 0..answers-1 count. `reason`: of each task's rule, sorted, with commas; None
    where the rule wants at least `more` answers that are not there."""

    prompt_id: str
    answers: int
    reason: str | None
    more: int = 0


class Walk:
    """One prompt on its way: the tallies of its tasks, and how many answers stand before a rule can
    stop again."""

    def __init__(self, prompt: str, rule: Rule) -> None:
        self.prompt, self._rule = prompt, rule
        self.answers = 0
        self.tallies: dict[str, Tally] = {}  # by task
        self.more = rule.more(_NOTHING)

    def add(self, rows: Sequence[Judged]) -> None:
        """The next answers in the order of their indices, at most as many as `more` said."""
        tallies = self.tallies
        for answer, verdicts in rows:
            n_tokens, cut = answer["n_tokens"], answer["finish_reason"] == "length"
            for verdict in verdicts:
                task = verdict["task_id"]
                judged = Answer(verdict["verdict"], n_tokens, cut, verdict["extracted"])
                tallies[task] = tallies.get(task, _NOTHING).add(judged)
        self.answers += len(rows)
        if rows:
            # A prompt with several references goes on until the rule has enough for each.
            self.more = max(map(self._rule.more, tallies.values()), default=0)

    def decision(self) -> Decision:
        if self.more:
            return Decision(self.prompt, self.answers, None, self.more)
        reasons = {self._rule.reason(tally) for tally in self.tallies.values() or [_NOTHING]}
        return Decision(self.prompt, self.answers, ",".join(sorted(reasons)))


def settled(
    prompt_ids: Iterable[str],
    shelf: AnyShelf,
    verdicts: Callable[[Row], Verdicts | None],
    rule: Rule,
) -> list[Decision]:
    """How far each prompt gets with what is stored. `verdicts` gives an answer's, None where one of
    them is missing."""
    found = []
    for prompt in prompt_ids:
        walk = Walk(prompt, rule)
        while walk.more:
            wanted = walk.more
            rows = stored(shelf, verdicts, prompt, walk.answers, wanted)
            walk.add(rows)
            if len(rows) < wanted:
                break
        found.append(walk.decision())
    return found


def stored(
    shelf: AnyShelf,
    verdicts: Callable[[Row], Verdicts | None],
    prompt: str,
    start: int,
    answers: int,
) -> list[Judged]:
    """Of a prompt's answers from `start` on, those before the first that is missing or not judged."""
    rows: list[Judged] = []
    for index in range(start, start + answers):
        row = shelf.at(prompt, index)
        known = None if isinstance(row, Missing) else verdicts(row)
        if isinstance(row, Missing) or known is None:
            break
        rows.append((row, known))
    return rows


class Desk:
    """Hands out judged answers: from the shelf, else drawn, stored, told to `on_row`, then judged.

    `judge` makes or finds the verdicts of a stored or drawn answer. A request that fails is an answer
    that nobody judged. What rises from here is a fault of the store or of the code, never of one
    prompt.
    """

    def __init__(
        self,
        shelf: AnyShelf,
        messages: Mapping[str, Sequence[Message]],
        engine: Engine,
        target: Target,
        writer: AsyncWriter,
        *,
        concurrency: int,
        judge: Callable[[Row], Awaitable[Verdicts]],
        spending: Spending | None = None,
        on_row: Callable[[Row], None] = lambda row: None,
    ) -> None:
        self._shelf, self._messages, self._engine = shelf, messages, engine
        self._target, self._writer, self._judge, self._on_row = target, writer, judge, on_row
        self._budget = spending or Spending()
        self._in_flight = asyncio.Semaphore(concurrency)
        # With answers that have come and wait for the disk: the most that a kill can cost.
        self._unsaved = asyncio.Semaphore(2 * concurrency)
        self.concurrency = concurrency

    async def answers(self, prompt: str, start: int, wanted: int) -> list[Judged]:
        """Answers `start` to `start + wanted - 1` of a prompt; fewer where the budget does not allow
        to draw: what is stored counts all the same."""
        found = [self._shelf.at(prompt, index) for index in range(start, start + wanted)]
        if not self._budget.allow(sum(isinstance(each, Missing) for each in found)):
            found = list(itertools.takewhile(lambda row: not isinstance(row, Missing), found))
        if len(found) == 1:  # most often; a task of its own would take longer than storing the row
            return [await self._answer(prompt, found[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._answer(prompt, each)) for each in found]
        return [task.result() for task in tasks]

    async def _answer(self, prompt: str, found: Row | Missing) -> Judged:
        row = found
        if isinstance(row, Missing):
            async with self._unsaved:
                async with self._in_flight:
                    row = await ask(self._engine, self._messages[prompt], row, self._target)
                self._budget.drawn(row["n_tokens"])
                await self._writer.put(row)
            self._on_row(row)
        return row, await self._judge(row)


async def draw_until(
    prompt_ids: Iterable[str],
    rule: Rule,
    desk: Desk,
    on_decision: Callable[[Decision], None] = lambda decision: None,
) -> None:
    """Walk every prompt to its end, drawing what is not on the shelf."""
    left = iter(prompt_ids)

    async def worker() -> None:
        for prompt in left:
            walk = Walk(prompt, rule)
            while wanted := walk.more:
                answers = await desk.answers(prompt, walk.answers, wanted)
                walk.add(answers)
                if len(answers) < wanted:
                    break
            on_decision(walk.decision())

    async with asyncio.TaskGroup() as group:
        # Prompts that wait for verdicts must not keep the engine from being full.
        for _ in range(2 * desk.concurrency):
            group.create_task(worker())
