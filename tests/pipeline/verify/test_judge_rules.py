"""Every rule of `judge` is guarded by its labelled pairs: without the rule, one of them fails."""

import re
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from winnow.pipeline.verify import judge, judge_prompt, judge_reply, self_test
from winnow.pipeline.verify.extract import after_thinking
from winnow.pipeline.verify.judge_arguments import JudgeArguments


def _first_label(reply: str, labels: Any) -> str | None:
    """The label that a verdict line begins with."""
    said = judge_reply.final_line(reply) or ""
    return next((label for label in labels if said.startswith(label.casefold())), None)


def _any_label(reply: str, labels: Any) -> str | None:
    """A label anywhere in the reply."""
    return next((label for label in labels if label in reply), None)


def _one_order(first: judge.Reply, second: judge.Reply) -> judge.Vote:
    del second
    return judge.Vote({"A": "for", "B": "against"}.get(str(first.verdict)), [first])  # type: ignore[arg-type]


def _ties_count(first: judge.Reply, second: judge.Reply) -> judge.Vote:
    said = {first.verdict, second.verdict}
    side = "for" if (first.verdict == "A" or said == {"TIE"}) else "against"
    return judge.Vote(side, [first, second])  # type: ignore[arg-type]


def _same_order(args: Any, question: str, reference: str, answer: str) -> Any:
    return [judge_prompt.preference_request(args.rubric_text, question, answer, reference)] * 2


def _unread_cut_offs(args: Any, completion: Any) -> Any:
    return judge_reply.read_label(completion.text, args.labels)


def _split_lines(text: str) -> str:
    return "\n".join(f"| {line}" for line in text.split("\n"))


REQUESTS = judge._requests

RULES: dict[str, tuple[Any, str, Any]] = {
    "majority": (judge, "is_agreed", lambda votes, n, share: votes > 0),
    "minimum agreement": (judge, "is_agreed", lambda votes, n, share: 2 * votes > n),
    "missing votes": (judge, "EngineError", ZeroDivisionError),
    "cut-off replies": (judge, "_read", _unread_cut_offs),
    "the last line": (judge_reply, "ends_with_verdict", lambda said: True),
    "one verdict": (judge_reply, "is_one", lambda verdicts: True),
    "no thinking": (judge_reply, "own_words", lambda reply: reply),
    "unfinished thinking": (judge_reply, "own_words", after_thinking),
    "whole labels": (judge, "read_label", _first_label),
    "verdict lines": (judge, "read_label", _any_label),
    "lines of its own": (judge_reply, "_LINE", re.compile(r"[\s*_#`|>]*VERDICT:")),
    "letter case": (judge_reply, "_LINE", re.compile(r"[\s*_#`]*VERDICT[\s*_`]*:")),
    "Markdown": (judge_reply, "_MARKS", " "),
    "scores": (judge_reply, "_SCORE", re.compile(r"([0-9]{1,9})()?")),
    "the scale's end": (judge, "read_score", lambda reply, low, high: judge_reply.read_score(
        reply.split("/")[0], -99, 99)),
    "threshold": (judge, "side_of", lambda args, verdict: None if verdict is None else "for"),
    "median": (statistics, "median", lambda scores: sum(scores) / len(scores)),
    "both orders count": (judge, "_preference", _one_order),
    "a tie is none": (judge, "_preference", _ties_count),
    "both orders are asked": (judge, "_requests", lambda args, *texts: (
        _same_order(args, *texts) if args.compare else REQUESTS(args, *texts))),
    "nothing to judge": (judge, "is_blank", lambda answer: False),
    "the reference is needed": (JudgeArguments, "needs_reference", property(lambda args: False)),
    "thinking is hidden": (judge, "after_thinking", lambda text: text),
    "fence": (judge_prompt, "fence", lambda texts: "0" * 16),
    "quoted lines": (judge_prompt, "quoted", lambda text: text),
    "all ends of lines": (judge_prompt, "quoted", _split_lines),
    "control tokens": (judge_prompt, "defused", lambda text: text),
    "do not follow": (judge_prompt, "_RULES", "Judge it. {key}"),
    "ignore instructions": (judge_prompt, "_ASK", "Judge {what}. VERDICT: {form} {it}"),
    "criteria": (JudgeArguments, "rubric_text", property(lambda args: args.rubric_name)),
    "checked arguments": (JudgeArguments, "read", classmethod(
        lambda cls, args: cls.model_construct(**args))),
}  # fmt: skip


def test_every_pair_is_judged_as_labelled() -> None:
    found = self_test.run_here("judge")
    assert (found.false_accepts, found.false_rejects) == ((), ())
    assert found.accept >= 20
    assert found.reject >= 20


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_is_taken_away_fails_a_pair(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, name, replacement = RULES[rule]
    monkeypatch.setattr(where, name, replacement)
    assert not self_test.run_here("judge").passed


@pytest.mark.parametrize("token", ["<|", "|>", "<｜", "end_of_turn", "INST"])
def test_each_kind_of_control_token_is_guarded(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keep: Callable[[str], str] = judge_prompt.defused
    marked = {"<|": "|>"}.get(token, token)
    monkeypatch.setattr(
        judge_prompt, "defused", lambda text: text if marked in text else keep(text)
    )
    assert not self_test.run_here("judge").passed
