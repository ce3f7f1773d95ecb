"""Text made comparable: what two prompts are keyed by, never what a model sees.

`canonical` undoes differences that no reader sees (Unicode composition, invisible characters, runs
of white space); `fold` also those that a reader passes over (letter case, typographic quotes and
dashes). Both are idempotent.
"""

import unicodedata

# Characters without width or meaning of their own. The joiners U+200C and U+200D are not among
# them: they change words in several scripts.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))

_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    }
)


def canonical(text: str) -> str:
    """NFC, without invisible characters, every run of white space one space, ends stripped."""
    if not text.isascii():  # ASCII is in NFC already and has no invisible characters
        text = unicodedata.normalize("NFC", text.translate(_INVISIBLE))
    return " ".join(text.split())


def fold(text: str) -> str:
    """`canonical` without letter case (Unicode case folding) and with ASCII quotes and dashes."""
    if text.isascii():
        return " ".join(text.lower().split())
    # Case folding of decomposed text (Unicode 3.13, D145): of composed text it is not idempotent.
    text = unicodedata.normalize("NFD", text.translate(_INVISIBLE)).casefold()
    return canonical(text.translate(_TYPOGRAPHY))


def is_blank(text: str) -> bool:
    """Whether a reader sees nothing: only white space, control and format characters."""
    return not any(unicodedata.category(c)[0] not in "ZC" for c in text)
