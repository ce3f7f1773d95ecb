"""Where correct code and similar wrong code differ."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from winnow.pipeline.verify.python_text import parsed

Span = tuple[int, int]  # start, end (excluded), from 0

_MAX_COMPARED = 4_000_000  # characters by characters of changed lines that are compared one by one


@dataclass(frozen=True)
class Difference:
    """What of the correct code the wrong code has otherwise.

    `lines` of the correct code; `characters` of it, inside those lines; `ratio`: share of the lines of
    both that have no equal in the other, 0 to 1.
    """

    lines: Sequence[Span]
    characters: Sequence[Span]
    ratio: float


def difference(correct: str, wrong: str) -> Difference:
    """Lines are matched first; inside the lines that have no match, characters."""
    ours, theirs = lines(correct), lines(wrong)
    starts = _starts(ours)
    matcher = SequenceMatcher(None, theirs, ours, autojunk=False)
    line_spans: list[Span] = []
    char_spans: list[Span] = []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag == "equal" or j1 == j2:
            continue
        line_spans.append((j1, j2))
        at = starts[j1]
        there = "\n".join(theirs[i1:i2])
        char_spans += [(at + a, at + b) for a, b in _characters("\n".join(ours[j1:j2]), there)]
    return Difference(line_spans, char_spans, 1 - matcher.ratio())


def edit_ratio(correct: str, wrong: str) -> float:
    """`difference(...).ratio` alone."""
    return 1 - SequenceMatcher(None, lines(wrong), lines(correct), autojunk=False).ratio()


def same_code(one: str, other: str) -> bool:
    """Whether two programs differ in comments and white space at most: equal syntax trees; of what is no
    Python, equal lines but for their ends, blank lines and lines that are a comment."""
    trees = parsed(one), parsed(other)
    if trees[0] is not None and trees[1] is not None:
        try:
            return ast.dump(trees[0]) == ast.dump(trees[1])
        except RecursionError:
            pass  # too deep to be told apart by its tree
    return list(_spoken(one)) == list(_spoken(other))


def lines(code: str) -> list[str]:
    """Lines as an editor counts them, without their ends; none after the last line's end."""
    found = code.split("\n")
    return found[:-1] if found[-1] == "" else found


def _spoken(code: str) -> Iterator[str]:
    for line in lines(code):
        stripped = line.rstrip()
        if stripped and not stripped.lstrip().startswith("#"):
            yield stripped


def _characters(ours: str, theirs: str) -> list[Span]:
    if not theirs or len(ours) * len(theirs) > _MAX_COMPARED:
        return [(0, len(ours))] if ours else []
    matcher = SequenceMatcher(None, theirs, ours, autojunk=False)
    return [(j1, j2) for tag, _, _, j1, j2 in matcher.get_opcodes() if tag != "equal" and j1 < j2]


def _starts(found: Sequence[str]) -> list[int]:
    """Character at which each line begins."""
    starts, at = [], 0
    for line in found:
        starts.append(at)
        at += len(line) + 1
    return starts
