"""Sets with other columns than winnow's first three: nested values, tools, pictures, odd names."""

import html
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from tests.pipeline.publish.conftest import ledger_rows, make_manifest
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.writer import publish

LONG = "a long explanation that goes on and on " * 5
CALL = [{"name": "add", "arguments": '{"a": 1}'}]


def _table() -> pa.Table:
    rows: list[dict[str, Any]] = [
        {
            "id": f"row-{n}",
            "messages": [
                {"role": "user", "content": f"Add {n}", "tool_calls": []},
                {"role": "assistant", "content": None, "tool_calls": CALL},
                {"role": "<b>odd</b>", "content": "", "tool_calls": None},
            ],
            "completions": ["first step", f"step {n}"],
            "labels": [True, False],
            "responses": [{"text": "<i>x</i>", "correct": None, "n": n}],
            "images": [{"bytes": b"\x89PNG\r\n", "path": None}],
            "good": None if n == 2 else n % 2 == 0,
            'a "quoted" name': f"value {n}",
            "select": n,
            "key": (n * 2) % 5,
            "nth": (n * 3) % 5,
            "explanation": LONG + str(n),
            "nothing": None,
            "ratio": float(n) / 3,
            "when": n * 86_400_000,
        }
        for n in range(5)
    ]
    schema = pa.Table.from_pylist(rows).schema
    at = schema.get_field_index("when")
    return pa.Table.from_pylist(rows, schema.set(at, pa.field("when", pa.timestamp("ms"))))


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("odd")
    version = publish(
        folder / "demo",
        {"odd": {"train": _table()}, "empty": {"train": _table().slice(0, 0)}},
        manifest=make_manifest(),
        ledger=ledger_rows(("row-1", "prompts", "dropped", "empty")),
    )
    browser = Browser(catalogue(version, folder))
    browser.start()
    assert browser.words.ready.wait(60)
    yield TestClient(browser.app(), base_url="http://localhost")
    browser.close()


def _page(client: TestClient, path: str, **given: Any) -> str:
    answer = client.get(path, params=given)
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


def test_a_row_shows_whatever_it_holds(odd: TestClient) -> None:
    page = _page(odd, "/row", set="odd", id="row-3")
    for text in ('{"a": 1}', "step 3", "<dt>text</dt>", "(6 bytes)", "value 3", LONG + "3",
                 "1970-01-04", "<b>odd</b>", "[true, false]"):  # fmt: skip
        assert text in page, text
    assert "<i>x</i>" not in odd.get("/row", params={"set": "odd", "id": "row-3"}).text


@pytest.mark.parametrize(
    ("given", "rows"),
    [
        ({"is.good": "true"}, ["row-0", "row-4"]),
        ({"is.good": "false"}, ["row-1", "row-3"]),
        ({"none.good": "1"}, ["row-2"]),
        ({'is.a "quoted" name': "value 4"}, ["row-4"]),
        ({"min.select": "3"}, ["row-3", "row-4"]),
        ({"is.select": "2"}, ["row-2"]),
        ({"is.ratio": str(1 / 3)}, ["row-1"]),
        ({"sort": "key"}, ["row-0", "row-3", "row-1", "row-4", "row-2"]),
        ({"sort": "nth", "min.nth": "1"}, ["row-2", "row-4", "row-1", "row-3"]),
        ({"max.ratio": "0.5", "sort": "ratio", "order": "desc"}, ["row-1", "row-0"]),
    ],
)
def test_rows_are_chosen_by_any_plain_column(
    odd: TestClient, given: dict[str, str], rows: list[str]
) -> None:
    page = _page(odd, "/sets/odd/train", **given)
    assert [f"row-{n}" for n in _numbers(page)] == rows


@pytest.mark.parametrize("column", ["key", "nth", "select"])
def test_neighbours_follow_a_column_of_any_name(odd: TestClient, column: str) -> None:
    listed = _numbers(_page(odd, "/sets/odd/train", sort=column))
    for before, row, after in zip(listed, listed[1:], listed[2:], strict=False):
        turn = _page(odd, "/row", set="odd", id=f"row-{row}", sort=column).split("</nav>")[1]
        assert re.findall(r'href="/row\?set=odd&id=row-(\d)', turn) == [before, after]


def _numbers(page: str) -> list[str]:
    return re.findall(r'class="open" href="/row\?set=odd&id=row-(\d)', page)


@pytest.mark.parametrize("column", ["images", "responses", "labels", "when", "nothing"])
def test_rows_are_not_chosen_by_what_has_no_order(odd: TestClient, column: str) -> None:
    assert odd.get("/sets/odd/train", params={f"is.{column}": "1"}).status_code == 400


def test_a_set_without_rows_has_a_page(odd: TestClient) -> None:
    assert "No row fits." in _page(odd, "/sets/empty/train")
    assert odd.get("/row", params={"set": "empty", "id": "row-1"}).status_code == 404


def test_long_texts_are_found_by_their_words(odd: TestClient) -> None:
    page = _page(odd, "/search", q="explanation")
    assert "5 rows" in page
    assert "<mark>explanation</mark>" in page
    assert "Nothing fits." in _page(odd, "/search", q="quoted")


def test_a_life_in_a_version_without_tables(odd: TestClient) -> None:
    assert _page(odd, "/life", id="row-1").count("row-1") > 1
