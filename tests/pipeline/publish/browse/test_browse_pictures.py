"""Pictures on the pages: raster files are shown, everything else is a file of so many bytes."""

import base64
import html
import io
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from tests.pipeline.publish.browse.conftest import Reader, start
from tests.pipeline.publish.conftest import ledger_rows, make_manifest, messages, origin
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.browse.pictures import PICTURE, PICTURES, Gallery
from winnow.pipeline.publish.browse.sealed import POLICY, POLICY_WITH_PICTURES
from winnow.pipeline.publish.formats.images import IMAGE
from winnow.pipeline.publish.set_schemas import SFT
from winnow.pipeline.publish.version import Version, open_version
from winnow.pipeline.publish.views import ViewRequest
from winnow.pipeline.publish.writer import publish
from winnow.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    b"<script>document.title = 'it ran'</script></svg>"
)
ODD = "<b>odd</b>\u202e\" onerror=\"document.title = 'it ran'"


def picture(kind: str, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(data, kind)
    return data.getvalue()


KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")
LARGE = picture("PNG") + b"\0" * PICTURE
# Of each row its pictures: (bytes, path).
ROWS: list[list[tuple[bytes | None, str | None]] | None] = [
    [(picture(kind), None) for kind in KINDS],
    [(SVG, "a.png"), (b"%PDF-1.7", None), (b"", None), (None, ODD), (picture("PNG"), ODD)],
    [(LARGE, None)],
    [],
    None,
    [(b"<html><script>document.title = 'it ran'</script>", "x.html")],
    [(picture("GIF"), None)] * (PICTURES + 2),
]


def _table() -> pa.Table:
    rows = [
        {"id": f"row-{n}", "messages": messages(f"What is <image> {n}?", f"A picture {n}."),
         "weight": 1.0, "rollout_id": f"rollout-{n}", "verdict": "correct", **origin(n)}
        for n in range(len(ROWS))
    ]  # fmt: skip
    images = [
        None if row is None else [{"bytes": data, "path": path} for data, path in row]
        for row in ROWS
    ]
    table = pa.Table.from_pylist(rows, SFT)
    return table.append_column("images", pa.array(images, pa.list_(IMAGE)))


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("pictures")
    version = publish(
        folder / "demo", {"sft": {"train": _table()}}, manifest=make_manifest(),
        ledger=ledger_rows(("row-1", "prompts", "dropped", "empty")),
        views={"lm": ViewRequest("sft", "trl_language_modeling")},
    )  # fmt: skip
    browser = Browser(catalogue(version, folder))
    browser.start()
    assert browser.words.ready.wait(60)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def asking(pictured: Browser) -> TestClient:
    return TestClient(pictured.app(), base_url="http://localhost")


def _shown(page: str) -> list[bytes]:
    """The pictures in a page, each told to be what its first bytes say."""
    found = re.findall(r'<img src="data:image/(png|jpeg|gif|webp|bmp);base64,([^"]*)"', page)
    assert len(found) == page.count("<img")
    assert page.count("<img") == page.count('loading="lazy"')
    return [base64.b64decode(data, validate=True) for _, data in found]


def _row(client: TestClient, number: int, view: bool) -> Any:
    path, given = ("/row", {"set": "sft", "id": f"row-{number}"})
    if view:
        path, given = f"/views/lm/train/{number}", {}
    answer = client.get(path, params=given)
    assert answer.status_code == 200
    return answer


@pytest.mark.parametrize("view", [False, True])
def test_each_raster_kind_is_shown_as_what_it_is(asking: TestClient, view: bool) -> None:
    answer = _row(asking, 0, view)
    assert _shown(answer.text) == [data for data, _ in ROWS[0] or []]
    for media, kind in (("png", "PNG"), ("jpeg", "JPG"), ("webp", "WEBP")):
        assert f"data:image/{media};" in answer.text
        assert f"{kind}, " in answer.text
    assert answer.headers["content-security-policy"] == POLICY_WITH_PICTURES


@pytest.mark.parametrize("view", [False, True])
def test_everything_else_is_named(asking: TestClient, view: bool) -> None:
    answer = _row(asking, 1, view)
    assert _shown(answer.text) == [picture("PNG")]
    assert "svg" not in answer.text.replace("icon.svg", "").replace("image/svg+xml", "")
    text = html.unescape(answer.text)
    for said in (f"a file of {len(SVG)} bytes, no picture that is shown here, called a.png",
                 "a file of 8 bytes", "a file of 0 bytes", "no bytes, called <b>odd</b>\\u202e"):  # fmt: skip
        assert said in text, said
    assert "<b>odd" not in answer.text
    reader = Reader()
    reader.feed(answer.text)
    assert not [name for _, found in reader.tags for name in found if name.startswith("on")]


def test_a_picture_that_is_too_large_is_named_and_the_policy_stays(asking: TestClient) -> None:
    answer = _row(asking, 2, view=False)
    assert _shown(answer.text) == []
    assert f"a file of {len(LARGE):,} bytes, too large to show here" in answer.text
    assert len(answer.text) < 100_000
    for path in (
        "/",
        "/ledger",
        "/search?q=picture",
        "/row?set=sft&id=row-2",
        "/row?set=sft&id=row-5",
    ):
        assert asking.get(path).headers["content-security-policy"] == POLICY, path
    for number in (3, 4):
        assert _shown(_row(asking, number, view=False).text) == []


def test_the_first_of_many_are_shown(asking: TestClient) -> None:
    page = _row(asking, 6, view=False).text
    assert _shown(page) == [picture("GIF")] * PICTURES
    assert page.count("bytes, for which the page has no room") == 2


@pytest.mark.parametrize("path", ["/sets/sft/train", "/views/lm/train"])
def test_a_list_shows_the_first_small_one(asking: TestClient, path: str) -> None:
    answer = asking.get(path)
    # Of the first row and the last one; the others begin with something else.
    assert _shown(answer.text) == [picture("PNG"), picture("GIF")]
    assert answer.headers["content-security-policy"] == POLICY_WITH_PICTURES
    assert re.findall(r"(\d+) pictures?<", answer.text) == ["5", "5", "1", "1", "34"]


@pytest.mark.parametrize(
    ("path", "given", "status", "rows"),
    [
        ("/sets/sft/train", {"is.source": "leg_counting", "sort": "pass_rate"}, 200, len(ROWS)),
        ("/sets/sft/train", {"none.licence": "1"}, 200, 0),
        ("/views/lm/train", {"is.policy": "model@1", "sort": "winnow_id"}, 200, len(ROWS)),
        ("/sets/sft/train", {"is.images": "x"}, 400, 0),
        ("/views/lm/train", {"sort": "images"}, 400, 0),
        ("/views/lm/train", {"none.images": "1"}, 400, 0),
    ],
)
def test_bytes_break_no_filter(
    asking: TestClient, path: str, given: dict[str, str], status: int, rows: int
) -> None:
    answer = asking.get(path, params=given)
    assert answer.status_code == status
    assert answer.text.count('<tr class="row">') == rows


def test_search_and_lives_go_on_beside_pictures(asking: TestClient) -> None:
    assert f"{len(ROWS)} rows" in asking.get("/search", params={"q": "picture"}).text
    assert "row-3" in asking.get("/life", params={"id": "prompt-3"}).text
    assert "row-0" in asking.get("/search", params={"q": "What is <image> 0", "mode": "text"}).text


def test_pictures_share_the_room_of_a_page() -> None:
    data = picture("PNG")
    gallery = Gallery(room=2 * len(data))
    told = gallery.of([{"bytes": data, "size": len(data), "path": None}] * 3)
    assert [each.address is None for each in told] == [False, False, True]
    assert "for which the page has no room" in told[2].said


def test_the_pictures_of_a_prompt_come_from_the_store(
    version: Version, browse_home: Path, tmp_path: Path
) -> None:
    import hashlib

    home = tmp_path / "home"
    shutil.copytree(browse_home, home)
    work = Workspace(home, "sums")
    data, gone = picture("PNG"), "0" * 64
    name = hashlib.sha256(data).hexdigest()
    prompts = pq.read_table(work.table_path("prompts"))
    shown = [[name, gone, name], *[None] * (prompts.num_rows - 1)]
    if "images" in prompts.column_names:
        prompts = prompts.drop_columns("images")
    prompts = prompts.append_column("images", pa.array(shown, pa.list_(pa.string())))
    pq.write_table(prompts, work.table_path("prompts"))
    with work.images(write=True) as store:
        store.put([{"image_id": name, "bytes": data}])
    browser = Browser(catalogue(open_version(home / "sums" / version.id), home))
    try:
        client = TestClient(browser.app(), base_url="http://localhost")
        pages = [
            client.get("/life", params={"id": i}) for i in prompts["prompt_id"].to_pylist()[:2]
        ]
        assert _shown(pages[0].text) == [data, data]
        assert "no bytes" in pages[0].text
        assert pages[0].headers["content-security-policy"] == POLICY_WITH_PICTURES
        assert _shown(pages[1].text) == []
    finally:
        browser.close()


@pytest.fixture
def served(pictured: Browser) -> Iterator[str]:
    """The address of the pages, served as a user does it."""
    version = pictured.catalogue.version
    process, url = start(version, version.path.parent.parent)
    yield url
    process.send_signal(signal.SIGINT)
    process.wait(30)


def test_a_browser_draws_them_and_runs_nothing(served: str, browser: "Chromium") -> None:
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{served}sets/sft/train")
    page.click("tr.row a.open")
    page.wait_for_url("**/row?**")
    page.locator(".pictures img").last.scroll_into_view_if_needed()
    page.wait_for_function(
        "[...document.querySelectorAll('.pictures img')].every((one) => one.naturalWidth === 40)"
    )
    assert page.locator(".pictures img").count() == len(KINDS)
    page.goto(f"{served}#views")
    page.click("table.views a")
    page.locator("tr.row a.open").nth(1).click()
    page.wait_for_url("**/views/lm/train/1")
    assert page.locator(".pictures .file").count() == 4
    page.keyboard.press("j")
    page.wait_for_url("**/views/lm/train/2")
    page.keyboard.press("k")
    page.wait_for_url("**/views/lm/train/1")
    assert page.title() != "it ran"
    assert said == []
    page.click("a.origin")
    page.wait_for_url("**/row?set=sft&id=row-1")
    # An SVG in an address would not run either: only its own server's scripts do.
    svg = base64.b64encode(SVG).decode()
    page.evaluate(
        f"document.body.append(Object.assign(new Image(), {{src: 'data:image/svg+xml;base64,{svg}'}}))"
    )
    page.wait_for_timeout(200)
    assert page.title() != "it ran"
    page.close()
