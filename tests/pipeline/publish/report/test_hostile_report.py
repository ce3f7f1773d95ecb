"""What sources and models wrote stays text, whatever it holds."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.publish.report.conftest import Reported
from tests.pipeline.publish.report.pages import HOSTILE, Page, read
from winnow.pipeline.publish.diff import diff
from winnow.pipeline.publish.report import charts, write, write_diff
from winnow.pipeline.publish.report.blocks import Block, Code, Fold, Note, Rows, Section
from winnow.pipeline.publish.report.page import embedded, render
from winnow.pipeline.publish.version import Version

Publish = Callable[..., Version]
Sets = dict[str, dict[str, pa.Table]]
# All that the page is made of; what a text could add would be something else.
TAGS = {"html", "head", "meta", "title", "style", "body", "header", "p", "h1", "h2", "h3", "h4", "nav",
        "ol", "li", "a", "main", "section", "figure", "figcaption", "div", "table", "caption", "thead",
        "tbody", "tr", "th", "td", "pre", "code", "details", "summary", "form", "label", "input",
        "select", "output", "aside", "script"}  # fmt: skip
# Characters that a page must not hold at all: control characters, and what turns the direction.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def check(page: Page, path: Path) -> None:
    assert {tag for tag, _ in page.elements} <= TAGS
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes and "src" not in attributes, tag
        assert tag != "a" or str(attributes["href"]).startswith("#part-")
    assert len(page.scripts) == 2
    text = path.read_text("utf-8")
    # plotly.js itself spells out some of them; everything around it must not.
    assert not INVISIBLE.search(text.replace(page.scripts[0], ""))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from (key, *strings(each))
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)


def test_a_run_of_hostile_rows(ran: Reported) -> None:
    check(ran.page, ran.path)
    data = ran.page.blocks["map-data"]
    assert any(
        "<script>window.ran = 1</script><img src=x onerror=" in text for text in data["text"]
    )
    assert any(
        "</script><script>" in text for row in data["rows"] for text in strings(row["answers"])
    )
    assert any("\\x1b[31mred \\u202egnp.exe" in text for text in data["text"])
    assert "<script>window.ran = 1</script>" in ran.page.text  # the source's name in a table


def test_plotly_s_labels_hold_no_markup(ran: Reported) -> None:
    """Plotly makes tags of what looks like one in a label; only our own line breaks may."""
    found = 0
    for text in strings(ran.page.blocks["figures"]):
        found += "&lt;script&gt;" in text
        assert "<" not in text.replace("<br>", "").replace("<extra></extra>", "")
    assert found


def test_the_policy_allows_the_page_s_own_blocks_alone(ran: Reported) -> None:
    policy = next(
        str(a["content"])
        for a in ran.page.named("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives.pop("default-src") == directives.pop("base-uri") == "'none'"
    assert directives.pop("form-action") == "'none'"

    def hashes(blocks: list[str]) -> set[str]:
        return {
            f"'sha256-{base64.b64encode(hashlib.sha256(b.encode()).digest()).decode()}'"
            for b in blocks
        }

    assert set(directives.pop("style-src").split()) == hashes(ran.page.styles)
    assert set(directives.pop("script-src").split()) == hashes(ran.page.scripts)
    # For plotly: images that are part of the page, style attributes that are empty.
    assert directives.pop("img-src") == "data:"
    assert set(directives.pop("style-src-attr").split()) == {"'unsafe-hashes'", *hashes([""])}
    assert not directives
    # Nothing runs or styles before the policy is known.
    head = [tag for tag, _ in ran.page.elements[:5]]
    assert head.index("meta") < head.index("style") if "style" in head else True


def test_hostile_names_from_the_version_alone(
    tmp_path: Path, sets: Sets, published: Publish, manifest: Any, rows: Any
) -> None:
    names = f"{HOSTILE} \ud800"
    version = published(
        tmp_path / "demo",
        sets,
        manifest=manifest(
            code_version=names, models={names: names}, verifiers=[names], inputs={names: names},
            counts={names: 1},
        ),
        ledger=rows["ledger"](("r", "training_set/sft", "dropped", HOSTILE, HOSTILE, HOSTILE),
                              ("r", HOSTILE, HOSTILE, HOSTILE)),
        run={"costs": {names: {"seconds": 1.5, names: 2}, "b": HOSTILE}, "recipe_name": names},
    )  # fmt: skip
    path = write(version, None, tmp_path / "page.html")
    page = read(path)
    check(page, path)
    assert "\\ud800" in page.text
    assert page.text.count("<img src=x onerror=") > 5


def test_a_diff_of_hostile_rows(
    tmp_path: Path, rows: Any, published: Publish, manifest: Any
) -> None:
    before = published(tmp_path / "demo", {"sft": {"train": rows["sft"](range(5), HOSTILE)}})
    after = published(
        tmp_path / "demo",
        {"sft": {"train": rows["sft"](range(2, 8), f"new {HOSTILE}")}},
        manifest=manifest(models={"policy": HOSTILE}),
        ledger=rows["ledger"](("task-0", "training_set/sft", "dropped", HOSTILE, HOSTILE, HOSTILE)),
    )
    path = write_diff(diff(before, after), tmp_path / "diff.html")
    page = read(path)
    check(page, path)
    assert "onerror=" in page.text


texts = st.text(st.characters(codec=None), max_size=60)


@given(texts)
@settings(max_examples=25, deadline=None)  # plotly.js is parsed each time
def test_every_block_shows_a_text_as_text(text: str) -> None:
    blocks: list[Block] = [
        Note(text),
        Code(text),
        Rows((text, "b"), [(text, None)], text),
        Fold(text, [Note(text)]),
    ]
    page = Page()
    page.feed(
        render([Section(text, blocks)], title=text, overline=text, subtitle=text, head=blocks)
    )
    page.close()
    assert {tag for tag, _ in page.elements} <= TAGS
    assert len(page.scripts) == 2
    shown = "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )
    assert page.text.count(shown) >= 15


@given(
    st.recursive(
        texts | st.integers() | st.none(), lambda of: st.lists(of) | st.dictionaries(texts, of)
    )
)
def test_embedded_json_is_the_data_and_ends_no_script(data: Any) -> None:
    import json

    text = str(embedded(data))
    assert json.loads(text) == data
    assert not set("<>&") & set(text)


@given(texts)
def test_a_literal_label_has_no_tag_and_no_entity_of_its_own(text: str) -> None:
    from html import unescape

    label = charts.literal(text, 1000)
    assert "<" not in label and ">" not in label
    assert unescape(label) == "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in " ".join(text.split())
    )
    assert len(unescape(charts.literal(text, 8))) <= 8


@pytest.mark.parametrize("text", ["a<b>c</b>", "&lt;script&gt;", "&#60;b&#62;"])
def test_entities_are_not_read_twice(text: str) -> None:
    from html import unescape

    assert unescape(charts.literal(text)) == text
