"""Value-guided tree search: ReST-MCTS*, arXiv 2406.03816 (its released code).

One iteration:

1. Selection: from the root to a node without children, each time to the child with the highest
   V + c sqrt(2 ln N / n); one that was never visited has V + a bonus; of equals one is drawn.
2. A node that is finished, or whose value is at least `end_gate`, is an end leaf and stays as it is.
   Any other gets `branch` children, each valued by the value function. A step that is too short, or
   stands in the partial solution already, is drawn anew, `tries` times in all, and then left out;
   equal steps are one child; where no step is left, the node is finished.
3. Greedy roll-out from the child with the highest value: `rollout_steps` times the best of
   `roll_branch` steps; V := (1 - alpha) V + alpha (the highest value on the way), and one visit.
4. Every node from the expanded one up to the root gets a visit, and the mean of its children's values
   by their visits, where they have any.

When all iterations are done, the end leaves are judged, and their verdicts turned into labels of the
steps (`winnow.pipeline.estimate.rest_values`).

Ours, where the description leaves it open: of equal values the first child is the best; a roll-out in
which no step was drawn keeps the child's own value; a solution of `max_steps` steps is finished; a
branch that was merged (FETCH) takes the value of its best member. The authors' search for one solution ends
at the first end leaf (`stop_at_end`); the one that makes training data goes on, as here by default.
"""

import random
from dataclasses import dataclass

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.estimate import rest_values
from winnow.pipeline.estimate.state_merging import hyper_nodes
from winnow.pipeline.names import digest
from winnow.pipeline.verify.rules import prejudge
from winnow.synth.tree import ucb
from winnow.synth.tree.mcts import is_terminal
from winnow.synth.tree.merge import Merger
from winnow.synth.tree.node import (
    Judge,
    Node,
    Policy,
    SearchError,
    Simulation,
    State,
    Step,
    Tally,
    Tree,
    ValueFunction,
    all_of,
)
from winnow.synth.tree.prompt import FINAL, content


