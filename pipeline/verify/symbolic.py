r"""Whether two expressions are equal, on math-verify's parser and with evidence of our own.

math-verify parses LaTeX into unevaluated sympy expressions. Its own comparison rounds to a fixed
number of decimal places (1/2^99 "equals" 1/2^98) and gives up on forms that it does not simplify
(sqrt(1/n) against 1/sqrt(n)), so values decide here: two expressions are equal where they agree to
25 digits, without variables or at every usable one of a dozen points. math-verify's `verify` is
asked where there is no value to compare: inequalities, sets, undefined functions.
"""

import logging
import math
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

DIGITS = 40
AGREE = 25  # digits that equal values share
MAX_POWER = 20_000.0  # largest exponent or factorial argument that is evaluated
MAX_VARIABLES = 6
# Rational points of both signs and several sizes, with integers for functions that want them.
POINTS = (
    "7/5", "-7/5", "11/3", "-13/4", "1/3", "-2/7", "23/2", "97/3", "-41/5", "6", "9", "14",
)  # fmt: skip
MIN_POINTS = 3

Answer = bool | Literal["unknown"]


class CannotParse(Exception):
    """The text is no expression that the parser reads (or one too large to evaluate)."""


@lru_cache(maxsize=4096)
def parse(latex: str) -> Any:
    """The sympy object that `latex` (from `notation.to_latex`) writes. Raises CannotParse."""
    from latex2sympy2_extended import latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig

    is_complex = "i" in latex.replace(r"\pi", "").replace(r"\sin", "").replace(r"\infty", "")
    try:
        parsed = latex2sympy(
            latex,
            is_real=not is_complex,
            convert_degrees=False,
            normalization_config=None,
            conversion_config=ConversionConfig(lowercase_symbols=False),
        )
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the parser raises whatever its tree walk runs into
        raise CannotParse(f"{type(error).__name__}: {error}"[:200]) from None
    if parsed is None:
        raise CannotParse("nothing")
    if _size(parsed) == math.inf:
        raise CannotParse("too large to evaluate")
    return parsed


def rational(number: Fraction) -> Any:
    """`number` for sympy."""
    import sympy

    return sympy.Rational(number.numerator, number.denominator)


def value(expression: Any, maxn: int = 600) -> Any | None:
    """Its complex value as a pair of sympy Floats with 40 digits; None where it has none. Up to
    `maxn` digits are worked with where terms cancel."""
    import sympy

    number = sympy.sympify(expression).evalf(DIGITS, maxn=maxn)
    if not number.is_number or number.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
        return None
    parts = []
    for part in number.as_real_imag():
        if part.is_Float:
            # A part that is zero only by cancellation comes back with almost no correct bits.
            parts.append(part if part._prec > 60 else sympy.Float(0))
        elif part.is_Rational:
            parts.append(sympy.Float(part, DIGITS))
        else:
            return None
    return tuple(parts)


def same_value(a: Any, b: Any) -> bool:
    """Whether two pairs from `value` agree to 25 digits, relative to their size."""
    difference = max(abs(a[0] - b[0]), abs(a[1] - b[1]))
    size = max(abs(x) for x in (*a, *b))
    return bool(difference <= size * 10**-AGREE)


def equal(gold: Any, answer: Any) -> Answer:
    """Whether two parsed expressions are equal; "unknown" where values cannot tell."""
    import sympy

    if not isinstance(gold, sympy.Expr) or not isinstance(answer, sympy.Expr):
        return "unknown"
    if gold == answer:
        return True
    if gold.is_infinite or answer.is_infinite:
        return False
    imaginary = {s: sympy.I for s in gold.free_symbols | answer.free_symbols if s.name == "i"}
    gold, answer = gold.xreplace(imaginary), answer.xreplace(imaginary)
    if gold.has(sympy.core.function.AppliedUndef) or answer.has(sympy.core.function.AppliedUndef):
        return "unknown"
    names = {s.name for s in gold.free_symbols}
    if names != {s.name for s in answer.free_symbols}:
        return False
    if not names:
        values = value(gold), value(answer)
        if values[0] is None or values[1] is None:
            return "unknown"
        if not same_value(*values):
            return False
        return not (any(values[0]) and _differ_far_down(gold, answer, values[0]))
    if len(names) > MAX_VARIABLES:
        return "unknown"
    return _equal_at_points(gold, answer, sorted(names))


