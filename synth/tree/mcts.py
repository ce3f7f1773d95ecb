"""Monte-Carlo tree search that measures difficulty: ThinkLite-VL, arXiv 2504.07934.

The score of a prompt is the number of iterations until a solution is judged correct. One iteration:

1. Selection: from the root, while the node is not terminal and has children, to the child with the
   highest bound; one that was never visited has +infinity, and of equals the first one wins.
2. Expansion of a node that is not terminal: k steps are drawn as its children, equal ones too, and
   one of them is chosen uniformly at random.
3. Simulation: single steps from there until the solution is terminal (10 steps, or the last one says
   "Final Answer: ").
4. Judgement. Correct: the search ends at once, and this iteration is not counted into the visits.
   Otherwise every node from the chosen one up to the root gets one visit.

A terminal node that is selected again is judged again. A solution that is not judged earns nothing,
like a wrong one, but where every one of them stayed unjudged the prompt is neither solved nor
unsolved.

Which child is chosen does not depend on what the children say, so the simulation goes on while its
siblings are still being drawn; `lazy` draws a child only when it is visited. Both leave visits,
iterations and texts as they are: the lazy tree is the same with fewer steps drawn.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.verify.rules import prejudge
from winnow.synth.tree import ucb
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
    all_of,
)
from winnow.synth.tree.prompt import FINAL

UNFINISHED = "unfinished"  # detail of a solution that ended before it was terminal


@dataclass(frozen=True)
class MctsOptions:
    """The published settings. `rule`: the bound of the released code (UCB1), or the paper's."""

    max_iterations: int = 50
    branch: int = 3
    max_steps: int = 10
    rollout_steps: int = 10
    c: float = 1.0
    rule: Literal["code", "paper"] = "code"
    lazy: bool = False

    def __post_init__(self) -> None:
        for name in ("max_iterations", "branch", "max_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.rollout_steps < 0 or not self.c >= 0:
            raise ValueError("rollout_steps and c must be at least 0")


@dataclass(frozen=True)
class Mcts:
    """A search's outcome. `iters` counts from 0 (as the authors store it), `iterations_used` from 1;
    `solved` is None where no solution could be judged, or an error ended the search."""

    tree: Tree
    solved: bool | None
    iters: int | None
    iterations_used: int


async def search(
    root: State,
    policy: Policy,
    judge: Judge,
    rng: random.Random,
    options: MctsOptions = MctsOptions(),
    *,
    merger: Merger | None = None,
) -> Mcts:
    """Search until a solution is correct, `options.max_iterations` at most.

    A function of what policy and judge say and of `rng`. With a `merger`, children that say the same
    become one node. Raises ValueError for a lazy search that merges.
    """
    if merger and options.lazy:
        raise ValueError("merging looks at all children, so none can be drawn later (lazy)")
    return await _Search(root, policy, judge, rng, options, merger).run()


def is_terminal(state: State, max_steps: int) -> bool:
    """Whether a solution ends here: by its length, by its own word, or because of an error."""
    if not state.steps:
        return False
    last = state.steps[-1]
    return len(state.steps) >= max_steps or FINAL in last.text or last.error is not None


class _Node:
    """A node while the search goes on. `draw`: which step it is; `states` once it is drawn."""

    def __init__(self, parent: "_Node | None", draw: tuple[State, int] | None = None) -> None:
        self.parent, self.draw = parent, draw
        self.states: list[State] = []
        self.children: list[_Node] = []
        self.visits = 0


class _Search:
    def __init__(
        self,
        root: State,
        policy: Policy,
        judge: Judge,
        rng: random.Random,
        options: MctsOptions,
        merger: Merger | None,
    ) -> None:
        self._policy, self._judge, self._rng = policy, judge, rng
        self._options, self._merger = options, merger
        self._root = _Node(None)
        self._root.states.append(root)
        self._nodes = [self._root]
        self._simulated: list[tuple[_Node, tuple[Step, ...], State, Verdict]] = []
        self._tally = Tally()
        self._saved = 0

    async def run(self) -> Mcts:
        error: str | None = None
        try:
            while len(self._simulated) < self._options.max_iterations and not self._solved:
                await self._iterate()
        except SearchError as failed:
            error = str(failed)
        return self._outcome(error)

    @property
    def _solved(self) -> bool:
        return bool(self._simulated) and self._simulated[-1][3].verdict == "correct"

    async def _iterate(self) -> None:
        node = await self._select()
        state = node.states[0]
        steps: tuple[Step, ...] = ()
        if not self._ends(state):
            node, state, steps = await self._expand(node)
        verdict = await self._judged(state)
        self._simulated.append((node, steps, state, verdict))
        if verdict.verdict != "correct":
            up: _Node | None = node
            while up is not None:
                up.visits += 1
                up = up.parent

    async def _select(self) -> _Node:
        node = self._root
        while node.children:  # a terminal node has none
            node = ucb.first_best(node.children, [self._bound(child) for child in node.children])
            await self._draw(node)
        return node

    def _bound(self, child: _Node) -> float:
        above = child.parent.visits if child.parent else 0
        if self._options.rule == "paper":
            return ucb.thinklite_paper(child.visits, above, c=self._options.c)
        # A reward ends the search, so that no node has any while it goes on.
        return ucb.thinklite_code(0.0, child.visits, above, c=self._options.c)

    async def _expand(self, node: _Node) -> tuple[_Node, State, tuple[Step, ...]]:
        """Give `node` its children, and follow one of them to the end of a solution."""
        self._saved += len(node.states) - 1
        children = []
        for number in range(self._options.branch):
            state = node.states[number % len(node.states)]  # merged states take turns
            children.append(_Node(node, (state, self._tally.reserve(state))))
        chosen = children[self._rng.randrange(len(children))]
        if self._merger:
            await all_of(self._draw(child) for child in children)
            state = chosen.states[0]
            node.children = await self._merged(node, children, self._merger)
            chosen = next(child for child in node.children if state in child.states)
            self._nodes += node.children
            return chosen, *await self._simulate(state)
        node.children = children
        self._nodes += children

        async def drawn(child: _Node) -> tuple[State, tuple[Step, ...]] | None:
            await self._draw(child)
            return await self._simulate(child.states[0]) if child is chosen else None

        found = await all_of(drawn(c) for c in children if c is chosen or not self._options.lazy)
        followed = next(each for each in found if each)
        return chosen, *followed

    async def _draw(self, node: _Node) -> None:
        if node.draw and not node.states:
            state, index = node.draw
            node.states.append(state.then(await self._step(state, index)))

    async def _simulate(self, state: State) -> tuple[State, tuple[Step, ...]]:
        steps: list[Step] = []
        while not self._ends(state) and len(steps) < self._options.rollout_steps:
            steps.append(await self._step(state, self._tally.reserve(state)))
            state = state.then(steps[-1])
        return state, tuple(steps)

    async def _step(self, state: State, index: int) -> Step:
        step = await self._policy.step(state, index)
        self._tally.add(step)
        return step

    async def _merged(self, node: _Node, children: Sequence[_Node], merger: Merger) -> list[_Node]:
        states = [child.states[0] for child in children]
        labels = await merger.labels(
            [state.steps[-1].text for state in states], apart=[self._ends(s) for s in states]
        )
        found: dict[int, _Node] = {}
        for state, label in zip(states, labels, strict=True):
            found.setdefault(label, _Node(node)).states.append(state)
        return list(found.values())

    async def _judged(self, state: State) -> Verdict:
        if not self._ends(state):
            return Verdict.unjudged(UNFINISHED)
        cut = prejudge(state.steps[-1].finish_reason)
        return cut or await self._judge.judge(state, self._tally.judgement(state))

    def _ends(self, state: State) -> bool:
        return is_terminal(state, self._options.max_steps)

    def _outcome(self, error: str | None) -> Mcts:
        number = {node: at for at, node in enumerate(self._nodes)}
        nodes = [
            Node(
                parent=number[node.parent] if node.parent else -1,
                states=tuple(node.states),
                visits=node.visits,
                terminal=bool(node.states) and self._ends(node.states[0]),
            )
            for node in self._nodes
        ]
        simulations = [
            Simulation(number[node], steps, state, verdict)
            for node, steps, state, verdict in self._simulated
        ]
        tree = Tree(
            tuple(nodes),
            tuple(simulations),
            self._tally.steps,
            self._tally.tokens,
            self._saved,
            error,
        )
        used = len(simulations)
        if self._solved:
            return Mcts(tree, True, used - 1, used)
        judged = any(simulation.verdict.verdict == "wrong" for simulation in simulations)
        return Mcts(tree, False if judged and error is None else None, None, used)
