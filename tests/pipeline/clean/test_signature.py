import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from winnow.pipeline.clean import signature
from winnow.pipeline.clean.normalise import fold
from winnow.pipeline.clean.signature import formal_signature, is_plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom has 3 apples.", "3"),
        ("Tom has three apples", "3"),
        ("twenty-one, twenty one and 21", "21 21 21"),
        ("It costs $1,234.50!", "1234.5 !"),
        ("007 and 0.50 and .5", "7 .5 .5"),
        ("\u0663 kg", "3"),  # an Arabic-Indic three
        ("\u4e09\u4e2a\u82f9\u679c", "\u4e09"),  # three apples in Chinese
        ("1/2 of 50%", "1 / 2 50 %"),
        ("fifty percent", "50 %"),
        ("\u00bd cup, x\u00b2", "1 / 2 x ^ 2"),
        ("x - 5, but a well-known one", "x - 5"),
        ("x = \u22125", "x = - 5"),
        ("5! and n!", "5 ! n !"),
        ("wait! what!", ""),
        ("2(3+4)", "2 ( 3 + 4 )"),
        ("(\u2212\u221e,0]", r"( - \infty 0 ]"),
        ("the ratio 3:4, answer: soon", "3 : 4"),
        ("a dog and I", ""),
        ("if a = 2 then a + b", "a = 2 a + b"),
        ("w123 and b2 and covid19", ""),
        ("x1 + x2", "x1 + x2"),
        ("x_1, x_{12}", "x_1 x_12"),
        ("3x", "3 x"),
        (r"$\frac{1}{2}$", r"\frac { 1 } { 2 }"),
        (r"\(\dfrac{1}{2}\).", r"\frac { 1 } { 2 }"),
        (r"$a \le b$", r"a \leq b"),
        ("$x\\,=\\left(5\\right).$", "x = ( 5 )"),
        ("$5 and $6 are prices", "5 6"),
        ("isn't, is not and cannot", "not not not"),
        ("Henry IV", "iv"),
        ("at 5 p.m.", "5 p.m."),
        ("Mr. J.R.R. Tolkien", ""),
        ("the largest area", "largest area"),
        ("it's John's", ""),
        ("which one is it", ""),
        ("", ""),
    ],
)
def test_vectors(text: str, expected: str) -> None:
    assert formal_signature(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1/2004!", "1/2006!"),
        ("he has 5", "he has -5"),
        ("[0, 1]", "(0, 1)"),
        ("x^2", "x^3"),
        ("x\u00b2", "x\u00b3"),
        ("f(x) < 3", "f(x) > 3"),
        ("find a + b", "find b + a"),
        ("which is true", "which is not true"),
        ("Is it one apple", "Is it two apples"),
        ("$\\sin x$", "$\\cos x$"),
        ("find the maximum", "find the minimum"),
        ("Which? (A) red (B) blue", "Which? (A) blue (B) red"),
        ("Which? (A) red (B) blue", "Which? (A) red (B) green"),
        ("Which?\nA. red\nB. blue", "Which?\nA. red\nB. green"),
        ("part II", "part III"),
        ("100", "1000"),
        ("1,5", "1.5"),
        ("5%", "5"),
        ("2(3+4)", "2*3+4"),
        ("\u20ac5", "\u00a35"),
    ],
)
def test_what_changes_the_answer_is_seen(one: str, other: str) -> None:
    assert formal_signature(one) != formal_signature(other)


NUMBERS = st.one_of(
    st.integers(0, 10**9).map(str),
    st.integers(0, 10**9).map("{:,}".format),
    st.decimals(0, 1000, places=2).map(str),
)


def value(number: str) -> float:
    return float(number.replace(",", ""))


@settings(deadline=None)
@given(NUMBERS, NUMBERS)
def test_two_numbers_are_one_exactly_if_their_values_are(one: str, other: str) -> None:
    same = formal_signature(f"has {one} left") == formal_signature(f"has {other} left")
    assert same == (value(one) == value(other))


WORDS = st.sampled_from(
    str.split(
        "tom has bought w12 some apples a i it's two 3 x x1 - + ( ) = $ , . ! don't 1,000 (A) B. and"
    )
)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=15).map(" ".join), st.sampled_from([" \n", "\t", "  "]))
def test_case_and_white_space_do_not_count(text: str, gap: str) -> None:
    assert formal_signature(text.upper().replace(" ", gap)) == formal_signature(text)


@settings(deadline=None)
@given(st.one_of(st.lists(WORDS, max_size=15).map(" ".join), st.text()))
@example("b")
@example("mmmcmxcix")
@example("was n't")
def test_the_quick_look_never_misses_a_formal_token(text: str) -> None:
    """`is_plain` skips the tokeniser, so it is held against the tokeniser itself."""
    folded = fold(text)
    if is_plain(folded):
        out: list[str] = []
        signature._prose(folded, False, out)
        assert out == []


def test_the_quick_look_knows_every_roman_numeral() -> None:
    letters = "ivxlcdm"
    words = {a + b + c for a in letters for b in ["", *letters] for c in ["", *letters]}
    for word in words:
        if signature._ROMAN.match(word):
            assert word in signature._COUNTING


@settings(deadline=None)
@given(st.text())
def test_any_text_has_a_signature(text: str) -> None:
    assert re.fullmatch(r"(\S+( \S+)*)?", formal_signature(text))


@pytest.mark.parametrize(
    "piece", ["$", "\\(", "\\[", "$$", "(a)", "a.", "x_", "1,", "-", "i.", "\\", "'", "½"]
)
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    """A quadratic pattern would run into the suite's time limit at this size."""
    formal_signature(piece * 200_000)
