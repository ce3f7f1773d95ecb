"""ReST-MCTS*'s search with scripted steps and values, by hand; its labels as training rows."""

import asyncio
import math
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.synth.tree.scripted import IDENTITY, RIGHT, ROOT, WRONG, Says, Scripted, StepEngine
from tests.synth.tree.test_merge import Angles
from winnow.pipeline import schema
from winnow.pipeline.contracts import Completion, EngineError, Sampling, Task, Verdict
from winnow.pipeline.estimate.rest_values import full_values, process_values
from winnow.pipeline.verify.asking import in_process
from winnow.synth.tree import rest
from winnow.synth.tree.draw import as_text
from winnow.synth.tree.judges import VerifierJudge
from winnow.synth.tree.memo import Drawing, Memo, root
from winnow.synth.tree.merge import Merger
from winnow.synth.tree.node import SearchError, State, Step
from winnow.synth.tree.policy import EnginePolicy
from winnow.synth.tree.prompt import step_prompt
from winnow.synth.tree.rest import RestOptions
from winnow.synth.tree.rest_rows import stepwise_rows
from winnow.synth.tree.values import ModelValue


class Values:
    """A value function: a table by name; `else` for the rest. `asked` in order."""

    def __init__(self, table: dict[str, float], default: float = 0.0) -> None:
        self._table, self._default = table, default
        self.asked: list[str] = []

    async def value(self, state: State) -> float:
        self.asked.append(state.name)
        return self._table.get(state.name, self._default)


def _search(
    policy: Any, judge: Any, value: Any, rng: Any = None, merger: Merger | None = None,
    **options: Any,
) -> rest.Rest:  # fmt: skip
    return asyncio.run(
        rest.search(
            ROOT, policy, judge, value, rng or random.Random(0), RestOptions(**options),
            merger=merger,
        )
    )  # fmt: skip


def _by_name(found: rest.Rest) -> dict[str, tuple[int, Any]]:
    return {
        node.states[0].name: (node.visits, pytest.approx(node.value)) for node in found.tree.nodes
    }


def _thoughts() -> Scripted:
    return Scripted(lambda name: f"thought {name} <end>")


TABLE = {"0": 0.4, "1": 0.6, "1/0": 0.8, "0/0": 0.2, "0/1": 0.3, "0/1/0": 0.1, "1/1": 0.95,
         "1/2": 0.5, "1/1/0": 0.99}  # fmt: skip


def test_values_and_visits_of_four_iterations() -> None:
    """branch 2, one roll-out step.

    1: 0 and 1 are worth 0.4 and 0.6; from 1 on to 1/0 (0.8): V(1) = 0.7; root 0.7.
    2: 0 has 0.4 + 1, 1 has 0.7 + 0.7 sqrt(2 ln 1 / 1) = 0.7: 0. Its children 0.2 and 0.3; from 0/1
       on to 0/1/0 (0.1): V(0/1) = 0.2 = V(0); root (0.2 + 0.7) / 2.
    3: 0 has 0.2 + 0.7 sqrt(2 ln 2), 1 as much and 0.5 more: 1. Its children 1/1 (0.95), 1/2 (0.5);
       from 1/1 on to 0.99: V(1/1) = 0.97 = V(1); root (0.2 + 2 * 0.97) / 3.
    4: 1, and below it 1/1 (0.97 + 0.7 sqrt(2 ln 2)) before 1/2 (0.5 + 1): above the gate, an end.
    """
    policy, judge, value = _thoughts(), Says(lambda name: RIGHT), Values(TABLE)
    found = _search(policy, judge, value, branch=2, rollout_steps=1, stop_at_end=True)
    assert found.iterations == 4
    assert _by_name(found) == {
        "root": (4, (0.2 + 3 * 0.97) / 4), "0": (1, 0.2), "1": (3, 0.97), "0/0": (0, 0.2),
        "0/1": (1, 0.2), "1/1": (2, 0.97), "1/2": (0, 0.5),
    }  # fmt: skip
    # 1/1 has no final answer: it is asked for, behind an announcement that nobody drew.
    (end,) = found.tree.simulations
    assert found.tree.nodes[end.node].states[0].name == "1/1"
    assert end.steps[0].text == "\n### Final Answer: "
    assert len(judge.asked) == 1
    assert found.judged.correct == [None, None, None, None, None, True, None]
    # 0, 1, 1/0 and what followed; the summary is one more.
    assert found.tree.n_steps == 9 + 1


