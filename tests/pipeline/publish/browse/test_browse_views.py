"""Views on the pages: listed, paged, read, and followed to the rows of the set that they were made of."""

import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.pipeline.publish.conftest import (
    demo_sets,
    ledger_rows,
    make_manifest,
    sft_rows,
)
from tests.pipeline.publish.formats.conftest import tool_set, with_tools
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.browse.nested import laid_out, nested
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.views import ViewRequest
from winnow.pipeline.publish.writer import publish

Get = Callable[..., str]
Links = Callable[[str], list[str]]

SOURCES = {"lm": "sft", "verl": "rl", "openai": "sft", "turns": "preference", "adp": "sft"}
_OPEN = re.compile(r'class="open" href="/views/(\w+)/train/(\d+)')


def _numbers(page: str) -> list[int]:
    return [int(number) for _, number in _OPEN.findall(page)]


def test_the_overview_lists_them(get: Get, version: Version) -> None:
    table = get("/").split('id="views"')[1].split("</table>")[0]
    rows = [re.sub(r"<[^>]*>", "|", row) for row in table.split("<tr>")[2:]]
    told = {re.split(r"\|+", row)[1]: row for row in rows}
    assert set(told) == set(version.views) == {*SOURCES, "plain"}
    for name, (format, style, provenance) in {
        "lm": ("trl_language_modeling", "conversational", "in its rows"),
        "plain": ("trl_preference", "standard", "none"),
        "openai": ("openai_chat", "–", "in the file beside"),
        "adp": ("adp", "–", "in its rows"),
    }.items():
        for said in (format, style, provenance, f"{version.views[name]['train']} train"):
            assert f"|{said}|" in told[name], (name, said)
        assert f"/views/{name}/train" in table


@pytest.mark.parametrize(("name", "source"), SOURCES.items())
def test_each_row_leads_to_the_row_that_it_was_made_of(
    get: Get, version: Version, links_of: Links, name: str, source: str
) -> None:
    assert _numbers(get(f"/views/{name}/train")) == list(range(version.views[name]["train"]))
    for at, row_id in enumerate(version.table(source)["id"].to_pylist()):
        page = get(f"/views/{name}/train/{at}")
        here = f"/row?set={source}&id={row_id}"
        assert {here, f"{here}#why"} <= set(links_of(page)), at
    assert 'id="why"' in get("/row", set=source, id=row_id)


def test_a_view_without_provenance_says_so(get: Get) -> None:
    page = get("/views/plain/train/0")
    assert "It does not say which row of a set it was made of." in page
    assert "#why" not in page


def test_nested_columns_are_keys_with_their_values(get: Get, version: Version) -> None:
    row = version.table("verl").to_pylist()[0]
    page = html.unescape(re.sub(r"<[^>]*>", "|", get("/views/verl/train/0")))
    page = re.sub(r"\|[|\s]*", "|", page)
    assert f"|ground_truth|{row['reward_model']['ground_truth']}|" in page
    assert f"|winnow_id|{row['extra_info']['winnow_id']}|" in page
    assert f"|index|{row['extra_info']['index']}|" in page
    assert row["prompt"][0]["content"][:12] in page
    turns = version.table("turns").to_pylist()[0]
    page = html.unescape(re.sub(r"<[^>]*>", "|", get("/views/turns/train/0")))
    page = re.sub(r"\|[|\s]*", "|", page)
    assert f"|from|human|value|{turns['conversations'][0]['value'][:10]}" in page


def test_a_list_shows_the_beginning_of_nested_columns(get: Get, version: Version) -> None:
    page = html.unescape(get("/views/turns/train"))
    first = version.table("turns")["conversations"][0].as_py()[0]["value"]
    assert first[:10] in page
    assert "'from': human" in page


def test_rows_of_a_closed_format_are_filtered_by_the_file_beside(
    get: Get, version: Version
) -> None:
    beside = pq.read_table(version.path / "openai" / "train.provenance.parquet")
    row_id = beside["winnow_id"][2].as_py()
    assert _numbers(get("/views/openai/train", **{"is.winnow_id": row_id})) == [2]
    assert "No row fits." in get("/views/openai/train", **{"is.policy": "nobody"})
    down = get("/views/openai/train", sort="winnow_id", order="desc")
    assert _numbers(down) == list(reversed(range(beside.num_rows)))
    page = get("/views/openai/train/1", sort="winnow_id", order="desc")
    turn = page.split('class="turn"')[1].split("</nav>")[0]
    assert "/views/openai/train/2?sort=winnow_id" in turn.split("previous")[0]
    assert "/views/openai/train/0?sort=winnow_id" in turn.split("previous")[1]


