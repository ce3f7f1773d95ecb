r"""Evaluates an expression at a point: in floats, and with as many digits as asked for.

Both say how far the result can be trusted: floats whether rounding may have eaten what matters, the
precise value how large and how small its intermediate results were. Functions are those of the
complex numbers (principal values), except that an odd root of a negative number is real; whether
the real numbers were left on the way is recorded.
"""

import cmath
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from winnow.pipeline.verify.expression import Node

SPARE_BITS = 40  # that rounding may use up
MAX_MAGNITUDE = 10_000  # bits; larger intermediate results are not evaluated
TINY = 1e-9  # floats below may be zeros that rounding left over


class Undefined(Exception):
    """The expression has no value at this point."""


class Floats:
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


class Precise:
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


def precise(node: Node, point: dict[str, Fraction], bits: int, log_base: float) -> Precise:
    """Raises Undefined."""
    from mpmath import mp

    found = Precise(bits, log_base)
    with mp.workprec(bits + 16):
        try:
            found.value = found.value_of(node, point)
        except (ArithmeticError, ValueError, TypeError, NotImplementedError):
            raise Undefined from None
    return found
