r"""The outer structure of an answer: lists, tuples, intervals, sets, unions, matrices, cases.

Works on text as `notation.normalise` leaves it, before anything is parsed, so that parts are
compared one by one and nothing depends on how a parser reads commas.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

COMMA = ",|;"
AND = r"(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])"
UNION = r"\\cup(?![a-zA-Z])"
_GROUPED = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
_ENVIRONMENT = re.compile(
    r"(?P<factor>[^,;&()\[\]]*)\\begin\{(?P<name>[a-zA-Z]+)\*?\}(?:\{[lcr| ]*\})?(?P<body>.*)\\end\{(?P=name)\*?\}",
    re.DOTALL,
)
_CONDITION = re.compile(
    r"\s*,?\s*&\s*(?:\\text\s*\{\s*(?:if|for|when|,)\s*\}|(?:if|for|when)\b)?\s*"
)
MATRICES = frozenset(["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"])
ROWS = frozenset(["aligned", "align", "gathered", "split"])
_SIGNS = re.compile(r"\\pm(?![a-zA-Z])")
_OPPOSITE = re.compile(r"\\mp(?![a-zA-Z])")
_LISTED = re.compile(r"\\text\s*\{([^{}]*[,;][^{}]*)\}")
_STRUCTURED = re.compile(r"[,;({\[&]|\\(?:cup|pm|begin)|and|or")


@dataclass(frozen=True)
class Parts:
    """A structured answer. `kind`: the two delimiters of a tuple or interval ("(]"), "list" (no
    delimiters), "set", "union", "cases" or "matrix" (`columns` wide)."""

    kind: str
    items: tuple[str, ...]
    columns: int = 1


@lru_cache(maxsize=16384)
def split(text: str) -> Parts | None:
    """The parts of a structured answer; None for a single expression."""
    if not _STRUCTURED.search(text):
        return None
    for reader in READERS.values():
        found = reader(text)
        if found is not None:
            return found
    return None


def _environment(text: str) -> Parts | None:
    found = _ENVIRONMENT.fullmatch(text) or _ENVIRONMENT.fullmatch(text.strip("[]() "))
    if found is None:
        return None
    rows = [row.strip() for row in re.split(r"\\\\(?:\[[^\]]*\])?", found["body"]) if row.strip()]
    if found["factor"] and found["name"] not in MATRICES:
        return None
    if found["name"] == "cases":
        return Parts("cases", tuple(_CONDITION.sub(", ", row, count=1) for row in rows))
    if found["name"] in ROWS:
        return Parts("list", tuple(row.replace("&", "").strip(" ,") for row in rows))
    if found["name"] not in MATRICES:
        return None
    factor = found["factor"].strip(" *")
    if factor == "-":
        factor = "-1"
    cells = [row.split("&") for row in rows]
    if factor:  # a number before a matrix multiplies each of its cells
        cells = [[f"({factor})*({cell})" for cell in row] for row in cells]
    return _matrix(cells)


def _matrix(cells: list[list[str]]) -> Parts | None:
    if len({len(row) for row in cells}) != 1:
        return None
    return Parts("matrix", tuple(c.strip() for row in cells for c in row), len(cells[0]))


def _nested_list(text: str) -> Parts | None:
    """`[[1, 2], [3, 4]]`, as Python writes a matrix."""
    if not (text.startswith("[[") and text.endswith("]]")):
        return None
    rows = [row for row in top_level(text[1:-1], COMMA, numbers=False) if row]
    if not all(row[0] == "[" and wraps(row) for row in rows):
        return None
    return _matrix([top_level(row[1:-1], COMMA, numbers=False) for row in rows])


def _text_list(text: str) -> Parts | None:
    listed = _LISTED.fullmatch(text)
    return Parts("list", tuple(top_level(listed[1], f"{COMMA}|{AND}"))) if listed else None


def _union(text: str) -> Parts | None:
    items = top_level(text, UNION)
    return Parts("union", tuple(items)) if len(items) > 1 else None


def _list(text: str) -> Parts | None:
    items = top_level(text, f"{COMMA}|{AND}")
    return Parts("list", tuple(items)) if len(items) > 1 else None


def _plus_minus(text: str) -> Parts | None:
    r"""`1 \pm 2`: both values. Several \pm are independent; \mp is the opposite of the first."""
    pieces = _SIGNS.split(text)
    if not 2 <= len(pieces) <= 3:
        return None
    out = []
    for signs in product("+-", repeat=len(pieces) - 1):
        written = pieces[0] + "".join(s + p for s, p in zip(signs, pieces[1:], strict=True))
        out.append(_OPPOSITE.sub("-" if signs[0] == "+" else "+", written))
    return Parts("list", tuple(out))


def _set(text: str) -> Parts | None:
    if text[:2] == r"\{" and text[-2:] == r"\}" and top_level(text, ",") == [text]:
        return Parts("set", tuple(top_level(text[2:-2], COMMA, numbers=False)))
    if text[:1] == "{" and text[-1:] == "}":
        items = top_level(text[1:-1], COMMA, numbers=False)
        return Parts("set", tuple(items)) if len(items) > 1 else None
    return None


def _tuple(text: str) -> Parts | None:
    if text[:1] in "([" and text[-1:] in ")]" and wraps(text):
        items = top_level(text[1:-1], COMMA, numbers=False)
        if len(items) > 1:
            return Parts(text[0] + text[-1], tuple(items))
    return None


READERS = {
    "environment": _environment,
    "nested_list": _nested_list,
    "text_list": _text_list,
    "union": _union,
    "list": _list,
    "plus_minus": _plus_minus,
    "set": _set,
    "tuple": _tuple,
}


def order(gold: Parts, answer: Parts) -> Literal["ordered", "any"] | None:
    """How the items of the two compare; None where the two kinds differ."""
    kinds = {gold.kind, answer.kind}
    intervals = {"()", "[]", "(]", "[)"}
    if kinds <= {"list", "set"} or kinds in ({"union"}, {"cases"}):
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


def wraps(text: str) -> bool:
    """Whether the first delimiter is closed by the last one."""
    depth = 0
    for at, mark in enumerate(text):
        if mark in "([":
            depth += 1
        elif mark in ")]":
            depth -= 1
        if depth == 0:
            return at == len(text) - 1
    return False


@lru_cache(maxsize=64)
def _marks(separator: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<cut>{separator})|\\[{{}}]|\\[a-zA-Z]+|[(\[{{)\]}}]")


def top_level(text: str, separator: str, *, numbers: bool = True) -> list[str]:
    """`text` split where `separator` stands outside all brackets; with `numbers`, commas that group
    the digits of one number do not separate."""
    grouped: set[int] = set()
    if numbers and "," in text:
        grouped = {at for number in _GROUPED.finditer(text) for at in range(*number.span())}
    depth, start, items = 0, 0, []
    for match in _marks(separator).finditer(text):
        mark = match.group()
        if match["cut"] is not None:
            if depth == 0 and match.start() not in grouped:
                items.append(text[start : match.start()].strip())
                start = match.end()
        elif mark in ("(", "[", "{", r"\{", r"\langle"):
            depth += 1
        elif mark in (")", "]", "}", r"\}", r"\rangle"):
            depth -= 1
    items.append(text[start:].strip())
    return [item for item in items if item]
