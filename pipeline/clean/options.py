"""The answer options inside a prompt: where they stand and what they say."""

import re
from typing import NamedTuple

# A label at the start of a line: (A)  A)  A.  A:  [A]  **A.**  - A)  \textbf{(A)}
_LABELLED_LINE = re.compile(
    r"[ \t]*(?:[-*\u2022][ \t]+)?(?:\*\*|__|\$?\\textbf\{)?[(\[]?([A-Za-z])[)\].:](?:\*\*|__|\})?"
    r"(?![^\s\\$*])[\s\\]*(.*)"
)
# Labels inside a line, one style at a time.
_STYLES = tuple(
    re.compile(style)
    for style in (
        r"(?<!\w)\(([A-Za-z])\)",
        r"\[([A-Za-z])\]",
        r"(?<![\w(\[])([A-Za-z])\)",
        r"(?<!\S)([A-Za-z])[.:](?=\s)",
    )
)
_HEADED = re.compile(r"\b(?:options|choices|candidates)[ \t]*:[ \t]*", re.IGNORECASE)
_BULLET = re.compile(r"[ \t]*(?:[-*\u2022]|\d{1,2}[.)])[ \t]+(\S.*)")
# Without one of these there are no options: a cheap look that most prompts pass.
_LABEL_A = re.compile(r"(?<!\w)[Aa][)\].:]")
_LABELS_A = tuple(letter + mark for letter in "Aa" for mark in ").]:")
# What stands between two options and belongs to neither.
_BEFORE = re.compile(r"^(?:[\s}:.]|\\ |\*\*)+")
_AFTER = re.compile(r"(?:[\s,;|$]|\*\*|\\q?quad|\\hspace\{[^}]*\}|\\text(?:bf)?\{|\\\\|\\ )+$")


class Options(NamedTuple):
    """A prompt cut at its options; `texts` are in the order that they stand in, without labels."""

    before: str
    texts: tuple[str, ...]
    after: str


def find(text: str) -> Options | None:
    """The first list of answer options in `text`, or None.

    A list is at least two options: labelled A, B, ... on lines of their own or within a line, or
    under a heading such as `Options:` as bullets or parted by commas. An option ends where the next
    label or the line ends.
    """
    if may_be_labelled(text):
        found = _lines(text) or _inline(text)
        if found:
            return found
    return _headed(text) if ":" in text else None


def literal_from(text: str) -> int:
    """Where in the folded `text` labelled options begin; its length where there are none.

    Folding has taken the line breaks, so where the last option ends is not known.
    """
    start = len(text)
    if not may_be_labelled(text):
        return start
    for at in _label_runs(text):
        start = min(start, at[0][0])
    return start


def may_be_labelled(text: str) -> bool:
    """A quick look: without a label A there are no labelled options."""
    return any(label in text for label in _LABELS_A) and _LABEL_A.search(text) is not None


def _label_runs(text: str) -> list[list[tuple[int, int]]]:
    """The first run A, B, ... of each style, as the labels' (start, end)."""
    runs = []
    for style in _STYLES:
        best: list[tuple[int, int]] = []
        run: list[tuple[int, int]] = []
        expected = 0
        for found in style.finditer(text):
            letter = ord(found[1].lower()) - ord("a")
            if letter == expected and letter > 0:
                run.append(found.span())
            elif letter == 0:
                if len(best) < len(run):
                    best = run
                run = [found.span()]
            else:
                continue
            expected = letter + 1
        best = max(best, run, key=len)
        if len(best) >= 2:
            runs.append(best)
    return runs


def _clean(option: str) -> str:
    return _AFTER.sub("", _BEFORE.sub("", option))


def _lines(text: str) -> Options | None:
    lines = text.splitlines()
    texts: list[str] = []
    first = last = 0
    for number, line in enumerate(lines):
        found = _LABELLED_LINE.match(line)
        if found and ord(found[1].lower()) - ord("a") == len(texts):
            if not texts:
                first = number
            texts.append(_clean(found[2]))
            last = number
        elif line.strip():
            if len(texts) >= 2:
                break
            texts = []
            if found and found[1] in "Aa":
                texts, first, last = [_clean(found[2])], number, number
    if len(texts) < 2:
        return None
    return Options("\n".join(lines[:first]), tuple(texts), "\n".join(lines[last + 1 :]))


def _inline(text: str) -> Options | None:
    runs = _label_runs(text)
    if not runs:
        return None
    run = max(runs, key=len)
    starts = [start for start, _ in run]
    line_end = text.find("\n", run[-1][1])
    end = line_end if line_end >= 0 else len(text)
    bounds = [*starts[1:], end]
    texts = [_clean(text[label:stop]) for (_, label), stop in zip(run, bounds, strict=True)]
    return Options(_AFTER.sub("", text[: starts[0]]), tuple(texts), text[end:])


def _headed(text: str) -> Options | None:
    found = _HEADED.search(text)
    if not found:
        return None
    line_end = text.find("\n", found.end())
    end = line_end if line_end >= 0 else len(text)
    head = text[: found.start()]
    same_line = text[found.end() : end].strip()
    if same_line:
        parts = [_clean(p) for p in re.split(r"[,;|]", same_line.rstrip("."))]
        return Options(head, tuple(parts), text[end:]) if len(parts) >= 2 else None
    lines = text[end:].splitlines()
    texts: list[str] = []
    used = 0
    for number, line in enumerate(lines):
        bullet = _BULLET.match(line)
        if bullet:
            texts.append(_clean(bullet[1]))
            used = number + 1
        elif line.strip():
            break
    if len(texts) < 2:
        return None
    return Options(head, tuple(texts), "\n".join(lines[used:]))
