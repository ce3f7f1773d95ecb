r"""Plain numbers as exact fractions: integers, decimals, fractions, mixed numbers, percentages.

A plain number is what needs no algebra: `1,234.5`, `-\frac{3}{4}`, `2 1/2`, `$12.50`, `50\%`,
`1.5 \times 10^{-3}`, `3 million`, `15 square feet`. Two of them are compared as fractions, never as
floats. Input is text as `notation.normalise` leaves it.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 2_000  # of one number; longer ones are no answer that a person wrote
MAX_EXPONENT = 400
ROUNDED_DIGITS = 6  # a decimal with this many significant digits may stand for a longer value

_DECIMAL = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_SIGNED = rf"[+-]?\s*(?:{_DECIMAL})"
_POWER_OF_TEN = (
    r"(?:[eE](?P<e>[+-]?[0-9]+)|\s*(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{?(?P<p>[+-]?[0-9]+)\}?)"
)
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\s*(?P<currency>[$€£¥₹]?)\s*(?P<sign2>[+-]?)\s*(?:"
    rf"(?:(?P<whole>[0-9]+)\s*)?\\frac\s*\{{\s*(?P<n>{_SIGNED})\s*\}}\s*\{{\s*(?P<d>{_SIGNED})\s*\}}"
    rf"|(?:(?P<whole2>[0-9]+)\s+)?(?P<n2>{_DECIMAL})\s*/\s*(?P<d2>{_DECIMAL})"
    rf"|(?P<decimal>{_DECIMAL}){_POWER_OF_TEN}?"
    r")"
)
_PERCENT = re.compile(r"\s*(?:%|per\s?cent(?:age)?\b|pct\b)\s*", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textrm|operatorname)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"[A-Za-z]+(?:[\s./-]+[A-Za-z]+){0,4}\.?(?:\s*\^\s*\{?[0-9]\}?)?")

SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}

# Every spelling of a unit that tells two answers apart; words that are not here ("apples") tell
# nothing, and a number without a unit fits any.
UNITS = {
    spelling: unit
    for unit, spellings in {
        "mm": "mm millimeter millimeters millimetre millimetres",
        "cm": "cm centimeter centimeters centimetre centimetres",
        "m": "m meter meters metre metres",
        "km": "km kilometer kilometers kilometre kilometres",
        "inch": "inch inches in",
        "foot": "ft foot feet",
        "yard": "yd yard yards",
        "mile": "mi mile miles",
        "second": "s sec secs second seconds",
        "minute": "min mins minute minutes",
        "hour": "h hr hrs hour hours",
        "day": "day days",
        "week": "week weeks",
        "month": "month months",
        "year": "yr yrs year years",
        "mg": "mg milligram milligrams",
        "g": "g gram grams",
        "kg": "kg kilogram kilograms",
        "lb": "lb lbs",
        "ounce": "oz ounce ounces",
        "ml": "ml milliliter milliliters millilitre millilitres",
        "litre": "l liter liters litre litres",
        "gallon": "gal gallon gallons",
        "cent": "cent cents",
        "dollar": "dollar dollars usd $",
        "euro": "euro euros eur €",
        "degree": "degree degrees deg",
        "radian": "rad radian radians",
    }.items()
    for spelling in spellings.split()
}
# Words after a number that change its value or are no unit at all.
NOT_UNITS = frozenset(
    [
        "hundred",
        "half",
        "halves",
        "third",
        "thirds",
        "quarter",
        "quarters",
        "fourth",
        "fourths",
        "fifth",
        "fifths",
        "tenth",
        "tenths",
        "hundredth",
        "hundredths",
        "thousandth",
        "thousandths",
        "squared",
        "cubed",
        "factorial",
        "times",
        "over",
        "plus",
        "minus",
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "exp",
        "sqrt",
        "mod",
        "base",
    ]
)
SHORT_UNITS = frozenset(unit for unit in UNITS if len(unit) == 2) | {"mph", "kph"}


@dataclass(frozen=True)
class PlainNumber:
    """`places` counts the digits after the point of a decimal; None for integers and fractions."""

    value: Fraction
    percent: bool = False
    unit: str | None = None
    places: int | None = None

    @property
    def is_long_decimal(self) -> bool:
        """Written with enough digits that it can only mean a value rounded at its last place."""
        if self.places is None:
            return False
        return int(abs(self.value) * 10**self.places) >= int(10 ** (ROUNDED_DIGITS - 1))

    def rounds(self, low: Fraction, high: Fraction) -> bool:
        """Whether every value in [low, high] becomes this decimal when it is rounded."""
        half = Fraction(1, 2 * 10 ** (self.places or 0))
        return self.value - half <= low and high <= self.value + half


def plain_number(text: str) -> PlainNumber | None:
    """The number that the whole of `text` is, or None."""
    text = text.strip()
    if re.fullmatch(r"\([^(,]*\)", text):
        text = text[1:-1].strip()
    match = _NUMBER.match(text)
    if not match or len(match.group()) > MAX_DIGITS:
        return None
    value, places = _value(match)
    if value is None:
        return None
    suffix = _suffix(text[match.end() :])
    if suffix is None:
        return None
    scale, percent, unit = suffix
    if match["currency"] and unit is None:
        unit = UNITS.get(match["currency"], match["currency"])
    return PlainNumber(value * scale, percent, unit, places if scale == 1 else None)


def same_number(gold: PlainNumber, answer: PlainNumber) -> bool:
    """Whether both mean one value.

    A percentage equals the bare number and its hundredth (`50%` is `50` where the question asks for
    a percentage, and `0.5`). Units decide only where both are known. A fraction equals a decimal of
    at least six significant digits that it rounds to.
    """
    if gold.unit and answer.unit and gold.unit != answer.unit:
        return False
    if gold.percent == answer.percent:
        return _close(gold, answer)
    if gold.percent:
        return answer.value in (gold.value, gold.value / 100)
    return gold.value in (answer.value, answer.value / 100)


def _close(gold: PlainNumber, answer: PlainNumber) -> bool:
    if gold.value == answer.value:
        return True
    if gold.is_long_decimal and answer.places is None:
        return gold.rounds(answer.value, answer.value)
    if answer.is_long_decimal and gold.places is None:
        return answer.rounds(gold.value, gold.value)
    return False


def _value(match: re.Match[str]) -> tuple[Fraction | None, int | None]:
    """(value, digits after the point) of a match of `_NUMBER`."""
    sign = -1 if (match["sign"] == "-") != (match["sign2"] == "-") else 1
    if match["decimal"] is None:
        top = _decimal(match["n"] or match["n2"])
        bottom = _decimal(match["d"] or match["d2"])
        if bottom == 0:
            return None, None
        return sign * (int(match["whole"] or match["whole2"] or 0) + top / bottom), None
    exponent = int(match["e"] or match["p"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None, None
    _, point, digits = match["decimal"].partition(".")
    places = max(len(digits) - exponent, 0) if point and digits else None
    return sign * _decimal(match["decimal"]) * Fraction(10) ** exponent, places


def _decimal(text: str) -> Fraction:
    return Fraction(re.sub(r"[,\s]", "", text).rstrip("."))


def _suffix(text: str) -> tuple[int, bool, str | None] | None:
    """(scale, percent, unit) of what follows the digits; None where it is no unit."""
    text = re.sub(r"^\s*\^\\circ", r"\\text{degrees}", text)
    if (percent := _PERCENT.match(text)) is not None:
        rest = _suffix(text[percent.end() :]) if text[percent.end() :].strip() else (1, False, None)
        return None if rest is None else (rest[0], True, None)
    explicit = _TEXT.match(text.lstrip()) is not None
    apart = explicit or text[:1].isspace()
    words = _TEXT.sub(r" \1 ", text).strip(" .,;")
    if not words:
        return 1, False, None
    if (percent := _PERCENT.fullmatch(words)) is not None:
        return 1, True, None
    if not _WORDS.fullmatch(words):
        return None
    names = re.findall(r"[a-z]+", words.lower())
    scale = 1
    while names and names[0] in SCALES:
        scale *= SCALES[names.pop(0)]
    if NOT_UNITS.intersection(names) or (names and not _is_unit(names[0], apart, explicit)):
        return None
    unit = next((UNITS[name] for name in names if name in UNITS), None)
    return scale, False, unit


def _is_unit(word: str, apart: bool, explicit: bool) -> bool:
    """`2x` and `2ab` are products; a unit stands apart, or is one that everybody knows."""
    if explicit or word in SHORT_UNITS:
        return True
    return (len(word) > 2 and (apart or word in UNITS)) or (apart and word in UNITS)
