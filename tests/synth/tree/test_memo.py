"""Stored steps and judgements: names, what is drawn again and what never, and resuming anywhere."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.synth.tree.scripted import IDENTITY, RIGHT, ROOT, StepEngine
from winnow.pipeline.contracts import (
    Completion,
    EngineError,
    Identity,
    Sampling,
    Task,
    Verdict,
)
from winnow.pipeline.names import prompt_id, rollout_seed
from winnow.pipeline.store.prompt_images import StoredImages
from winnow.pipeline.store.store import AsyncWriter, Store
from winnow.pipeline.verify.asking import in_process
from winnow.pipeline.verify.worker_pool import TimedVerdict
from winnow.pipeline.workspace import open_store
from winnow.synth.sampling import PERMANENT
from winnow.synth.tree import mcts
from winnow.synth.tree.judges import VerifierJudge
from winnow.synth.tree.mcts import MctsOptions
from winnow.synth.tree.memo import Drawing, Memo, judgement_id, root, step_id
from winnow.synth.tree.node import SearchError, State, Step
from winnow.synth.tree.policy import EnginePolicy
from winnow.synth.tree.prompt import step_prompt

SAMPLING = Sampling(temperature=0.5, top_p=0.9, stop=("<end>",))
DRAWING = Drawing(IDENTITY, SAMPLING, 0, 64)
TASK = Task([{"role": "user", "content": "What is 3 + 4?"}], "7")
MESSAGES = step_prompt(TASK.messages)
OPTIONS = MctsOptions(max_iterations=6, max_steps=4)


# Names


def test_a_step_is_named_by_what_determines_it() -> None:
    base = step_id("parent", DRAWING, 0, 0)
    others = [
        step_id("other", DRAWING, 0, 0),
        step_id("parent", DRAWING, 1, 0),
        step_id("parent", DRAWING, 0, 1),
        step_id("parent", Drawing(Identity("model@2", "template"), SAMPLING, 0, 64), 0, 0),
        step_id("parent", Drawing(Identity("model@1", "other"), SAMPLING, 0, 64), 0, 0),
        step_id("parent", Drawing(IDENTITY, Sampling(stop=("<end>",)), 0, 64), 0, 0),
        step_id("parent", Drawing(IDENTITY, SAMPLING, 1, 64), 0, 0),
    ]
    assert len({base, *others}) == len(others) + 1
    # How long it may be, and how often it is tried, is no part of it.
    assert step_id("parent", Drawing(IDENTITY, SAMPLING, 0, 9, 1), 0, 0) == base


def test_a_search_begins_at_what_the_model_is_sent() -> None:
    assert root(MESSAGES).name == prompt_id(MESSAGES)
    begun = root(MESSAGES, "First, ")
    assert begun.text == "First, "
    assert begun.name not in (root(MESSAGES).name, root(MESSAGES, "Then, ").name)


def test_a_judgement_is_named_by_solution_task_judge_and_number() -> None:
    names = {
        judgement_id(*given)
        for given in [
            ("s", "t", "j", 0), ("x", "t", "j", 0), ("s", "x", "j", 0), ("s", "t", "x", 0),
            ("s", "t", "j", 1),
        ]
    }  # fmt: skip
    assert len(names) == 5


# Steps


def _policy(engine: Any, memo: Memo, drawing: Drawing = DRAWING, **options: Any) -> EnginePolicy:
    return EnginePolicy(engine, MESSAGES, drawing, memo, **options)


def _step(policy: EnginePolicy, state: State | None = None, index: int = 0) -> Step:
    return asyncio.run(policy.step(state or root(MESSAGES), index))


class Kept:
    """Collects what a memo keeps."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    async def __call__(self, row: Any) -> None:
        self.rows.append(row)


