"""ThinkLite-VL's search with scripted steps and verdicts: visits, counts and choices, by hand."""

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synth.tree.scripted import RIGHT, ROOT, WRONG, First, Says, Scripted
from winnow.pipeline.contracts import Verdict
from winnow.synth.tree import mcts
from winnow.synth.tree.mcts import MctsOptions
from winnow.synth.tree.node import SearchError, State, Step

END_AT_TWO = lambda name: (
    f"### Final Answer: {name} <end>" if name.count("/") >= 1 else f"### Step: {name} <end>"
)


def _search(policy: Any, judge: Any, rng: random.Random | None = None, **options: Any) -> mcts.Mcts:
    return asyncio.run(mcts.search(ROOT, policy, judge, rng or First(0), MctsOptions(**options)))


def _visits(found: mcts.Mcts) -> dict[str, int]:
    """Visits by node name, the root's under its own."""
    return {node.states[0].name if node.states else "?": node.visits for node in found.tree.nodes}


def test_solved_at_once() -> None:
    policy, judge = Scripted(END_AT_TWO), Says(lambda name: RIGHT)
    found = _search(policy, judge, First(1))
    assert (found.solved, found.iters, found.iterations_used) == (True, 0, 1)
    # Three children of the root together; from the second one, simulation to a final answer.
    assert sorted(policy.calls) == ["0", "1", "1/0", "2"]
    assert policy.together == 3
    assert judge.asked == [("1/0", 0)]
    # The iteration that solves is not counted into the visits.
    assert _visits(found) == {"root": 0, "0": 0, "1": 0, "2": 0}
    (simulation,) = found.tree.simulations
    assert [step.name for step in simulation.steps] == ["1/0"]
    assert found.tree.nodes[simulation.node].states[0].name == "1"
    assert simulation.state.name == "1/0"
    assert (found.tree.n_steps, found.tree.n_tokens) == (4, 8)


def test_visits_of_the_first_five_iterations() -> None:
    """By hand, k = 2, always the first child is followed, nothing is right.

    1: root gets 0, 1; simulates 0 -> root 1, 0 1.
    2: 1 has +infinity; it gets children, 1/0 is chosen and is final -> root 2, 1 1, 1/0 1.
    3: 0 and 1 both have sqrt(ln 2 / 1): the first. 0 gets 0/1 and 0/2 (0/0 was its simulation);
       0/1 -> root 3, 0 2, 0/1 1.
    4: 0 has sqrt(ln 3 / 2) = 0.741, 1 has sqrt(ln 3 / 1) = 1.048: 1, and below it 1/1, which was
       never visited; it is final -> root 4, 1 2, 1/1 1.
    5: 0 and 1 have both sqrt(ln 4 / 2): 0, and below it 0/2 -> root 5, 0 3, 0/2 1.
    """
    policy, judge = Scripted(END_AT_TWO), Says()
    found = _search(policy, judge, branch=2, max_iterations=5)
    assert (found.solved, found.iters, found.iterations_used) == (False, None, 5)
    assert [name for name, _ in judge.asked] == ["0/0", "1/0", "0/1", "1/1", "0/2"]
    assert _visits(found) == {
        "root": 5, "0": 3, "1": 2, "1/0": 1, "1/1": 1, "0/1": 1, "0/2": 1,
    }  # fmt: skip
    assert policy.calls == ["0", "1", "0/0", "1/0", "1/1", "0/1", "0/2"]
    assert [found.tree.nodes[s.node].states[0].name for s in found.tree.simulations] == [
        "0", "1/0", "0/1", "1/1", "0/2",
    ]  # fmt: skip


def test_a_lazy_search_draws_what_it_visits() -> None:
    policy = Scripted(END_AT_TWO)
    found = _search(policy, Says(lambda name: RIGHT), First(1), lazy=True)
    assert policy.calls == ["1", "1/0"]
    assert [len(node.states) for node in found.tree.nodes] == [1, 0, 1, 0]


