"""Words as decontamination compares them: one definition for a text and for columns of texts.

A word is a run of letters, digits and marks; punctuation, symbols and underscores separate words,
as in the phrase queries of TULU 3 (Lambert et al. 2024, arXiv:2411.15124). Letter case, accents,
compatibility forms (full-width, ligatures, mathematical letters), digits of other scripts, vowel
points and invisible characters make no difference. Scripts that write no spaces (Chinese, Japanese,
Thai, ...) give one word per character. Every character is folded by itself, so that a word can be
traced back to the text it came from.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

_ASCII_WORD = re.compile("[a-z0-9]+")
# Matches words in folded text: ASCII text that was only lower-cased, or words joined by spaces.
_WORD = r"[^\x00-\x2f\x3a-\x60\x7b-\x7f]+"
_NO_LETTER = r"[\x00-\x60\x7b-\x7f]+"

# Accents; Hebrew and Arabic points, which are mostly left out in writing; the Arabic tatweel.
_DROPPED = ((0x300, 0x36F), (0x591, 0x5BD), (0x610, 0x61A), (0x640, 0x640), (0x64B, 0x65F),
            (0x670, 0x670), (0xFE00, 0xFE0F))  # fmt: skip
# Thai and Lao, Burmese, Khmer, kana, ideographs.
_ONE_CHARACTER_WORDS = ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF),
                        (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
                        (0x20000, 0x3FFFF))  # fmt: skip


def _within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= code <= high for low, high in ranges)


def _decomposed(char: str) -> str:
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())


class _WordTable(dict[int, str]):
    """For `str.translate`: a character to its folded form, separators to a space."""

    def __missing__(self, code: int) -> str:
        self[code] = "".join(map(self._fold, _decomposed(chr(code))))
        return self[code]

    @staticmethod
    def _fold(char: str) -> str:
        category = unicodedata.category(char)
        if category == "Cf" or _within(ord(char), _DROPPED):
            return ""
        if category == "Nd":
            return str(unicodedata.decimal(char))
        if category[0] not in "LMN":
            return " "
        return f" {char} " if _within(ord(char), _ONE_CHARACTER_WORDS) else char


_WORDS = _WordTable()


def words(text: str) -> list[str]:
    """The folded words of a text, in order."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return unicodedata.normalize("NFC", text).translate(_WORDS).split()


@dataclass(frozen=True)
class Located:
    """The words of a text and where they stand in it: word i is `text[starts[i]:ends[i]]`.

    `text` is the text in NFC. A character that folds to several words (a fraction sign) is the
    place of all of them.
    """

    text: str
    words: list[str]
    starts: list[int]
    ends: list[int]

    def quote(self, first: int, last: int) -> str:
        """The text from word `first` to word `last`, both included, as it was written."""
        return self.text[self.starts[first] : self.ends[last]]


def locate(text: str) -> Located:
    """`words` with their places."""
    if text.isascii():
        found = list(_ASCII_WORD.finditer(text.lower()))
        starts, ends = [m.start() for m in found], [m.end() for m in found]
        return Located(text, [m.group() for m in found], starts, ends)
    text = unicodedata.normalize("NFC", text)
    parts: list[str] = []
    starts, ends = [], []
    inside = False  # whether the word that was begun last may still grow
    for place, char in enumerate(text):
        for folded in _WORDS[ord(char)]:
            if folded == " ":
                inside = False
            elif inside:
                parts[-1] += folded
                ends[-1] = place + 1
            else:
                parts.append(folded)
                starts.append(place)
                ends.append(place + 1)
                inside = True
    return Located(text, parts, starts, ends)


_TIMES = re.compile(r"(?<=[\w)])\s*\*\s*(?=[\w(])")
_DELIMITERS = re.compile(r"\\[()\[\]]")
# What a reader passes over: quotes, dollars, sentence marks. A dot or comma before a digit belongs
# to a number and `!` behind a digit or a bracket is a factorial.
_PASSED_OVER = re.compile(r"""[\s"'`$?;:*]|[.,](?![0-9])|(?<![0-9)])!""")
_TYPOGRAPHY = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
                            | dict.fromkeys("\u2018\u2019\u201c\u201d\u00ab\u00bb", '"'))  # fmt: skip


def full_string(text: str) -> str:
    """A whole short text with its operators, without what a reader passes over.

    `What is 2+2?` and `what is $2 + 2$` are equal, `What is 2-2?` is not. A product sign that is
    written as an asterisk is kept between digits, letters and brackets only.
    """
    if text.isascii():
        text = text.lower()
    else:
        text = _decomposed(text.translate(_TYPOGRAPHY))
        text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Mn"))
    text = _TIMES.sub("\u00d7", _DELIMITERS.sub("", text))
    return _PASSED_OVER.sub("", text)


def text_series(texts: Sequence[str | None] | pa.Array | pa.ChunkedArray) -> pl.Series:
    """A column of texts; a null is an empty text, a lone surrogate a question mark."""
    if isinstance(texts, (pa.Array, pa.ChunkedArray)):
        return pl.Series("text", pl.from_arrow(texts.cast(pa.large_string()))).fill_null("")
    clean = [(t or "").encode("utf-8", "replace").decode() for t in texts]
    return pl.Series("text", clean, dtype=pl.String)


def folded(texts: pl.Series) -> pl.Series:
    """What `word_table` and `digit_free` read: lower case where that is all, else the words."""
    lower = texts.str.to_lowercase()
    other = (texts.str.len_bytes() != texts.str.len_chars()).arg_true()
    if len(other):
        joined = [" ".join(words(t)) for t in texts.gather(other).to_list()]
        lower = lower.scatter(other, pl.Series(joined, dtype=pl.String))
    return lower


def digit_free(folded_texts: pl.Series) -> pl.Series:
    """The letters of each text, run together (Light-R1, arXiv:2503.10460)."""
    return folded_texts.str.replace_all(_NO_LETTER, "")


@dataclass(frozen=True)
class WordTable:
    """The words of many texts end to end: text r holds words offsets[r] to offsets[r + 1]."""

    words: pl.Series
    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def word_hashes(column: pl.Series, bits: int = 64) -> NDArray[np.uint64]:
    """One hash per word, the same within a process; fewer `bits` make collisions on purpose."""
    hashes = column.hash(seed=0).to_numpy()
    return hashes if bits == 64 else hashes & np.uint64((1 << bits) - 1)


def word_table(folded_texts: pl.Series, bits: int = 64) -> WordTable:
    """The words of each text with their hashes."""
    lists = folded_texts.str.extract_all(_WORD)
    offsets = np.zeros(len(lists) + 1, np.int64)
    np.cumsum(lists.list.len().to_numpy(), out=offsets[1:])
    flat = lists.explode()
    if flat.null_count():  # what an empty list explodes to
        flat = flat.drop_nulls()
    return WordTable(flat, word_hashes(flat, bits), offsets)