def test_a_search_for_training_data_goes_on_after_an_end() -> None:
    value = Values(TABLE)
    found = _search(
        _thoughts(), Says(lambda name: RIGHT), value, branch=2, rollout_steps=1, max_iterations=6
    )
    assert found.iterations == 6
    # 5: 1 and below it 1/1 again (0.97 + 0.7 sqrt(2 ln 3 / 2) = 1.70 before 1.5), an end; 6 the same
    # (0.97 + 0.7 sqrt(2 ln 4 / 3) = 1.64).
    assert _by_name(found)["1/1"] == (4, 0.97)
    assert _by_name(found)["root"][0] == 6


def test_of_equal_bounds_one_is_drawn() -> None:
    seen = set()
    for seed in range(40):
        value = Values({}, 0.5)
        found = _search(
            _thoughts(), Says(), value, random.Random(seed), branch=3, rollout_steps=0,
            max_iterations=2,
        )  # fmt: skip
        # The first child was the best of the first iteration; the others have equal bounds.
        seen |= {node.states[0].name for node in found.tree.nodes[1:4] if node.visits}
        assert found.tree.nodes[1].visits == 1
    assert seen == {"0", "1", "2"}


def test_the_roll_out_follows_the_best_of_its_branches() -> None:
    """Two branches, two steps: 0/1 (0.6) and 0/1/0 (0.2); the highest value on the way counts."""
    value = Values({"0": 0.4, "1": 0.1, "0/0": 0.3, "0/1": 0.6, "0/1/0": 0.2, "0/1/1": 0.1})
    policy = _thoughts()
    found = _search(
        policy, Says(), value, branch=2, rollout_steps=2, roll_branch=2, max_iterations=1
    )
    assert policy.calls == ["0", "1", "0/0", "0/1", "0/1/0", "0/1/1"]
    assert _by_name(found)["0"] == (1, 0.5 * 0.4 + 0.5 * 0.6)


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 0.6), (0.5, 0.7), (1.0, 0.8)])
def test_alpha_weighs_the_roll_out(alpha: float, expected: float) -> None:
    found = _search(
        _thoughts(), Says(), Values(TABLE), branch=2, rollout_steps=1, alpha=alpha, max_iterations=1
    )
    assert _by_name(found)["1"] == (1, expected)


def test_a_finished_child_keeps_its_own_value() -> None:
    policy = Scripted(lambda name: f"Final Answer: {name} <end>")
    found = _search(policy, Says(), Values({"0": 0.3, "1": 0.6}), branch=2, max_iterations=1)
    assert policy.calls == ["0", "1"]
    assert _by_name(found)["1"] == (1, 0.6)
    assert found.judged.correct == [None, False, False]


def test_short_and_repeated_steps_are_drawn_anew() -> None:
    """Slot 0 gives two short steps and then one that counts; slot 1 repeats its question three
    times; slot 2 is fine. Each slot has numbers of its own, whichever is filled first."""
    texts = {"0": "### Step 1: ab <end>", "3": " <end>", "6": "### Step 1: abc <end>",
             "2": "### Step 1: fine <end>"}  # fmt: skip
    policy = Scripted(lambda name: texts.get(name, "### Step 9: said before <end>"))
    root = State("root", (), "It was said before that")
    found = asyncio.run(
        rest.search(root, policy, Says(), Values({}), random.Random(0),
                    RestOptions(max_iterations=1, rollout_steps=0))
    )  # fmt: skip
    assert [node.text for node in found.tree.nodes[1:]] == [texts["6"], texts["2"]]
    assert sorted(policy.calls) == ["0", "1", "2", "3", "4", "6", "7"]


def test_equal_steps_are_one_child() -> None:
    policy = Scripted(lambda name: "the same thought <end>" if name in "01" else "another <end>")
    found = _search(policy, Says(), Values({}), max_iterations=1, rollout_steps=0)
    assert [n.states[0].name for n in found.tree.nodes[1:]] == ["0", "2"]


