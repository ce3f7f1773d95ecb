r"""Sets of real numbers, however they are written, as unions of intervals with exact ends.

`(3, \infty)`, `x > 3`, `{x | x > 3}`, `3 < x` and `x > 3 or x = 5` are read; `x \ne 3` is
(-\infty, 3) \cup (3, \infty); two sets are equal where their intervals are, after those that touch
have been joined.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from winnow.pipeline.verify import values
from winnow.pipeline.verify.expression import CannotParse, parse
from winnow.pipeline.verify.relations import Chain, chain
from winnow.pipeline.verify.structure import AND, COMMA, UNION, top_level, wraps

End = Fraction | None  # None is infinite: which one, the side says


@dataclass(frozen=True)
class Interval:
    low: End
    low_closed: bool
    high: End
    high_closed: bool

    @property
    def is_empty(self) -> bool:
        if self.low is None or self.high is None or self.low < self.high:
            return False
        return self.low > self.high or not (self.low_closed and self.high_closed)


@dataclass(frozen=True)
class RealSet:
    """Sorted intervals that do not touch, and the variable that was named."""

    intervals: tuple[Interval, ...]
    name: str | None = None


LINE = Interval(None, False, None, False)
ALL = frozenset({r"\mathbb{R}", r"\mathbb R", "all real numbers", "all reals"})
NOTHING = frozenset({r"\emptyset", r"\{\}", "no solution", "no solutions"})
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_EXCEPT = re.compile(r"(?P<all>.+?)\s*(?:\\setminus|\\backslash|except(?: for)?)\s*(?P<some>.+)")
_BUILDER = re.compile(r"\\?\{\s*[a-zA-Z](?:\s*\\in\s*\\mathbb\{R\})?\s*[|:]\s*(?P<rule>.+?)\\?\}")
_LOOKS_LIKE_A_SET = re.compile(r"[<>\[\](]|\\(?:le|ge|ne|mathbb|emptyset|\{)|all real|no sol|\{")
_MAX = 4_000


def same_set(gold: str, answer: str) -> bool | None:
    """Whether both are one set of real numbers; None where either is not read as one."""
    first = real_set(gold)
    second = real_set(answer) if first is not None else None
    if first is None or second is None:
        return None
    if first.name and second.name and first.name.lower() != second.name.lower():
        return False
    if len(first.intervals) != len(second.intervals):
        return False
    return all(map(_same_interval, first.intervals, second.intervals))


def _same_interval(a: Interval, b: Interval) -> bool:
    return (
        (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
        and _same_end(a.low, b.low)
        and _same_end(a.high, b.high)
    )


def _same_end(a: End, b: End) -> bool:
    if a is None or b is None:
        return a is b
    # Roots and the like are known to 50 digits.
    return abs(a - b) * 10**35 <= max(abs(a), abs(b))


@lru_cache(maxsize=8192)
def real_set(text: str) -> RealSet | None:
    """The set that `text` (normalised) writes, or None."""
    if "\\text" in text:
        text = " ".join(_TEXT.sub(r" \1 ", text).split())
    if len(text) > _MAX or not _LOOKS_LIKE_A_SET.search(text):
        return None
    if text.strip("$ ") in ALL:
        return RealSet((LINE,))
    if text in NOTHING:
        return RealSet(())
    for reader in READERS.values():
        found = reader(text)
        if found is not None:
            return RealSet(_joined(found.intervals), found.name)
    return None


def _builder(text: str) -> RealSet | None:
    found = _BUILDER.fullmatch(text)
    return real_set(found["rule"].strip()) if found else None


def _difference(text: str) -> RealSet | None:
    r"""`\mathbb{R} \setminus \{0, 1\}`"""
    found = _EXCEPT.fullmatch(text)
    whole = real_set(found["all"].strip()) if found else None
    if found is None or whole is None:
        return None
    points = found["some"].strip().removeprefix(r"\{").removesuffix(r"\}")
    items = top_level(points, f"{COMMA}|{AND}")
    holes = [_number(re.sub(r"^[a-zA-Z]\s*=", "", item)) for item in items]
    parts = list(whole.intervals)
    for hole in holes:
        if hole is None:
            return None
        parts = [piece for part in parts for piece in _without(part, hole)]
    return RealSet(tuple(parts))


def _without(part: Interval, hole: Fraction) -> list[Interval]:
    below = Interval(part.low, part.low_closed, hole, False)
    above = Interval(hole, False, part.high, part.high_closed)
    outside = (part.low is not None and hole < part.low) or (
        part.high is not None and hole > part.high
    )
    return [part] if outside else [p for p in (below, above) if not p.is_empty]


def _union(text: str) -> RealSet | None:
    items = top_level(text, UNION)
    return _all(items) if len(items) > 1 else None


def _alternatives(text: str) -> RealSet | None:
    """`x < 1 or x > 3`; of `x > 1, x < 3` both hold, unless that is impossible."""
    items = top_level(text, r"(?<![a-zA-Z\\])or(?![a-zA-Z])")
    if len(items) > 1:
        return _all(items)
    items = top_level(text, f"{COMMA}|{AND}")
    if len(items) < 2 or not all(chain(item) for item in items):
        return None
    union = _all(items)
    if union is None:
        return None
    both = [LINE]
    for item in items:
        found = real_set(item)
        pieces = [_intersection(a, b) for a in both for b in (found.intervals if found else ())]
        both = [piece for piece in pieces if not piece.is_empty]
    return RealSet(tuple(both), union.name) if both else union


def _all(items: list[str]) -> RealSet | None:
    sets = [real_set(item) for item in items]
    names = {found.name for found in sets if found and found.name}
    if None in sets or len(names) > 1:
        return None
    intervals = tuple(interval for found in sets if found for interval in found.intervals)
    return RealSet(intervals, next(iter(names), None))


def _intersection(a: Interval, b: Interval) -> Interval:
    low = max((a, b), key=lambda i: (i.low is not None, i.low or 0, not i.low_closed))
    high = min((a, b), key=lambda i: (i.high is None, i.high or 0, i.high_closed))
    return Interval(low.low, low.low_closed, high.high, high.high_closed)


def _interval(text: str) -> RealSet | None:
    if not (text[:1] in "([" and text[-1:] in ")]" and wraps(text)):
        return None
    ends = top_level(text[1:-1], COMMA, numbers=False)
    if len(ends) != 2:
        return None
    return _between(ends[0], text[0] == "[", ends[1], text[-1] == "]")


def _points(text: str) -> RealSet | None:
    r"""`\{1, 2\}` as a part of a union."""
    if not (text.startswith(r"\{") and text.endswith(r"\}")):
        return None
    points = [_number(item) for item in top_level(text[2:-2], COMMA, numbers=False)]
    if not points or None in points:
        return None
    return RealSet(tuple(Interval(p, True, p, True) for p in points))


def _relation(text: str) -> RealSet | None:
    r"""`x > 3`, `1 \le x < 2`, `x \ne 3`, `x \in [1, 2]`, `x \in \mathbb{R}`"""
    found = chain(text)
    if found is None:
        return None
    if found.signs == (r"\in",):
        inner = real_set(found.sides[1])
        return RealSet(inner.intervals, found.sides[0]) if inner else None
    if set(found.signs) == {r"\ne"}:
        holes = [_number(side) for side in found.sides[1:]]
        parts = [LINE]
        for hole in holes:
            if hole is None:
                return None
            parts = [piece for part in parts for piece in _without(part, hole)]
        return RealSet(tuple(parts), found.sides[0])
    return _inequality(found)


def _inequality(found: Chain) -> RealSet | None:
    if not set(found.signs) <= {"<", ">", r"\le", r"\ge"}:
        return None
    sides, signs = list(found.sides), list(found.signs)
    if all(sign in (">", r"\ge") for sign in signs):
        turned = {">": "<", r"\ge": r"\le"}
        sides, signs = sides[::-1], [turned[sign] for sign in signs[::-1]]
    if not all(sign in ("<", r"\le") for sign in signs) or len(sides) > 3:
        return None
    constant = [_is_end(side) for side in sides]
    if constant == [False, True]:
        return _named(sides[0], "-oo", False, sides[1], signs[0] != "<")
    if constant == [True, False]:
        return _named(sides[1], sides[0], signs[0] != "<", "oo", False)
    if constant == [True, False, True]:
        return _named(sides[1], sides[0], signs[0] != "<", sides[2], signs[1] != "<")
    return None


def _named(name: str, low: str, low_closed: bool, high: str, high_closed: bool) -> RealSet | None:
    if not re.fullmatch(r"\\?[a-zA-Z]+(?:_\{?[a-zA-Z0-9]+\}?)?(?:\([a-zA-Z]\))?", name):
        return None
    found = _between(low, low_closed, high, high_closed)
    return RealSet(found.intervals, name) if found else None


READERS = {
    "builder": _builder,
    "difference": _difference,
    "union": _union,
    "alternatives": _alternatives,
    "interval": _interval,
    "points": _points,
    "relation": _relation,
}


def _between(low: str, low_closed: bool, high: str, high_closed: bool) -> RealSet | None:
    if not (_is_end(low) and _is_end(high)):
        return None
    bottom = None if _infinite(low) == -1 else _number(low)
    top = None if _infinite(high) == 1 else _number(high)
    if (bottom is None) != (_infinite(low) == -1) or (top is None) != (_infinite(high) == 1):
        return None
    found = Interval(bottom, low_closed, top, high_closed)
    return None if found.is_empty else RealSet((found,))


def _is_end(text: str) -> bool:
    return bool(_infinite(text)) or _number(text) is not None


def _infinite(text: str) -> int:
    """1 for infinity, -1 for minus infinity, 0 for anything else."""
    try:
        node = parse(text).node
    except CannotParse:
        return 0
    if node == ("const", "inf"):
        return 1
    return -1 if node == ("mul", (("num", -1), ("const", "inf"))) else 0


@lru_cache(maxsize=8192)
def _number(text: str) -> Fraction | None:
    try:
        return values.number(parse(text))
    except CannotParse:
        return None


def _joined(intervals: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """Sorted, and without boundaries between intervals that touch or overlap."""
    out: list[Interval] = []
    kept = [interval for interval in intervals if not interval.is_empty]
    for part in sorted(kept, key=lambda i: (i.low is not None, i.low or 0, not i.low_closed)):
        last = out[-1] if out else None
        if last is not None and _touches(last, part):
            high = max((last, part), key=lambda i: (i.high is None, i.high or 0, i.high_closed))
            out[-1] = Interval(last.low, last.low_closed, high.high, high.high_closed)
        else:
            out.append(part)
    return tuple(out)


def _touches(a: Interval, b: Interval) -> bool:
    if a.high is None or b.low is None:
        return True
    return b.low < a.high or (b.low == a.high and (a.high_closed or b.low_closed))
