"""Images of prompts in the report: scaled down, within a bound, and nothing but pixels."""

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipeline.publish.report.conftest import Reported
from tests.pipeline.publish.report.pages import Page, read
from tests.pipeline.publish.report.test_report_browser import opened_fixture
from winnow.pipeline.publish.report import thumbnails, workspace_of, write
from winnow.pipeline.publish.report.signals import Signals
from winnow.pipeline.publish.version import resolve
from winnow.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Page as Tab

__all__ = ["opened_fixture"]

PROMPTS = 8
RECIPE = """\
dataset: shown
sources:
  - {{type: dataset, name: sums, path: {folder}/sums.jsonl, verifier: math,
      columns: {{images: pictures, completion: completion}}}}
engine: {{type: source}}
sampling: {{n: 1}}
verify: {{workers: 1}}
clusters: {{k: 2}}
sets: {{sft: {{uds: false}}, rl: {{}}}}
"""


def image(
    kind: str = "PNG", size: tuple[int, int] = (900, 600), mode: str = "RGB", red: int | None = None
) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.new(mode, size, 0 if red is None else (red, 0, 0)).save(data, kind)
    return data.getvalue()


def opened_image(address: str) -> Any:
    from PIL import Image

    head, _, body = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body, validate=True)))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A run whose prompts show one image, two (one of them the same everywhere), or none."""
    from winnow.stages import chain
    from winnow.stages.base import Context

    home = tmp_path_factory.mktemp("shown") / "data"
    home.mkdir()
    same = base64.b64encode(image("JPEG", (400, 2000))).decode()
    rows = []
    for n in range(PROMPTS):
        own = base64.b64encode(image(size=(900 + n, 600), red=30 * n)).decode()
        addresses = [f"data:;base64,{each}" for each in (own, same)][: n % 3]
        rows.append({"prompt": f"What is {n} + {n}?", "answer": str(2 * n), "pictures": addresses,
                     "completion": f"The answer is {2 * n}."})  # fmt: skip
    (home / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = home / "shown.yaml"
    recipe.write_text(RECIPE.format(folder=home))
    chain.run(Context.of(recipe, home))
    version = resolve("shown", home)
    workspace = workspace_of(version, home)
    assert workspace is not None
    path = write(version, workspace, home / "report.html")
    return Reported(home, version, workspace, path, read(path))


def _images(page: Page) -> dict[str, list[str | None]]:
    """By the prompt's first text."""
    rows = page.blocks["map-data"]["rows"]
    return {row["messages"][-1][1]: row.get("images", []) for row in rows}


def test_rows_have_the_images_of_their_prompts(shown: Reported) -> None:
    found = _images(shown.page)
    assert len(found) == PROMPTS
    sizes = {
        text: [opened_image(each).size for each in images if each] for text, images in found.items()
    }
    for n in range(PROMPTS):
        (text,) = [each for each in sizes if f"What is {n} + {n}?" in each]
        assert text.count("<image>") == n % 3
        # 900 + n by 600, and 400 by 2000, within 320 by 320.
        assert sizes[text] == [(320, round(600 * 320 / (900 + n))), (64, 320)][: n % 3]
    total = sum(n % 3 for n in range(PROMPTS))
    assert (
        f"Of {total} images that these prompts show, {total} are on this page, scaled down to 320 pixels at most."
        in shown.page.texts
    )


def test_the_same_tables_give_the_same_bytes(shown: Reported, tmp_path: Path) -> None:
    again = write(shown.version, shown.workspace, tmp_path / "again.html")
    assert again.read_bytes() == shown.path.read_bytes()


def test_images_end_where_their_room_does(shown: Reported) -> None:
    with Signals(shown.version, shown.workspace) as signals:
        ids = shown.page.blocks["map-data"]["id"]
        whole = thumbnails.gather(signals, ids)
        addresses = list(dict.fromkeys(a for each in whole.of.values() for a in each if a))
        room = sum(map(len, addresses[:3]))
        some = thumbnails.gather(signals, ids, room)
        none = thumbnails.gather(signals, ids, 10)
    assert some.total == none.total == whole.total
    assert list(dict.fromkeys(a for each in some.of.values() for a in each if a)) == addresses[:3]
    assert {a for each in none.of.values() for a in each} == {None}


def test_a_page_stays_within_its_limit(shown: Reported, tmp_path: Path) -> None:
    bare = len(write(shown.version, shown.workspace, tmp_path / "a.html", points=0).read_bytes())
    limit = bare + 12_000
    path = write(shown.version, shown.workspace, tmp_path / "b.html", limit=limit)
    assert path.stat().st_size <= limit
    assert any(row is None for row in read(path).blocks["map-data"]["rows"])


def test_what_the_store_lost_is_said(shown: Reported, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(shown.home, home)
    for path in (home / ".store").glob("images.sqlite*"):
        path.unlink()
    page = read(write(shown.version, Workspace(home, "shown"), tmp_path / "page.html"))
    assert {a for each in _images(page).values() for a in each} == {None}
    assert any(", 0 are on this page" in text for text in page.texts)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "1"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "CMYK"), ("JPEG", "L"),
     ("GIF", "P"), ("WEBP", "RGB"), ("BMP", "RGB")],
)  # fmt: skip
def test_every_kind_and_mode_is_scaled(kind: str, mode: str) -> None:
    found = thumbnails.scaled(image(kind, (700, 70), mode))
    assert found is not None
    assert opened_image(found).size == (320, 32)


def test_transparent_stands_on_white() -> None:
    found = thumbnails.scaled(image(mode="RGBA"))
    assert found is not None
    assert opened_image(found).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>window.ran = 1</script></svg>",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 100,
        image()[:60],
        image("JPEG")[:40],
        image(size=(9_000, 9_000), mode="1"),
        image(size=(20_000, 20_000), mode="1"),
    ],
    ids=["empty", "svg", "pdf", "broken", "cut", "cut jpeg", "large", "bomb"],
)
def test_what_is_no_image_or_too_large_is_not_shown(data: bytes) -> None:
    assert thumbnails.scaled(data) is None


def test_nothing_but_pixels_is_taken() -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    said, note = io.BytesIO(), PngInfo()
    note.add_text("Comment", "<script>window.ran = 1</script>")
    Image.new("RGB", (20, 20)).save(said, "PNG", pnginfo=note)
    plain = image(size=(20, 20))
    assert thumbnails.scaled(said.getvalue() + b"<script>") == thumbnails.scaled(plain)


def test_a_browser_shows_them_beside_the_row(
    shown: Reported, opened: Callable[[Path], "Tab"]
) -> None:
    page = opened(shown.path)
    data = shown.page.blocks["map-data"]
    at = next(n for n, row in enumerate(data["rows"]) if len(row.get("images", [])) == 2)
    page.get_by_label("Search").fill(data["id"][at])
    page.locator("#map-matches button").click()
    images = page.locator("#map-row .images img")
    assert images.count() == 2
    page.wait_for_function(
        "[...document.querySelectorAll('#map-row img')].every((one) => one.naturalWidth > 0)"
    )
    assert images.evaluate_all("all => all.map(one => one.alt)") == ["image 1", "image 2"]