def test_where_no_step_is_acceptable_the_solution_is_finished() -> None:
    """And it has no final answer, so it is asked for one: five times at most, until one is judged."""
    policy = Scripted(lambda name: "first thought <end>" if name in "012" else "x")
    verdicts = iter([Verdict.unjudged("timeout"), Verdict.unjudged("timeout"), WRONG])
    judge = Says(lambda name: next(verdicts))
    found = _search(policy, judge, Values({}, 0.1), max_iterations=2, rollout_steps=0)
    # All three say the same; the one child finds nothing new to say, three slots of three tries.
    assert [node.terminal for node in found.tree.nodes] == [False, True]
    assert found.judged.correct == [None, False]
    assert len(judge.asked) == 3
    unjudged = Says(lambda name: Verdict.unjudged("timeout"))
    policy = Scripted(lambda name: "first thought <end>" if name in "012" else "x")
    found = _search(policy, unjudged, Values({}, 0.1), max_iterations=2, rollout_steps=0)
    assert len(unjudged.asked) == 5
    assert found.judged.correct == [None, None]
    assert found.tree.simulations == ()


def test_steps_of_errors_are_no_children() -> None:
    class Failing(Scripted):
        async def step(self, state: State, index: int) -> Step:
            step = await super().step(state, index)
            return Step(step.name, "", 0, "error", "permanent: full") if state.steps else step

    found = _search(
        Failing(lambda name: f"thought {name}"),
        Says(),
        Values({}, 0.2),
        max_iterations=3,
        rollout_steps=1,
    )
    assert len(found.tree.nodes) == 4
    assert found.tree.error is None


def test_an_error_ends_the_search_and_keeps_what_there_is() -> None:
    class Gone(Scripted):
        async def step(self, state: State, index: int) -> Step:
            if len(self.calls) == 4:
                raise SearchError("engine_died")
            return await super().step(state, index)

    found = _search(
        Gone(lambda name: f"thought {name}"), Says(), Values({}), branch=2, rollout_steps=1
    )
    assert found.tree.error == "engine_died"
    assert len(found.tree.nodes) == 3


def test_merged_children_have_the_value_of_the_best() -> None:
    policy = Scripted(lambda name: f"thought @{90 if name == '1' else 0} <end>")
    value = Values({"0": 0.2, "1": 0.3, "2": 0.5})
    found = _search(
        Says0(policy), Says(), value, merger=Merger(Angles()), max_iterations=1, rollout_steps=0
    )
    members = [[state.name for state in node.states] for node in found.tree.nodes[1:]]
    assert members == [["2", "0"], ["1"]]
    assert [node.value for node in found.tree.nodes[1:]] == [0.5, 0.3]


class Says0(Scripted):
    """Another policy's steps with texts that differ, so that they are not one by their words."""

    def __init__(self, inner: Scripted) -> None:
        super().__init__()
        self._inner = inner

    async def step(self, state: State, index: int) -> Step:
        step = await self._inner.step(state, index)
        return Step(step.name, f"{step.name} {step.text}", step.n_tokens)


