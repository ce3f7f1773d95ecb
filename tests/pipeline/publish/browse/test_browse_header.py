"""The head of every page: room for the search, and a way to each set and view, however many there are."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from tests.pipeline.publish.browse.conftest import start
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.views import ViewRequest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("many", [3, 12])
def test_every_set_is_reached_and_the_search_has_room(
    tmp_path: Path,
    rows: dict[str, Callable[..., pa.Table]],
    published: Callable[..., Version],
    browser: "Browser",
    many: int,
) -> None:
    names = [f"of_a_longer_name_{at:02}" for at in range(many)]
    split = {"train": rows["sft"](range(3)), "holdout": rows["sft"](range(3, 5))}
    version = published(
        tmp_path / "demo",
        dict.fromkeys(names, split),
        views={"for_trl": ViewRequest(names[0], "trl_language_modeling")},
    )
    process, url = start(version, tmp_path)
    try:
        # Without scripts, as every page works.
        page = browser.new_page(viewport={"width": 1300, "height": 800}, java_script_enabled=False)
        for width in (1300, 700, 400):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(url)
            if many > 3:
                page.locator(".menu summary").click()
            for name in (names[0], names[-1]):
                link = page.locator("nav a", has_text=f"{name}/holdout")
                box = link.bounding_box()
                assert link.is_visible() and box
                assert box["x"] >= 0 and box["x"] + box["width"] <= width, width
            search = page.locator(".search input").bounding_box()
            assert search and search["width"] >= 200 and search["x"] + search["width"] <= width
        page.locator("nav a", has_text=f"{names[-1]}/holdout").click()
        assert page.url.endswith(f"/sets/{names[-1]}/holdout")
        if many > 3:
            page.locator(".menu summary").click()
            page.locator(".menu a", has_text="for_trl/train").click()
            assert page.url.endswith("/views/for_trl/train")
        page.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
