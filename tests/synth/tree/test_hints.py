"""Where hints go, and what is kept."""

import asyncio
import random
from typing import Any

import pyarrow as pa
import pytest

from tests.synth.tree.scripted import IDENTITY, RIGHT, WRONG, Says
from winnow.pipeline import schema
from winnow.pipeline.contracts import Completion, Sampling, Task, Verdict
from winnow.pipeline.verify.asking import in_process
from winnow.synth.tree.hints import HINTS, Hint, Place, hint_infer, hinted_row, hinted_text, places
from winnow.synth.tree.judges import VerifierJudge
from winnow.synth.tree.memo import Drawing, Memo
from winnow.synth.tree.node import SearchError, State, Step
from winnow.synth.tree.policy import EnginePolicy

MESSAGES = [{"role": "user", "content": "What is 3 + 4?"}]
HINT = Hint("h", ", again:", "Again:")


def test_hints_go_after_conjunctions_and_before_the_end() -> None:
    answer = "It is 8. Wait, no. Alternatively it is 9.\n"
    found = places(answer)
    assert [(p.kind, answer[: p.at]) for p in found] == [
        ("conjunction", "It is 8. Wait"),
        ("conjunction", "It is 8. Wait, no. Alternatively"),
        ("end", "It is 8. Wait, no. Alternatively it is 9."),
    ]


@pytest.mark.parametrize("answer", ["Waiter, Waiting, wait", "It is 8.", ""])
def test_only_whole_words_are_conjunctions(answer: str) -> None:
    assert places(answer) == [Place("end", len(answer))]


def test_thinking_ends_where_it_is_marked() -> None:
    answer = "<think>hm. Wait</think>Wait. It is 8."
    assert [(p.kind, answer[: p.at]) for p in places(answer)] == [
        ("conjunction", "<think>hm. Wait"),
        ("end", "<think>hm. Wait"),
    ]


def test_no_conjunctions_leave_the_end() -> None:
    assert places("Wait", ()) == [Place("end", 4)]
    assert places("a.b axb", ("a.b",))[0] == Place("conjunction", 3)  # a word, not a pattern


def test_the_new_answer_s_beginning() -> None:
    assert hinted_text("Wait, no", Place("conjunction", 4), HINT) == "Wait, again:"
    assert hinted_text("It is 8.", Place("end", 8), HINT) == "It is 8.\n\nAgain:"
    assert hinted_text("", Place("end", 0), HINT) == "Again:"


class Steps:
    """A policy that notes what it continues."""

    def __init__(self) -> None:
        self.begun: list[State] = []

    async def step(self, state: State, index: int) -> Step:
        assert index == 0
        self.begun.append(state)
        return Step(f"s{len(self.begun)}", " so 7", 2)


def _infer(plain: Verdict, judge: Any, policy: Any = None, seed: int = 0, **options: Any) -> Any:
    return asyncio.run(
        hint_infer(MESSAGES, "It is 8. Wait, no.", plain, policy or Steps(), judge,
                   random.Random(seed), **options)
    )  # fmt: skip


def test_what_fails_plain_and_passes_hinted_is_kept() -> None:
    found = _infer(WRONG, Says(lambda name: RIGHT))
    assert found.kept
    assert (found.plain, found.verdict, found.tries) == (WRONG, RIGHT, 1)
    assert found.text.endswith(" so 7")
    assert found.hint in {hint.name for hint in HINTS}


def test_what_fails_hinted_too_is_recorded_and_not_kept() -> None:
    policy, judge = Steps(), Says()
    found = _infer(WRONG, judge, policy, tries=5)
    assert not found.kept
    assert (found.verdict, found.tries) == (WRONG, 5)
    assert len({state.opening for state in policy.begun}) == 5  # no pair of place and hint twice
    assert _infer(WRONG, Says(), tries=99).tries == 2 * len(HINTS)