def test_a_child_that_was_never_visited_goes_before_any_other() -> None:
    """With k = 3 and the third child chosen first: then the first, then the second."""
    found = _search(Scripted(END_AT_TWO), judge := Says(), First(2, 0, 0), max_iterations=3)
    # The children of 0 and 1 are final: 0/0, 1/0 are their first children.
    assert [name for name, _ in judge.asked] == ["2/0", "0/0", "1/0"]
    assert _visits(found)["root"] == 3


def test_a_terminal_node_is_judged_again_and_drawn_no_further() -> None:
    """Both children of the root are final answers: they are judged in turn, 7 times in all."""
    policy = Scripted(lambda name: f"Final Answer: {name}")
    judge = Says()
    found = _search(policy, judge, branch=2, max_iterations=7)
    assert policy.calls == ["0", "1"]
    # 1: the chosen one; 2: the other (infinity); then equal bounds, the first one first.
    assert judge.asked == [("0", 0), ("1", 0), ("0", 1), ("1", 1), ("0", 2), ("1", 2), ("0", 3)]
    assert _visits(found) == {"root": 7, "0": 4, "1": 3}


def test_a_judge_that_changes_its_mind_solves_it() -> None:
    class Mood(Says):
        async def judge(self, state: State, index: int) -> Verdict:
            self.asked.append((state.name, index))
            return RIGHT if (state.name, index) == ("0", 1) else WRONG

    found = _search(Scripted(lambda name: "Final Answer: 1"), Mood(), branch=2)
    assert (found.solved, found.iters, found.iterations_used) == (True, 2, 3)
    assert _visits(found) == {"root": 2, "0": 1, "1": 1}


def test_equal_steps_are_children_of_their_own() -> None:
    found = _search(Scripted(lambda name: "same <end>"), Says(), max_iterations=1, max_steps=2)
    assert [node.text for node in found.tree.nodes] == [
        "",
        "same <end>",
        "same <end>",
        "same <end>",
    ]


@pytest.mark.parametrize(("max_steps", "length"), [(10, 10), (4, 4), (1, 1)])
def test_a_solution_ends_after_so_many_steps(max_steps: int, length: int) -> None:
    judge = Says()
    found = _search(Scripted(), judge, max_steps=max_steps, max_iterations=1)
    assert len(found.tree.simulations[0].state.steps) == length
    assert len(judge.asked) == 1  # it is judged, final answer or not


def test_the_literal_words_end_a_solution() -> None:
    """With the space behind the colon, wherever they stand in the last step."""
    ends = {"say Final Answer: 3": True, "Final Answer:3": False, "final answer: 3": False}
    for text, ended in ends.items():
        state = ROOT.then(Step("a", text))
        assert mcts.is_terminal(state, 10) is ended
        # Only the last step counts.
        assert mcts.is_terminal(state.then(Step("b", "more")), 10) is False


def test_a_simulation_that_may_not_reach_the_end_earns_nothing_and_asks_nobody() -> None:
    judge = Says(lambda name: RIGHT)
    found = _search(Scripted(), judge, rollout_steps=3, max_iterations=2)
    assert judge.asked == []
    assert [s.verdict.detail for s in found.tree.simulations] == ["unfinished"] * 2
    assert [len(s.steps) for s in found.tree.simulations] == [3, 3]
    assert (found.solved, found.iterations_used) == (None, 2)
    assert _visits(found)["root"] == 2


def test_unjudged_earns_nothing_and_is_not_wrong() -> None:
    unjudged = Verdict.unjudged("timeout")
    found = _search(Scripted(END_AT_TWO), Says(lambda name: unjudged), max_iterations=3)
    assert (found.solved, found.iters, found.iterations_used) == (None, None, 3)
    some = Says(lambda name: WRONG if name == "1/0" else unjudged)
    assert _search(Scripted(END_AT_TWO), some, max_iterations=3).solved is False


