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

import cmath
import hashlib
import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from winnow.pipeline.verify.expression import Expression, Node

Answer = bool | Literal["unknown"]

PRIME = 2**61 - 1
RESIDUES = 2  # points modulo PRIME
BITS = 192  # of the first exact evaluation
SPARE_BITS = 40  # that rounding may use up
MAX_MAGNITUDE = 10_000  # bits; larger intermediate results are not evaluated
TINY = 1e-9  # floats below may be zeros that rounding left over
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


class Undefined(Exception):
    """The expression has no value at this point."""


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
            a = _precise(gold.node, point, BITS, math.e)
            b = _precise(answer.node, point, BITS, math.e)
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
        found = _precise(expression.node, {}, BITS, math.e)
    except Undefined:
        return None
    if not hasattr(found.value, "_mpf_"):
        return None
    sign, mantissa, exponent, _ = found.value._mpf_
    if abs(exponent) > MAX_MAGNITUDE:
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
        a, b = _Floats(log_base), _Floats(log_base)
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
    a, b = _precise(gold, point, bits, log_base), _precise(answer, point, bits, log_base)
    if real and (a.left_reals or b.left_reals):
        return False if strict and a.left_reals != b.left_reals else "unknown"
    magnitude = max(a.magnitude, b.magnitude)
    if _differ(a.value, b.value, magnitude - bits + SPARE_BITS):
        return False
    if magnitude > SPARE_BITS // 2:
        bits = BITS + 3 * magnitude
        a, b = _precise(gold, point, bits, log_base), _precise(answer, point, bits, log_base)
        return not _differ(a.value, b.value, magnitude - bits + SPARE_BITS)
    return True


def _differ(a: Any, b: Any, exponent: int) -> bool:
    import mpmath

    difference = abs(a - b)
    return bool(difference > mpmath.ldexp(1, exponent))


class _Floats:
    """Evaluates in floats, quickly; `unsure` where rounding may have eaten what matters."""

    def __init__(self, log_base: float) -> None:
        self.log_base = log_base
        self.unsure = False
        self.left_reals = False

    def value_of(self, node: Node, point: dict[str, Fraction]) -> Any:
        kind = node[0]
        if kind == "num":
            return float(node[1])
        if kind == "var":
            return float(point[node[1]])
        if kind == "const":
            return _FLOAT_CONSTANTS[node[1]]
        if kind == "add":
            terms = [self.value_of(term, point) for term in node[1]]
            total = sum(terms)
            if abs(total) < 1e-6 * max(map(abs, terms)):
                self.unsure = True
            return total
        if kind == "mul":
            product: Any = 1.0
            for factor in node[1]:
                product = product * self.value_of(factor, point)
            return product
        if kind == "div":
            return self.value_of(node[1], point) / self.value_of(node[2], point)
        if kind == "pow":
            return self.power(node, self.value_of(node[1], point), point)
        return self.call(node[1], [self.value_of(argument, point) for argument in node[2]])

    def power(self, node: Node, base: Any, point: dict[str, Fraction]) -> Any:
        exponent = node[2]
        if exponent[0] == "num":
            if _is_odd_root(exponent[1]) and isinstance(base, float) and base < 0:
                return _sign(exponent[1]) * (-base) ** float(exponent[1])
            power: Any = float(exponent[1])
        else:
            power = self.value_of(exponent, point)
        if base == 0 and exponent[0] != "num":
            raise ZeroDivisionError
        self.unsure |= abs(power) > 1e3
        result = base**power
        self.left_reals |= isinstance(result, complex)
        return result

    def call(self, name: str, arguments: list[Any]) -> Any:
        x = arguments[0]
        if abs(x) > 1e6 or name in ("floor", "ceil", "factorial", "binomial"):
            self.unsure = True
        function = _FLOAT_FUNCTIONS.get(name)
        if function is None:
            raise ValueError(name)
        result = cmath.log(x) / math.log(self.log_base) if name == "log" else function(x)
        if isinstance(result, complex) and result.imag == 0 and not isinstance(x, complex):
            result = result.real
        self.left_reals |= isinstance(result, complex)
        self.unsure |= abs(result) < TINY
        return result


_FLOAT_CONSTANTS: dict[str, Any] = {"pi": math.pi, "e": math.e, "i": 1j, "inf": math.inf}
_FLOAT_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "cot": lambda x: 1 / cmath.tan(x),
    "sec": lambda x: 1 / cmath.cos(x), "csc": lambda x: 1 / cmath.sin(x), "asin": cmath.asin,
    "acos": cmath.acos, "atan": cmath.atan, "sinh": cmath.sinh, "cosh": cmath.cosh,
    "tanh": cmath.tanh, "log": cmath.log, "ln": cmath.log, "lg": cmath.log10, "exp": cmath.exp,
    "abs": abs,
}  # fmt: skip


def _is_odd_root(power: Any) -> bool:
    return isinstance(power, Fraction) and power.denominator % 2 == 1


def _sign(power: Fraction) -> int:
    return -1 if power.numerator % 2 else 1