def proportional(gold: Any, answer: Any) -> Answer:
    """Whether one expression is a constant, not zero, times the other: the same equation = 0."""
    import sympy

    names = sorted({s.name for s in gold.free_symbols})
    if names != sorted({s.name for s in answer.free_symbols}) or not names:
        return False
    pairs = [
        (value(_at(gold, point)), value(_at(answer, point))) for point in _points(sympy, names)
    ]
    numbers = [(a[0] + sympy.I * a[1], b[0] + sympy.I * b[1]) for a, b in pairs if a and b]
    if len(numbers) < MIN_POINTS:
        return "unknown"
    first_gold, first_answer = numbers[0]
    if first_gold.is_zero or first_answer.is_zero:
        return "unknown"
    return all(
        same_value(
            sympy.expand(a * first_answer).as_real_imag(),
            sympy.expand(b * first_gold).as_real_imag(),
        )
        for a, b in numbers[1:]
    )


def rounds_to(decimal: Any, places: int, expression: Any) -> bool:
    """Whether the real value of `expression`, rounded to `places`, is the Fraction `decimal`."""
    parts = value(expression) if not expression.free_symbols else None
    if parts is None or parts[1]:
        return False
    sign, mantissa, exponent, _ = parts[0]._mpf_
    exact = Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** int(exponent)
    return bool(abs(exact - decimal) <= Fraction(1, 2 * 10**places))


def verify(gold: Any, answer: Any) -> bool:
    """math-verify's own comparison, for what has no value (sets, inequalities, functions)."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    return bool(
        math_verify.verify(
            gold, answer, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True
        )
    )


def _differ_far_down(gold: Any, answer: Any, pair: Any) -> bool:
    """Whether two large values differ behind the digits that were compared: 2^2008 + 2 and - 2."""
    import sympy

    bits = max(part._mpf_[2] + part._mpf_[3] for part in pair if part)
    if bits < 3 * AGREE:
        return False
    opposite = sympy.Mul(-1, answer, evaluate=False)
    difference = value(
        sympy.Add(gold, opposite, evaluate=False), maxn=int(bits * math.log10(2)) + DIGITS
    )
    return difference is not None and any(difference)


def _equal_at_points(gold: Any, answer: Any, names: list[str]) -> Answer:
    import sympy

    agreed = 0
    for point in _points(sympy, names):
        a, b = value(_at(gold, point)), value(_at(answer, point))
        if a is None or b is None:
            continue
        if same_value(a, b):
            agreed += 1
        elif a[1] and b[1] and not gold.has(sympy.I) and not answer.has(sympy.I):
            continue  # outside the real domain of both, where branches may differ
        else:
            return False
    return True if agreed >= MIN_POINTS else "unknown"


def _points(sympy: Any, names: list[str]) -> list[dict[str, Any]]:
    n = len(POINTS)
    return [
        {name: sympy.Rational(POINTS[(at + 5 * k + at * k) % n]) for k, name in enumerate(names)}
        for at in range(n)
    ]


def _at(expression: Any, point: dict[str, Any]) -> Any:
    # By name: the two sides may have made their symbols under different assumptions.
    return expression.subs({s: point[s.name] for s in expression.free_symbols})


def _size(expression: Any) -> float:
    """A rough upper bound of the absolute value; inf where evaluating it would take for ever."""
    if getattr(expression, "is_Number", False) or getattr(expression, "is_NumberSymbol", False):
        try:
            size = abs(float(expression))
            return 1.0 if expression.is_infinite else size
        except (OverflowError, TypeError, ValueError):
            return 1e300
    sizes = [_size(part) for part in getattr(expression, "args", ())]
    if math.inf in sizes:
        return math.inf
    name = type(expression).__name__
    if name == "Pow" and sizes[1] > MAX_POWER and sizes[0] != 1:
        return math.inf
    if name in ("factorial", "factorial2", "gamma", "binomial") and sizes[0] > MAX_POWER:
        return math.inf
    try:
        if name == "Add":
            return math.fsum(sizes)
        if name == "Mul":
            return float(math.prod(min(size, 1e300) for size in sizes))
        if name in ("Pow", "exp"):
            base, power = (sizes[0], sizes[1]) if name == "Pow" else (math.e, sizes[0])
            return float(max(base, 1.0) ** power)
    except OverflowError:
        return 1e300
    if name == "factorial":
        return math.pow(10.0, min(sizes[0] * math.log10(sizes[0] + 2), 300))
    return max(sizes, default=1.0)
