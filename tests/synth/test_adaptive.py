"""Answers drawn until a rule is content; with a scripted engine and a real store."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from winnow.pipeline import schema
from winnow.pipeline.contracts import Completion, EngineError, Identity, Sampling
from winnow.pipeline.names import Message, rollout_seed
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.synth.adaptive import Decision, Desk, draw_until, settled
from winnow.synth.sampling import PLAN_COLUMNS, Missing, Row, Shelf, Spending, Target
from winnow.synth.stopping.any_of import AnyOf
from winnow.synth.stopping.base import Rule, Tally
from winnow.synth.stopping.cap import Cap
from winnow.synth.stopping.until_k_correct import UntilKCorrect

IDENTITY = Identity("model@1", "template")
TARGET = Target(IDENTITY, Sampling(), 0, 8, 100, 2)
RULE = AnyOf((UntilKCorrect(2), Cap(8)))

Script = Mapping[str, str]  # by prompt: r right, w wrong, e an error, at each index


class Scripted:
    """An engine whose answers stand in a script; it breaks at its `lives`-th answer."""

    def __init__(self, script: Script, lives: int | None = None) -> None:
        self.identity = IDENTITY
        self._script, self._lives = script, lives
        self._place = {
            (prompt, rollout_seed(prompt, 0, index)): kind
            for prompt, kinds in script.items()
            for index, kind in enumerate(kinds)
        }
        self.asked: list[tuple[str, int]] = []
        self.in_flight = self.most = 0

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        prompt = messages[0]["content"]
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        for _ in range(random.Random(seed).randint(1, 6)):
            await asyncio.sleep(0)
        self.in_flight -= 1
        if self._lives is not None and len(self.asked) >= self._lives:
            raise Dead
        self.asked.append((prompt, seed))
        kind = self._place[prompt, seed]
        if kind == "e":
            raise EngineError("broken", permanent=True)
        return Completion(kind, None, None, 10, "stop")

    async def close(self) -> None:
        pass


class Dead(Exception):
    """Stands for the end of the process."""


def verdicts(row: Row) -> list[dict[str, Any]]:
    kind = {"r": "correct", "w": "wrong"}.get(row["completion"], "unjudged")
    return [{"task_id": "t", "verdict": kind, "extracted": None}]


def run(
    folder: Path,
    script: Script,
    rule: Rule = RULE,
    *,
    lives: int | None = None,
    spending: Spending | None = None,
    concurrency: int = 3,
) -> tuple[Scripted, list[Decision]]:
    """Draw over what the folder's store holds; (the engine, what was decided on the way)."""
    engine = Scripted(script, lives)
    told: list[Decision] = []
    columns = [*PLAN_COLUMNS, "completion"]

    async def judge(row: Row) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return verdicts(row)

    async def work(store: Store) -> None:
        async with AsyncWriter(store) as writer:
            desk = Desk(
                Shelf(store.get(script, "prompt_id", columns=columns).to_pylist(), TARGET),
                {prompt: [{"role": "user", "content": prompt}] for prompt in script},
                engine,
                TARGET,
                writer,
                concurrency=concurrency,
                judge=judge,
                spending=spending,
            )
            await draw_until(script, rule, desk, told.append)

    with Store(folder / "rollouts.sqlite", schema.ROLLOUTS, "rollout_id", write=True) as store:
        try:
            asyncio.run(work(store))
        except* Dead:
            pass
    return engine, told


def final(folder: Path, script: Script, rule: Rule = RULE) -> dict[str, tuple[int, str | None]]:
    """What the store's answers decide."""
    with Store(folder / "rollouts.sqlite", schema.ROLLOUTS, "rollout_id") as store:
        shelf = Shelf(store.all([*PLAN_COLUMNS, "completion"]).to_pylist(), TARGET)
    return {
        d.prompt_id: (d.answers, d.reason) for d in settled(list(script), shelf, verdicts, rule)
    }


def wanted(kinds: str) -> tuple[int, str]:
    """The rule by hand: two right answers, at most eight."""
    for n in range(1, 9):
        if kinds[:n].count("r") == 2:
            return n, "enough_correct"
    return 8, "max_answers"


scripts = st.dictionaries(
    st.sampled_from("abcdef"), st.text("rwe", min_size=8, max_size=8), min_size=1, max_size=6
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=scripts)
def test_each_prompt_gets_what_it_needs_and_no_answer_more(
    tmp_path_factory: pytest.TempPathFactory, script: Script
) -> None:
    folder = tmp_path_factory.mktemp("store")
    engine, told = run(folder, script)
    expected = {prompt: wanted(kinds) for prompt, kinds in script.items()}
    assert {d.prompt_id: (d.answers, d.reason) for d in told} == expected
    assert final(folder, script) == expected
    assert Counter(prompt for prompt, _ in engine.asked) == {p: n for p, (n, _) in expected.items()}
    assert engine.most <= 3


