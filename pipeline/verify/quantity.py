r"""Expressions with their units: `3\sqrt{2}\text{ cm}`, `90^\circ`, `\frac{100}{3}\%`."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from winnow.pipeline.verify import arithmetic, values
from winnow.pipeline.verify.expression import CannotParse, Expression, parse
from winnow.pipeline.verify.plain_number import changes_value, plain_number
from winnow.pipeline.verify.units import UNITS, Unit, unit


@dataclass(frozen=True)
class Quantity:
    """An expression without its unit. `percent` is the hundredth where it ended in a percent sign."""

    expression: Expression
    unit: Unit | None
    percent: bool


_TRAILING = re.compile(
    r"(?P<value>.*?[0-9a-zA-Z})\]])\s*"
    r"(?:\\text\s*\{(?P<text>[^{}]*)\}(?P<power>\s*\^\s*\{?[0-9]\}?)?|(?P<degrees>\^\\circ)"
    r"|(?P<percent>%)|\s(?P<words>[a-z]{2,}(?:[ /][a-z]+)*(?:\^\{?[23]\}?)?))"
)


@lru_cache(maxsize=16384)
def quantity(text: str) -> Quantity:
    """An expression with its unit. Raises CannotParse."""
    text = text.removeprefix("$").strip()
    if (number := plain_number(text)) is not None:
        node = ("num", arithmetic.plain(number.value))
        empty: frozenset[str] = frozenset()
        return Quantity(Expression(node, empty, empty, False), number.unit, number.percent)
    found = _TRAILING.fullmatch(text)
    named = (found["text"] or found["words"]) if found else None
    if named and changes_value(named.split()):
        return Quantity(parse(text), None, False)
    # \sqrt{2} cm is no product of c and m.
    if found is None or not (found["words"] and unit(found["words"])):
        try:
            return Quantity(parse(text), None, False)
        except CannotParse:
            if found is None:
                raise
    if named is None:
        return Quantity(parse(found["value"]), None, bool(found["percent"]))
    return Quantity(parse(found["value"]), unit(named.strip() + (found["power"] or "")), False)


def same_quantity(gold: str, answer: str) -> bool | None:
    """Whether two expressions have one value, in one unit; a decimal of six significant digits stands
    for the value that it rounds. None where either cannot be read, or values cannot tell."""
    try:
        first, second = quantity(gold), quantity(answer)
    except CannotParse:
        return None
    a, b = first.expression, second.expression
    if first.unit and second.unit and first.unit != second.unit:
        if first.unit.dimensions != second.unit.dimensions:
            return False
        a, b = _scaled(a, first.unit.size), _scaled(b, second.unit.size)
    decided = values.equal(a, b)
    if decided is False and first.percent != second.percent:
        percent, other = (a, b) if first.percent else (b, a)
        decided = values.equal(_scaled(percent, Fraction(1, 100)), other)
    if decided is False:
        decided = (
            _in_radians(first, second)
            or _in_radians(second, first)
            or _degrees(gold, answer)
            or _rounded(gold, b)
            or _rounded(answer, a)
        )
    return None if decided == "unknown" else bool(decided)


def _in_radians(angle: Quantity, other: Quantity) -> bool:
    r"""`90^\circ` is `\pi/2`."""
    if angle.unit != UNITS["degree"] or other.unit or other.expression.node[0] == "num":
        return False
    radians = arithmetic.multiplied(angle.expression.node, arithmetic.DEGREE)
    names, functions = angle.expression.names, angle.expression.functions
    return values.equal(Expression(radians, names, functions, False), other.expression) is True


def _scaled(expression: Expression, factor: Fraction) -> Expression:
    node = arithmetic.multiplied(("num", arithmetic.plain(factor)), expression.node)
    return Expression(node, expression.names, expression.functions, expression.is_complex)


def _degrees(gold: str, answer: str) -> bool:
    r"""`(90 - x)^\circ` may stand without the sign."""
    bare = [re.sub(r"\s*\^\\circ$", "", text) for text in (gold, answer)]
    if [gold, answer] == bare or any(quantity(text).expression.functions for text in bare):
        return False
    try:
        return values.equal(parse(bare[0]), parse(bare[1])) is True
    except CannotParse:
        return False


def _rounded(decimal: str, expression: Expression) -> bool:
    number = plain_number(decimal)
    if number is None or not number.is_long_decimal:
        return False
    value = values.number(expression)
    return value is not None and number.rounds(value, value)
