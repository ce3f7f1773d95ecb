r"""Whether two expressions are equal, by their values.

Rational constants are compared exactly. Rational functions are compared modulo a large prime at
fixed pseudo-random points: two different ones of degree d agree there with probability d / 2^61
per point (Schwartz 1980, "Fast probabilistic algorithms for verification of polynomial
identities"). Everything else is compared numerically, constants at once and functions at a dozen
rational points: floats tell most different values apart, and what they cannot is evaluated with as
many digits as the sizes of all intermediate results demand, so that 2^{2008}+1 and 2^{2008}-1 (under
a root, say) differ, and only values that share far more digits than two answers ever do by chance
count as equal.

Without `i`, functions are real: where one of the two leaves the real numbers on the way, the point
says nothing (sqrt(1/n) is 1/sqrt(n), for negative n neither is a real number).
"""

import hashlib
import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from winnow.pipeline.verify import numeric
from winnow.pipeline.verify.expression import Expression, Node
from winnow.pipeline.verify.numeric import TINY, Floats, Undefined, precise

Answer = bool | Literal["unknown"]

PRIME = 2**61 - 1
RESIDUES = 2  # points modulo PRIME
BITS = 192  # of the first exact evaluation
FAR = 1e-3  # floats that differ by this much, relative to their size, are different values
# Rational points of both signs and several sizes, with integers for functions that want them.
POINTS = tuple(
    Fraction(point)
    for point in (
        "7/5", "-3/5", "1/3", "-13/4", "23/2", "5/8", "-2/7", "9", "-41/5", "97/3", "1/9", "14",
        "-1/6", "6",
    )
)  # fmt: skip
ENOUGH = 4  # points that agree, and are usable
FEW = 3  # so many are enough where no more are usable
MAX_NAMES = 8


class NotRational(Exception):
    """The expression is no rational function."""


def equal(gold: Expression, answer: Expression) -> Answer:
    """Whether both are one number, or one function; "unknown" where values cannot tell.

    `log` without a base is the natural logarithm or the one to base 10, whichever makes both equal.
    """
    if gold.node == answer.node:
        return True
    if gold.names != answer.names or len(gold.names) > MAX_NAMES:
        return False
    if gold.node[0] == "num" and answer.node[0] == "num":
        return bool(gold.node[1] == answer.node[1])
    found = _equal(gold, answer, math.e)
    if found is False and ("log" in gold.functions) != ("log" in answer.functions):
        return _equal(gold, answer, 10)
    return found


def _equal(gold: Expression, answer: Expression, log_base: float) -> Answer:
    if ("const", "inf") in (gold.node, answer.node):
        return False
    if not gold.names:
        return _same_at({}, gold, answer, log_base)
    try:
        points = range(RESIDUES)
        return all(_residue(gold.node, k) == _residue(answer.node, k) for k in points)
    except NotRational:
        pass
    except ZeroDivisionError:
        return "unknown"
    is_complex = gold.is_complex or answer.is_complex
    # |x| differs from x, and ln|x| from ln x, only where the latter is not defined.
    strict = is_complex or ("abs" in gold.functions) != ("abs" in answer.functions)
    agreed = 0
    for point in points_of(sorted(gold.names)):
        same = _same_at(point, gold, answer, log_base, real=not is_complex, strict=strict)
        if same is False:
            return False
        agreed += same is True
        if agreed == ENOUGH + len(gold.names):
            break
    return True if agreed >= FEW else "unknown"


def ratio(gold: Expression, answer: Expression) -> Fraction | Literal["unknown"] | None:
    """The constant c, not zero, with gold = c * answer; None where there is none. Where it is not
    rational, its sign stands for it."""
    if gold.names != answer.names or not gold.names:
        return None
    first: Any = None
    found = 0
    for point in points_of(sorted(gold.names)):
        try:
            a = precise(gold.node, point, BITS, math.e)
            b = precise(answer.node, point, BITS, math.e)
        except Undefined:
            continue
        if a.left_reals or b.left_reals:
            continue
        if (abs(a.value) < 1e-30) != (abs(b.value) < 1e-30):
            return None
        if abs(b.value) < 1e-30:
            continue
        quotient = a.value / b.value
        if first is not None and abs(quotient - first) > abs(first) * 1e-30:
            return None
        first = quotient
        found += 1
        if found == ENOUGH + len(gold.names):
            break
    if found < FEW:
        return "unknown"
    return Fraction(1) if first > 0 else Fraction(-1)


