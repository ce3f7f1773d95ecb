"""Where a text turns formal: its formulas, and the single letters that are variables.

Both `templates` and `signature` read folded text (see `normalise.fold`) through this module, so that
they agree on what a formula and a variable are.
"""

import re
import unicodedata
from collections.abc import Iterator

# Formulas between $$ $$, $ $, \( \) and \[ \]. A dollar is also money: as in Pandoc's rule, an
# opening one has no space after it, a closing one no space before it and no digit after it. Every
# alternative ends at the next delimiter at the latest, so that hostile text takes linear time.
_FORMULA = re.compile(
    r"""
    \$\$ (?P<display> (?:\\.|[^$\\]){1,4000} ) \$\$
  | (?<![\\\w$]) \$ (?=\S) (?P<inline> (?:\\.|[^$\\]){1,2000} ) (?<=\S) \$ (?![\d$])
  | \\\( (?P<round> (?:(?!\\[()]).){1,4000} ) \\\)
  | \\\[ (?P<square> (?:(?!\\[\[\]]).){1,4000} ) \\\]
    """,
    re.VERBOSE,
)

# One letter that stands alone, with its subscript. `a` and `i` are words of English: see
# `is_article`. A letter with digits (`x1`) is a word unless an operator stands beside it, since
# names of things (`w123`, `b2`) look the same. The letters of e.g., u.s. and p.m. are no variables.
OPERATORS = "-+*/^=<>"
_NAMED = r"[a-zα-ω]\d{1,3}(?!\w)"
VARIABLE = rf"""
    (?<![^\W\d]) (?<!['\\]) (?<![^\W\d]\.)
    (?: [a-zα-ω] (?: _\{{?\w{{1,3}}\}}? (?!\w) | (?![\w'] | \.[^\W\d]) )
      | {_NAMED} (?=\s?[{OPERATORS}]) | (?<=[{OPERATORS}]) {_NAMED} | (?<=[{OPERATORS}]\ ) {_NAMED}
    )"""


def segments(text: str) -> Iterator[tuple[bool, str]]:
    """The folded `text` in order, as (is a formula, its text without delimiters)."""
    if "$" not in text and "\\" not in text:
        yield False, text
        return
    at = 0
    for found in _FORMULA.finditer(text):
        if found.start() > at:
            yield False, text[at : found.start()]
        yield True, found[found.lastgroup or 0]
        at = found.end()
    if at < len(text):
        yield False, text[at:]


def is_article(text: str, start: int, end: int) -> bool:
    """Whether the `a` or `i` at text[start:end] is a word of English and not a variable.

    It is a variable where an operator touches it, or stands after one space as one between terms.
    """
    if end - start != 1 or text[start] not in "ai":
        return False
    before, after = text[start - 1 : start], text[end : end + 1]
    if (before and before in OPERATORS) or (after and after in OPERATORS):
        return False
    gap = text[end : end + 3]
    return not (gap[:1] == " " and gap[1:2] in tuple("+*/^=<>") and gap[2:] in ("", " "))


def plain_numerals(text: str) -> str:
    """`text` with superscripts, subscripts, vulgar fractions and other numerals in plain letters.

    `x²` becomes `x^2`, `½` becomes `1/2`, `Ⅷ` becomes `viii`; digits of other scripts stay, since
    `\\d` knows them.
    """
    if text.isascii():
        return text
    return "".join(_numeral(c) if unicodedata.category(c) in ("No", "Nl") else c for c in text)


def _numeral(char: str) -> str:
    form = unicodedata.decomposition(char)
    plain = unicodedata.normalize("NFKC", char).replace("\u2044", "/").lower()
    if form.startswith("<super>"):
        return f"^{plain}"
    if form.startswith("<sub>"):
        return f"_{plain}"
    return f" {plain} "
