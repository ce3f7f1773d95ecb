r"""The outer structure of an answer: lists, tuples, intervals, sets, unions, matrices, equations.

Works on text as `notation.normalise` leaves it, before anything is parsed, so that parts are
compared one by one and nothing depends on how a parser reads commas.
"""

import re
from dataclasses import dataclass
from typing import Literal

_COMMA = ",|;"
_AND = r"(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])"
_GROUPED = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
_RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|lt|gt)(?![a-zA-Z])|!=")
_NAME = r"\\?[a-zA-Z][a-zA-Z ]*'*(?:_(?:[0-9a-zA-Z]|\{[^{}]*\}))?"
_NAMED = re.compile(
    rf"{_NAME}(?:\s*\([a-zA-Z0-9, ]{{1,20}}\))?|\(\s*[a-zA-Z](?:\s*,\s*[a-zA-Z])*\s*\)"
)
_MATRIX = re.compile(
    r"\\begin\{[pbBs]?(?:small)?(?:matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{[a-zA-Z]*\}"
)


@dataclass(frozen=True)
class Parts:
    """A structured answer. `kind`: the two delimiters of a tuple or interval ("(]"), "list" (no
    delimiters), "set", "union" or "matrix" (`columns` wide)."""

    kind: str
    items: tuple[str, ...]
    columns: int = 1


def assignment(text: str) -> tuple[str | None, str]:
    r"""(name, value) of `x = 5`, `f(x) = x^2`, `(x, y) = (1, 2)` and `x \in [1, 2]`; ("", value) of
    `2 + 3 = 5` and of a chain, which ends in its value; (None, text) of everything else, such as
    an equation between variables."""
    if _RELATION.search(text) or len(top_level(text, f"{_COMMA}|{_AND}")) > 1:
        return None, text
    left, *others = (part.strip() for part in re.split(r"=|\\in(?![a-zA-Z])", text))
    if not others or not left or not others[-1]:
        return None, text
    if not re.search(r"[a-zA-Z]", left):
        return "", others[-1]
    if _NAMED.fullmatch(left):
        return left, others[-1]
    return ("", others[-1]) if len(others) > 1 else (None, text)


def split(text: str) -> Parts | None:
    """The parts of a structured answer; None for a single expression."""
    if matrix := _MATRIX.fullmatch(text.strip("[]() ")):
        rows = [row for row in re.split(r"\\\\", matrix[1]) if row.strip()]
        cells = [row.split("&") for row in rows]
        if len({len(row) for row in cells}) == 1:
            return Parts("matrix", tuple(c.strip() for row in cells for c in row), len(cells[0]))
        return None
    if listed := re.fullmatch(r"\\text\s*\{([^{}]*[,;][^{}]*)\}", text):
        return Parts("list", tuple(top_level(listed[1], f"{_COMMA}|{_AND}")))
    union = top_level(text, r"\\cup(?![a-zA-Z])")
    if len(union) > 1:
        return Parts("union", tuple(union))
    items = top_level(text, f"{_COMMA}|{_AND}")
    if len(items) > 1:
        return Parts("list", tuple(items))
    signs = re.split(r"\\pm(?![a-zA-Z])", text)
    if len(signs) == 2:
        return Parts("list", ("+".join(signs), "-".join(signs)))
    if re.match(r"\\\{", text) and re.search(r"\\\}$", text):
        return Parts("set", tuple(top_level(text[2:-2], _COMMA, numbers=False)))
    if text[:1] in "([" and text[-1:] in ")]" and _wraps(text):
        items = top_level(text[1:-1], _COMMA, numbers=False)
        if len(items) > 1:
            return Parts(text[0] + text[-1], tuple(items))
    return None


def order(gold: Parts, answer: Parts) -> Literal["ordered", "any"] | None:
    """How the items of the two compare; None where the two kinds differ."""
    kinds = {gold.kind, answer.kind}
    intervals = {"()", "[]", "(]", "[)"}
    if kinds <= {"list", "set"} or kinds == {"union"}:
        return "any"
    if kinds == {"matrix"}:
        return "ordered" if gold.columns == answer.columns else None
    if "matrix" in kinds:  # a vector may stand as a tuple
        matrix = gold if gold.kind == "matrix" else answer
        is_vector = matrix.columns in (1, len(matrix.items))
        return "ordered" if is_vector and kinds & {"()", "[]", "list"} else None
    if len(kinds) == 1 or (kinds <= {"()", "[]"} and len(gold.items) > 2):
        return "ordered"
    if "list" in kinds and kinds & intervals:  # left out delimiters; [a, b] could be an interval
        return "ordered" if "()" in kinds or len(gold.items) > 2 else None
    return None


def _wraps(text: str) -> bool:
    """Whether the first delimiter is closed by the last one."""
    depth = 0
    for at, mark in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(mark, 0)
        if depth == 0:
            return at == len(text) - 1
    return False


def top_level(text: str, separator: str, *, numbers: bool = True) -> list[str]:
    """`text` split where `separator` stands outside all brackets; with `numbers`, commas that group
    the digits of one number do not separate."""
    marks = re.compile(rf"(?P<cut>{separator})|\\[{{}}]|\\[a-zA-Z]+|[(\[{{)\]}}]")
    grouped = {at for number in _GROUPED.finditer(text) for at in range(*number.span()) if numbers}
    depth, start, items = 0, 0, []
    for match in marks.finditer(text):
        mark = match.group()
        if match["cut"] is not None:
            if depth == 0 and match.start() not in grouped:
                items.append(text[start : match.start()].strip())
                start = match.end()
        elif mark in ("(", "[", "{", r"\{"):
            depth += 1
        elif mark in (")", "]", "}", r"\}"):
            depth -= 1
    items.append(text[start:].strip())
    return [item for item in items if item]
