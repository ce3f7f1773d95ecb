"""The reports on two versions, by clicks.

A file of its own: what runs a recipe cannot be set up once a test of the same file has a browser open.
"""

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.assets.conftest import Two
from tests.assets.ui import PATIENCE, metadata, serving, until
from winnow.pipeline.publish.version import list_versions

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_reports_on_versions_by_partition(two: Two, tmp_path: Path, browser: "Browser") -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    home = tmp_path / "data"
    shutil.copytree(two.home, home, symlinks=True, ignore=shutil.ignore_patterns("reports"))
    old, new = list_versions(home / "tiny")  # the older one first
    with serving(home, tmp_path) as ui:
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(PATIENCE)

        # Both versions are partitions; the older one is chosen and made.
        page.goto(f"{ui.url}/assets/tiny/report")
        page.get_by_text("Partitions", exact=True).click()
        for version in (old, new):
            expect(page.get_by_text(version.id).first).to_be_visible()
        page.get_by_role("button", name="Materialize").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("Select a partition or create one").click()
        page.get_by_role("menuitem").filter(has_text=old.id).click()
        page.keyboard.press("Escape")
        dialog.get_by_role("button", name="Launch 1 run").click()
        assert ui.ended(runs=1) == "SUCCESS"
        assert [path.name for path in (home / "reports").iterdir()] == [f"tiny-{old.id}.html"]

        # What it shows of that version.
        page.goto(f"{ui.url}/assets/tiny/report?view=partitions")
        page.get_by_text(old.id).first.click()
        assert str(home / "reports" / f"tiny-{old.id}.html") in metadata(page, "page")
        assert re.search(rf"\b{old.rows['rl']['train']}\b", metadata(page, "rl/train"))

        # All of them, one run each.
        page.get_by_role("button", name="Materialize").first.click()
        dialog.get_by_role("button", name="All", exact=True).click()
        dialog.get_by_role("button", name="Launch backfill").click()
        until(lambda: [run["status"] for run in ui.runs()] == ["SUCCESS"] * 3, 300)
        page.goto(f"{ui.url}/assets/tiny/report?view=partitions")
        expect(page.get_by_text("Materialized (2)")).to_be_visible()
        assert (home / "reports" / f"tiny-{new.id}.html").is_file()
        page.close()
