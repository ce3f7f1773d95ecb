r"""Equations, inequalities and congruences: `x = 5`, `y = 2x + 3`, `3 < x \le 4`, `a = b = c`.

Works on normalised text. `chain` finds the relation signs, `stated` reads what an equation states,
and `same_relation` compares two that are about more than one variable.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from winnow.pipeline.verify import arithmetic, values
from winnow.pipeline.verify.expression import CannotParse, Expression, parse

# A relation, and the one that it becomes when its sides change places.
FLIPPED = {
    "=": "=", "<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne",
    r"\approx": r"\approx", r"\in": "",
}  # fmt: skip
_SIGNS = re.compile(
    r"(?P<sign>[=<>]|\\(?:le|ge|ne|approx|in)(?![a-zA-Z]))|\\[{}]|\\[a-zA-Z]+|[(\[{)\]}]"
)
_HAS_SIGN = re.compile(r"[=<>]|\\(?:le|ge|ne|approx|in)(?![a-zA-Z])")
_SUBSCRIPT = r"(?:_(?:[0-9a-zA-Z]|\{[^{}]*\}))?"
_SYMBOL = rf"\\?[a-zA-Z]+{_SUBSCRIPT}'*"
NAME = re.compile(
    rf"(?:\\text\s*\{{[^{{}}]*\}}|{_SYMBOL}|[A-Za-z][A-Za-z ]*)(?:\^\{{?-1\}}?)?"
    rf"(?:\s*\([a-zA-Z0-9, ]{{1,20}}\))?|\(\s*{_SYMBOL}(?:\s*,\s*{_SYMBOL})*\s*\)"
    r"|\\frac\{\s*d\s*[a-zA-Z]\s*\}\{\s*d\s*[a-zA-Z]\s*\}"
)
# Names that are given to one thing: a function, and its derivative.
_KINDS = {
    "function": re.compile(r"[a-zA-Z](?:\^\{?-1\}?)?\([a-zA-Z,]+\)|y"),
    "derivative": re.compile(r"[a-zA-Z]'(?:\([a-zA-Z]\))?|\\frac\{d[a-zA-Z]\}\{d[a-zA-Z]\}"),
}
# `m + n`, `\sin \theta`, `P(A)`, `\angle ABC`: names a quantity, and is no equation to be solved.
_QUANTITY = re.compile(r"(?:[^0-9]|\([^()]*\)|_\{?[0-9]+\}?)+")


@dataclass(frozen=True)
class Chain:
    """`sides` and the `signs` between them: one fewer."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


@lru_cache(maxsize=16384)
def chain(text: str) -> Chain | None:
    """The relation signs outside brackets; None where there are none, or a side is missing."""
    if not _HAS_SIGN.search(text):
        return None
    depth, start = 0, 0
    sides, signs = [], []
    for match in _SIGNS.finditer(text):
        mark = match.group()
        if match["sign"]:
            if depth == 0 and mark in FLIPPED:
                sides.append(text[start : match.start()].strip())
                signs.append(mark)
                start = match.end()
        elif mark in ("(", "[", "{", r"\{"):
            depth += 1
        elif mark in (")", "]", "}", r"\}"):
            depth -= 1
    sides.append(text[start:].strip())
    return Chain(tuple(sides), tuple(signs)) if signs and all(sides) else None


@dataclass(frozen=True)
class Stated:
    """What an equation states: a `name` (None for `2 + 3 = 5`) and the values that it is given.

    `x = 5` gives one; `x = 2/4 = 1/2` two, which should be equal.
    """

    name: str | None
    values: tuple[str, ...]

    @property
    def kind(self) -> str | None:
        """What kind of thing the name is usual for."""
        name = (self.name or "").replace(" ", "")
        return next((kind for kind, usual in _KINDS.items() if usual.fullmatch(name)), None)


def stated(found: Chain, *, quantities: bool = False) -> Stated | None:
    r"""What a chain of `=`, `\approx` and `\in` states; None for an equation between variables.
    With `quantities`, `m + n = 5` states 5: the answer to a question about m + n."""
    if not set(found.signs) <= {"=", r"\approx", r"\in"}:
        return None
    first, *others = found.sides
    if NAME.fullmatch(first):
        return Stated(first, tuple(others))
    if _is_constant(first):
        return Stated(None, found.sides)
    if len(others) > 1:
        return Stated(None, tuple(others))
    if quantities and others[0] != "0" and _QUANTITY.fullmatch(first):
        return Stated(None, tuple(others))
    return None


def _is_constant(side: str) -> bool:
    try:
        return not parse(side).names
    except CannotParse:
        return not re.search(r"[a-zA-Z]", side)


def same_relation(gold: Chain, answer: Chain) -> bool | None:
    """Whether two relations between expressions say the same: each link of one is a link of the
    other, multiplied by a constant. None where a side cannot be read."""
    try:
        links = [_links(found) for found in (gold, answer)]
    except CannotParse:
        return None
    if len(links[0]) != len(links[1]):
        return False
    left = list(links[1])
    for sign, difference in links[0]:
        at = next((k for k, other in enumerate(left) if _same_link(sign, difference, *other)), None)
        if at is None:
            return False
        del left[at]
    return True


def _links(found: Chain) -> list[tuple[str, Expression]]:
    out = []
    for left, sign, right in zip(found.sides, found.signs, found.sides[1:], strict=False):
        if sign == r"\in":
            raise CannotParse("membership")
        out.append((sign, _difference(parse(left), parse(right))))
    return out


def _difference(left: Expression, right: Expression) -> Expression:
    node = arithmetic.added([left.node, arithmetic.negated(right.node)])
    return Expression(
        node,
        left.names | right.names,
        left.functions | right.functions,
        left.is_complex or right.is_complex,
    )


def _same_link(sign: str, difference: Expression, other_sign: str, other: Expression) -> bool:
    ratio = values.ratio(difference, other)
    if ratio is None or ratio == "unknown":
        return False
    return sign == (other_sign if ratio > 0 else FLIPPED[other_sign])


_CONGRUENCE = re.compile(
    r"(?:[a-zA-Z]\s*\\equiv\s*)?(?P<value>-?[0-9]+)\s*"
    r"(?:\\pmod\s*\{?\s*(?P<a>[0-9]+)\s*\}?|\(?\s*(?:\\bmod|\\text\s*\{\s*mod\s*\}|mod)\s*(?P<b>[0-9]+)\s*\)?)"
)


def same_congruence(gold: str, answer: str) -> bool | None:
    r"""`x \equiv 3 \pmod 7` is `x \equiv 10 \pmod 7`; a bare residue is taken for the least one."""
    first, second = _CONGRUENCE.fullmatch(gold), _CONGRUENCE.fullmatch(answer)
    if first is None:
        return None
    modulus = int(first["a"] or first["b"])
    if second is None:
        return answer == first["value"] if re.fullmatch(r"-?[0-9]+", answer) else None
    if modulus != int(second["a"] or second["b"]):
        return False
    return modulus > 0 and (int(first["value"]) - int(second["value"])) % modulus == 0
