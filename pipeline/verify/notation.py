r"""One notation for mathematical answers: Unicode, plain text and LaTeX spellings become one.

`normalise` is safe for every answer (it only changes typesetting), and `key` is for exact
comparison. The tables are data: each entry is guarded by a labelled pair of the self-test.
"""

import re
import unicodedata

from winnow.pipeline.verify.extract import closing_braces

# What NFKC leaves alone or spells badly. Everything else (full-width forms, mathematical letters,
# no-break spaces) goes through NFKC, and digits of other scripts become ASCII digits.
CHARACTERS = {
    "−": "-", "–": "-", "—": "-", "×": "*", "·": "*", "⋅": "*", "∙": "*", "÷": "/", "∕": "/",
    "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ",
    "√": r"\sqrt ", "∛": r"\sqrt[3] ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ",
    "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
    "∅": r"\emptyset ", "ℝ": r"\mathbb{R} ", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ",
    "º": r"^\circ ", "′": "'", "’": "'", "‘": "'", "½": r"\frac{1}{2} ", "⅓": r"\frac{1}{3} ",
    "⅔": r"\frac{2}{3} ", "¼": r"\frac{1}{4} ", "¾": r"\frac{3}{4} ", "⋯": "...",
    "“": '"', "”": '"', "、": ",", "。": ".", "⌊": r"\lfloor ",
    "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "\u200b": "", "\u2061": "", "\u2062": "*", "或": " or ", "和": " and ", "且": " and ",
    "\ufeff": "",
}  # fmt: skip
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉ₙ]+")
_NON_ASCII = re.compile(r"[^\x00-\x7f]")

# LaTeX commands, and what is written for them.
COMMANDS = {
    # typesetting that means nothing
    **dict.fromkeys(
        ["left", "right", "middle", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "displaystyle", "textstyle", "limits", "boldsymbol", "bm", "mathbf", "vec", "hat", "phantom", "boxed", "fbox", "rm", "!", "overrightarrow", "hline"],
        "",
    ),
    **dict.fromkeys([",", ";", ":", ">", "quad", "qquad"], " "),
    " ": " ",
    # one name for one thing
    **dict.fromkeys(["dfrac", "tfrac", "cfrac"], r"\frac"),
    **dict.fromkeys(["dbinom", "tbinom"], r"\binom"),
    **dict.fromkeys(
        ["textbf", "textit", "textrm", "textnormal", "textsf", "mbox", "hbox", "mathrm", "mathit", "mathsf", "operatorname"],
        r"\text",
    ),
    **dict.fromkeys(["cdot", "times", "ast"], "*"),
    "div": "/",
    **dict.fromkeys(["leq", "leqslant"], r"\le "),
    **dict.fromkeys(["geq", "geqslant"], r"\ge "),
    "neq": r"\ne ",
    "lt": "<",
    "gt": ">",
    "simeq": r"\approx ",
    **dict.fromkeys(["ldots", "dots", "cdots", "dotsc"], "..."),
    "infin": r"\infty ",
    "varnothing": r"\emptyset ",
    "langle": "(",
    "rangle": ")",
    "lbrace": r"\{",
    "rbrace": r"\}",
    **dict.fromkeys(["lvert", "rvert", "vert", "mid"], "|"),
    "colon": ":",
    "degree": r"^\circ ",
    "prime": "'",
    "varphi": r"\phi ",
    "varepsilon": r"\epsilon ",
    "land": " and ",
    "lor": " or ",
    "%": "%",
}  # fmt: skip
_COMMAND = re.compile(r"\\(?:([a-zA-Z]+)\*?|([^a-zA-Z]))", re.DOTALL)
_FENCES = re.compile(r"\\(?:left|right)\s*\.")
_UPRIGHT = re.compile(r"\\(?:mathrm|operatorname\*?|mathit|mathsf|text|rm)\s*\{\s*([a-zA-Z]+)\s*\}")
# Letters that are constants, and functions, whatever font they are set in.
UPRIGHT = {
    "e": "e", "i": "i", "d": "d", "arctan": r"\arctan ", "arcsin": r"\arcsin ",
    "arccos": r"\arccos ", "arccot": r"\arccot ", "cis": r"\cis ", "asin": r"\arcsin ", "acos": r"\arccos ",
    "atan": r"\arctan ", "ln": r"\ln ", "log": r"\log ",
    "sin": r"\sin ", "cos": r"\cos ", "tan": r"\tan ", "lcm": r"\lcm ", "gcd": r"\gcd ",
}  # fmt: skip
_JOIN = re.compile(r"\\text\s*\{\s*,?\s*(and|or)\s*,?\s*\}")
_DEGREES = re.compile(r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-zA-Z])")
_ARGUMENTS = re.compile(r"\\[hv]space\*?\s*\{[^{}]*\}")
_GROUPS = re.compile(r"(?<=[0-9])(?:\\[,;: ]|~|\{,\}|,\s*\\!\s*)\s*(?=[0-9])")
_THREE = re.compile(r"[0-9]{3}(?![0-9])")
_DOLLARS = re.compile(r"(?<!\\)\$")
_DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_PLAIN = re.compile(r"[-+]?[0-9,./]*")
_WRAPPED = re.compile(
    r"(?:\\text\s*)?\{([^{}a-zA-Z,;]*|\s*[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?\s*)\}"
)
_LEADING = re.compile(r"^(?:=|:|\\approx(?![a-zA-Z])|\\in(?![a-zA-Z]))\s*")
_TWO_NUMBERS = re.compile(r"(?<=[0-9]) +(?=[0-9])")  # 1 2 is not 12
# x^{2}3 is a product, and x^23 may be meant as a power.
_BRACED = re.compile(r"\{([0-9A-Za-z])\}(?![0-9])")
_SPACED_GROUPS = re.compile(r"(?<![0-9.,])([0-9]{1,3}(?: [0-9]{3})+)(?![0-9])")


