"""Builds the nodes of an expression; rational numbers are worked out exactly while it does.

Every operation bounds the size of what it makes, so that `9^{9^9}` costs nothing.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

Node = tuple[Any, ...]
Rational = int | Fraction

MAX_BITS = 200_000  # of a numerator or denominator; 2004! has 19,000
MAX_FACTORIAL = 10_000
DEGREE: Node = ("div", ("const", "pi"), ("num", 180))
ARITY = {"binomial": 2}
VARIADIC = frozenset({"gcd", "lcm", "max", "min"})


class TooLarge(Exception):
    """A number that would take too long to work out."""


def number(text: str) -> Rational:
    """An integer or decimal; commas group its digits."""
    whole, point, digits = text.replace(",", "").partition(".")
    if len(whole) + len(digits) > 2_000:
        raise TooLarge("digits")
    if not point:
        return int(whole)
    return plain(Fraction(int(whole + digits), 10 ** len(digits)))


def plain(value: Rational) -> Rational:
    """An integer where it is one."""
    return value.numerator if value.denominator == 1 else value


def _checked(value: Rational) -> Node:
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise TooLarge("digits")
    return ("num", plain(value))


def negated(node: Node) -> Node:
    if node[0] == "num":
        return ("num", -node[1])
    return multiplied(("num", -1), node)


def added(terms: Sequence[Node]) -> Node:
    if len(terms) == 1:
        return terms[0]
    constant: Rational = 0
    others = []
    for term in terms:
        if term[0] == "num":
            constant = constant + term[1]
        else:
            others.append(term)
    if not others:
        return _checked(constant)
    if constant:
        others.append(("num", plain(constant)))
    return others[0] if len(others) == 1 else ("add", tuple(others))


def multiplied(a: Node, b: Node) -> Node:
    if a[0] == "num" and b[0] == "num":
        return _checked(a[1] * b[1])
    return ("mul", (*_factors(a), *_factors(b)))


def _factors(node: Node) -> Sequence[Node]:
    return node[1] if node[0] == "mul" else (node,)


def divided(a: Node, b: Node) -> Node:
    if b[0] == "num":
        if b[1] == 0:
            raise ZeroDivisionError("division by zero")
        if a[0] == "num":
            return _checked(Fraction(a[1]) / b[1])
    return ("div", a, b)


def raised(base: Node, power: Node) -> Node:
    if base[0] == "num" and power[0] == "num":
        value = rational_power(base[1], power[1])
        if value is not None:
            return _checked(value)
    return ("pow", base, power)


def rational_power(base: Rational, power: Rational) -> Rational | None:
    """base ** power where that is rational; None where it is not. Raises TooLarge."""
    if base == 0:
        if power < 0:
            raise ZeroDivisionError("a negative power of zero")
        return None if power == 0 else 0  # 0^0 has no agreed value
    if power.denominator != 1:
        return _root_power(base, power)
    exponent = int(power)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) != 1 and bits * abs(exponent) > MAX_BITS:
        raise TooLarge("power")
    if exponent >= 0:
        return base**exponent
    return Fraction(1) / Fraction(base) ** -exponent


def _root_power(base: Rational, power: Rational) -> Rational | None:
    """Perfect powers only: 8^(1/3), (4/9)^(-3/2). An odd root of a negative number is real."""
    sign = 1
    if base < 0:
        if power.denominator % 2 == 0:
            return None
        sign, base = -1 if power.numerator % 2 else 1, -base
    top = _integer_root(base.numerator, power.denominator)
    bottom = _integer_root(base.denominator, power.denominator)
    if top is None or bottom is None:
        return None
    found = rational_power(Fraction(top, bottom), power.numerator)
    return None if found is None else sign * found


def _integer_root(value: int, index: int) -> int | None:
    """The exact root, or None."""
    if value in (0, 1):
        return value
    if index == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    if value.bit_length() > 4_000 or index >= value.bit_length():
        return None
    low, high = 1, 1 << (value.bit_length() // index + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**index < value:
            low = middle + 1
        else:
            high = middle
    return low if low**index == value else None


def called(name: str, arguments: tuple[Node, ...]) -> Node:
    if all(argument[0] == "num" for argument in arguments) and name in EXACT:
        value = EXACT[name](*(argument[1] for argument in arguments))
        if value is not None:
            return _checked(value)
    return ("call", name, arguments)


def _factorial(value: Rational) -> Rational | None:
    if value.denominator != 1 or value < 0:
        return None
    if value > MAX_FACTORIAL:
        raise TooLarge("factorial")
    return math.factorial(int(value))


def _binomial(top: Rational, bottom: Rational) -> Rational | None:
    if top.denominator != 1 or bottom.denominator != 1 or top < 0 or bottom < 0:
        return None
    if top > MAX_FACTORIAL:
        raise TooLarge("binomial")
    return math.comb(int(top), int(bottom))


def _integers(function: Callable[..., int]) -> Callable[..., Rational | None]:
    def exact(*values: Rational) -> Rational | None:
        if any(value.denominator != 1 for value in values):
            return None
        return function(*(int(value) for value in values))

    return exact


EXACT: dict[str, Callable[..., Rational | None]] = {
    "factorial": _factorial,
    "binomial": _binomial,
    "gcd": _integers(math.gcd),
    "lcm": _integers(math.lcm),
}