def number(expression: Expression) -> Fraction | None:
    """The real value of a constant as a Fraction, good to 40 digits; None where it has none."""
    if expression.names or expression.node == ("const", "inf"):
        return None
    if expression.node[0] == "num":
        return Fraction(expression.node[1])
    try:
        found = precise(expression.node, {}, BITS, math.e)
    except Undefined:
        return None
    if not hasattr(found.value, "_mpf_"):
        return None
    sign, mantissa, exponent, _ = found.value._mpf_
    if abs(exponent) > numeric.MAX_MAGNITUDE:
        return None
    return Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** int(exponent)


def points_of(names: list[str]) -> list[dict[str, Fraction]]:
    """Points for functions of `names`, in which the coordinates are mixed differently."""
    n = len(POINTS)
    return [
        {name: POINTS[(at + 5 * k + at * k) % n] for k, name in enumerate(names)} for at in range(n)
    ]


# modulo a prime


@lru_cache(maxsize=4096)
def _coordinate(name: str, point: int) -> int:
    digest = hashlib.blake2b(f"{point} {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % PRIME


def _residue(node: Node, point: int) -> int:
    """The value of a rational function modulo PRIME. Raises NotRational, ZeroDivisionError."""
    kind = node[0]
    if kind == "num":
        value = node[1]
        if isinstance(value, int):
            return value % PRIME
        return value.numerator * _inverse(value.denominator) % PRIME
    if kind == "var":
        return _coordinate(node[1], point)
    if kind == "add":
        return sum(_residue(term, point) for term in node[1]) % PRIME
    if kind == "mul":
        product = 1
        for factor in node[1]:
            product = product * _residue(factor, point) % PRIME
        return product
    if kind == "div":
        return _residue(node[1], point) * _inverse(_residue(node[2], point)) % PRIME
    if kind == "pow" and node[2][0] == "num" and isinstance(node[2][1], int):
        base = _residue(node[1], point)
        return pow(base if node[2][1] >= 0 else _inverse(base), abs(node[2][1]), PRIME)
    raise NotRational


def _inverse(value: int) -> int:
    if value % PRIME == 0:
        raise ZeroDivisionError
    return pow(value, -1, PRIME)


# numbers


def _same_at(
    point: dict[str, Fraction],
    gold: Expression,
    answer: Expression,
    log_base: float,
    *,
    real: bool = False,
    strict: bool = True,
) -> Answer:
    """Whether both have one value at `point`. With `real`, a value that was reached through numbers
    that are not real says nothing, or, with `strict`, differs from one that was."""
    try:
        a, b = Floats(log_base), Floats(log_base)
        x, y = a.value_of(gold.node, point), b.value_of(answer.node, point)
        size = max(abs(x), abs(y))
        if (
            not (a.unsure or b.unsure)
            and size > TINY
            and abs(x - y) > FAR * size
            and not (real and (a.left_reals or b.left_reals))
        ):
            return False
    except (ArithmeticError, ValueError, TypeError):
        pass
    try:
        return _same_precisely(point, gold.node, answer.node, log_base, real, strict)
    except Undefined:
        return "unknown"


def _same_precisely(
    point: dict[str, Fraction], gold: Node, answer: Node, log_base: float, real: bool, strict: bool
) -> Answer:
    bits = BITS
    a, b = precise(gold, point, bits, log_base), precise(answer, point, bits, log_base)
    if real and (a.left_reals or b.left_reals):
        return False if strict and a.left_reals != b.left_reals else "unknown"
    magnitude = max(a.magnitude, b.magnitude)
    if _differ(a.value, b.value, magnitude - bits + numeric.SPARE_BITS):
        return False
    if magnitude > numeric.SPARE_BITS // 2:
        bits = BITS + 3 * magnitude
        a, b = precise(gold, point, bits, log_base), precise(answer, point, bits, log_base)
        return not _differ(a.value, b.value, magnitude - bits + numeric.SPARE_BITS)
    return True


def _differ(a: Any, b: Any, exponent: int) -> bool:
    import mpmath

    difference = abs(a - b)
    return bool(difference > mpmath.ldexp(1, exponent))