@pytest.mark.parametrize("plain", [RIGHT, Verdict.unjudged("truncated")])
def test_only_what_is_wrong_is_hinted(plain: Verdict) -> None:
    policy = Steps()
    found = _infer(plain, Says(lambda name: RIGHT), policy)
    assert policy.begun == []
    assert not found.kept
    assert (found.plain, found.verdict, found.tries, found.hint) == (plain, plain, 0, None)


def test_an_answer_that_was_cut_off_is_not_judged() -> None:
    class Cut(Steps):
        async def step(self, state: State, index: int) -> Step:
            return Step("s", "so 7", 2, "length")

    judge = Says(lambda name: RIGHT)
    found = _infer(WRONG, judge, Cut(), tries=1)
    assert judge.asked == []
    assert found.verdict.detail == "truncated"
    assert not found.kept


class Full(Steps):
    """Its first `full` continuations do not fit into the context, for the reason `said`."""

    def __init__(self, full: int, said: str = "permanent: prompt_too_long") -> None:
        super().__init__()
        self._full, self._said = full, said

    async def step(self, state: State, index: int) -> Step:
        step = await super().step(state, index)
        if len(self.begun) <= self._full:
            raise SearchError(self._said)
        return step


def test_a_try_that_does_not_fit_is_unjudged_and_others_follow() -> None:
    judge = Says(lambda name: RIGHT)
    found = _infer(WRONG, judge, Full(2))
    assert found.kept and (found.tries, len(judge.asked)) == (3, 1)
    policy = Full(3)
    found = _infer(WRONG, Says(lambda name: RIGHT), policy)
    assert (found.verdict.verdict, found.verdict.detail) == (
        "unjudged",
        "permanent: prompt_too_long",
    )
    assert (found.kept, found.tries, found.text) == (False, 3, policy.begun[-1].text)


def test_what_another_run_may_mend_is_no_outcome() -> None:
    with pytest.raises(SearchError, match="busy"):
        _infer(WRONG, Says(), Full(1, "busy"))


def test_the_generator_decides_places_and_hints() -> None:
    assert _infer(WRONG, Says()) == _infer(WRONG, Says())
    assert len({_infer(WRONG, Says(), seed=seed, tries=1).text for seed in range(30)}) > 4


def test_a_hint_is_continued_judged_and_drawn_once() -> None:
    class Engine:
        identity = IDENTITY

        def __init__(self) -> None:
            self.prefixes: list[str] = []

        async def complete(
            self, messages: Any, sampling: Sampling, *, seed: int, max_tokens: int, prefix: str = ""
        ) -> Completion:
            assert messages == MESSAGES
            self.prefixes.append(prefix)
            return Completion(" 3 + 4 is 7. The answer is 7.", None, None, 9, "stop")

        async def close(self) -> None: ...

    engine, memo, texts = Engine(), Memo("p"), []

    async def local(name: str, completion: str, task: Task) -> Any:
        texts.append(completion)
        return await in_process(name, completion, task)

    policy = EnginePolicy(engine, MESSAGES, Drawing(IDENTITY, Sampling(), 0, 64), memo)
    judge = VerifierJudge("t", "math", Task(MESSAGES, "7"), "math@x", memo, local=local)
    found = _infer(WRONG, judge, policy)
    assert found.kept
    assert engine.prefixes == [found.text.removesuffix(" 3 + 4 is 7. The answer is 7.")]
    assert texts == [found.text]
    assert _infer(WRONG, judge, policy) == found
    assert len(engine.prefixes) == len(texts) == 1


def test_both_outcomes_are_rows() -> None:
    rows = [
        hinted_row("t", f"r{number}", _infer(plain, Says(lambda name: RIGHT)))
        for number, plain in enumerate((WRONG, RIGHT))
    ]
    table = pa.Table.from_pylist(rows, schema=schema.HINTED)
    assert table["kept"].to_pylist() == [True, False]
    assert table["plain_verdict"].to_pylist() == ["wrong", "correct"]
    assert table["hinted_verdict"].to_pylist() == ["correct", "correct"]
    assert table["tries"].to_pylist() == [1, 0]
    assert rows[0]["place"] in ("conjunction", "end") and rows[1]["place"] is None
