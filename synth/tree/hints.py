"""Hint-infer, of START (arXiv 2503.04625): what a model solves only with a hint.

An answer is cut after a conjunction such as "Wait", or taken to its end; a hint is put there, and the
model goes on from it. The tasks whose answer fails plain and passes hinted are what START trains on;
both outcomes are recorded. Not here: running the code that a hint may make the model write, and the
filter for repetitive answers.

Hints, the order of places and the number of tries are ours; the authors released none.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.names import Message
from winnow.pipeline.verify.rules import prejudge
from winnow.synth.sampling import PERMANENT
from winnow.synth.tree.memo import root
from winnow.synth.tree.node import Judge, Policy, SearchError

Kind = Literal["conjunction", "end"]
CONJUNCTIONS = ("Wait", "Alternatively")
_END_OF_THINKING = "</think>"


@dataclass(frozen=True)
class Hint:
    """`after_conjunction` goes on from the conjunction; `at_end` begins a paragraph."""

    name: str
    after_conjunction: str
    at_end: str


HINTS = (
    Hint(
        "check",
        ", I should check each step before I trust this result. Going through them again:",
        "Before I finish, I will check each step again:",
    ),
    Hint(
        "other_way",
        ", there may be another way to solve this, which would confirm or refute the result:",
        "To be sure, I will solve it again in another way:",
    ),
    Hint(
        "compute",
        ", this calculation is easy to get wrong. Doing it slowly, digit by digit:",
        "The calculations are easy to get wrong, so I will redo them slowly:",
    ),
    Hint(
        "question",
        ", let me read the question again and see what exactly is asked:",
        "Let me read the question again and see whether this is what is asked:",
    ),
)


@dataclass(frozen=True)
class Place:
    """Where a hint can go: behind `at` characters of the answer."""

    kind: Kind
    at: int


@dataclass(frozen=True)
class Hinted:
    """What came of one plain answer. `hint` and `place` are those of the last try, which passed where
    `verdict` is correct; `tries` counts them. `kept`: it failed plain and passed hinted."""

    plain: Verdict
    verdict: Verdict
    hint: str | None
    place: Place | None
    text: str
    tries: int

    @property
    def kept(self) -> bool:
        return self.plain.verdict == "wrong" and self.verdict.verdict == "correct"


def places(answer: str, conjunctions: Sequence[str] = CONJUNCTIONS) -> list[Place]:
    """After every conjunction, and before the end: of the thinking where it is marked, else of the
    answer. Conjunctions are whole words, in the letter case given."""
    thought, mark, _ = answer.rpartition(_END_OF_THINKING)
    body = thought if mark else answer
    words = "|".join(re.escape(word) for word in conjunctions)
    found = [
        Place("conjunction", match.end())
        for match in (re.finditer(rf"\b(?:{words})\b", body) if words else ())
    ]
    return [*found, Place("end", len(body.rstrip()))]


def hinted_text(answer: str, place: Place, hint: Hint) -> str:
    """The beginning of the new answer: the old one up to the place, and the hint."""
    before = answer[: place.at]
    if place.kind == "conjunction":
        return before + hint.after_conjunction
    return f"{before}\n\n{hint.at_end}" if before else hint.at_end


async def hint_infer(
    messages: Sequence[Message],
    answer: str,
    plain: Verdict,
    policy: Policy,
    judge: Judge,
    rng: random.Random,
    *,
    hints: Sequence[Hint] = HINTS,
    conjunctions: Sequence[str] = CONJUNCTIONS,
    tries: int = 3,
) -> Hinted:
    """Hint one answer until it is right, `tries` times at most, at places and with hints that `rng`
    draws without repeating a pair. An answer that is not judged wrong is not hinted.

    `policy` continues the conversation `messages`, and `judge` judges the whole text, hint included.
    A try that the engine can never answer (with the hint, the answer fills the context) is unjudged.
    Raises SearchError where policy or judge does for another reason.
    """
    found = Hinted(plain, plain, None, None, answer, 0)
    if plain.verdict != "wrong":
        return found
    pairs = [(place, hint) for place in places(answer, conjunctions) for hint in hints]
    rng.shuffle(pairs)
    for number, (place, hint) in enumerate(pairs[:tries], 1):
        whole = root(messages, hinted_text(answer, place, hint))
        try:
            whole = whole.then(await policy.step(whole, 0))
        except SearchError as error:
            if not str(error).startswith(PERMANENT):
                raise
            verdict = Verdict.unjudged(str(error))
        else:
            cut = prejudge(whole.steps[-1].finish_reason)
            verdict = cut or await judge.judge(whole, 0)
        found = Hinted(plain, verdict, hint.name, place, whole.text, number)
        if verdict.verdict == "correct":
            break
    return found


def hinted_row(task_id: str, rollout_id: str, found: Hinted) -> dict[str, Any]:
    """A row of the table of hinted answers."""
    return {
        "task_id": task_id,
        "rollout_id": rollout_id,
        "plain_verdict": found.plain.verdict,
        "hinted_verdict": found.verdict.verdict,
        "kept": found.kept,
        "hint": found.hint,
        "place": found.place.kind if found.place else None,
        "place_at": found.place.at if found.place else None,
        "completion": found.text,
        "tries": found.tries,
    }
