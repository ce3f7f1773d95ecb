import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from winnow.pipeline.publish.markdown import fenced, inline, table

MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = st.text(
    st.sampled_from("<>&|`*_~[]()!#\\\n\r\t -+=.:/@$\"'{}^;1a w\u2028\u202e\x00\ud800é") | st.characters(),
    max_size=30,
)  # fmt: skip
ATTACKS = [
    "<script>alert(1)</script>", "a | b", "`code`", "``` \n# x", "a\nb\n\n---\n# Title", "[x](y)",
    "![x](http://evil.example/p.png)", "<https://evil.example>", "http://evil.example",
    "www.evil.example", "me@evil.example", "&lt;b&gt;", "*a* _b_ **c** ~~d~~", "- item", "+ item",
    "1. item", "1) item", "# head", "> quote", "---", "===", "\\| x", "a\\", "@someone #12",
    "$x^2$", "\u202eabc", "a\x00b", "\ud800", "| --- |", "x\u2028# y", "[x]: /url", "    code",
    "_a_", "a_b", "WWW.evil.example", "!", "&", ":-)", "&#60;b&#62;",
]  # fmt: skip


def plain(text: str) -> str:
    """What should be left to read: one line without control characters."""
    kept = [c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Cs")]
    return " ".join("".join(kept).split())


def texts(markdown: str) -> list[str]:
    """The content of every inline token; fails on any that is not text."""
    found = []
    for token in MARKDOWN.parse(markdown):
        if token.type == "inline":
            kinds = {child.type for child in token.children or []}
            assert kinds <= {"text", "text_special"}, (markdown, kinds)
            found.append("".join(child.content for child in token.children or []))
    return found


def check_inline(text: str) -> None:
    shown = inline(text, limit=1000)
    assert "\n" not in shown
    expected = [plain(text)] if plain(text) else []
    assert texts(shown) == expected
    kinds = [token.type for token in MARKDOWN.parse(shown)]
    assert kinds in ([], ["paragraph_open", "inline", "paragraph_close"])
    assert not re.search(r"https?:/|www\.|@|</|[\w.]@", shown, re.IGNORECASE)


@given(HOSTILE)
def test_inline_is_read_as_text(text: str) -> None:
    check_inline(text)


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks_are_read_as_text(text: str) -> None:
    check_inline(text)
    assert texts(table(("a", "b"), [(text, "end")])) == ["a", "b", plain(text), "end"]


@given(st.lists(st.tuples(HOSTILE, HOSTILE, st.integers(0, 10**9)), min_size=1, max_size=5))
def test_a_table_keeps_its_cells(rows: list[tuple[str, str, int]]) -> None:
    markdown = table(("One", "Two", "Rows"), rows)
    assert len(markdown.splitlines()) == len(rows) + 2
    expected = ["One", "Two", "Rows"]
    for one, two, number in rows:
        expected += [plain(one)[:300], plain(two)[:300], f"{number:,}"]
    assert texts(markdown) == expected


@given(st.text(st.sampled_from("`~a\n "), max_size=30))
def test_nothing_closes_a_fence(text: str) -> None:
    tokens = MARKDOWN.parse(f"{fenced(text, 'yaml')}\n\nafter")
    assert [token.type for token in tokens] == [
        "fence", "paragraph_open", "inline", "paragraph_close"
    ]  # fmt: skip
    assert tokens[0].content.strip() == text.strip()


def test_long_text_is_cut() -> None:
    assert inline("x" * 400) == "x" * 299 + "…"
    assert inline("x" * 300) == "x" * 300


def test_empty_cells_and_numbers() -> None:
    assert table(("a", "n"), [(None, 1234567), ("x", 2)]) == (
        "| a | n |\n| --- | ---: |\n|  | 1,234,567 |\n| x | 2 |"
    )