@settings(deadline=None, max_examples=40)
@given(script=scripts, seed=st.integers(0, 2**16))
def test_a_run_that_dies_at_any_answer_ends_as_one_that_does_not(
    tmp_path_factory: pytest.TempPathFactory, script: Script, seed: int
) -> None:
    folder, chance = tmp_path_factory.mktemp("store"), random.Random(seed)
    stored: set[tuple[str, int]] = set()
    for life in itertools.count():
        engine, told = run(folder, script, lives=chance.randint(0, 4) if life < 12 else None)
        assert not stored & set(engine.asked)
        with Store(folder / "rollouts.sqlite", schema.ROLLOUTS, "rollout_id") as store:
            now = {(row["prompt_id"], row["seed"]) for row in store.all().to_pylist()}
        assert stored <= now
        stored = now
        if len(told) == len(script):
            break
    expected = {prompt: wanted(kinds) for prompt, kinds in script.items()}
    assert final(folder, script) == expected
    assert len(stored) == sum(n for n, _ in expected.values())


def test_answers_of_another_rule_count(tmp_path: Path) -> None:
    script = {"a": "wwrwrwww", "b": "rrwwwwww"}
    run(tmp_path, script, Cap(3))
    engine, _ = run(tmp_path, script)
    assert final(tmp_path, script) == {"a": (5, "enough_correct"), "b": (2, "enough_correct")}
    assert Counter(prompt for prompt, _ in engine.asked) == {"a": 2}


def test_answers_that_must_come_anyway_are_asked_for_together(tmp_path: Path) -> None:
    engine, _ = run(tmp_path, {"a": "wwwwwwww"}, AnyOf((UntilKCorrect(6), Cap(8))), concurrency=8)
    assert engine.most == 6


def test_other_prompts_keep_the_engine_full(tmp_path: Path) -> None:
    script = {str(i): "wwwwwwww" for i in range(40)}
    engine, _ = run(tmp_path, script, AnyOf((UntilKCorrect(1), Cap(8))), concurrency=8)
    assert engine.most == 8
    assert len(engine.asked) == 320


def test_a_budget_ends_the_run_and_more_of_it_goes_on(tmp_path: Path) -> None:
    script = {"a": "wwrwrwww", "b": "wwwwwwww", "c": "rrwwwwww"}
    engine, told = run(tmp_path, script, spending=Spending(answers=5))
    assert len(engine.asked) <= 5
    assert any(decision.reason is None and decision.more for decision in told)
    engine, told = run(tmp_path, script)
    assert final(tmp_path, script) == {p: wanted(kinds) for p, kinds in script.items()}


def test_a_budget_of_tokens_is_passed_by_what_is_in_flight_at_most(tmp_path: Path) -> None:
    script = {str(i): "wwwwwwww" for i in range(20)}
    engine, _ = run(tmp_path, script, Cap(8), spending=Spending(tokens=100), concurrency=2)
    assert 10 <= len(engine.asked) <= 10 + 8 * 2 * 2


def test_without_a_budget_what_is_stored_still_counts(tmp_path: Path) -> None:
    script = {"a": "wwrwrwww"}
    run(tmp_path, script, Cap(3))
    engine, told = run(tmp_path, script, spending=Spending(answers=0))
    assert engine.asked == []
    assert (told[0].answers, told[0].reason, told[0].more) == (3, None, 1)
    assert final(tmp_path, script) == {"a": (3, None)}


def test_a_prompt_with_two_references_goes_on_for_both() -> None:
    rows = [
        {"index": i, "prompt_id": "p", "n_tokens": 1, "finish_reason": "stop"} for i in range(8)
    ]

    class All:
        def at(self, prompt: str, index: int) -> Row | Missing:
            return rows[index]

    def both(row: Row) -> list[dict[str, Any]]:
        right = {"t": (0, 1), "u": (3, 5)}
        return [
            {"task_id": task, "verdict": "correct" if row["index"] in at else "wrong",
             "extracted": None}
            for task, at in right.items()
        ]  # fmt: skip

    (found,) = settled(["p"], All(), both, RULE)
    assert (found.answers, found.reason) == (6, "enough_correct")


def test_a_rule_that_wants_nothing_draws_nothing(tmp_path: Path) -> None:
    engine, told = run(tmp_path, {"a": "rrrrrrrr"}, UntilKCorrect(0))
    assert engine.asked == []
    assert told[0].reason == UntilKCorrect(0).reason(Tally()) == "enough_correct"