def normalise(text: str) -> str:
    """`text` without math delimiters, typesetting commands and Unicode variants."""
    text = text.strip()
    if _PLAIN.fullmatch(text):
        return text.rstrip(".,")
    if not text.isascii():
        text = _ascii(text)
    if "$" in text:
        text = _without_dollars(text)
    if "\\" in text:
        text = _latex(text)
    elif "{,}" in text:
        text = _GROUPS.sub(_group, text)
    text = " ".join(text.replace("~", " ").split())
    text = text.replace("<=", r"\le ").replace(">=", r"\ge ").replace("!=", r"\ne ")
    text = text.strip(" *`").rstrip(" .,;:_")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip(" .")
    text = _LEADING.sub("", text)
    return _unwrapped(text) if text[-1:] == "}" else text


def _unwrapped(text: str) -> str:
    r"""`\text{13}` is a number, however it is set; braces around a whole answer mean nothing."""
    if found := _WRAPPED.fullmatch(text):
        return normalise(found[1])
    if text[0] == "{" and "," not in text and closing_braces(text).get(0) == len(text) - 1:
        return normalise(text[1:-1])
    return text


def key(text: str) -> str:
    """Equal for two normalised texts that differ by spaces and text wrappers only."""
    if "\\text" in text:
        text = _TEXT.sub(r"\1", text)
    if " " in text:
        text = _SPACED_GROUPS.sub(_joined_digits, text)
        text = _TWO_NUMBERS.sub("¦", text)
        text = "".join(text.split())
    text = text.rstrip(".,;")
    return _BRACED.sub(r"\1", text) if "{" in text else text


def words(text: str) -> str:
    """What a text answer says: without wrappers, quotes, outer parentheses and letter case."""
    text = _TEXT.sub(r" \1 ", text)
    text = re.sub(r"\s+", " ", text).strip(" .,;:!\"'*").casefold()
    text = re.sub(r"^\((.*)\)$", r"\1", text).strip()
    return re.sub(r"^(?:the|an?) (?=\w)", "", text)


def _ascii(text: str) -> str:
    text = _RAISED.sub(lambda m: f"^{{{unicodedata.normalize('NFKC', m.group())}}}", text)
    text = _LOWERED.sub(lambda m: f"_{{{unicodedata.normalize('NFKC', m.group())}}}", text)
    text = "".join(CHARACTERS.get(character, character) for character in text)
    if text.isascii():
        return text
    return _NON_ASCII.sub(_ascii_digit, unicodedata.normalize("NFKC", text))


def _ascii_digit(match: re.Match[str]) -> str:
    """Digits of other scripts mean what ASCII digits mean."""
    digit = unicodedata.decimal(match.group(), None)
    return match.group() if digit is None else str(digit)


def _without_dollars(text: str) -> str:
    """`$` delimits mathematics in pairs; a single one is the currency."""
    if len(_DOLLARS.findall(text)) % 2 == 0:
        text = _DOLLARS.sub(" ", text)
    return text


def _latex(text: str) -> str:
    text = _GROUPS.sub(_group, _DELIMITERS.sub(" ", text))
    text = _DEGREES.sub(r"^\\circ ", _ARGUMENTS.sub(" ", text))
    text = _UPRIGHT.sub(_upright, _FENCES.sub("", text))
    text = _COMMAND.sub(_renamed, text)
    text = _JOIN.sub(r" \1 ", text).replace(r"\$", "$")
    return braced_fractions(text) if r"\frac" in text or r"\binom" in text else text


def _group(match: re.Match[str]) -> str:
    r"""`1\,000` and `1{,}000` group digits; `3{,}5` is a decimal comma."""
    mark = match.group().strip()
    if _THREE.match(match.string, match.end()):
        return "," if "," in mark.replace("\\,", "") else ""
    return "." if mark == "{,}" else match.group()


def _upright(match: re.Match[str]) -> str:
    return UPRIGHT.get(match[1], match.group())


def _renamed(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    written = COMMANDS.get(name)
    return match.group() if written is None else written


def _joined_digits(match: re.Match[str]) -> str:
    return match.group().replace(" ", "")


_FRACTION = re.compile(r"(\\frac|\\binom)(?![a-zA-Z])\s*")
_PART = re.compile(r"[0-9a-zA-Z]|\\[a-zA-Z]+")


def braced_fractions(text: str) -> str:
    r"""`\frac12`, `\frac{1}2` and `\frac1{2}` with braces around both parts."""
    if not re.search(r"\\(?:frac|binom)(?!\{)|\}\s*[0-9a-zA-Z\\]", text):
        return text
    closing = closing_braces(text)
    out, at = [], 0
    for match in _FRACTION.finditer(text):
        if match.start() < at:
            continue
        out.append(text[at : match.start()] + match[1])
        at = match.end()
        for _ in range(2):
            while text[at : at + 1] == " ":
                at += 1
            part = _PART.match(text, at)
            if at in closing:
                inner = braced_fractions(text[at + 1 : closing[at]])
                out.append("{" + inner + "}")
                at = closing[at] + 1
            elif part and part.group() not in (r"\frac", r"\sqrt"):
                out.append("{" + part.group() + "}")
                at = part.end()
            elif part:  # \frac\sqrt{2}{3}: a command with its own arguments
                end = _argument_end(text, part.end(), closing)
                out.append("{" + braced_fractions(text[at:end]) + "}")
                at = end
    return "".join(out) + text[at:]


def _argument_end(text: str, at: int, closing: dict[int, int]) -> int:
    """Where the braced groups that follow a command end."""
    while at in closing:
        at = closing[at] + 1
    return at
