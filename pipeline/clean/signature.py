"""What must be equal for two prompts to be duplicates: all that is formal in them.

Near-duplicate detection counts words, and one number, sign or "not" among eighty words is not seen
in such a count, though it changes the answer. So two prompts are compared only when their formal
parts are the same; this relation is an equality, hence transitive, and a group of near-duplicates
never holds two different problems.
"""

import re
import unicodedata
from functools import lru_cache
from operator import itemgetter

from winnow.pipeline.clean import math_text, options
from winnow.pipeline.clean.normalise import fold
from winnow.pipeline.number_words import ONES, TENS

_words = str.split
_NUMBER_WORDS = {
    **{word: str(n) for word, n in {**ONES, **TENS}.items()},
    "hundred": "100", "hundreds": "100", "thousand": "1000", "thousands": "1000",
    "million": "million", "millions": "million", "billion": "billion", "billions": "billion",
    "trillion": "trillion", "dozen": "12", "dozens": "12",
    "half": "half", "halves": "half", "halved": "half", "third": "3rd", "thirds": "3rd",
    "quarter": "quarter", "quarters": "quarter", "fourth": "4th", "fourths": "4th",
    "first": "1st", "second": "2nd", "fifth": "5th", "fifths": "5th", "sixth": "6th",
    "sixths": "6th", "seventh": "7th", "sevenths": "7th", "eighth": "8th", "eighths": "8th",
    "ninth": "9th", "ninths": "9th", "tenth": "10th", "tenths": "10th",
    "twice": "twice", "thrice": "thrice", "double": "twice", "doubled": "twice",
    "doubles": "twice", "triple": "thrice", "tripled": "thrice", "triples": "thrice",
    "quadruple": "4x", "quadrupled": "4x", "percent": "%",
}  # fmt: skip
# "One" is a pronoun as well; leaving it out loses nothing, since "two" in its place is seen.
del _NUMBER_WORDS["one"]
_NEGATIONS = frozenset(
    _words("not no non never none neither nor without cannot except unless false incorrect")
)
# Words whose place a contrary takes while all other words stay, which turns the answer. Found among
# the near-duplicates of MATH and MBPP that have different answers ("area" against "perimeter").
_CONTRASTS = frozenset(
    _words("""
    more less fewer most least fewest greater smaller larger bigger longer shorter higher lower
    greatest smallest largest biggest longest shortest highest lowest maximum minimum maximize
    minimize max min increase increases increased decrease decreases decreased
    before after odd even positive negative true correct
    ascending descending uppercase lowercase all any both either left right same different
    distinguishable indistinguishable sum difference product quotient remainder
    area perimeter volume circumference radius diameter mean median mode average
    am pm a.m. p.m.
    """)
)
_ROMAN = re.compile(r"(?=[ivxlcdm]{2})m*(?:cm|cd|d?c{0,3})(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})\Z")

# For `is_plain`: what no plain text holds, and words that count (to which Roman numerals come).
_QUIET = frozenset("abcdefghijklmnopqrstuvwxyz0123456789 .,;:?'\"#@")
_DIGITS = frozenset("0123456789")
_TO_SPACE = str.maketrans(dict.fromkeys(".,;:?'\"#@", " "))
_COUNTING = frozenset(
    {*_NUMBER_WORDS, *_NEGATIONS, *_CONTRASTS, *"bcdefghjklmnopqrstuvwxyz"}
    | {
        m + c + x + i
        for m in ("", "m", "mm", "mmm")
        for c in ("", *_words("c cc ccc cd d dc dcc dccc cm"))
        for x in ("", *_words("x xx xxx xl l lx lxx lxxx xc"))
        for i in ("", *_words("i ii iii iv v vi vii viii ix"))
    }
) - {"", "i"}

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?![\d,]) | \d+)(?:\.\d+)? | (?<![\w.])\.\d+"
_TOKEN = re.compile(
    rf"""
    {_NUMBER}
  | (?: [^\W\d_]\. ){{2,}}
  | [^\W\d_] (?: _\{{?\w{{1,3}}\}}?(?!\w) | \w* (?:'[^\W\d_]+)* )
  | \\[a-z]+ | \w+ | [^\w\s]
    """,
    re.VERBOSE,
)
_FORMULA = re.compile(rf"\\[a-z]+ | \\. | (?P<number>{_NUMBER}) | \S", re.VERBOSE)
_LAYOUT = frozenset(
    [
        *_words(r"\left \right \big \bigg \, \; \: \! \quad \qquad \displaystyle \limits $"),
        "\\ ",
    ]
)
_SYNONYMS = {r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\le": r"\leq", r"\ge": r"\geq",
             r"\ne": r"\neq", "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "×": r"\times",
             "·": r"\cdot", "∞": r"\infty", "π": r"\pi", "−": "-", r"\%": "%"}  # fmt: skip
# Operators that are formal wherever they stand, and those that are so only beside a number, a
# variable or a command: a hyphen, a slash or brackets are punctuation elsewhere.
_STRONG = frozenset("+^=≤≥≠≈×÷√∞∈∉⊂⊆∪∩±∓%°·→⇒⇔∧∨¬£€¥₹")
_WEAK = frozenset("-*/<>|!()[]{}_&~")
_SUBSCRIPTED = re.compile(r"[a-zα-ω](?:_\{?\w{1,3}\}?)?\Z")
_OPERATORS = frozenset(math_text.OPERATORS)
_PUNCTUATION = frozenset(".,;?'\"#@")
_NAMED = re.compile(r"[a-zα-ω]\d{1,3}\Z")
_UNITS = {word: n for word, n in ONES.items() if 1 <= n <= 9}