def test_search_stays_over_the_sets(get: Get, version: Version) -> None:
    found = get("/search", q="answer", mode="text")
    rows = sum(splits["train"] for name, splits in version.rows.items() if name != "rl")
    assert f"<small>{rows} rows</small>" in found
    assert "/views/" not in found.split("<main>")[1]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/views/none/train", 404),
        ("/views/verl/test", 404),
        ("/views/sft/train", 404),
        ("/sets/verl/train", 404),
        ("/views/verl/train/9999", 404),
        ("/views/verl/train/" + "9" * 30, 404),
        ("/views/verl/train/-1", 404),
        ("/views/verl/train/x", 404),
        ("/views/verl/train.provenance", 404),
        ("/views/..%2f..%2fsecret/train", 404),
        ("/views/openai/train?is.messages=x", 400),
        ("/views/openai/train?sort=winnow:row", 400),
        ("/views/openai/train/0?id=x", 400),
    ],
)
def test_what_is_asked_wrongly_is_said(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.text.startswith("<!DOCTYPE html>")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A version with more rows than a page, two splits, tools, and two rows made of one."""
    folder = tmp_path_factory.mktemp("many")
    sets = {**demo_sets(), "agent": {"train": tool_set(with_tools())}}
    sets["sft"] = {"train": sft_rows(range(120)), "holdout": sft_rows(range(120, 125))}
    views = {
        "lm": ViewRequest("sft", "trl_language_modeling"),
        "openai": ViewRequest("sft", "openai_chat"),
        "labels": ViewRequest("preference", "trl_unpaired_preference"),
        "calls": ViewRequest("agent", "trl_language_modeling"),
    }
    version = publish(
        folder / "demo", sets, manifest=make_manifest(), views=views,
        ledger=ledger_rows(("row-1", "prompts", "dropped", "empty")),
    )  # fmt: skip
    browser = Browser(catalogue(version, folder))
    yield TestClient(browser.app(), base_url="http://localhost")
    browser.close()


def test_rows_page_by_page_in_the_set_s_order(many: TestClient) -> None:
    for name in ("lm", "openai"):
        pages = [many.get(f"/views/{name}/train", params={"page": n}).text for n in (1, 2, 3)]
        assert [_numbers(page) for page in pages] == [
            list(range(50)), list(range(50, 100)), list(range(100, 120))
        ]  # fmt: skip
        assert many.get(f"/views/{name}/train", params={"page": 4}).status_code == 404
        assert "5 rows" in many.get(f"/views/{name}/holdout").text
        assert "id=sft-000123" in many.get(f"/views/{name}/holdout/3").text


def test_two_rows_of_one_lead_to_the_same(many: TestClient) -> None:
    for number, row in ((4, "pair-000002"), (5, "pair-000002"), (9, "pair-000004")):
        assert f"set=preference&amp;id={row}" in many.get(f"/views/labels/train/{number}").text
    good = many.get("/views/labels/train", params={"is.label": "true"}).text
    assert _numbers(good) == [0, 2, 4, 6, 8]


def test_tools_and_calls_are_readable(many: TestClient) -> None:
    page = html.unescape(many.get("/views/calls/train/0").text)
    assert '"function": {\n      "name": "weather"' in page
    assert "Ask for both." in page
    assert "call_1" in page


def test_a_nested_value_stays_text_and_ends_somewhere() -> None:
    deep: Any = "end"
    for _ in range(40):
        deep = [{"<b>key</b>": deep}]
    page = str(nested({"a": "<i>x</i>\x1b", "none": None, "many": ["y"] * 300, "deep": deep}))
    assert "<i>" not in page and "<b>" not in page and "\x1b" not in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "none" not in page
    assert page.count(">y<") == 200
    assert "100 more values" in page
    assert "end" in page


@pytest.mark.parametrize(
    "text",
    ['{"a":1.10,"a":[],"b":{}}', '["x\\n\\u202e, {[",{"k":[1,2]}]', "[[[]]]", ' {"a" : "b"} '],
)
def test_json_is_laid_out_and_loses_nothing(text: str) -> None:
    shown = laid_out(text)
    strings = r'"(?:[^"\\]|\\.)*"'
    bare = re.compile(rf"({strings})|\s+")
    assert bare.sub(r"\1", shown) == bare.sub(r"\1", text)
    assert json.loads(shown) == json.loads(text)
    assert "\n" in shown or len(text) < 8


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(_VALUES) | st.dictionaries(st.text(), _VALUES), st.booleans())
def test_any_json_says_the_same_laid_out(value: Any, ascii_only: bool) -> None:
    assert json.loads(laid_out(json.dumps(value, ensure_ascii=ascii_only))) == value


@pytest.mark.parametrize("text", ["{not json}", "plain", "", "[1,", "[" * 3000, '"text"', "7"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert laid_out(text) == text
