import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.clean.normalise import canonical, fold, is_blank


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \t b\r\n\u00a0c ", "a b c"),
        ("cafe\u0301", "caf\u00e9"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("Case stays", "Case stays"),
        (
            "\u0915\u094d\u200d\u0937",
            "\u0915\u094d\u200d\u0937",
        ),  # a joiner that changes the letter
        ("", ""),
    ],
)
def test_canonical(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How MANY", "how many"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("\u201cit\u2019s\u201d 3 \u2212 2", '"it\'s" 3 - 2'),
        ("CAFE\u0301", "caf\u00e9"),
    ],
)
def test_fold(text: str, expected: str) -> None:
    assert fold(text) == expected


@given(st.text())
def test_both_are_idempotent(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_gives_what_the_long_way_gives(text: str) -> None:
    """A trailing non-ASCII letter forces the long way."""
    assert f"{fold(text)} é".strip() == fold(f"{text} é")
    assert f"{canonical(text)} é".strip() == canonical(f"{text} é")


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\ufeff", "\x00\x1f", "\u2028\u3000"])
def test_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", ["a", " . ", "\u200b0", "\u4e2d", "\U0001f600"])
def test_not_blank(text: str) -> None:
    assert not is_blank(text)