def test_a_step_that_was_cut_off_leaves_its_solution_unjudged() -> None:
    class Cut(Scripted):
        async def step(self, state: State, index: int) -> Step:
            step = await super().step(state, index)
            return Step(step.name, "Final Answer: 12", 2, "length")

    judge = Says(lambda name: RIGHT)
    found = _search(Cut(), judge, max_iterations=2)
    assert judge.asked == []
    assert {s.verdict.detail for s in found.tree.simulations} == {"truncated"}


def test_a_step_with_an_error_ends_its_path() -> None:
    class Full(Scripted):
        async def step(self, state: State, index: int) -> Step:
            step = await super().step(state, index)
            if len(state.steps) < 2:
                return step
            return Step(step.name, "", 0, "error", "permanent: prompt_too_long")

    judge = Says()
    found = _search(Full(), judge, max_iterations=3)
    assert judge.asked == []
    assert {len(s.state.steps) for s in found.tree.simulations} == {3}
    assert {s.verdict.detail for s in found.tree.simulations} == {"no_completion"}
    assert found.tree.error is None


def test_what_cannot_be_had_ends_the_search_with_its_reason() -> None:
    class Gone(Scripted):
        async def step(self, state: State, index: int) -> Step:
            if len(self.calls) == 5:
                raise SearchError("engine_died")
            return await super().step(state, index)

    found = _search(Gone(END_AT_TWO), Says(), First(0), branch=2)
    assert found.tree.error == "engine_died"
    assert (found.solved, found.iterations_used) == (None, 2)
    assert _visits(found)["root"] == 2


def test_a_bug_is_no_search_error() -> None:
    class Broken(Scripted):
        async def step(self, state: State, index: int) -> Step:
            raise KeyError("bug")

    with pytest.raises(KeyError):
        _search(Broken(), Says())


def test_what_siblings_are_drawing_is_waited_for() -> None:
    """One step of three fails; the other two come to their end, and what ended the search rises."""

    class Slow(Scripted):
        ended = 0

        async def step(self, state: State, index: int) -> Step:
            if index == 1:
                raise ConnectionResetError
            step = await super().step(state, index)
            for _ in range(20):
                await asyncio.sleep(0)
            self.ended += 1
            return step

    policy = Slow()
    with pytest.raises(ConnectionResetError):
        _search(policy, Says(), First(1))
    assert policy.ended == 2


def test_the_paper_s_rule() -> None:
    """c sqrt(N) / (1 + n): an unvisited child has no infinity, but the most of its siblings.

    k = 2. 1: 0. 2: 0 has 1/2, 1 has 1: 1. 3: both sqrt 2 / 2: 0, whose unvisited 0/1. 4: 0 has
    sqrt 3 / 3, 1 has sqrt 3 / 2: 1, below it 1/1 (sqrt 1 / 1) before 1/0 (sqrt 1 / 2).
    """
    judge = Says()
    found = _search(Scripted(END_AT_TWO), judge, branch=2, max_iterations=4, rule="paper")
    assert [name for name, _ in judge.asked] == ["0/0", "1/0", "0/1", "1/1"]
    assert _visits(found) == {"root": 4, "0": 2, "1": 2, "1/0": 1, "1/1": 1, "0/1": 1, "0/2": 0}


def test_the_choice_among_new_children_is_the_generator_s_and_uniform() -> None:
    rng = First(2)
    _search(Scripted(END_AT_TWO), Says(), rng, max_iterations=4)
    assert rng.asked == [3] * len(rng.asked)  # one draw out of three per expansion
    counts = [0, 0, 0]
    for seed in range(3000):
        found = _search(
            Scripted(END_AT_TWO), judge := Says(lambda name: RIGHT), random.Random(seed),
            max_iterations=1,
        )  # fmt: skip
        assert found.solved
        counts[int(judge.asked[0][0][0])] += 1
    # 3000 draws: a share's standard deviation is 0.0086.
    assert all(abs(count / 3000 - 1 / 3) < 0.035 for count in counts), counts


