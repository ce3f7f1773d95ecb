"""The verdict that a judging model's reply ends with, read strictly.

A reply gives a verdict when its last line is `VERDICT: x`, with x one of the values that were asked
for and perhaps Markdown marks around it, and when no other line of it names another. The last one
counts; a reply that says two things, or something that was not asked for, says nothing.
"""

import re
from collections.abc import Sequence

from winnow.pipeline.verify.extract import after_thinking

_LINE = re.compile(r"[\s*_#`]*VERDICT[\s*_`]*:", re.IGNORECASE)
_MARKS = " \t*_`#"
_SCORE = re.compile(r"([+-]?[0-9]{1,9})(?:\s*/\s*([0-9]{1,9}))?")


def read_label(reply: str, labels: Sequence[str]) -> str | None:
    """Which of `labels` the reply ends with, letter case aside; None where it is no verdict."""
    value = final_line(reply)
    return next((label for label in labels if value == label.casefold()), None)


def read_score(reply: str, low: int, high: int) -> int | None:
    """The whole number from `low` to `high` that the reply ends with (`7`, or `7/10` where 10 is
    the highest); None where it is no verdict."""
    match = _SCORE.fullmatch(final_line(reply) or "")
    if match is None or (match[2] is not None and int(match[2]) != high):
        return None
    score = int(match[1])
    return score if low <= score <= high else None


def final_line(reply: str) -> str | None:
    """What the last line of the reply says after `VERDICT:`, casefolded; None where it is no verdict
    line, or where another verdict line says something else."""
    lines = [line for line in own_words(reply).splitlines() if line.strip(_MARKS)]
    said = [verdict_line(line) for line in lines]
    verdicts = [value for value in said if value is not None]
    if not verdicts or not ends_with_verdict(said) or not is_one(verdicts):
        return None
    return verdicts[-1]


def verdict_line(line: str) -> str | None:
    """What follows `VERDICT:` on a line that begins with it, perhaps after Markdown marks; a quoted
    line, which begins with a mark of its own, is none."""
    match = _LINE.match(line)
    return line[match.end() :].strip(f"{_MARKS}.").casefold() if match else None


def ends_with_verdict(said: Sequence[str | None]) -> bool:
    """Whether the last line is a verdict line."""
    return said[-1] is not None


def is_one(verdicts: Sequence[str]) -> bool:
    """Whether all verdict lines say the same."""
    return len(set(verdicts)) == 1


def own_words(reply: str) -> str:
    """The reply without its thinking, which weighs verdicts that it does not give."""
    said = after_thinking(reply)
    return "" if "<think>" in said else said
