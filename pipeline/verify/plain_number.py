r"""Plain numbers as exact fractions: integers, decimals, fractions, mixed numbers, percentages.

A plain number is what needs no algebra: `1,234.5`, `-\frac{3}{4}`, `2 1/2`, `$12.50`, `50\%`,
`1.5 \times 10^{-3}`, `3 million`, `0.1\overline{6}`, `15 square feet`, `2 hours 30 minutes`,
`twelve`. Two of them are compared as fractions, never as floats. Input is text as
`notation.normalise` leaves it.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from winnow.pipeline.number_words import ONES, TENS
from winnow.pipeline.verify.numerals import SCALES, number_in_words
from winnow.pipeline.verify.units import AFTER, UNITS, Unit, unit

MAX_DIGITS = 2_000  # of one number; longer ones are no answer that a person wrote
MAX_EXPONENT = 400
ROUNDED_DIGITS = 6  # a decimal with this many significant digits may stand for a longer value

_QUICK = re.compile(r"(-?)([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.([0-9]+))?")
_DECIMAL = r"(?:[0-9]{1,3}(?:[, ][0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
_SIGNED = rf"[+-]?\s*(?:{_DECIMAL})"
_POWER_OF_TEN = (
    r"(?:[eE](?P<e>[+-]?[0-9]+)|\s*[*xX]\s*10\s*(?:\^|\*\*)\s*[{(]?(?P<p>[+-]?\s*[0-9]+)[})]?)"
)
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)\s*(?P<currency>(?:US|A|C|CA|AU|HK|NZ|S)?\$|[€£¥₹])?\s*(?P<sign2>[+-]?)\s*(?:"
    rf"(?:(?P<whole>[0-9]+)\s*)?\\frac\s*\{{\s*(?P<n>{_SIGNED})\s*\}}\s*\{{\s*(?P<d>{_SIGNED})\s*\}}"
    rf"|(?:(?P<whole2>[0-9]+)\s+(?:and\s+)?)?(?P<n2>{_DECIMAL})\s*/\s*(?P<d2>{_DECIMAL})"
    r"|(?P<fixed>[0-9]*\.[0-9]*)\\(?:overline|bar)\s*\{(?P<repeated>[0-9]+)\}"
    r"|(?P<ten>10\s*(?:\^|\*\*)\s*[{(]?(?P<q>[+-]?\s*[0-9]+)[})]?)"
    rf"|(?P<decimal>{_DECIMAL}){_POWER_OF_TEN}?"
    r")"
)
_ABOUT = re.compile(
    r"(?:approximately|about|around|roughly|exactly|only|just|nearly|a total of|equal to)\s+(?=\S)",
    re.IGNORECASE,
)
_CURRENCY_CODE = re.compile(r"(?:(USD|EUR|GBP|INR|Rs)\.?\s*)(?=[0-9])")
_PERCENT = re.compile(r"\s*(?:%|per\s?cent(?:age)?\b|pct\b)\s*(?:points?\b\s*)?", re.IGNORECASE)
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_WORDS = re.compile(
    r"(?:/\s*)?(?:\\cents|[A-Za-z]+|[一-鿿]+|[$€£¥₹¢])"
    r"(?:(?:\s*\^\s*\{?-?[0-9]\}?)?[\s./*-]+(?:[A-Za-z]+|[一-鿿]+)){0,5}\.?(?:\s*\^\s*\{?-?[0-9]\}?)?"
)
_HALF_DAY = re.compile(r"([ap])\.?\s?m\.?", re.IGNORECASE)
_NOTE = re.compile(r"\s*\(([A-Za-z][A-Za-z .,'-]*)\)\s*$")
_SPELLED = re.compile(r"(?:minus |negative )?([a-z]+)[a-z -]*", re.IGNORECASE)
_HAN = re.compile(r"(负?)([零一二三四五六七八九两十百千万亿]+)(.*)")

# Words after a number that change its value, or that make it part of a sentence.
NOT_UNITS = frozenset(
    [
        "k",
        "half",
        "halves",
        "third",
        "thirds",
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
        "factorial",
        "times",
        "over",
        "plus",
        "minus",
        "mod",
        "modulo",
        "base",
        "choose",
        "than",
        "and",
        "or",
        "not",
        "if",
        "sin",
        "cos",
        "tan",
        "log",
        "sqrt",
        "pi",
    ]
)
MONEY = frozenset(UNITS[name] for name in ("dollar", "euro", "gbp", "yuan", "rupee"))
SHORT_UNITS = frozenset(spelling for spelling in UNITS if len(spelling) == 2) | {"mph", "kph"}


@dataclass(frozen=True)
class PlainNumber:
    """`places` counts the digits after the point of a decimal; None for integers and fractions."""

    value: Fraction
    percent: bool = False
    unit: Unit | None = None
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


@lru_cache(maxsize=16384)
def plain_number(text: str) -> PlainNumber | None:
    """The number that the whole of `text` is, or None."""
    if quick := _QUICK.fullmatch(text):
        return _quick(*quick.groups()) if len(text) <= MAX_DIGITS else None
    if len(text) > MAX_DIGITS:
        return None
    text = text.strip()
    if whole := _TEXT.fullmatch(text):
        text = whole[1].strip()
    while about := _ABOUT.match(text):
        text = text[about.end() :]
    if text[:1] == "(" and re.fullmatch(r"\([^(),]*\)", text):
        text = text[1:-1].strip()
    if note := _NOTE.search(text):  # 9 (apples)
        text = f"{text[: note.start()]} {note[1]}"
    if code := _CURRENCY_CODE.match(text):
        return plain_number(f"{text[code.end() :]} {code[1]}")
    match = _NUMBER.match(text)
    if not match:
        return _spelled(text)
    value, places = _value(match)
    if value is None:
        return None
    number = _with_suffix(value, places, text[match.end() :])
    currency = UNITS.get(match["currency"][-1]) if match["currency"] else None
    if number is not None and currency:
        named = number.unit
        if named is None or all(power < 0 for _, power in named.dimensions):  # $12 per hour
            currency = currency * named if named else currency
            number = PlainNumber(number.value, number.percent, currency, number.places)
    return number or _sum_of_quantities(text)


def same_number(gold: PlainNumber, answer: PlainNumber) -> bool:
    """Whether both mean one value.

    A reference of `50%` is `50`, as an answer to "what percentage", and `0.5`; so is an answer of
    `50%`, but not `0.5%` where the reference is `0.5`; `50` is never `0.5`. Units decide only where both are known, and then
    convert: 5 m is 500 cm, not 5 cm. A fraction equals a decimal of at least six significant
    digits that it rounds to.
    """
    if gold.percent != answer.percent:
        if gold.unit or answer.unit:
            return False
        if gold.percent:
            return answer.value in (gold.value, gold.value / 100)
        # Where nobody asked for a percentage, 0.5% is no 0.5.
        return gold.value == answer.value / 100 or (
            abs(answer.value) >= 1 and gold.value == answer.value
        )
    if gold.unit and answer.unit and gold.unit != answer.unit:
        if _is_rate_of(gold.unit, answer.unit) or _is_rate_of(answer.unit, gold.unit):
            return gold.value == answer.value
        if gold.unit.dimensions != answer.unit.dimensions:
            return False
        return gold.value * gold.unit.size == answer.value * answer.unit.size
    return _close(gold, answer)


def _is_rate_of(rate: Unit, money: Unit) -> bool:
    """`$12 per hour` may be asked for as dollars."""
    over = tuple((name, power) for name, power in rate.dimensions if power < 0)
    return (
        bool(over)
        and money in MONEY
        and (rate * Unit(over, Fraction(1)) ** -1).dimensions == (money.dimensions)
    )


def _close(gold: PlainNumber, answer: PlainNumber) -> bool:
    if gold.value == answer.value:
        return True
    if gold.is_long_decimal and answer.places is None:
        return gold.rounds(answer.value, answer.value)
    if answer.is_long_decimal and gold.places is None:
        return answer.rounds(gold.value, gold.value)
    return False


def _quick(sign: str, whole: str, digits: str | None) -> PlainNumber:
    value = int((whole + (digits or "")).replace(",", ""))
    value = -value if sign else value
    if not digits:
        return PlainNumber(Fraction(value))
    return PlainNumber(Fraction(value, 10 ** len(digits)), places=len(digits))


def _value(match: re.Match[str]) -> tuple[Fraction | None, int | None]:
    """(value, digits after the point) of a match of `_NUMBER`."""
    sign = -1 if (match["sign"] == "-") != (match["sign2"] == "-") else 1
    if match["repeated"]:
        return sign * _repeating(match["fixed"], match["repeated"]), None
    if match["decimal"] is None and match["ten"] is None:
        top = _decimal(match["n"] or match["n2"])
        bottom = _decimal(match["d"] or match["d2"])
        whole = match["whole"] or match["whole2"]
        if bottom == 0 or (whole and not 0 < top < bottom):  # 3 5/2 is no mixed number
            return None, None
        return sign * (int(whole or 0) + top / bottom), None
    exponent = int((match["e"] or match["p"] or match["q"] or "0").replace(" ", ""))
    if abs(exponent) > MAX_EXPONENT:
        return None, None
    decimal = match["decimal"] or "1"
    _, point, digits = decimal.partition(".")
    places = max(len(digits) - exponent, 0) if point and digits else None
    return sign * _decimal(decimal) * Fraction(10) ** exponent, places


def _repeating(fixed: str, repeated: str) -> Fraction:
    """0.1 and 6 for 0.1666..., which is (16 - 1) / 90."""
    digits = len(fixed.partition(".")[2])
    cycle = Fraction(int(repeated), 10 ** len(repeated) - 1)
    return _decimal(fixed if digits else f"{fixed}0") + cycle / 10**digits


def _decimal(text: str) -> Fraction:
    return Fraction(re.sub(r"[,\s]", "", text).rstrip("."))


def _with_suffix(value: Fraction, places: int | None, rest: str) -> PlainNumber | None:
    suffix = _suffix(rest) if rest else (1, False, None)
    if suffix is None:
        return None
    scale, percent, named = suffix
    return PlainNumber(value * scale, percent, named, places if scale == 1 else None)


def _suffix(text: str) -> tuple[int, bool, Unit | None] | None:
    """(scale, percent, unit) of what follows the digits; None where it is no unit."""
    if text.lstrip().startswith(r"^\circ"):
        text = text.replace(r"^\circ", r"\text{degrees}", 1)
    if (percent := _PERCENT.match(text)) is not None:
        rest = _suffix(text[percent.end() :]) if text[percent.end() :].strip() else (1, False, None)
        return None if rest is None else (rest[0], True, None)
    explicit = text.lstrip().startswith(r"\text")
    apart = explicit or text[:1] in " -/"
    words = _TEXT.sub(r" \1 ", text).strip(" .,;{}")
    if not words:
        return 1, False, None
    words = words.removeprefix("-")  # a 5-inch nail
    if (percent := _PERCENT.fullmatch(words)) is not None:
        return 1, True, None
    if half := _HALF_DAY.fullmatch(words):
        return 1, False, Unit(((f"{half[1].lower()}.m.", 1),), Fraction(1))
    if not _WORDS.fullmatch(words):
        return None
    names = re.findall(r"[a-z]+|[^\x00-\x7f]+|[$]", words.lower())
    scale = 1
    while names and names[0] in SCALES:
        scale *= SCALES[names.pop(0)]
        words = words[len(re.match(r"\s*[A-Za-z]+\s*", words).group()) :]  # type: ignore[union-attr]
    if changes_value(names) or not _is_unit(words, names, apart, explicit):
        return None
    return scale, False, unit(words)


def changes_value(names: list[str]) -> bool:
    """Whether words behind a number make it another one: `5 squared`, `5 factorial`, `5 or more`."""
    return bool(names) and (names[0] in AFTER or not NOT_UNITS.isdisjoint(names))


def _is_unit(words: str, names: list[str], apart: bool, explicit: bool) -> bool:
    """`2x` and `2ab` are products; a unit stands apart, or is one that everybody knows."""
    if explicit or not names or not names[0].isalpha() or not names[0].isascii():
        return True
    if names[0] in SHORT_UNITS:
        return True
    if apart and names[0] == "of":  # 3/4 of a cup
        return True
    if unit(words) is not None and (apart or len(names[0]) > 2):
        return True
    return apart and len(names[0]) > 2 and all(len(name) > 1 or name in "aio" for name in names)


_QUANTITY = re.compile(rf"({_DECIMAL})\s*(\\text\s*\{{[^{{}}]*\}}|[A-Za-z]+)\s*(?:,|and)?\s*")


def _sum_of_quantities(text: str) -> PlainNumber | None:
    """`2 hours 30 minutes`, `5 feet and 6 inches`: several units of one dimension, descending."""
    total, at, last, several = Fraction(0), 0, None, False
    while at < len(text):
        match = _QUANTITY.match(text, at)
        named = unit(_TEXT.sub(r"\1", match[2])) if match else None
        if match is None or named is None:
            return None
        if last is not None and (named.dimensions != last.dimensions or named.size >= last.size):
            return None
        total += _decimal(match[1]) * named.size
        at, several, last = match.end(), last is not None, named
    return PlainNumber(total / last.size, unit=last) if last and several else None


def _spelled(text: str) -> PlainNumber | None:
    """A number in words, perhaps with a unit: `twelve apples`, `三十六元`."""
    if not text.isascii():
        han = _HAN.fullmatch(text)
        value = number_in_words(han[2]) if han else None
        if han is None or value is None:
            return None
        return _with_suffix(-value if han[1] else value, None, han[3])
    text = _TEXT.sub(r"\1", text).strip()
    first = _SPELLED.fullmatch(text)
    if first is None or first[1].lower().partition("-")[0] not in {*ONES, *TENS, "half", "a"}:
        return None
    tokens = text.split(" ")
    for end in range(len(tokens), 0, -1):
        value = number_in_words(" ".join(tokens[:end]))
        if value is not None:
            rest = " ".join(tokens[end:])
            return _with_suffix(value, None, f" {rest}" if rest else "")
    return None
