"""What a tree search is made of, and what it leaves behind."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from winnow.pipeline.contracts import FinishReason, Verdict

T = TypeVar("T")


class SearchError(Exception):
    """This tree cannot be searched further, for the reason given; others can."""


@dataclass(frozen=True)
class Step:
    """One step of a solution. `name` is unique: it says which state the step continues, and how it
    was drawn. `text` ends with the string that ended it. A step with an `error` has no text."""

    name: str
    text: str
    n_tokens: int = 0
    finish_reason: FinishReason = "stop"
    error: str | None = None


@dataclass(frozen=True)
class State:
    """A partial solution. `root` names the conversation that it answers; `opening` is text that the
    answer begins with and that nobody drew."""

    root: str
    steps: tuple[Step, ...] = ()
    opening: str = ""

    @property
    def name(self) -> str:
        return self.steps[-1].name if self.steps else self.root

    @property
    def text(self) -> str:
        return self.opening + "".join(step.text for step in self.steps)

    def then(self, step: Step) -> "State":
        return State(self.root, (*self.steps, step), self.opening)


class Policy(Protocol):
    """Draws steps."""

    async def step(self, state: State, index: int) -> Step:
        """Draw step number `index`, from 0, of those that continue `state`. The same call gives the
        same step. Raises SearchError where it cannot be had."""
        ...


class Judge(Protocol):
    """Judges solutions."""

    async def judge(self, state: State, index: int) -> Verdict:
        """Judge a solution for the time `index`, from 0: a judge that samples may change its mind.
        Raises SearchError where no solution of this task can be judged."""
        ...


class ValueFunction(Protocol):
    """Says how promising a partial solution is."""

    async def value(self, state: State) -> float:
        """In 0..1."""
        ...


@dataclass(frozen=True)
class Node:
    """A node of a finished tree. `states`: the partial solution; several where they were merged, the
    best first; none where it was never drawn. `visits` as the search counted them; `value`: the
    search's, None where it has none."""

    parent: int
    states: tuple[State, ...]
    visits: int
    terminal: bool
    value: float | None = None
    verdict: Verdict | None = None  # of the node's own solution, where it was judged once

    @property
    def text(self) -> str:
        """The node's own step, of the best state."""
        return self.states[0].steps[-1].text if self.states and self.states[0].steps else ""


@dataclass(frozen=True)
class Simulation:
    """One solution that was judged: the steps that were drawn behind a node's state, and the verdict.
    `state` is the whole solution."""

    node: int
    steps: tuple[Step, ...]
    state: State
    verdict: Verdict


@dataclass(frozen=True)
class Tree:
    """Nodes with the root first (parent -1), parents before their children, and children in the
    order in which they were added. `n_steps` and `n_tokens` count what was drawn; `saved_expansions`,
    for each hyper-node that was expanded, the further expansions of its members.
    `error`: why the search ended early."""

    nodes: tuple[Node, ...]
    simulations: tuple[Simulation, ...] = ()
    n_steps: int = 0
    n_tokens: int = 0
    saved_expansions: int = 0
    error: str | None = None

    def children(self) -> list[list[int]]:
        """The children of each node, in order."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            if node.parent >= 0:
                found[node.parent].append(number)
        return found


@dataclass
class Tally:
    """What a search has drawn so far, and which numbers the next steps and judgements of a state
    get."""

    steps: int = 0
    tokens: int = 0
    _drawn: dict[str, int] = field(default_factory=dict)
    _judged: dict[str, int] = field(default_factory=dict)

    def add(self, step: Step) -> None:
        self.steps += 1
        self.tokens += step.n_tokens

    def reserve(self, state: State, count: int = 1) -> int:
        """The first of `count` indices of steps that continue `state`."""
        first = self._drawn.get(state.name, 0)
        self._drawn[state.name] = first + count
        return first

    def judgement(self, state: State) -> int:
        """The number of the next judgement of `state`."""
        number = self._judged.get(state.name, 0)
        self._judged[state.name] = number + 1
        return number


async def all_of(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of several coroutines that run together. Where some fail, the first one's exception
    rises when all have ended: what the others are drawing is paid for, and shall be kept."""
    found = await asyncio.gather(*work, return_exceptions=True)
    results: list[T] = []
    for each in found:
        if isinstance(each, BaseException):
            raise each
        results.append(each)
    return results
