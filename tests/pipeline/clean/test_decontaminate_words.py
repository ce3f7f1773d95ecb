"""Words, their places in a text, and the keys of whole texts."""

import unicodedata
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from winnow.pipeline.clean.decontamination.words import (
    digit_free,
    folded,
    full_string,
    locate,
    text_series,
    word_table,
    words,
)

TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("aB3 _-é\u0301\u3099かカｶﾞ中กิ½ﬁ²𝑥\u00ad\u200d한ßİ,.$"),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's x_1^2 + 3.5?", "what s x 1 2 3 5"),
        ("Ｆｕｌｌ－ｗｉｄｔｈ ﬁnd 𝑥²", "full width find x2"),
        ("NAÏVE nai\u0308ve naive", "naive naive naive"),
        ("Straße STRASSE", "strasse strasse"),
        ("soft\u00adhy\u200bphen", "softhyphen"),
        ("½ cup, ٣ eggs", "1 2 cup 3 eggs"),
        ("第3章abc", "第 3 章 abc"),
        ("", ""),
        ("?! \u2003 ∑", ""),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert words(text) == expected.split()


@given(TEXTS)
@example("1⁄2 of ½")
@example("\u0915\u094d\u093c")  # marks in another order
def test_words_do_not_depend_on_composition(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert words(unicodedata.normalize(form, text)) == words(text)


@given(TEXTS)
def test_places_are_those_of_the_words(text: str) -> None:
    located = locate(text)
    assert located.words == words(text)
    for place, word in enumerate(located.words):
        # A character such as ½ is the place of several words.
        assert word in words(located.quote(place, place))
    assert located.starts == sorted(located.starts)


@given(st.lists(TEXTS, max_size=6))
def test_a_column_has_the_words_of_its_texts(texts: list[str]) -> None:
    table = word_table(folded(text_series(texts)))
    flat = table.words.to_list()
    ends = table.offsets.tolist()
    assert [flat[a:b] for a, b in pairwise(ends)] == [words(t) for t in texts]
    hash_of = dict(zip(flat, table.hashes.tolist(), strict=True))
    assert [hash_of[w] for w in flat] == table.hashes.tolist()  # equal words, equal hashes


def test_columns_take_nulls_and_lone_surrogates() -> None:
    assert text_series([None, "a\ud800"]).to_list() == ["", "a?"]


def test_quote_is_the_texts_own_writing() -> None:
    text = "So: WHAT  is\n“the”—sum? Yes."
    assert locate(text).quote(1, 4) == "WHAT  is\n“the”—sum"
    assert locate("the nai\u0308ve way").quote(1, 1) == "naïve"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Add 12 apples & 3.5 (pears)!", "addapplespears"),
        ("Été 2024, n°5", "eten"),
        ("123 + 456", ""),
    ],
)
def test_digit_free(text: str, expected: str) -> None:
    assert digit_free(folded(pl.Series([text]))).to_list() == [expected]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("What is 2+2?", "what is $2 + 2$", True),
        ("What is 2+2?", "What is 2-2?", False),
        ("What is 2−2?", "What is 2-2?", True),  # a minus sign and a hyphen
        (r"Find \(x<3\).", "find x < 3", True),
        ("Round 3.5", "Round 35", False),
        ("Say hi!", "Say hi", True),
        ("What is 5!", "What is 5?", False),
        ("**Compute** 3*4", "Compute 3 × 4.", True),
        ("Compute 3*4", "Compute 3+4", False),
        ("“Quoted” text", '"quoted" text', True),
        ("?!", "", True),
    ],
)
def test_full_string(one: str, other: str, equal: bool) -> None:
    assert (full_string(one) == full_string(other)) is equal
