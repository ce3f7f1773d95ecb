"""Critiques of solutions, from what a judging model wrote."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from tests.selectors.sets.made_up import ledger, signals
from winnow.pipeline.contracts import Completion, Identity, Sampling, Task
from winnow.pipeline.names import Message
from winnow.pipeline.recipe import CritiqueSet
from winnow.pipeline.verify.judge import ModelJudge
from winnow.selectors.sets.critique import critique
from winnow.selectors.sets.signals import Signals

ARGS = {"rubric": "quality", "n": 3}


def said(*replies: tuple[str | None, str]) -> str:
    return json.dumps(
        {
            "judge": "j@1",
            "replies": [{"verdict": verdict, "text": text} for verdict, text in replies],
        }
    )


def judged(tasks: dict[str, str], replies: dict[str, str | None], **args: Any) -> Signals:
    return signals(tasks, extracted=replies, verifier="judge", verifier_args={**ARGS, **args})


def test_the_first_whole_vote_that_agrees_is_the_critique() -> None:
    replies: dict[str, str | None] = {
        "a0": said(("WRONG", "no"), ("CORRECT", "…cut"), ("CORRECT", "yes. VERDICT: CORRECT")),
        "a1": said((None, "hm"), ("WRONG", "bad. VERDICT: WRONG"), ("WRONG", "worse")),
    }
    found = critique(
        CritiqueSet(template="Q {question} S {solution}"), judged({"a": "cw"}, replies)
    )
    rows = {r["rollout_id"]: r for r in found.rows.to_pylist()}
    assert rows["a0"]["messages"] == [
        {"role": "user", "content": "Q question a S answer a0"},
        {"role": "assistant", "content": "yes. VERDICT: CORRECT"},
    ]
    assert rows["a1"]["messages"][1]["content"] == "bad. VERDICT: WRONG"
    assert [rows[n]["label"] for n in ("a0", "a1")] == [True, False]
    assert (rows["a0"]["judge"], rows["a0"]["verifier"]) == ("j@1", "judge@1")


def test_what_is_no_critique_says_why() -> None:
    replies: dict[str, str | None] = {
        "a0": said(("WRONG", "no")),  # the verdict is correct
        "a1": said(("WRONG", "…the end of a long one")),
        "a2": None,  # an empty answer is wrong without being asked about
        "a3": said(("CORRECT", "x")),
        "a4": said((None, "no verdict line")),
    }
    found = critique(CritiqueSet(), judged({"a": "cwwuc"}, replies))
    assert ledger(found) == {
        "a0": ("dropped", "disagrees"),
        "a1": ("dropped", "cut_critique"),
        "a2": ("dropped", "no_critique"),
        "a3": ("dropped", "verdict"),
        "a4": ("dropped", "no_critique"),
    }
    other = critique(CritiqueSet(), signals({"a": "c"}, extracted={"a0": said(("CORRECT", "x"))}))
    assert ledger(other) == {"a0": ("dropped", "no_critique")}  # by another verifier
    replies = {"a0": said(("A", "first"), ("B", "second"))}
    args = {"rubric": None, "compare": True, "n": 1}
    assert ledger(critique(CritiqueSet(), judged({"a": "c"}, replies, **args))) == {
        "a0": ("dropped", "compares")
    }


def test_scores_count_by_their_threshold() -> None:
    record = '{"judge": "j@1", "replies": [{"verdict": 3, "text": "low"}, {"verdict": 8, "text": "high"}]}'
    given_ = judged({"a": "cw"}, {"a0": record, "a1": record}, scale=[0, 10], threshold=6, n=1)
    rows = critique(CritiqueSet(), given_).rows.to_pylist()
    assert {r["rollout_id"]: r["messages"][1]["content"] for r in rows} == {
        "a0": "high",
        "a1": "low",
    }


def test_right_and_wrong_solutions_are_as_many_also_under_a_budget() -> None:
    tasks = {"a": "cccc", "b": "ccww", "d": "w"}
    verdicts = {f"{t}{i}": letter for t, text in tasks.items() for i, letter in enumerate(text)}
    replies: dict[str, str | None] = {
        name: said(("CORRECT", "good") if letter == "c" else ("WRONG", "bad"))
        for name, letter in verdicts.items()
    }
    given_ = judged(tasks, replies)
    labels = critique(CritiqueSet(), given_).rows["label"].to_pylist()
    assert (labels.count(True), labels.count(False)) == (3, 3)
    labels = critique(CritiqueSet(budget=2), given_).rows["label"].to_pylist()
    assert sorted(labels) == [False, True]
    every = critique(CritiqueSet(balance=False), given_)
    assert every.rows.num_rows == 9
    # Prompts that are neither easy nor hopeless come first.
    kept = [name for name, (decision, _) in ledger(critique(CritiqueSet(), given_)).items()
            if decision == "kept"]  # fmt: skip
    assert {"b0", "b1", "b2", "b3", "d0"} < set(kept)


def test_braces_in_the_texts_are_left_alone() -> None:
    given_ = signals(
        {"a": "c"}, texts={"a0": "{question} \\frac{1}{2}"},
        extracted={"a0": said(("CORRECT", "fine"))}, verifier="judge", verifier_args=ARGS,
    )  # fmt: skip
    (row,) = critique(CritiqueSet(balance=False), given_).rows.to_pylist()
    assert "{question} \\frac{1}{2}" in row["messages"][0]["content"]


class Critic:
    """An engine whose model likes answers that hold a 4, and says why."""

    identity = Identity("critic@1", "t")

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, *, seed: int, max_tokens: int
    ) -> Completion:
        good = "| It is 4" in messages[-1]["content"]
        text = (
            f"The sum is {'right' if good else 'off'}.\nVERDICT: {'CORRECT' if good else 'WRONG'}"
        )
        return Completion(text, None, None, 9, "stop")

    async def close(self) -> None:
        pass


def test_what_the_judge_records_is_what_is_read() -> None:
    texts = {"a0": "It is 4.", "a1": "It is 5."}
    task = Task([{"role": "user", "content": "2 + 2?"}], "4", ARGS)
    verdicts = {
        name: asyncio.run(ModelJudge().ask(text, task, Critic())) for name, text in texts.items()
    }
    assert [each.verdict for each in verdicts.values()] == ["correct", "wrong"]
    given_ = signals(
        {"a": "cw"},
        texts=texts,
        extracted={name: each.extracted for name, each in verdicts.items()},
        verifier="judge",
        verifier_args=ARGS,
    )
    rows = {r["rollout_id"]: r for r in critique(CritiqueSet(), given_).rows.to_pylist()}
    assert rows["a0"]["messages"][1]["content"] == "The sum is right.\nVERDICT: CORRECT"
    assert rows["a1"]["messages"][1]["content"] == "The sum is off.\nVERDICT: WRONG"
    assert rows["a0"]["judge"] == "critic@1"
