r"""What only SymPy can work out (integrals, sums, limits), read by math-verify's parser.

`latex2sympy2_extended` walks the tree of an ANTLR grammar and builds SymPy objects; no text reaches
an evaluator. Values decide, to 25 digits: math-verify's own comparison rounds to a fixed number of
decimal places. It can take long, so that it belongs into a worker with a time limit.
"""

import re
from functools import lru_cache
from typing import Any

DIGITS = 40
AGREE = 25  # digits that equal values share
MAX_TEXT = 600
MAX_NESTING = 30
# Rational points of both signs, where there are variables.
POINTS = ("7/5", "-3/5", "1/3", "-13/4", "5", "9")
MIN_POINTS = 3

_WANTED = re.compile(r"\\(?:int|iint|oint|sum|prod|lim|det|partial)(?![a-zA-Z])|\\frac\{d\}\{d")


class CannotParse(Exception):
    """The text is nothing that the parser reads."""


def is_wanted(text: str) -> bool:
    """Whether `text` has something in it that only SymPy can work out."""
    return bool(_WANTED.search(text))


def is_readable(text: str) -> bool:
    """Whether the parser can read `text`."""
    try:
        parse(text)
    except CannotParse:
        return False
    return True


def same(gold: str, answer: str) -> bool | None:
    """Whether two normalised expressions have one value, at every point where they have
    variables; None where that cannot be said."""
    try:
        first, second = parse(gold), parse(answer)
    except CannotParse:
        return None
    import sympy

    if not isinstance(first, sympy.Expr) or not isinstance(second, sympy.Expr):
        return None
    names = {s.name for s in first.free_symbols}
    if names != {s.name for s in second.free_symbols}:
        return False
    agreed = 0
    for point in POINTS if names else POINTS[:1]:
        a, b = (_value(_at(e, sorted(names), point)) for e in (first, second))
        if a is None or b is None:
            continue
        if abs(a - b) > max(abs(a), abs(b)) * 10**-AGREE:
            return False
        agreed += 1
    return True if agreed >= (MIN_POINTS if names else 1) else None


@lru_cache(maxsize=1024)
def parse(latex: str) -> Any:
    """The sympy object that `latex` (normalised) writes. Raises CannotParse."""
    if len(latex) > MAX_TEXT or latex.count("{") + latex.count("(") > MAX_NESTING:
        raise CannotParse("too long")
    if re.search(r"[0-9]{6}|\^\s*\{?\s*[0-9a-z.]+\s*\}?\s*\^|!", latex):
        raise CannotParse("may be too large")
    from latex2sympy2_extended import latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig

    text = re.sub(r"(?<![0-9])([0-9]*)\.([0-9]+)", _exact_decimal, latex.replace("*", r"\cdot "))
    try:
        parsed = latex2sympy(
            text,
            is_real=True,
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
    return parsed


def _at(expression: Any, names: list[str], point: str) -> Any:
    import sympy

    # Several variables take different values; by name, since the two sides made their own symbols.
    values = {name: sympy.Rational(point) + k for k, name in enumerate(names)}
    return expression.subs({s: values[s.name] for s in expression.free_symbols})


def _value(expression: Any) -> Any | None:
    """Its value as a Float with 40 digits; None where it has none."""
    try:
        number = expression.doit().evalf(DIGITS)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - an integral that SymPy cannot do raises many things
        return None
    return number if number.is_number and number.is_finite else None


def _exact_decimal(match: re.Match[str]) -> str:
    whole, digits = match.groups()
    return rf"\frac{{{int((whole + digits) or 0)}}}{{1{'0' * len(digits)}}}"
