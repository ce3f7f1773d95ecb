r"""Answers that are compared as text: choices, words, times of day, ratios, digits in a base.

Each function takes a normalised reference and answer, and returns whether they say the same, or
None where the reference is not of its kind.
"""

import re
from fractions import Fraction
from functools import lru_cache

from winnow.pipeline.verify.notation import key, words
from winnow.pipeline.verify.plain_number import plain_number
from winnow.pipeline.verify.tokens import FUNCTIONS

# Words that say the same: every phrase on the right is read as the one on the left.
SYNONYMS = {
    "yes": "true",
    "no": "false",
    "correct": "true",
    "incorrect": "false",
    "dne": "does not exist",
    "diverges": "divergent",
    "converges": "convergent",
    "no real solution": "no real solutions",
    "infinitely many solutions": "infinitely many",
    "infinite number of solutions": "infinitely many",
}
_SAID = re.compile(
    r"(?:it|this|they|he|she|that|there|the [a-z]+)\s+(?:is|are|was|were|will be)\s+(?=\S)"
    r"|(?:option|choice|answer)\s+(?=\S)"
)
_CHOICE = re.compile(r"[a-j]")
_CHOSEN = re.compile(r"\(?(?P<letter>[a-z])(?:[).:]+\s*(?P<text>.*)|)", re.DOTALL)
_ANOTHER = re.compile(r"(?<![a-z])(?:\(?[a-j]\)|(?:and|or)\s+[a-j](?![a-z]))")
_TIME = re.compile(
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-5][0-9])(?::(?P<second>[0-5][0-9]))?\s*(?P<half>[ap])?m?"
)
_HOUR = re.compile(r"(?P<hour>[0-9]{1,2})\s*(?P<half>[ap])m")
_RATIO = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:\s*:\s*[0-9]+(?:\.[0-9]+)?)+")
_BASED = re.compile(
    r"(?P<sign>-?)(?P<digits>(?=[A-Z]*[0-9])[0-9A-Z][0-9A-Za-z]*(?:\.[0-9A-Za-z]+)?)"
    r"(?:_\{?(?:\\text\{)?(?P<base>[0-9]+|[a-z]+)\}*|\(?base-?(?P<said>[0-9]+)\)?)"
)
NUMBER_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
                 "nine": 9, "ten": 10}  # fmt: skip


def same_choice(gold: str, answer: str) -> bool | None:
    r"""`B`, `(B)`, `\text{(B)}` against `B`, `(b)`, `Option B`, `B) 12`; never against two."""
    letter = words(gold)
    if not _CHOICE.fullmatch(letter):
        return None
    marked = "\\text" in gold or "(" in gold
    if not marked and letter.upper() != gold:
        return None  # a lower-case letter is a variable
    said = _SAID.sub("", words(answer), count=1)
    chosen = _CHOSEN.fullmatch(said)
    if chosen is None:
        return None if not marked and "\\" in answer else False
    if chosen["text"] and _ANOTHER.search(chosen["text"]):
        return False
    return chosen["letter"] == letter


def same_words(gold: str, answer: str) -> bool | None:
    """One text, whatever its case, articles and hyphens; None where the reference is no text."""
    if not is_text(gold):
        return None
    first, second = words(gold), words(answer)
    if not re.search(r"[a-z]", second) or answer.startswith("-"):
        return False
    if _plain(first) == _plain(second):
        return True
    return _plain(first) == _plain(_SAID.sub("", second, count=1))


@lru_cache(maxsize=8192)
def is_text(text: str) -> bool:
    r"""Words without mathematics: everything in `\text`, or at least three letters that are not
    only functions and one-letter names."""
    outside = re.sub(r"\\text\s*\{[^{}]*\}", "", text)
    if re.search(r"[0-9\\+*/^=<>_|()\[\]]|^-", outside) or re.search(r"[,;]|\band\b|\bor\b", text):
        return False
    if outside != text:
        return True
    letters = re.findall(r"[A-Za-z]+", text)
    return any(len(word) > 2 and word.lower() not in FUNCTIONS for word in letters)


def _plain(text: str) -> str:
    text = re.sub(r"[\s\-'\"`.]+", " ", text).strip()
    text = SYNONYMS.get(text, text)
    return text.replace(" ", "")


def same_time(gold: str, answer: str) -> bool | None:
    """Times of day. Without a.m. or p.m. on one side, the other side's is taken."""
    first = _time(gold)
    if first is None:
        return None
    second = _time(answer)
    if second is None:
        return None if _RATIO.fullmatch(words(gold)) else False
    if first[1] and second[1] and first[1] != second[1]:
        return False
    if first[0] == second[0]:
        return True
    # 13:05 is 1:05 p.m.
    return _of_day(first) == _of_day(second) and bool(first[1] or second[1])


def _time(text: str) -> tuple[tuple[int, int, int], str] | None:
    plain = re.sub(r"(?<=[apm])\.|\s+(?=[ap]\.?m)", "", words(text)).replace(" ", "")
    match = _TIME.fullmatch(plain) or _HOUR.fullmatch(plain)
    if match is None:
        return None
    found = match.groupdict()
    clock = (int(found["hour"]), int(found.get("minute") or 0), int(found.get("second") or 0))
    return clock, found["half"] or ""


def _of_day(time: tuple[tuple[int, int, int], str]) -> tuple[int, int, int]:
    (hour, minute, second), half = time
    return (hour % 12 + (12 if half == "p" else 0) if half else hour, minute, second)


def same_ratio(gold: str, answer: str) -> bool | None:
    r"""`2:3` is `4:6`, `2 to 3` and `\frac{2}{3}`; `5:30` may be a time and is only itself."""
    plain = re.sub(r"\s+to\s+", ":", words(gold))
    if not _RATIO.fullmatch(plain):
        return None
    given = re.sub(r"(?<=[0-9])\s+to\s+(?=[0-9])", ":", words(answer))
    first = [Fraction(part) for part in plain.replace(" ", "").split(":")]
    if _RATIO.fullmatch(given):
        second = [Fraction(part) for part in given.replace(" ", "").split(":")]
        if first == second:
            return True
        if _time(gold) or len(first) != len(second) or 0 in (*first, *second):
            return False
        return len({a / b for a, b in zip(first, second, strict=True)}) == 1
    number = plain_number(answer)
    if number is None or len(first) != 2 or first[1] == 0 or _time(gold):
        return False
    return number.unit is None and number.value == first[0] / first[1]


def same_base(gold: str, answer: str) -> bool | None:
    """`2516_8`: digits with their base. The reference's base may be left out of the answer."""
    first, second = _based(gold), _based(answer)
    if first and second:
        return first == second or _value(first) == _value(second) is not None
    if first:
        return first[0].upper() == key(answer).replace(",", "").upper()
    if second and (number := plain_number(gold)):
        return number.unit is None and _value(second) == number.value
    return None


def _based(text: str) -> tuple[str, int] | None:
    plain = key(text).replace(",", "")
    match = _BASED.fullmatch(plain)
    if match is None:
        return None
    base = match["base"] or match["said"]
    number = int(base) if base.isdigit() else NUMBER_BASES.get(base)
    if number is None or not 2 <= number <= 36:
        return (match["sign"] + match["digits"], 0)
    return (match["sign"] + match["digits"].upper(), number)


def _value(digits: tuple[str, int]) -> Fraction | None:
    """What the digits mean in their base; None where the base does not have one of them."""
    text, base = digits
    whole, _, part = text.partition(".")
    if not base or len(text) > 500:
        return None
    try:
        value = Fraction(int(whole + part, base), base ** len(part))
    except ValueError:
        return None
    return value
