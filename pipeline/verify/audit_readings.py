"""Answers as the gold audit counts them, and other readings under which two of them are the same.

What is decided here is cheap and cautious: `identity` is equal for answers that are surely the same,
and `is_open` says where a verifier must be asked. `doubt` names a reading under which an answer that was
judged wrong would be the reference after all, so that the fault may lie with whoever compared them.
"""

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache

from winnow.pipeline.verify import extract

MAX_LENGTH = 2_000  # characters of an answer that are looked at
_LETTER = re.compile(r"(?:\\text\s*\{)?[\s(\[]*([A-Za-z])[\s)\].:]*\}?")
_SIMPLE = re.compile(
    r"[$€£]?\s*(-?)\s*[$€£]?((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,40})(?:\.[0-9]{0,40})?)"
)
_NUMBER = re.compile(
    r"(?<![0-9A-Za-z_.])(-?)(?:\\[dt]?frac\{([0-9]{1,20})\}\{([0-9]{1,20})\}"
    r"|([0-9]{1,20})\s*/\s*([0-9]{1,20})(?![0-9.])"
    r"|((?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,40})(?:\.[0-9]{1,40})?|\.[0-9]{1,40}))"
)
_PERCENT = re.compile(r"%|\bper\s?cent\b|\bcents?\b|¢", re.IGNORECASE)
_BRACKET = r"[(\[\])]"
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_TYPESETTING = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|mbox|left|right|displaystyle|boxed|quad)(?![A-Za-z])|\\[,;:!> $]"
)


def shown_reference(reference: str) -> str:
    """The answer that a reference column holds: itself, or the marked end of a solution."""
    found = extract.find(reference)
    return found.text if found and found.form in ("boxed", "hashes") else reference.strip()


@lru_cache(maxsize=2**16)
def key(answer: str, *, fold: bool) -> str:
    """Equal for answers that differ by spaces, Unicode forms and closing marks only; with `fold` also
    by letter case. The letter of a choice stands alone, with or without brackets."""
    text = unicodedata.normalize("NFKC", answer[:MAX_LENGTH])
    text = re.sub(r"\s+", " ", text.replace("−", "-")).strip(" $*_`").rstrip(" .,;:")
    if (letter := _LETTER.fullmatch(text)) is not None:
        return letter[1].upper()
    return text.casefold() if fold else text


def identity(key_: str) -> Fraction | str:
    """What two keys have in common that are surely the same answer: the value of a plain number, else
    the key itself."""
    number = simple_number(key_)
    return key_ if number is None else number


def is_open(one: str, other: str) -> bool:
    """Whether mathematics must say if two keys are the same answer: they are not the same text, and
    not both plain numbers."""
    return one != other and (simple_number(one) is None or simple_number(other) is None)


@lru_cache(maxsize=2**16)
def simple_number(text: str) -> Fraction | None:
    """`1,234.50` or `-$3` as an exact fraction; None for all that is more than a number."""
    match = _SIMPLE.fullmatch(text.strip())
    if match is None:
        return None
    value = Fraction(match[2].replace(",", "").rstrip("."))
    return -value if match[1] else value


def numbers(text: str) -> list[Fraction]:
    """The numbers that stand in a text, from left to right: decimals and fractions of integers."""
    found = []
    for sign, n, d, n2, d2, decimal in _NUMBER.findall(text[:MAX_LENGTH].replace("−", "-")):
        if decimal:
            value = Fraction(decimal.replace(",", ""))
        elif int(d or d2) == 0:
            continue
        else:
            value = Fraction(int(n or n2), int(d or d2))
        found.append(-value if sign else value)
    return found


def doubt(reference: str, answer: str) -> str | None:
    """The reading under which `answer` is `reference`, None where there is none. The first of

    - `format`: the same characters but for spaces, typesetting, thousands separators, letter case and
      quotes, and for brackets where only one of them has any;
    - `units`: each holds one number, the same, and only one of them says more;
    - `order`: the same numbers, several, and not both in brackets that say how to read them;
    - `percent`: one number each, a hundred times the other, one of them a percentage or cents;
    - `rounding`: one number each, and one is the other, rounded to the places that it shows.

    Numbers of which one is -1 times the other, intervals with other ends, other units: none of these.
    """
    reference = shown_reference(reference)
    if _same_characters(reference, answer):
        return "format"
    left, right = numbers(reference), numbers(answer)
    if not left or len(left) != len(right) or _formula(reference) or _formula(answer):
        return None
    if len(left) > 1:
        apart = sorted(left) != sorted(right) or (_brackets(reference) and _brackets(answer))
        return None if apart or (_says_more(reference) and _says_more(answer)) else "order"
    (one,), (other,) = left, right
    if one == other:
        return None if _says_more(reference) and _says_more(answer) else "units"
    if one * 100 == other or other * 100 == one:
        return "percent" if _PERCENT.search(reference) or _PERCENT.search(answer) else None
    rounded = _rounds(reference, one, other) or _rounds(answer, other, one)
    return "rounding" if rounded else None


def _same_characters(one: str, other: str) -> bool:
    left, right = _bare(one), _bare(other)
    if bool(re.search(_BRACKET, left)) != bool(re.search(_BRACKET, right)):
        left, right = re.sub(_BRACKET, "", left), re.sub(_BRACKET, "", right)
    return left == right != ""


def _bare(text: str) -> str:
    text = unicodedata.normalize("NFKC", text[:MAX_LENGTH]).replace("−", "-")
    text = _FRACTION.sub(r"\1/\2", _TYPESETTING.sub(" ", text).replace(r"\%", "%"))
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))|[\"'`${}]", "", text)
    text = re.sub(r"(?<=[0-9])\s+(?=[0-9])", "_", text.strip())  # two numbers are not one
    return re.sub(r"\s+", "", text).strip("*").rstrip(".").casefold()


def _says_more(text: str) -> bool:
    """Whether a text has words beside its numbers."""
    return bool(re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", text)))


def _brackets(text: str) -> bool:
    return bool(re.match(rf"\s*\$?\s*(?:\\left\s*)?{_BRACKET}", text))


def _formula(text: str) -> bool:
    r"""Whether a number stands in a formula: `\sqrt{2}`, `2x`, `2^n`, `x > 2`, `2!`, `x - 2`."""
    plain = _TYPESETTING.sub(" ", _FRACTION.sub(" ", text)).replace(r"\%", "%")
    return bool(
        re.search(r"\\[A-Za-z]|[\^*+<>!_]|[0-9]\s?[a-z](?![A-Za-z])|[\w)]\s*-|\b[a-z]\s?/", plain)
    )


def _rounds(text: str, value: Fraction, other: Fraction) -> bool:
    """Whether `value`, as it stands in `text`, is `other` rounded, by at most a twentieth of it."""
    decimals = re.search(r"[0-9]?\.([0-9]+)", text)
    unit = Fraction(1, 10 ** len(decimals[1])) if decimals else Fraction(1)
    if (other / unit).denominator == 1 or (value / unit).denominator != 1:
        return False  # nothing was rounded, or `value` is no decimal of these places
    return abs(value - other) <= min(unit / 2, abs(other) / 20)
