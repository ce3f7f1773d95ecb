"""Text that nobody vouches for, on a page."""

from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.page import content_policy, one_line, visible

texts = st.text(st.characters(codec=None))


@given(texts)
def test_what_is_visible_is_printable_and_loses_nothing(text: str) -> None:
    shown = visible(text)
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


def test_escapes() -> None:
    assert visible("a\x1b[31m\x00\u202e\ud800\tb\nc") == "a\\x1b[31m\\x00\\u202e\\ud800\\tb\nc"


@given(texts, st.integers(1, 40))
def test_one_line_is_one_short_line(text: str, width: int) -> None:
    line = one_line(text, width)
    assert len(line) <= width
    assert line.isprintable()
    whole = visible(" ".join(text.split()))
    assert line == whole or (line.endswith("…") and whole.startswith(line[:-1]))


def test_a_long_text_is_cut_where_it_seems_short() -> None:
    assert one_line(" " * 10_000 + "end", 20) == "…"


def test_a_policy_without_blocks_allows_nothing() -> None:
    assert content_policy([]) == ("default-src 'none'; base-uri 'none'; form-action 'none'")
    # printf a | openssl dgst -sha256 -binary | base64
    hashed = "'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"
    assert f"style-src {hashed}; script-src {hashed} {hashed};" in content_policy(["a"], ["a", "a"])
