r"""Which choices a text commits to: by letter, or by the text of an option.

A letter counts where it can be nothing else: `(C)`, `C)`, `\text{C}`, `**C**`, "option C", a lone
capital. "A cat" and "I think" name no choice, "not A" and "B is wrong" commit to none. An option's
text counts as a whole: 5 is not named by 15, nor "increase" by an option "does not increase".
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from winnow.pipeline.verify.equivalence import BadReference, UnreadableAnswer, equivalent
from winnow.pipeline.verify.notation import normalise, words
from winnow.pipeline.verify.plain_number import plain_number, same_number

# Words that may follow the letters A and I where they are no article and no pronoun.
AFTER_LETTER = (
    "because", "since", "as", "and", "or", "is", "are", "was", "which", "but", "not", "for", "with",
    "so", "then", "due", "given", "if", "when", "that", "being", "only",
)  # fmt: skip
# A choice that stands behind one of these, or before one of those, is not taken.
REJECTS_BEFORE = (
    r"\bnot(?: the)?(?: option| choice| answer)?", r"n't(?: be)?(?: option| choice)?",
    r"\brather than(?: option)?", r"\binstead of(?: option)?", r"\beliminat\w+(?: option| choice)?s?",
    r"\bruled? out(?: option| choice)?s?", r"\bunlike(?: option)?", r"\bexcept(?: for)?(?: option)?",
    r"\bneither",
)  # fmt: skip
REJECTS_AFTER = (
    r"(?:is|are|was|were)\s+(?:clearly |also |both )?(?:wrong|incorrect|false|eliminated|ruled out|not|out)\b",
    r"(?:isn't|aren't|can't|cannot|doesn't|does not|can be (?:eliminated|ruled out))\b",
)

_WRAPPED = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|textit|mathit|boxed|mbox|rm|bf)\s*\{([^{}]*)\}"
)
_AND = re.compile(r"\s*,?\s*(?:and|or|nor|&)\s*")
_MARKED = re.compile(
    r"(?P<paren>\(\s*(?P<a>[A-Za-z])\s*\))"
    r"|(?P<word>\b(?:option|choice|answer|letter)s?\s+(?P<b>[A-Za-z])(?![A-Za-z'’]))"
    r"|(?P<bold>\*\*\s*(?P<c>[A-Z])\s*\*\*|`(?P<d>[A-Z])`|\"(?P<e>[A-Z])\")"
    r"|(?P<bare>(?<![A-Za-z0-9'’\\/^_-])(?P<f>[A-Z])(?![A-Za-z0-9'’^_=+*/-]))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mention:
    """A letter that a text names, at `start` to `end`; `rejected` where it says that it is not it."""

    letter: str
    start: int
    end: int
    rejected: bool


@lru_cache(maxsize=64)
def _any_of(patterns: tuple[str, ...], template: str) -> re.Pattern[str]:
    return re.compile(template % "|".join(patterns), re.IGNORECASE)


def unwrapped(text: str) -> str:
    r"""`text` without `\text{...}` and the like, dollar signs and spacing commands."""
    while (inner := _WRAPPED.sub(r"\1", text)) != text:
        text = inner
    text = re.sub(r"\\[,;:! ]|\\quad|~", " ", text.replace("$", " "))
    return " ".join(re.sub(r"\\[()\[\]]", " ", text).split())


def mentions(text: str, labels: Iterable[str]) -> list[Mention]:
    """The letters among `labels` that `text` (unwrapped) names, in order."""
    known = set(labels)
    letters: list[tuple[str, re.Match[str]]] = []
    for match in _MARKED.finditer(text):
        letter = next(group for group in match.group(*"abcdef") if group)
        if letter.upper() in known and _is_letter(match, letter, text):
            letters.append((letter.upper(), match))
    before = [_is_rejected_before(match, text) for _, match in letters]
    after = [_is_rejected_after(match, text) for _, match in letters]
    # "eliminate A and B" rejects both, and so does "A and B are wrong".
    joined = [
        bool(_AND.fullmatch(text, first.end(), second.start()))
        for (_, first), (_, second) in pairwise(letters)
    ]
    for k, together in enumerate(joined):
        before[k + 1] |= before[k] and together
    for k in reversed(range(len(joined))):
        after[k] |= after[k + 1] and joined[k]
    return [
        Mention(letter, match.start(), match.end(), before[k] or after[k])
        for k, (letter, match) in enumerate(letters)
    ]


def _is_letter(match: re.Match[str], letter: str, text: str) -> bool:
    """Whether a match names a choice, rather than an article, a pronoun or a variable."""
    if match["paren"]:
        return not re.search(r"[A-Za-z0-9]\Z", text[: match.start()])  # f(A) is a value
    after = text[match.end() : match.end() + 24]
    if match["word"]:
        return _ends(after) or (letter.isupper() and letter not in "AI")
    if letter.islower():
        return False
    if match["bold"]:
        return True
    if re.match(r"\s*[=<>+*/^]|\s*\\", after):
        return False
    return _ends(after) or letter not in "AI"


def _ends(after: str) -> bool:
    """Whether the word is over, or goes on as it does behind a letter."""
    following = re.match(r"\s+([A-Za-z']+)", after)
    return following is None or following[1].lower() in AFTER_LETTER


def _is_rejected_before(match: re.Match[str], text: str) -> bool:
    before = _any_of(REJECTS_BEFORE, r"(?:%s)\s*(?:\(|\*\*)?\Z")
    start = match.start("b") if match["word"] else match.start()
    return bool(before.search(text[max(start - 40, 0) : start]))


def _is_rejected_after(match: re.Match[str], text: str) -> bool:
    after = _any_of(REJECTS_AFTER, r"[).*]*\s*(?:%s)")
    return bool(after.match(text[match.end() :]))


def same_text(option: str, text: str) -> bool:
    """Whether `text` says what the option says, as words, numbers or mathematics."""
    a, b = normalise(option), normalise(text)
    if words(a) == words(b):
        return True
    first, second = plain_number(a), plain_number(b)
    if first and second:
        return same_number(first, second)
    if not re.search(r"[0-9\\=<>^]", a) or not re.search(r"[0-9\\=<>^]", b):
        return False
    try:
        return equivalent(option, text)
    except (BadReference, UnreadableAnswer, RecursionError):
        return False


def options_named(text: str, options: Mapping[str, str]) -> set[str]:
    """The options whose text is the whole of `text`; without any, those that stand in it."""
    exact = {
        letter
        for letter, option in options.items()
        if words(normalise(option)) == words(normalise(text))
    }
    if exact:
        return exact
    if whole := {letter for letter, option in options.items() if same_text(option, text)}:
        return whole
    return {letter for letter, _ in options_in(text, options)}


def options_in(text: str, options: Mapping[str, str]) -> list[tuple[str, int]]:
    """(letter, position) of each option whose text stands in `text`, the longest first: what it
    covers names no shorter one. Those that the text says not to take are left out."""
    plain = text.casefold()
    taken: list[tuple[int, int]] = []
    found = []
    before = _any_of(REJECTS_BEFORE, r"(?:%s)\s*(?:the |an? )?\Z")
    after = _any_of(REJECTS_AFTER, r"\s*(?:%s)")
    for letter, option in sorted(options.items(), key=lambda pair: -len(pair[1])):
        wanted = option.strip(" .$").casefold()
        if not wanted:
            continue
        pattern = rf"(?<![\w.\\-]){re.escape(wanted)}(?![\w%]|[.,/^][0-9])"
        for match in re.finditer(pattern, plain):
            if any(start < match.end() and match.start() < end for start, end in taken):
                continue
            taken.append(match.span())
            rejected = before.search(plain[max(match.start() - 40, 0) : match.start()])
            if not rejected and not after.match(plain[match.end() :]):
                found.append((letter, match.start()))
    return found