class Answers:
    """An engine that gives its answers (or raises its errors) in turn."""

    identity = IDENTITY

    def __init__(self, *answers: Completion | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def complete(self, messages: Any, sampling: Sampling, **options: Any) -> Completion:
        self.asked.append({"messages": messages, "sampling": sampling, **options})
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None: ...


def _says(text: str, reason: Any = "stop", n_tokens: int = 3) -> Completion:
    return Completion(text, [1] * n_tokens, -1.5, n_tokens, reason)


def test_a_step_is_kept_with_all_that_the_engine_told() -> None:
    kept, engine = Kept(), Answers(_says("### Step 1: a <end>"), _says("b <end>"))
    memo = Memo("p", keep_step=kept)
    first = _step(_policy(engine, memo))
    state = root(MESSAGES).then(first)
    second = _step(_policy(engine, memo), state, 4)
    assert (first.text, first.n_tokens, second.text) == ("### Step 1: a <end>", 3, "b <end>")
    assert [r["step_id"] for r in kept.rows] == [first.name, second.name]
    row = kept.rows[1]
    assert (row["parent"], row["depth"], row["index"], row["attempt"]) == (first.name, 2, 4, 0)
    assert (row["token_ids"], row["logprob_sum"], row["finish_reason"]) == ([1, 1, 1], -1.5, "stop")
    assert (row["prompt_id"], row["max_tokens"], row["sampler"]) == ("p", 64, SAMPLING.name)
    # The beginning is not sent as an empty prefix: not every engine takes one.
    assert "prefix" not in engine.asked[0]
    assert engine.asked[1]["prefix"] == "### Step 1: a <end>"
    assert engine.asked[1]["seed"] == row["seed"] == rollout_seed(first.name, 0, 4)
    assert engine.asked[0]["messages"] == MESSAGES


def test_a_kept_step_is_not_drawn_again() -> None:
    kept = Kept()
    made = _step(_policy(Answers(_says("a")), Memo("p", keep_step=kept)))
    assert _step(_policy(Answers(), Memo("p", kept.rows))) == made
    for other in (
        Drawing(Identity("model@2", "template"), SAMPLING, 0, 64),
        Drawing(IDENTITY, Sampling(), 0, 64),
        Drawing(IDENTITY, SAMPLING, 1, 64),
    ):
        engine = Answers(_says("b"))
        assert _step(_policy(engine, Memo("p", kept.rows), other)).text == "b"


@pytest.mark.parametrize(
    ("reason", "n_tokens", "limit", "again"),
    [("stop", 3, 3, False), ("stop", 3, 99, False), ("stop", 3, 2, True),
     ("length", 64, 64, False), ("length", 64, 128, True), ("length", 64, 32, True)],
)  # fmt: skip
def test_a_step_is_valid_under_the_limits_that_it_fits(
    reason: str, n_tokens: int, limit: int, again: bool
) -> None:
    kept = Kept()
    _step(_policy(Answers(_says("a", reason, n_tokens)), Memo("p", keep_step=kept)))
    engine = Answers(*([_says("b", "stop", 1)] if again else []))
    drawing = Drawing(IDENTITY, SAMPLING, 0, limit)
    found = _step(_policy(engine, Memo("p", kept.rows, keep_step=kept), drawing))
    assert found.text == ("b" if again else "a")
    if again:  # under a name of its own, and in the same random stream
        assert kept.rows[1]["attempt"] == 1
        assert kept.rows[1]["seed"] == kept.rows[0]["seed"]


def test_a_failure_is_tried_again_and_then_ends_the_search() -> None:
    kept = Kept()
    busy = EngineError("busy")
    engine = Answers(busy, _says("a"))
    assert _step(_policy(engine, Memo("p", keep_step=kept))).text == "a"
    assert [row["error"] for row in kept.rows] == ["busy", None]
    assert kept.rows[0]["seed"] != kept.rows[1]["seed"]
    kept = Kept()
    with pytest.raises(SearchError, match="busy"):
        _step(_policy(Answers(busy, busy, busy), Memo("p", keep_step=kept)))
    assert len(kept.rows) == 3  # max_attempts
    with pytest.raises(SearchError, match="busy"):
        _step(_policy(Answers(), Memo("p", kept.rows)))  # it stands, and nobody is asked
    again = _policy(Answers(_says("a")), Memo("p", kept.rows), retry=True)
    assert _step(again).text == "a"


def test_a_permanent_failure_ends_the_path_and_at_the_beginning_the_search() -> None:
    too_long = EngineError("prompt_too_long", permanent=True)
    kept = Kept()
    with pytest.raises(SearchError, match=f"{PERMANENT}prompt_too_long"):
        _step(_policy(Answers(too_long), Memo("p", keep_step=kept)))
    assert len(kept.rows) == 1
    state = root(MESSAGES).then(Step("s", "long"))
    step = _step(_policy(Answers(too_long), Memo("p")), state)
    assert (step.error, step.text, step.finish_reason) == (
        f"{PERMANENT}prompt_too_long",
        "",
        "error",
    )


def test_without_an_engine_only_what_is_stored_is_there() -> None:
    with pytest.raises(SearchError, match="not drawn yet"):
        _step(_policy(None, Memo("p")))


def test_what_a_step_says_is_what_was_stored() -> None:
    """A lone surrogate cannot be stored, so it does not count either: resumed, the prefix is equal."""
    kept = Kept()
    step = _step(_policy(Answers(_says("half \ud83d")), Memo("p", keep_step=kept)))
    assert step.text == kept.rows[0]["completion"] == "half ?"


# Judgements


def test_a_kept_judgement_is_not_made_again() -> None:
    kept, made = Kept(), 0

    async def make() -> TimedVerdict:
        nonlocal made
        made += 1
        return TimedVerdict(Verdict("correct", 1.0, {"part": 1.0}, "7", "why"), 0.5)

    async def twice(memo: Memo, index: int) -> Verdict:
        first = await memo.judged(ROOT, "t", "j", index, make)
        assert await memo.judged(ROOT, "t", "j", index, make) == first
        return first

    first = asyncio.run(twice(Memo("p", keep_judgement=kept), 0))
    assert made == 1
    assert asyncio.run(twice(Memo("p", judgements=kept.rows), 0)) == first
    assert made == 1
    asyncio.run(twice(Memo("p", judgements=kept.rows), 1))
    assert made == 2


# Resuming


@contextmanager
def _stores(folder: Path) -> Iterator[tuple[Store, Store]]:
    with (
        open_store(folder, "steps", write=True) as steps,
        open_store(folder, "judgements", write=True) as judgements,
    ):
        yield steps, judgements


def _searched(folder: Path, engine: Any, verdicts: list[str] | None = None) -> mcts.Mcts:
    """One search over the stores in `folder`; what comes out of the verifier goes to `verdicts`."""

    async def local(name: str, completion: str, task: Task) -> TimedVerdict:
        if verdicts is not None:
            verdicts.append(completion)
        return await in_process(name, completion, task)

    async def main(steps: Store, judgements: Store) -> mcts.Mcts:
        async with AsyncWriter(steps) as step_writer, AsyncWriter(judgements) as judgement_writer:
            memo = Memo(
                "p", steps.get(["p"], "prompt_id").to_pylist(),
                judgements.get(["p"], "prompt_id").to_pylist(),
                keep_step=step_writer.put, keep_judgement=judgement_writer.put,
            )  # fmt: skip
            judge = VerifierJudge("t", "math", TASK, "math@x", memo, local=local)
            policy = EnginePolicy(engine, MESSAGES, DRAWING, memo)
            return await mcts.search(root(MESSAGES), policy, judge, random.Random(3), OPTIONS)

    with _stores(folder) as (steps, judgements):
        return asyncio.run(main(steps, judgements))


def _tables(folder: Path) -> tuple[Any, Any]:
    with _stores(folder) as (steps, judgements):
        return steps.all(), judgements.all().drop_columns(["seconds"])


def test_resumed_after_an_exception_at_every_request(tmp_path: Path) -> None:
    """The n-th request brings everything down, for every n: the tree is that of a calm run, and no
    stored step is asked for again."""
    calm = StepEngine()
    wanted = _searched(tmp_path / "calm", calm)
    total = calm.asked
    assert total > 12, "a search that is worth interrupting"
    assert len(wanted.tree.simulations) > 3
    for number in range(1, total + 1):
        folder = tmp_path / str(number)
        broken = StepEngine(fail_at=number)
        with pytest.raises(BaseException) as raised:
            _searched(folder, broken)
        assert "the engine is gone" in repr(raised.value)
        stored = set(_tables(folder)[0]["step_id"].to_pylist())
        again = StepEngine()
        assert _searched(folder, again) == wanted
        steps, judgements = _tables(folder)
        assert steps.equals(_tables(tmp_path / "calm")[0])
        assert judgements.equals(_tables(tmp_path / "calm")[1])
        # Whatever was on disk was not asked for again; what was in flight may have been.
        assert again.asked == total - len(stored)
        assert sorted(again.log) == sorted(set(again.log))
        third = StepEngine()
        assert _searched(folder, third) == wanted
        assert third.asked == 0


def test_resumed_after_a_fault_of_the_store_at_every_row(tmp_path: Path) -> None:
    """A row that could not be written does not count, be it a step or a judgement."""
    wanted = _searched(tmp_path / "calm", StepEngine())
    rows = sum(table.num_rows for table in _tables(tmp_path / "calm"))
    for number in range(1, rows + 1):
        folder = tmp_path / str(number)
        with pytest.MonkeyPatch.context() as patch:
            put, written = Store.put, 0

            def failing(store: Store, batch: Any, put: Any = put, number: int = number) -> None:
                nonlocal written
                written += len(batch)
                if written >= number:
                    raise OSError(28, "No space left on device")
                put(store, batch)

            patch.setattr(Store, "put", failing)
            with pytest.raises(BaseException) as raised:
                _searched(folder, StepEngine())
            assert "No space left" in repr(raised.value)
        assert _searched(folder, StepEngine()) == wanted
        assert _tables(folder)[0].equals(_tables(tmp_path / "calm")[0])


def test_a_search_that_was_made_asks_neither_engine_nor_verifier(tmp_path: Path) -> None:
    first: list[str] = []
    wanted = _searched(tmp_path, StepEngine(), first)
    assert first
    again: list[str] = []
    assert _searched(tmp_path, None, again) == wanted
    assert again == []


def test_steps_without_their_marks_are_what_is_judged(tmp_path: Path) -> None:
    texts: list[str] = []
    _searched(tmp_path, StepEngine(), texts)
    assert texts and not any("<end>" in text for text in texts)
    assert any("### Final Answer: " in text for text in texts)


def test_more_iterations_go_on_where_fewer_ended(tmp_path: Path) -> None:
    """Changing how long is searched draws only what is new."""

    async def main(iterations: int, engine: Any, kept: Kept) -> mcts.Mcts:
        async def keep(row: Any) -> None:
            kept.rows.append(row)

        memo = Memo("p", list(kept.rows), keep_step=keep)
        policy = EnginePolicy(engine, MESSAGES, DRAWING, memo)
        judge = VerifierJudge("t", "math", Task(TASK.messages, "999"), "j", memo, local=in_process)
        options = MctsOptions(max_iterations=iterations, max_steps=4)
        return await mcts.search(root(MESSAGES), policy, judge, random.Random(3), options)

    kept = Kept()
    few, more, whole = StepEngine(), StepEngine(), StepEngine()
    asyncio.run(main(4, few, kept))
    longer = asyncio.run(main(9, more, kept))
    assert longer == asyncio.run(main(9, whole, Kept()))
    assert few.asked + more.asked == whole.asked
    assert longer.iterations_used == 9


def test_right_ends_a_real_search() -> None:
    """With the real verifier: some seed of the scripted engine says 7, and the search ends there."""
    found = []
    for seed in range(6):
        memo = Memo("p")
        policy = EnginePolicy(StepEngine(), MESSAGES, Drawing(IDENTITY, SAMPLING, seed, 64), memo)
        judge = VerifierJudge("t", "math", TASK, "j", memo, local=in_process)
        found.append(
            asyncio.run(
                mcts.search(
                    root(MESSAGES), policy, judge, random.Random(seed), MctsOptions(max_steps=4)
                )
            )
        )
    solved = [each for each in found if each.solved]
    assert solved
    for each in solved:
        last = each.tree.simulations[-1]
        assert last.verdict.verdict == RIGHT.verdict
        assert last.verdict.extracted == "7"


def test_a_verifier_may_be_kept_from_reading_an_answer_that_is_none() -> None:
    """At the limit of steps a solution ends without a final answer; a lenient verifier would take its
    last number for one."""
    texts = []

    async def local(name: str, completion: str, task: Task) -> TimedVerdict:
        texts.append(completion)
        return await in_process(name, completion, task)

    cut = ROOT.then(Step("s", "### Step 1: so much for 7 <end>"))
    for strict, verdict, detail in ((False, "correct", None), (True, "wrong", "no_answer")):
        judge = VerifierJudge("t", "math", TASK, "j", Memo("p"), local=local, needs_final=strict)
        found = asyncio.run(judge.judge(cut, 0))
        assert (found.verdict, found.detail) == (verdict, detail)
    assert len(texts) == 1


def test_a_conversation_that_shows_images_is_named_with_them(tmp_path: Path) -> None:
    shown = StoredImages(("a" * 64, "b" * 64), tmp_path)
    messages = [{"role": "user", "content": "<image><image> Which?", "images": shown}]
    assert root(messages).name == prompt_id(messages, shown.ids) != prompt_id(messages)
