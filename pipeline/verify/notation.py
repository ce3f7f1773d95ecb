r"""One notation for mathematical answers: Unicode, plain text and LaTeX spellings become one.

`normalise` is safe for every answer (it only removes typesetting), `key` is for exact comparison,
and `to_latex` writes an expression so that the LaTeX parser reads it as a person would.
"""

import re
import unicodedata

from winnow.pipeline.verify.extract import closing_braces

_CHARACTERS = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": "/",
    "π": r"\pi ", "√": r"\sqrt ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "°": r"^\circ ", "′": "'", "’": "'",
    "¹": "^1", "²": "^2", "³": "^3", "⁴": "^4", "⁵": "^5", "⁶": "^6", "⁷": "^7", "⁸": "^8",
    "⁹": "^9", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}",
    "⅔": r"\frac{2}{3}", "θ": r"\theta ", "…": r"\ldots ", "“": '"', "”": '"', "，": ",",
    "\u200b": "", "\u2061": "", "\u2062": "", "\ufeff": "",
}  # fmt: skip
_TRANSLATE = str.maketrans(_CHARACTERS)
_NON_ASCII = re.compile(r"[^\x00-\x7f]")

_REMOVED = re.compile(
    r"\\(?:left|right|bigl|bigr|Bigl|Bigr|biggl|biggr|big|Big|bigg|Bigg|displaystyle|textstyle"
    r"|limits|nolimits|boldsymbol|bm)(?![a-zA-Z])\s*\.?|\\!\s*"
)
_SPACES = re.compile(r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![a-zA-Z])|\\hspace\{[^{}]*\}|\s+")
_THIN_THOUSANDS = re.compile(r"(?<=[0-9])(?:\\,|\{,\})(?=[0-9]{3}(?![0-9]))")
_RENAMED = [
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:mathrm|textrm|mathit|mathsf|rm)\s*\{([eid])\}"), r"\1"),
    (re.compile(r"\\(?:textbf|textit|textrm|textnormal|mbox|mathbf|mathrm|mathit|hbox)(?=\s*\{)"), r"\\text"),
    (re.compile(r"\\(?:boxed|fbox)\s*(?=\{)"), ""),
    (re.compile(r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-zA-Z])|\\degree(?![a-zA-Z])"), r"^\\circ"),
    (re.compile(r"\\leq(?![a-zA-Z])|\\leqslant(?![a-zA-Z])|<="), r"\\le"),
    (re.compile(r"\\geq(?![a-zA-Z])|\\geqslant(?![a-zA-Z])|>="), r"\\ge"),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\text\s*\{\s*(?:,\s*)?(and|or)\s*\}"), r" \1 "),
    (re.compile(r"\\%"), "%"),
]  # fmt: skip
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|gcd|lcm|min|max"
)

_GREEK = "pi|alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|omega"


def normalise(text: str) -> str:
    """`text` without math delimiters, typesetting commands and Unicode variants."""
    if _NON_ASCII.search(text):
        text = _NON_ASCII.sub(_ascii_digit, text.translate(_TRANSLATE))
    text = _without_delimiters(text.strip())
    text = _THIN_THOUSANDS.sub("," if "{,}" in text else "", text.replace("{,}", ","))
    text = _REMOVED.sub("", text)
    for pattern, replacement in _RENAMED:
        text = pattern.sub(replacement, text)
    text = _fractions(_SPACES.sub(" ", text).replace(r"\$", "$")).strip(" *_")
    text = re.sub(r"^(?:=|\\approx(?![a-zA-Z])|\\in(?![a-zA-Z]))\s*", "", text)
    return text.rstrip(" .,;:")


def key(text: str) -> str:
    """Equal for two normalised texts that differ by spaces and text wrappers only."""
    text = _TEXT.sub(r"\1", text)
    text = re.sub(r"(?<![0-9])([0-9]{1,3}(?: [0-9]{3})+)(?![0-9])", _joined_digits, text)
    text = re.sub(r"(?<=[0-9]) +(?=[0-9])", "_ ", text)  # two numbers are not one
    text = re.sub(r"\s+", "", text).strip(".,;\"'")
    return re.sub(r"\{([0-9A-Za-z])\}", r"\1", text)


