"""What is known of one task's answers, and what a stop rule says about it.

A rule decides on the contiguous prefix of a task's answers, indices 0 to n - 1, never on the order
of arrival, so that a resumed run decides as an uninterrupted one. It is pure: the same tally always
gives the same decision. Rules are combined by `any_of.AnyOf`.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, Protocol

from winnow.pipeline.contracts import VerdictName


class Answer(NamedTuple):
    """What a rule may know of one judged answer.

    `truncated`: it hit the limit on its tokens. `extracted`: what was read from it; rules other than
    `majority` never look at it, and it is cheaper to leave it None for them.
    """

    verdict: VerdictName
    n_tokens: int = 0
    truncated: bool = False
    extracted: str | None = None


class Tally(NamedTuple):
    """Answers 0 to `drawn` - 1 of one task, all of them judged.

    drawn = correct + wrong + unjudged; `truncated` counts the unjudged ones that were cut at the
    limit on tokens. `tokens` are those of all answers. `answers` counts equal extracted answers,
    first seen first.
    """

    drawn: int = 0
    correct: int = 0
    wrong: int = 0
    unjudged: int = 0
    truncated: int = 0
    tokens: int = 0
    answers: Mapping[str, int] = MappingProxyType({})

    @property
    def judged(self) -> int:
        return self.correct + self.wrong

    def add(self, answer: Answer) -> "Tally":
        """The tally with the next answer, index `drawn`."""
        verdict, n_tokens, cut, extracted = answer
        answers = self.answers
        if extracted is not None:
            answers = {**answers, extracted: answers.get(extracted, 0) + 1}
        unjudged = verdict == "unjudged"
        return Tally(
            self.drawn + 1,
            self.correct + (verdict == "correct"),
            self.wrong + (verdict == "wrong"),
            self.unjudged + unjudged,
            self.truncated + (unjudged and cut),
            self.tokens + n_tokens,
            answers,
        )


class Rule(Protocol):
    """When to stop drawing answers for one task."""

    def more(self, tally: Tally) -> int:
        """The fewest further answers after which the rule could stop, whatever they are; 0: stop now.

        No shorter continuation stops, so that a sampler can request exactly so many at once: nothing
        is drawn too much, and nothing waits that need not.
        """
        ...

    def reason(self, tally: Tally) -> str:
        """Why it stops, in snake_case; "" to go on."""
        ...


def stopped(rule: Rule, answers: Iterable[Answer]) -> Tally:
    """The tally at which the rule stops in this sequence; that of all answers where it goes on.

    For answers that are there already (a resumed run, a replay): a rule looked at only at the end of
    a longer sequence could have stopped before and want more again.
    """
    source, tally = iter(answers), Tally()
    while more := rule.more(tally):
        taken = list(islice(source, more))
        for answer in taken:
            tally = tally.add(answer)
        if len(taken) < more:
            break
    return tally