@pytest.mark.parametrize("wrong", [{"branch": 0}, {"tries": 0}, {"alpha": 1.5}])
def test_settings_that_make_no_search(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RestOptions(**wrong)


def test_the_published_settings() -> None:
    shared = ("alpha", "branch", "roll_branch", "max_iterations")
    for options in (RestOptions(), RestOptions.script()):
        assert [getattr(options, name) for name in shared] == [0.5, 3, 1, 50]
    own = ("c", "end_gate", "rollout_steps", "unvisited")
    assert [getattr(RestOptions(), name) for name in own] == [0.7, 0.9, 3, 1.0]
    assert [getattr(RestOptions.script(), name) for name in own] == [0.5, 0.8, 1, 0.9]


class Digits:
    """A value function of the text alone, kept by a memo as a model's would be; counts its calls."""

    def __init__(self, memo: Memo) -> None:
        self._memo, self.made = memo, 0

    async def value(self, state: State) -> float:
        async def make() -> float:
            self.made += 1
            return _chance(0, "v", state.text) * 0.97

        return await self._memo.valued(state, "t", "digits", make)


def test_resumed_after_an_exception_at_every_request() -> None:
    """The n-th request brings the search down, for every n: what was kept is not asked for again, and
    the tree, its values and its labels are those of a calm run."""
    task = Task([{"role": "user", "content": "What is 3 + 4?"}], "7")
    messages = step_prompt(task.messages)
    drawing = Drawing(IDENTITY, Sampling(stop=("<end>",)), 3, 64)

    def run(engine: StepEngine, steps: list[Any], judged: list[Any]) -> tuple[rest.Rest, int]:
        async def keep(row: Any) -> None:
            steps.append(row)

        async def keep_judgement(row: Any) -> None:
            judged.append(row)

        memo = Memo("p", list(steps), list(judged), keep_step=keep, keep_judgement=keep_judgement)
        value = Digits(memo)
        found = asyncio.run(
            rest.search(
                root(messages), EnginePolicy(engine, messages, drawing, memo),
                VerifierJudge("t", "math", task, "math", memo, local=in_process), value,
                random.Random(2), RestOptions(max_iterations=9, max_steps=4, summary_tries=2),
            )
        )  # fmt: skip
        return found, value.made

    calm = StepEngine()
    wanted, values = run(calm, [], [])
    assert calm.asked > 20
    assert len(wanted.tree.simulations) > 2
    for number in range(1, calm.asked + 1):
        steps: list[Any] = []
        judged: list[Any] = []
        with pytest.raises(ConnectionResetError):
            run(StepEngine(fail_at=number), steps, judged)
        known_steps, known_values = len(steps), sum(row["verdict"] is None for row in judged)
        again = StepEngine()
        found, made = run(again, steps, judged)
        assert found.tree == wanted.tree
        assert list(found.judged.correct) == list(wanted.judged.correct)
        assert again.asked == calm.asked - known_steps
        assert made == values - known_values


# Labels and rows


def _solved() -> rest.Rest:
    """Solutions of two steps; those below 0 are right, but for 0's last child."""

    def text(name: str) -> str:
        return f"Final Answer: {name} <end>" if "/" in name else f"thought {name} <end>"

    right = lambda name: RIGHT if name in ("0/0", "0/1") else WRONG
    value = Values({"0": 0.5, "1": 0.4}, 0.3)
    return _search(Scripted(text), Says(right), value, branch=2, rollout_steps=0, max_iterations=8)


def test_rows_of_stepwise_supervision() -> None:
    found = _solved()
    rows = stepwise_rows(found, "t", "What is 3 + 4?")
    table = pa.Table.from_pylist(rows, schema=schema.STEPWISE)
    assert table.num_rows == 4
    by_end = {row["completions"][-1]: row for row in rows}
    # A correct chain of length 2: 1/2, 1. 1 itself leads to no correct end: it takes over m = 3 of
    # the root, so max(0, 0 - 1/3) = 0, and so do its children.
    right = by_end["Final Answer: 0/0 <end>"]
    assert right == {
        "task_id": "t", "prompt": "What is 3 + 4?", "correct": True,
        "completions": ["thought 0 <end>", "Final Answer: 0/0 <end>"],
        "labels": [True, True], "values": [0.5, 1.0],
    }  # fmt: skip
    wrong = by_end["Final Answer: 1/0 <end>"]
    assert (wrong["labels"], wrong["values"], wrong["correct"]) == (
        [False, False],
        [0.0, 0.0],
        False,
    )


def test_rows_agree_with_the_labels_of_the_tree() -> None:
    found = _solved()
    full = full_values(found.judged, end_gate=0.9).value
    process = process_values(found.judged, end_gate=0.9).value
    for row in stepwise_rows(found, "t", "q"):
        nodes = [
            next(at for at, n in enumerate(found.tree.nodes) if n.text == text)
            for text in row["completions"]
        ]
        assert row["values"] == [full[n] for n in nodes]
        assert row["labels"] == [process[n] == 1 for n in nodes]


def test_without_a_correct_end_there_are_labels_and_no_values() -> None:
    policy = Scripted(lambda name: f"Final Answer: {name}")
    found = _search(policy, Says(), Values({}), branch=2, max_iterations=1)
    rows = stepwise_rows(found, "t", "q")
    assert [row["labels"] for row in rows] == [[False], [False]]
    assert [row["values"] for row in rows] == [None, None]


def test_an_end_that_is_not_judged_makes_no_row() -> None:
    verdict = lambda name: Verdict.unjudged("timeout") if name == "0" else RIGHT
    policy = Scripted(lambda name: f"Final Answer: {name}")
    found = _search(policy, Says(verdict), Values({}), branch=2, max_iterations=1)
    assert [row["completions"] for row in stepwise_rows(found, "t", "q")] == [["Final Answer: 1"]]


def test_the_simple_form() -> None:
    found = _solved()
    rows = {r["completions"][-1]: r for r in stepwise_rows(found, "t", "q", form="simple")}
    # One solved path of depth 2: 1/2, 1; siblings off it max((d - 2) / 2, 0) = 0.
    assert rows["Final Answer: 0/0 <end>"]["values"] == [0.5, 1.0]
    assert rows["Final Answer: 0/1 <end>"]["values"] == [0.5, 0.0]
    assert rows["Final Answer: 1/0 <end>"]["values"] is None


@given(st.integers(0, 5000))
@settings(max_examples=40, deadline=None)
def test_any_search_is_sound(seed: int) -> None:
    """Visits and values keep their meaning, and the same search comes out twice."""

    def run() -> rest.Rest:
        def text(name: str) -> str:
            return f"Final Answer: {name}" if _chance(seed, "t", name) < 0.3 else f"thought {name}"

        class Random(Values):
            async def value(self, state: State) -> float:
                return _chance(seed, "v", state.name)

        verdict = lambda name: RIGHT if _chance(seed, "r", name) < 0.4 else WRONG
        return _search(
            Scripted(text), Says(verdict), Random({}), random.Random(seed), max_iterations=12,
            max_steps=4,
        )  # fmt: skip

    found = run()
    assert found.tree == run().tree
    assert found.iterations == 12 == found.tree.nodes[0].visits
    children = found.tree.children()
    for number, node in enumerate(found.tree.nodes):
        assert node.value is not None and -1e-9 <= node.value <= 1 + 1e-9
        below = [found.tree.nodes[child] for child in children[number]]
        if sum(child.visits for child in below):
            mean = sum((c.value or 0) * c.visits for c in below) / sum(c.visits for c in below)
            assert math.isclose(node.value, mean)
    for row in stepwise_rows(found, "t", "q"):
        assert len(row["completions"]) == len(row["labels"])
        assert row["values"] is None or len(row["values"]) == len(row["labels"])
        assert row["labels"][-1] == row["correct"]
    assert as_text(found.tree)


def _chance(seed: int, kind: str, name: str) -> float:
    return random.Random(f"{seed}{kind}{name}").random()


# A model as value function


class Replies:
    identity = IDENTITY

    def __init__(self, *replies: str | Exception, reason: Any = "stop") -> None:
        self._replies, self._reason = list(replies), reason
        self.asked: list[str] = []

    async def complete(
        self, messages: Any, sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        self.asked.append(messages[-1]["content"])
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Completion(reply, None, None, 1, self._reason)

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("reply", "reason", "worth"),
    [
        ("Good.\nVERDICT: 7", "stop", 0.7),
        ("VERDICT: 10", "stop", 1.0),
        ("VERDICT: 11", "stop", 0.0),
        ("VERDICT: 7", "length", 0.0),
        ("seven", "stop", 0.0),
        (EngineError("prompt_too_long", permanent=True), "stop", 0.0),
    ],
)
def test_a_model_s_score_is_a_value(reply: Any, reason: Any, worth: float) -> None:
    task = Task([{"role": "user", "content": "What is 3 + 4?"}], "7")
    memo, engine = Memo("p"), Replies(reply, reason=reason)
    state = ROOT.then(Step("a", "### Step 1: add.\nVERDICT: 10"))
    value = ModelValue("t", task, memo, engine, "model@1")
    assert asyncio.run(value.value(state)) == worth
    assert asyncio.run(value.value(state)) == worth  # kept
    (asked,) = engine.asked
    assert "| VERDICT: 10" in asked and "\nVERDICT: 10" not in asked
    with pytest.raises(SearchError, match="not judged yet"):
        asyncio.run(ModelValue("t", task, Memo("p"), None, "model@1").value(state))


def test_a_failure_that_another_try_may_mend_is_no_value() -> None:
    task = Task([{"role": "user", "content": "What is 3 + 4?"}], "7")
    memo, engine = Memo("p"), Replies(EngineError("busy"), "VERDICT: 7")
    value = ModelValue("t", task, memo, engine, "model@1")
    state = ROOT.then(Step("a", "### Step 1: add."))
    with pytest.raises(SearchError, match="value: busy"):
        asyncio.run(value.value(state))
    assert memo.added == 0
    assert asyncio.run(value.value(state)) == 0.7
