"""Text that would like to be markup, requests from elsewhere, and queries that nobody's form sends."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.pipeline.publish.browse.conftest import Reader
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.database import Database
from winnow.pipeline.publish.version import Version

Get = Callable[..., str]


def _pages(version: Version) -> list[tuple[str, dict[str, str]]]:
    """Every list, and the page of every row."""
    pages: list[tuple[str, dict[str, str]]] = [("/", {}), ("/ledger", {})]
    pages += [("/search", {"q": "answer", "mode": mode}) for mode in ("words", "text")]
    pages += [("/search", {"q": "<script>document.title", "mode": "text"})]
    for name in version.rows:
        pages.append((f"/sets/{name}/train", {}))
        ids = version.table(name)["id"].to_pylist()
        pages += [("/row", {"set": name, "id": row}) for row in ids]
    for name, splits in version.views.items():
        pages.append((f"/views/{name}/train", {}))
        pages += [(f"/views/{name}/train/{at}", {}) for at in range(splits["train"])]
    pages += [("/life", {"id": row}) for row in set(version.ledger()["row_id"].to_pylist())]
    return pages


def test_planted_markup_is_text_on_every_page(get: Get, version: Version) -> None:
    whole = ""
    for path, parameters in _pages(version):
        page = get(path, **parameters)
        whole += page
        reader = Reader()
        reader.feed(page)
        for tag, attributes in reader.tags:
            assert tag not in ("img", "iframe", "object", "style", "base", "embed"), (path, tag)
            if tag == "script":
                assert attributes == {"src": "/static/browse.js", "defer": ""}
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            for name in ("href", "src", "action"):
                assert attributes.get(name, "/").startswith(("/", "#")), attributes
        # Characters that would move a cursor or turn the direction of reading are never sent.
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", page), path
    assert "&lt;script&gt;document.title" in whole  # it is there, as text
    assert "{{1234*4321}}" in whole
    assert str(1234 * 4321) not in whole
    assert '<span class="ctl">\\x1b</span>[31mred' in whole
    assert '<span class="ctl">\\u202e</span>gnirts' in whole
    assert "[click](javascript:alert(1))" in whole


def test_every_answer_carries_the_policy(client: TestClient) -> None:
    for path in ("/", "/sets/sft/train", "/nowhere", "/static/browse.js", "/row?set=x&id=%ff"):
        headers = client.get(path).headers
        policy = dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_requests_from_elsewhere_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/", headers=headers)
    assert answer.status_code == 403
    assert "sums" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_nothing_but_reading(client: TestClient, method: str) -> None:
    answer = client.request(method, "/")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert client.head("/").status_code == 200


_PIECES = st.sampled_from(
    [
        "'", '"', ";", "--", "/*", "*/", "UNION SELECT", "read_text('/etc/passwd')", "..", "/", "\\",
        "%00", "%ff", "%2e%2e%2f", "\x00", "\r\n", "{{7*7}}", "<script>", "$1", "?", "NULL", "1e308",
        "-1", "0", "99999999999999999999", "0x10", "inf", "nan", "true", "é", "\U0001f600", "\ud83d%",
        "&", "=", "#", "+", ".", "is.", "min.", "max.", "none.", "pass_rate", "source", "messages",
        "cluster", "id", "sft", "sort", "order", "page", "asc", "1",
    ]
)  # fmt: skip
_TEXT = st.one_of(st.text(max_size=20), st.lists(_PIECES, max_size=4).map("".join))
_NAMES = st.one_of(
    st.sampled_from(
        ["is.source", "is.cluster", "min.pass_rate", "max.pass_rate", "none.score", "is.id", "sort",
         "order", "page", "set", "id", "q", "mode", "like", "stage", "decision", "rule", "row"]
    ),
    _TEXT,
)  # fmt: skip
_PATHS = st.sampled_from(
    [
        "/",
        "/sets/sft/train",
        "/sets/preference/train",
        "/row",
        "/life",
        "/ledger",
        "/search",
        "/views/verl/train",
        "/views/openai/train",
        "/views/openai/train/0",
        "/views/openai/train/x",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(_PATHS, st.lists(st.tuples(_NAMES, _TEXT), max_size=4))
@example("/row", [("set", "sft"), ("id", "x"), ("sort", "pass_rate"), ("order", "desc")])
def test_any_parameters_give_a_page(
    client: TestClient, path: str, pairs: list[tuple[str, str]]
) -> None:
    from urllib.parse import quote

    query = "&".join(
        f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}"
        for name, value in pairs
        if (name, value) != ("mode", "meaning") and name != "like"
    )
    answer = client.get(f"{path}?{query}", follow_redirects=False)
    assert answer.status_code in (200, 303, 400, 404)
    assert "Traceback" not in answer.text


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=60), st.sampled_from(["/", "/sets/sft/train", "/row", "/search"]))
def test_any_bytes_give_a_page(browsed: Browser, query: bytes, path: str) -> None:
    """Bytes that no client library would send reach the application as they are."""
    sent: list[dict[str, object]] = []
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
             "query_string": query, "headers": [(b"host", b"localhost")], "http_version": "1.1",
             "scheme": "http", "server": ("127.0.0.1", 1), "client": None, "root_path": ""}  # fmt: skip

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    async def ask() -> None:
        await browsed.app()(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] in (200, 303, 400, 404)


def test_the_database_reads_its_own_files_and_no_other(
    version: Version, browse_home: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("key\nsecret\n")
    own = version.path / "sft" / "train.parquet"
    db = Database({"rows": own})
    assert db.number("SELECT count(*) FROM rows") == version.rows["sft"]["train"]
    for statement in (
        f"SELECT * FROM read_csv('{secret}')",
        f"SELECT * FROM read_text('{version.path / 'manifest.json'}')",
        f"SELECT * FROM read_parquet('{version.path / 'ledger.parquet'}')",
        f"COPY rows TO '{tmp_path / 'out.parquet'}'",
        f"ATTACH '{tmp_path / 'other.db'}'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "SELECT * FROM secret",
    ):
        with pytest.raises(duckdb.Error):
            db.rows(statement)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv"]


def test_a_file_whose_name_is_a_pattern_is_read_as_it_stands(
    version: Version, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "a[b]*? 'x'"
    folder.mkdir()
    shutil.copy(version.path / "sft" / "train.parquet", folder / "t.parquet")
    db = Database({"rows": folder / "t.parquet"})
    assert db.number("SELECT count(*) FROM rows") == version.rows["sft"]["train"]