@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.integers(1, 25),
    st.sampled_from(["code", "paper"]),
)
@settings(max_examples=60, deadline=None)
def test_a_lazy_search_is_the_same_search_with_fewer_steps(
    seed: int, branch: int, iterations: int, rule: Any
) -> None:
    def text(name: str) -> str:
        chance = random.Random(f"{seed}{name}").random()
        return f"Final Answer: {name}" if chance < 0.3 else name

    def verdict(name: str) -> Verdict:
        return RIGHT if random.Random(f"v{seed}{name}").random() < 0.05 else WRONG

    found = {}
    for lazy in (False, True):
        policy, judge = Scripted(text), Says(verdict)
        outcome = _search(
            policy, judge, random.Random(seed), branch=branch, max_iterations=iterations,
            rule=rule, lazy=lazy, max_steps=5,
        )  # fmt: skip
        found[lazy] = (outcome, policy.calls, judge.asked)
    (eager, all_calls, asked), (lazy_tree, few_calls, lazily_asked) = found[False], found[True]
    assert asked == lazily_asked
    assert (eager.solved, eager.iters, eager.iterations_used) == (
        lazy_tree.solved, lazy_tree.iters, lazy_tree.iterations_used,
    )  # fmt: skip
    assert set(few_calls) <= set(all_calls)
    assert [n.visits for n in eager.tree.nodes] == [n.visits for n in lazy_tree.tree.nodes]
    assert eager.tree.simulations == lazy_tree.tree.simulations
    visited = [n for n in lazy_tree.tree.nodes if n.visits]
    assert all(node.states for node in visited)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_against_the_plain_sequential_search(seed: int, branch: int, iterations: int) -> None:
    """The search as it is written down, one thing after the other, gives the same."""

    def text(name: str) -> str:
        chance = random.Random(f"{seed}{name}").random()
        return f"Final Answer: {name}" if chance < 0.3 else name

    def verdict(name: str) -> Verdict:
        return RIGHT if random.Random(f"v{seed}{name}").random() < 0.03 else WRONG

    judge = Says(verdict)
    found = _search(
        Scripted(text), judge, random.Random(seed), branch=branch, max_iterations=iterations,
        max_steps=6,
    )  # fmt: skip
    visits, asked, solved = _plainly(text, verdict, random.Random(seed), branch, iterations, 6)
    assert [name for name, _ in judge.asked] == asked
    assert found.iters == solved
    assert {n.states[0].name: n.visits for n in found.tree.nodes} == visits


def _plainly(
    text: Any, verdict: Any, rng: random.Random, branch: int, iterations: int, max_steps: int
) -> tuple[dict[str, int], list[str], int | None]:
    """ThinkLite-VL's search on names alone: an oracle that shares no code with ours."""
    import math

    children: dict[str, list[str]] = {}
    visits, drawn, asked = {"root": 0}, {"root": 0}, list[str]()

    def new(name: str) -> str:
        number = drawn.get(name, 0)
        drawn[name] = number + 1
        return str(number) if name == "root" else f"{name}/{number}"

    def depth(name: str) -> int:
        return 0 if name == "root" else name.count("/") + 1

    def ends(name: str) -> bool:
        return name != "root" and ("Final Answer: " in text(name) or depth(name) >= max_steps)

    for iteration in range(iterations):
        path, node = ["root"], "root"
        while not ends(node) and node in children:
            best, score = "", -1.0
            for child in children[node]:
                n = visits[child]
                ucb = math.inf if n == 0 else math.sqrt(math.log(visits[node]) / n)
                if ucb > score:
                    best, score = child, ucb
            node = best
            path.append(node)
        if not ends(node):
            children[node] = [new(node) for _ in range(branch)]
            visits |= dict.fromkeys(children[node], 0)
            node = children[node][rng.randrange(branch)]
            path.append(node)
        while not ends(node):
            node = new(node)
        asked.append(node)
        if verdict(node) is RIGHT:
            return visits, asked, iteration
        for name in path:
            visits[name] += 1
    return visits, asked, None


@pytest.mark.parametrize(
    "wrong", [{"branch": 0}, {"max_iterations": 0}, {"max_steps": 0}, {"rollout_steps": -1}]
)
def test_settings_that_make_no_search(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MctsOptions(**wrong)  # type: ignore[arg-type]