def formal_signature(text: str) -> str:
    """The formal tokens of `text` in order, parted by spaces; empty where there are none.

    They are: numbers by value (digits of any script, thousands separators, decimals, fractions,
    percent, number words, Roman numerals of two letters and more), variables, LaTeX commands and
    whole formulas, operators and relations, negations, words that a contrary may replace
    (`_CONTRASTS`), and answer options in full. Case, white space and typography do not count.

    A word that begins with a letter and holds digits ("w123") is a word, and so no part of it.
    """
    text = math_text.plain_numerals(fold(text))
    if is_plain(text):
        return ""
    literal = options.literal_from(text)
    out: list[str] = []
    at = 0
    for part, everything in ((text[:literal], False), (text[literal:], True)):
        for is_formula, segment in math_text.segments(part):
            if is_formula:
                _formula(segment, out)
            else:
                _prose(segment, everything, out)
        at += len(part)
    return " ".join(out)


def is_plain(folded: str) -> bool:
    """Whether the folded text surely has nothing formal but perhaps options: a quick look.

    Never true where `formal_signature` finds a token; may be false where it finds none.
    """
    if not _QUIET.issuperset(folded) or "n't" in folded:
        return False
    words = folded.translate(_TO_SPACE).split()
    return (
        _DIGITS.isdisjoint(map(itemgetter(0), words))
        and _COUNTING.isdisjoint(words)
        and not options.may_be_labelled(folded)
    )


def _formula(segment: str, out: list[str]) -> None:
    for found in _FORMULA.finditer(segment.rstrip(" .,;:")):
        token = found[0]
        if found["number"]:
            out.append(_value(token))
        elif token not in _LAYOUT:
            out.append(_SYNONYMS.get(token, token))


# Kinds of tokens; plain integers, since every token of every prompt passes here.
_WORD = 0  # says nothing formal
_FORMAL = 1  # counts, but makes nothing of the signs beside it
_SOLID = 2  # counts, and so do the signs beside it
_SIGN = 3
_MAYBE = 4  # a variable where an operator stands beside it, otherwise a word


def _prose(segment: str, everything: bool, out: list[str]) -> None:
    tokens: list[tuple[int, str, str]] = []
    silent = not everything
    for is_silent, some in map(_tokens, segment.split(" ")):
        tokens += some
        silent = silent and is_silent
    if silent:
        return
    run: list[str] = []  # signs since the last token that is none
    beside = False  # whether a _SOLID token stands before the run
    tens = -1  # where in `out` a "twenty" stands that a "one" may follow directly
    for position, (kind, token, formal) in enumerate(tokens):
        if kind == _SIGN:
            run.append(token)
            continue
        if kind == _WORD and not run and not everything and tens < 0:
            beside = False
            continue
        if tens >= 0 and token in _UNITS and run in ([], ["-"]):
            out[tens] = str(int(out[tens]) + _UNITS[token])
            run, beside, tens = [], True, -1
            continue
        if kind == _MAYBE:
            around = tokens[max(position - 1, 0) : position + 2]
            kind = _SOLID if any(t in _OPERATORS for _, t, _ in around) else _WORD
        solid = kind == _SOLID
        if run:
            _signs(run, beside, solid, out)
            run = []
        if kind != _WORD or everything:
            out.append(formal)
        beside = solid
        tens = len(out) - 1 if token in TENS else -1
    _signs(run, beside, False, out)


def _signs(run: list[str], before: bool, after: bool, out: list[str]) -> None:
    """Append those of `run` that are formal, given whether a SOLID token stands on either side."""
    near, between = before or after, before and after
    out += [
        _SYNONYMS.get(sign, sign)
        for sign in run
        if sign in _STRONG or (near and sign in _WEAK) or (between and sign == ":")
    ]


@lru_cache(maxsize=1 << 16)
def _tokens(between_spaces: str) -> tuple[bool, list[tuple[int, str, str]]]:
    """Whether they say nothing formal unless an operator is near, and (kind, token, formal) each."""
    tokens = [(*_classify(token), token) for token in _TOKEN.findall(between_spaces)]
    silent = all(kind in (_WORD, _MAYBE) or token in _PUNCTUATION for kind, _, token in tokens)
    return silent, [(kind, token, formal) for kind, formal, token in tokens]


def _classify(token: str) -> tuple[int, str]:
    """The token's kind, and what it stands for in a signature if it counts."""
    first = token[0]
    if first.isdecimal() or (first == "." and len(token) > 1):
        return _SOLID, _value(token)
    if len(token) == 1 and not first.isalnum():
        return _SIGN, token
    if first == "\\":
        return _SOLID, _SYNONYMS.get(token, token)
    if token in ("a", "i") or _NAMED.match(token):
        return _MAYBE, token
    if _SUBSCRIPTED.match(token):
        return _SOLID, token.replace("{", "").replace("}", "")
    if token in _NUMBER_WORDS:
        value = _NUMBER_WORDS[token]
        return (_SOLID if value.isdigit() else _FORMAL), value
    if token in ("not", "cannot") or token.endswith("n't"):
        return _FORMAL, "not"
    if token in _NEGATIONS or token in _CONTRASTS or _ROMAN.match(token):
        return _FORMAL, token
    if not token.isascii():
        # Letters that are numerals of their own, such as the Chinese ones.
        numerals = "".join(c for c in token if unicodedata.numeric(c, None) is not None)
        if numerals:
            return _FORMAL, numerals
    return _WORD, token


def _value(number: str) -> str:
    """Canonical digits: ASCII, no separators, no idle zeros."""
    if not number.isascii():
        number = "".join(str(unicodedata.decimal(c, c)) for c in number)
    number = number.replace(",", "")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"