@dataclass(frozen=True)
class RestOptions:
    """The settings of the authors' class; `script` has those of their generation script.

    `min_chars`: a step of fewer characters, its heading and mark aside, is too short (the number is
    ours). `summary_tries`: draws of a final answer for an end leaf that has none.
    """

    max_iterations: int = 50
    branch: int = 3
    c: float = 0.7
    end_gate: float = 0.9
    rollout_steps: int = 3
    roll_branch: int = 1
    unvisited: float = 1.0
    alpha: float = 0.5
    max_steps: int = 10
    stop_at_end: bool = False
    min_chars: int = 3
    tries: int = 3
    summary_tries: int = 5

    @classmethod
    def script(cls) -> "RestOptions":
        return cls(c=0.5, end_gate=0.8, rollout_steps=1, unvisited=0.9)

    def __post_init__(self) -> None:
        for name in ("max_iterations", "branch", "roll_branch", "max_steps", "tries"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; it must lie in 0..1")


@dataclass(frozen=True)
class Rest:
    """A search's outcome. `judged`: the tree as `rest_values` takes it, by the tree's node numbers.
    `iterations`: how many were made."""

    tree: Tree
    judged: rest_values.Tree
    iterations: int
    options: RestOptions


async def search(
    root: State,
    policy: Policy,
    judge: Judge,
    value: ValueFunction,
    rng: random.Random,
    options: RestOptions = RestOptions(),
    *,
    merger: Merger | None = None,
) -> Rest:
    """Search, and judge the end leaves. A function of what policy, judge and value function say and of
    `rng`. With a `merger`, children that say the same become one node."""
    return await _Search(root, policy, judge, value, rng, options, merger).run()


class _Node:
    def __init__(self, parent: "_Node | None", states: list[State], value: float) -> None:
        self.parent, self.states, self.value = parent, states, value
        self.children: list[_Node] = []
        self.visits = 0
        self.finished = False
        self.verdict: Verdict | None = None


class _Search:
    def __init__(
        self,
        root: State,
        policy: Policy,
        judge: Judge,
        value: ValueFunction,
        rng: random.Random,
        options: RestOptions,
        merger: Merger | None,
    ) -> None:
        self._policy, self._judge, self._value = policy, judge, value
        self._rng, self._options, self._merger = rng, options, merger
        self._root = _Node(None, [root], 0.0)
        self._nodes = [self._root]
        self._ends: list[tuple[_Node, tuple[Step, ...], State, Verdict]] = []
        self._tally = Tally()
        self._saved = self._iterations = 0

    async def run(self) -> Rest:
        error: str | None = None
        try:
            while self._iterations < self._options.max_iterations:
                self._iterations += 1
                if await self._iterate() and self._options.stop_at_end:
                    break
            ends = [node for node in self._nodes if not node.children and self._is_end(node)]
            await all_of(self._judge_end(node) for node in ends)
        except SearchError as failed:
            error = str(failed)
        return self._outcome(error)

    async def _iterate(self) -> bool:
        """One iteration; whether it came to an end leaf."""
        node = self._select()
        ended = self._is_end(node)
        if not ended:
            await self._expand(node)
            if node.children:
                best = ucb.first_best(node.children, [child.value for child in node.children])
                reached = await self._roll(best)
                alpha = self._options.alpha
                best.value = (1 - alpha) * best.value + alpha * reached
                best.visits += 1
        up: _Node | None = node
        while up is not None:
            up.visits += 1
            visits = sum(child.visits for child in up.children)
            if visits:
                up.value = sum(child.value * child.visits for child in up.children) / visits
            up = up.parent
        return ended

    def _select(self) -> _Node:
        node = self._root
        while node.children:
            bounds = [
                ucb.rest_mcts(
                    child.value, child.visits, node.visits,
                    c=self._options.c, unvisited=self._options.unvisited,
                )
                for child in node.children
            ]  # fmt: skip
            best = ucb.all_best(node.children, bounds)
            node = best[0] if len(best) == 1 else self._rng.choice(best)
        return node

    def _is_end(self, node: _Node) -> bool:
        return node.finished or node.value >= self._options.end_gate

    async def _expand(self, node: _Node) -> None:
        self._saved += len(node.states) - 1
        options = self._options
        wanted = [node.states[at % len(node.states)] for at in range(options.branch)]
        # Every slot has indices of its own for all its tries, whichever slot is filled first.
        room = {state.name: self._tally.reserve(state, options.branch * options.tries)
                for state in node.states}  # fmt: skip
        steps = await all_of(
            self._acceptable(state, room[state.name] + at) for at, state in enumerate(wanted)
        )
        states: dict[str, State] = {}
        for state, step in zip(wanted, steps, strict=True):
            if step is not None:
                states.setdefault(step.text, state.then(step))
        if not states:
            node.finished = True
            return
        node.children = await self._children(node, list(states.values()))
        self._nodes += node.children

    async def _acceptable(self, state: State, first: int) -> Step | None:
        """The first step of one slot that is not rejected; None where all are."""
        for attempt in range(self._options.tries):
            step = await self._step(state, first + attempt * self._options.branch)
            if step.error is None and self._accepts(state, step):
                return step
        return None

    def _accepts(self, state: State, step: Step) -> bool:
        text = content(step.text)
        return len(text) >= self._options.min_chars and text not in state.text

    async def _children(self, node: _Node, states: list[State]) -> list[_Node]:
        values = await all_of(self._worth(state) for state in states)
        finished = [is_terminal(state, self._options.max_steps) for state in states]
        labels = list(range(len(states)))
        if self._merger:
            texts = [state.steps[-1].text for state in states]
            labels = await self._merger.labels(texts, apart=finished)
        found = []
        for merged in hyper_nodes(labels, values, finished):
            child = _Node(node, [states[member] for member in merged.members], merged.value)
            child.finished = merged.finished
            found.append(child)
        return found

    async def _roll(self, node: _Node) -> float:
        """The highest value on a greedy way on from `node`."""
        state, reached = node.states[0], None
        for _ in range(self._options.rollout_steps):
            if is_terminal(state, self._options.max_steps):
                break
            first = self._tally.reserve(state, self._options.roll_branch)
            found = await all_of(
                self._valued(state, first + at) for at in range(self._options.roll_branch)
            )
            value, state = ucb.first_best(found, [value for value, _ in found])
            reached = value if reached is None else max(reached, value)
        return node.value if reached is None else reached

    async def _valued(self, state: State, index: int) -> tuple[float, State]:
        further = state.then(await self._step(state, index))
        return await self._worth(further), further

    async def _worth(self, state: State) -> float:
        return 0.0 if state.steps[-1].error is not None else await self._value.value(state)

    async def _step(self, state: State, index: int) -> Step:
        step = await self._policy.step(state, index)
        self._tally.add(step)
        return step

    async def _judge_end(self, node: _Node) -> None:
        """Judge an end leaf. One without a final answer is first asked for it, until one is judged."""
        state = node.states[0]
        if not state.steps:
            return
        if FINAL in state.steps[-1].text:
            self._record(node, (), state, await self._verdict(state))
            return
        announced = f"\n### {FINAL}"
        begun = state.then(Step(digest("summary/1", [state.name, announced]), announced))
        for _ in range(self._options.summary_tries):
            answer = await self._step(begun, self._tally.reserve(begun))
            whole = begun.then(answer)
            verdict = await self._verdict(whole)
            if verdict.verdict != "unjudged":
                break
        else:
            return
        self._record(node, whole.steps[len(state.steps) :], whole, verdict)

    async def _verdict(self, state: State) -> Verdict:
        cut = prejudge(state.steps[-1].finish_reason)
        return cut or await self._judge.judge(state, self._tally.judgement(state))

    def _record(self, node: _Node, steps: tuple[Step, ...], state: State, verdict: Verdict) -> None:
        node.verdict = verdict
        self._ends.append((node, steps, state, verdict))

    def _outcome(self, error: str | None) -> Rest:
        number = {node: at for at, node in enumerate(self._nodes)}
        parents = [number[node.parent] if node.parent else -1 for node in self._nodes]
        nodes = tuple(
            Node(parent, tuple(node.states), node.visits, node.finished, node.value, node.verdict)
            for parent, node in zip(parents, self._nodes, strict=True)
        )
        ends = tuple(
            Simulation(number[node], steps, state, verdict)
            for node, steps, state, verdict in sorted(self._ends, key=lambda end: number[end[0]])
        )
        judged = rest_values.Tree(
            parents,
            [node.finished for node in self._nodes],
            [node.value for node in self._nodes],
            [_correct(node.verdict) for node in self._nodes],
        )
        tree = Tree(nodes, ends, self._tally.steps, self._tally.tokens, self._saved, error)
        return Rest(tree, judged, self._iterations, self._options)


def _correct(verdict: Verdict | None) -> bool | None:
    if verdict is None or verdict.verdict == "unjudged":
        return None
    return verdict.verdict == "correct"