def words(text: str) -> str:
    """What a text answer says: without wrappers, quotes, outer parentheses and letter case."""
    text = _TEXT.sub(r" \1 ", text)
    text = re.sub(r"\s+", " ", text).strip(" .,;:!\"'*").casefold()
    text = re.sub(r"^\((.*)\)$", r"\1", text).strip()
    return re.sub(r"^(?:the|an?) (?=\w)", "", text)


def to_latex(text: str) -> str:
    """A normalised expression in the LaTeX that the parser reads without guessing."""
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))", "", text)
    text = text.replace("**", "^").replace("*", r"\cdot ")
    text = re.sub(r"(?<![a-zA-Z\\])(?:infinity|inf|oo)(?![a-zA-Z])", r"\\infty ", text)
    text = re.sub(rf"(?<![a-zA-Z\\])({_GREEK})(?![a-zA-Z])", r"\\\1 ", text)
    text = re.sub(rf"(?<![a-zA-Z\\])({_FUNCTIONS}|sqrt)(?=\s*[(0-9a-zA-Z{{^])", r"\\\1 ", text)
    text = re.sub(r"\\sqrt\s*", r"\\sqrt", text)
    text = _braced_groups(text)
    text = re.sub(r"\\exp\s*\{?\(", r"e^(", text)
    text = _braced_groups(text)
    text = re.sub(r"\^\s*([+-]?[0-9]+|[+-][a-zA-Z])", r"^{\1}", text)
    text = re.sub(r"\\sqrt([0-9a-zA-Z])", r"\\sqrt{\1}", text)
    text = _fractions(text)
    degrees = (
        r"\\cdot \\frac{\\pi}{180}" if re.search(r"\\(?:sin|cos|tan|cot|sec|csc)", text) else ""
    )
    text = re.sub(r"\^\\circ", degrees, text)
    return re.sub(r"(?<![0-9])([0-9]*)\.([0-9]+)(?![0-9.])", _exact_decimal, text).strip()


def _ascii_digit(match: re.Match[str]) -> str:
    """Digits of other scripts mean what ASCII digits mean."""
    digit = unicodedata.decimal(match.group(), None)
    return match.group() if digit is None else str(digit)


def _joined_digits(match: re.Match[str]) -> str:
    return match.group().replace(" ", "")


def _without_delimiters(text: str) -> str:
    text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
    if len(re.findall(r"(?<!\\)\$", text)) % 2 == 0:  # a single one is the currency
        text = re.sub(r"(?<!\\)\$", " ", text)
    return text


def _braced_groups(text: str) -> str:
    """`sqrt(...)` and `^(...)` with braces, where the parentheses balance."""
    start = 0
    while match := re.compile(r"(\\sqrt|\^)\s*\(").search(text, start):
        depth = 0
        for at in range(match.end() - 1, len(text)):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if depth == 0:
                inner = text[match.end() : at]
                text = f"{text[: match.start()]}{match[1]}{{{inner}}}{text[at + 1 :]}"
                break
        start = match.end()
    return text


def _fractions(text: str) -> str:
    r"""`\frac12`, `\frac{1}2` and `\frac1{2}` with braces around both parts."""
    closing = closing_braces(text)
    out, at = [], 0
    for match in re.finditer(r"\\frac\s*", text):
        if match.start() < at:
            continue
        out.append(text[at : match.start()] + r"\frac")
        at = match.end()
        for _ in range(2):
            while text[at : at + 1] == " ":
                at += 1
            part = re.compile(r"[0-9a-zA-Z]|\\[a-zA-Z]+").match(text, at)
            if at in closing:
                inner = _fractions(text[at + 1 : closing[at]])
                out.append("{" + inner + "}")
                at = closing[at] + 1
            elif part:
                out.append("{" + part.group() + "}")
                at = part.end()
    return "".join(out) + text[at:]


def _exact_decimal(match: re.Match[str]) -> str:
    whole, digits = match.groups()
    return rf"\frac{{{int((whole + digits) or 0)}}}{{1{'0' * len(digits)}}}"
