"""Numbers in words: English ("twenty-three", "two and a half") and Chinese ("三十六")."""

import re
from fractions import Fraction

from winnow.pipeline.number_words import ONES, TENS

SCALES = {
    "hundred": 100,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "dozen": 12,
}
PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8}
HAN_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2}
HAN_SCALES = {"十": 10, "百": 100, "千": 1000}
HAN_GROUPS = {"万": 10**4, "亿": 10**8}

_HAN = re.compile("[零一二三四五六七八九两十百千万亿]+")


def number_in_words(text: str) -> Fraction | None:
    """The number that the whole of `text` spells, or None."""
    if not text.isascii():
        return han_number(text)
    tokens = re.split(r"[\s-]+", text.strip().lower())
    negative = tokens[0] in ("minus", "negative")
    tokens = [token for token in tokens[negative:] if token != "and"]
    if len(tokens) > 1 and tokens[0] == "a" and tokens[1] in SCALES:
        tokens = tokens[1:]
    value = _fraction(tokens) if tokens else None
    return None if value is None else -value if negative else value


def _fraction(tokens: list[str]) -> Fraction | None:
    """`two thirds`, `one half`, `two (and) a half`, or an integer."""
    part = PARTS.get(tokens[-1]) or PARTS.get(tokens[-1].removesuffix("s"))
    if part is None and tokens[-1] == "halves":
        part = PARTS.get("half")
    if part is None:
        return _integer(tokens)
    if len(tokens) > 1 and tokens[-2] == "a":
        whole = _integer(tokens[:-2]) if len(tokens) > 2 else Fraction(0)
        return None if whole is None else whole + Fraction(1, part)
    if len(tokens) == 1:  # a "third" alone is a place, not a number
        return Fraction(1, part) if tokens[0] == "half" else None
    top = _integer(tokens[:-1])
    return None if top is None or top >= part else top / part


def _integer(tokens: list[str]) -> Fraction | None:
    total, group, last = 0, 0, 10**15
    for token in tokens:
        if token in SCALES:
            scale = SCALES[token]
            if token == "hundred":
                group = max(group, 1) * scale
            else:
                total, group = total + max(group, 1) * scale, 0
            last = 10**15
            continue
        value = ONES.get(token, TENS.get(token))
        # "twenty three" is one number, "three twenty" and "two three" are not.
        if value is None or (group % 100 and not (last in TENS.values() and 0 < value < 10)):
            return None
        group, last = group + value, value
    return Fraction(total + group)


def han_number(text: str) -> Fraction | None:
    """A Chinese numeral below 10^12, or None."""
    if not _HAN.fullmatch(text):
        return None
    total, group, digit = 0, 0, 0
    for character in text:
        if character in HAN_GROUPS:
            total, group, digit = (total + group + digit) * HAN_GROUPS[character], 0, 0
        elif character in HAN_SCALES:
            group, digit = group + (digit or 1) * HAN_SCALES[character], 0
        else:
            if character not in HAN_DIGITS:
                return None
            digit = HAN_DIGITS[character]
    return Fraction(total + group + digit)
