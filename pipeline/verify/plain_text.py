"""Short texts in one spelling, for comparisons that are about words and not about their look."""

import re
import unicodedata

_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
_PUNCTUATION = re.compile(r"(?!(?<=\d)\S(?=\d)|(?<![\w)])[-\u2212](?=\.?\d))[^\w\s%#&@*/]|_")
_WRAPPERS = ("**", "__", "*", "`", '"', "'")


def one_spelling(text: str) -> str:
    """`text` in Unicode's composed form, with straight quotes."""
    return unicodedata.normalize("NFC", text).translate(_QUOTES)


def one_space(text: str) -> str:
    """`text` with single spaces for every run of white space, and none around it."""
    return " ".join(text.split())


def without_punctuation(text: str) -> str:
    """`text` without its punctuation (Unicode categories P*), so that "well-known" is "wellknown".

    What carries a value stays: the signs %, #, &, @, * and /, what stands between two digits, and a
    minus before a number.
    """
    return _PUNCTUATION.sub(lambda match: "" if _is_punctuation(match[0]) else match[0], text)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


def bare(text: str) -> str:
    """`text` without Markdown emphasis, code marks or quotes that stand around all of it."""
    text = text.strip()
    for wrapper in _WRAPPERS:
        inner = text.removeprefix(wrapper).removesuffix(wrapper)
        if len(inner) == len(text) - 2 * len(wrapper) and inner and wrapper not in inner:
            return bare(inner)
    return text


def without_latex_text(text: str) -> str:
    r"""`text` with the content of `\text{...}` and its like in the place of the command."""
    return re.sub(r"\\(?:text|mathrm|textbf|mbox)\s*\{([^{}]*)\}", r"\1", text)
