"""Groups of prompts that are one template: they differ by numbers, variables or option order.

Two such prompts test nearly the same thing: a holdout that shares a group with the training rows
leaks, and a set that is full of one group is less diverse than its row count says. They are no
duplicates all the same, since their answers differ: see `signature.formal_signature`.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby

from winnow.pipeline.clean import math_text, options
from winnow.pipeline.clean.normalise import fold
from winnow.pipeline.clean.signature import formal_signature, is_plain
from winnow.pipeline.names import Message, digest

__all__ = ["PLACEHOLDER", "formal_signature", "template_id", "template_text"]

# One number as people write it: a sign that is no operator (`x = -5`, but not `10-5` or `x-5`),
# digits with decimal points and thousands separators, an exponent, an ordinal's ending. Digits that
# hang together by commas are one number: `1,234` and `[1,2]` cannot be told apart by form.
# Digits within a word (`w123`, `covid19`) are part of its name.
_NUMBER = r"""
    (?: (?<![\w)\]}]) [-+] )?
    (?: (?<!\w) \. )? (?<!\w) \d+ (?: [.,][-+]?\d+ )*
    (?: e[-+]?\d+ )?
    (?: (?:st|nd|rd|th)\b )?
    """
PLACEHOLDER = "#"

_PROSE = re.compile(
    rf"(?=[-+.\da-zα-ω]) (?: (?P<variable> {math_text.VARIABLE} ) | (?P<number> {_NUMBER} ) )",
    re.VERBOSE,
)
# In a formula every letter is a variable of its own, but for commands and for words set as text.
_FORMULA = re.compile(
    rf"""
    (?P<keep> \\(?:text|textbf|textit|mathrm|mathbf|operatorname|mbox|begin|end)\ ?\{{[^{{}}]*\}}
            | \\[a-z]+ | \\. )
  | (?P<variable> [^\W\d_] (?: _\{{?\w\}}? )? )
  | (?P<number> {_NUMBER} | \d+ )
    """,
    re.VERBOSE,
)


def template_text(text: str) -> str:
    """The template that `text` fills.

    Folded (case, white space, typography); every number is `#`; every variable is `@1`, `@2`, ... by
    order of first use; answer options stand in order of their content, without their labels.

    Numbers are digits of any script, with sign, decimal point, thousands separators, exponent and
    ordinal ending; number words ("three") and words with digits ("w123") are words. Variables are
    the letters of a formula, and in prose single letters other than the words "a" and "i".
    """
    names: dict[str, str] = {}
    found = options.find(text)
    if found is None:
        return _masked(text, names)
    # Sorted by what does not depend on the variables' names; equal ones keep their order.
    texts = sorted(found.texts, key=lambda option: _masked(option, None))
    parts = [found.before, *texts, found.after]
    head, *middle, tail = [_masked(part, names) for part in parts]
    return f"{head} [{' | '.join(middle)}] {tail}".strip()


def template_id(messages: Sequence[Message]) -> str:
    """Group key of prompts that are one template (see `template_text`).

    Roles and the order of messages count.
    """
    return digest("template/2", [[m["role"], template_text(m["content"])] for m in messages])


def _masked(text: str, names: dict[str, str] | None) -> str:
    """`text` with numbers and variables replaced; without `names` all variables look the same."""

    def replace(found: re.Match[str]) -> str:
        if found.lastgroup == "number":
            return PLACEHOLDER
        if math_text.is_article(found.string, *found.span()):
            return found[0]
        return name(found[0])

    def replace_in_formula(found: re.Match[str]) -> str:
        kind = found.lastgroup
        if kind == "number":
            return PLACEHOLDER
        return name(found[0]) if kind == "variable" else found[0]

    def name(variable: str) -> str:
        if names is None:
            return "@"
        plain = variable.replace("{", "").replace("}", "")
        return names.setdefault(plain, f"@{len(names) + 1}")

    folded = math_text.plain_numerals(fold(text))
    if is_plain(folded):
        return folded
    parts = []
    for is_formula, segment in math_text.segments(folded):
        if is_formula:
            parts.append(f"${_FORMULA.sub(replace_in_formula, segment)}$")
        else:
            parts.append(_masked_prose(segment, replace))
    return "".join(parts)


def _masked_prose(segment: str, replace: Callable[[re.Match[str]], str]) -> str:
    """`_PROSE.sub(replace, segment)`, looking only where something can be found.

    Most of what stands between two spaces is a plain word, which nothing beside it turns into
    anything else; so each run of other tokens can be read by itself.
    """
    tokens = segment.split(" ")
    codes = list(map(_code, tokens))
    if _ACTIVE not in codes:
        return segment
    out: list[str] = []
    at = 0
    for plain, run in groupby(codes, _PLAIN.__eq__):
        some = list(run)
        part = tokens[at : at + len(some)]
        at += len(some)
        if plain or _ACTIVE not in some:
            out += part
        else:
            out.append(_PROSE.sub(replace, " ".join(part)))
    return " ".join(out)


_PLAIN = 0  # a word, whatever stands beside it
_MAYBE = 1  # a word, unless an operator stands beside it
_ACTIVE = 2  # anything else
_PLAIN_WORD = re.compile(
    r"[\"'(\[]*[^\W\d_]{2}\w*(?:['’-][^\W\d_]{2,})*(?:'[^\W\d_])?[\"')\].,;:?!]*\Z"
)
_MAYBE_WORD = re.compile(r"(?:[ai]|[^\W\d_]\d+|)[.,;:?!]*\Z")


@lru_cache(maxsize=1 << 16)
def _code(token: str) -> int:
    if _PLAIN_WORD.match(token):
        return _PLAIN
    return _MAYBE if _MAYBE_WORD.match(token) else _ACTIVE