class _Precise:
    """A value with `bits` digits, and `magnitude`: how far, in bits, any intermediate result was
    from 1, upwards or downwards."""

    def __init__(self, bits: int, log_base: float) -> None:
        self.bits = bits
        self.log_base = log_base
        self.magnitude = 0
        self.left_reals = False
        self.value: Any = None

    def value_of(self, node: Node, point: dict[str, Fraction]) -> Any:
        from mpmath import mp

        result = self.evaluated(node, point, mp)
        if isinstance(result, mp.mpc):
            if result.imag == 0:
                result = result.real
            elif node != ("const", "i"):
                self.left_reals = True
        if not mp.isfinite(result):
            raise Undefined
        if result:
            self.magnitude = max(self.magnitude, abs(int(mp.mag(result))))
            if self.magnitude > MAX_MAGNITUDE:
                raise Undefined
        return result

    def evaluated(self, node: Node, point: dict[str, Fraction], mp: Any) -> Any:
        kind = node[0]
        if kind in ("num", "var"):
            value = node[1] if kind == "num" else point[node[1]]
            return mp.mpf(value.numerator) / value.denominator
        if kind == "const":
            return {"pi": +mp.pi, "e": +mp.e, "i": mp.mpc(0, 1), "inf": mp.inf}[node[1]]
        if kind == "add":
            terms = [self.value_of(term, point) for term in node[1]]
            total = sum(terms[1:], terms[0])
            # What is left when equal terms cancel is rounding.
            largest = max((int(mp.mag(term)) for term in terms if term), default=0)
            if total and int(mp.mag(total)) < largest - self.bits + SPARE_BITS:
                return mp.mpf(0)
            return total
        if kind == "mul":
            product = mp.mpf(1)
            for factor in node[1]:
                product = product * self.value_of(factor, point)
            return product
        if kind == "div":
            return self.value_of(node[1], point) / self.value_of(node[2], point)
        if kind == "pow":
            return self.power(node, self.value_of(node[1], point), point, mp)
        return self.call(node[1], [self.value_of(a, point) for a in node[2]], mp)

    def power(self, node: Node, base: Any, point: dict[str, Fraction], mp: Any) -> Any:
        power = self.value_of(node[2], point)
        if base == 0 and (isinstance(power, mp.mpc) or power <= 0):
            raise Undefined
        if base and abs(mp.mag(base) * power) > MAX_MAGNITUDE * 4:
            raise Undefined
        exponent = node[2][1] if node[2][0] == "num" else None
        if (
            exponent is not None
            and _is_odd_root(exponent)
            and isinstance(base, mp.mpf)
            and base < 0
        ):
            return _sign(exponent) * mp.power(-base, power)
        return mp.power(base, power)

    def call(self, name: str, arguments: list[Any], mp: Any) -> Any:
        # Gamma functions are slow at many digits.
        limit = 500 if name in ("factorial", "binomial") else 1e6
        if any(abs(x) > limit for x in arguments) and name in _GROWING:
            raise Undefined
        x = arguments[0]
        if name in ("ln", "log", "lg"):
            if x == 0:
                raise Undefined
            base = {"ln": None, "log": self.log_base, "lg": 10}[name]
            return mp.log(x) if base in (None, math.e) else mp.log(x) / mp.log(base)
        function = NUMERIC.get(name)
        if function is None:
            raise Undefined
        return function(mp, *arguments)


_GROWING = frozenset({"exp", "factorial", "binomial", "cis", "sinh", "cosh"})
# Functions with many digits. (Those that floats lack are only evaluated here.)
NUMERIC: dict[str, Callable[..., Any]] = {
    "sin": lambda mp, x: mp.sin(x),
    "cos": lambda mp, x: mp.cos(x),
    "tan": lambda mp, x: mp.tan(x),
    "cot": lambda mp, x: mp.cot(x),
    "sec": lambda mp, x: mp.sec(x),
    "csc": lambda mp, x: mp.csc(x),
    "asin": lambda mp, x: mp.asin(x),
    "acos": lambda mp, x: mp.acos(x),
    "atan": lambda mp, x: mp.atan(x),
    "acot": lambda mp, x: mp.acot(x),
    "sinh": lambda mp, x: mp.sinh(x),
    "cosh": lambda mp, x: mp.cosh(x),
    "tanh": lambda mp, x: mp.tanh(x),
    "asinh": lambda mp, x: mp.asinh(x),
    "acosh": lambda mp, x: mp.acosh(x),
    "atanh": lambda mp, x: mp.atanh(x),
    "exp": lambda mp, x: mp.exp(x),
    "cbrt": lambda mp, x: mp.cbrt(x),
    "floor": lambda mp, x: mp.floor(x),
    "ceil": lambda mp, x: mp.ceil(x),
    "factorial": lambda mp, x: mp.factorial(x),
    "binomial": lambda mp, x, y: mp.binomial(x, y),
    "abs": lambda mp, x: abs(x),
    "cis": lambda mp, x: mp.expj(x),
    "max": lambda mp, *xs: max(xs),
    "min": lambda mp, *xs: min(xs),
}


def _precise(node: Node, point: dict[str, Fraction], bits: int, log_base: float) -> _Precise:
    """Raises Undefined."""
    from mpmath import mp

    found = _Precise(bits, log_base)
    with mp.workprec(bits + 16):
        try:
            found.value = found.value_of(node, point)
        except (ArithmeticError, ValueError, TypeError, NotImplementedError):
            raise Undefined from None
    return found
