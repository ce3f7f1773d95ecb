"""The UI as its user meets it: everything by clicks, in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.assets.ui import PATIENCE, metadata, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def test_a_recipe_from_its_graph_to_one_set_made_anew(
    new_home: Callable[[], Path], tmp_path: Path, browser: "Browser"
) -> None:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    home = new_home()
    recipe = home / "recipes" / "tiny.yaml"
    with serving(home, tmp_path) as ui:
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(PATIENCE)
        said: list[str] = []
        page.on("dialog", lambda dialog: said.append(dialog.message))

        # The graph of the recipe, and all of it made.
        graph = f"{ui.url}/locations/winnow/asset-groups/tiny/lineage"
        page.goto(graph)
        expect(page.get_by_text("difficulty")).to_be_visible()
        page.get_by_role("button", name="Materialize all").click()
        assert ui.ended(runs=1) == "SUCCESS"

        # A table: rows, checks, columns with their meanings, a picture.
        page.goto(f"{ui.url}/assets/tiny/difficulty")
        expect(page.get_by_text("Row count")).to_be_visible()
        expect(page.get_by_text("Latest check results")).to_be_visible()
        expect(page.get_by_text("Answers judged correct.")).to_be_visible()
        assert re.search(r"\b11\b", metadata(page, "tasks"))
        page.get_by_text("[Show Markdown]").first.click()
        expect(page.locator("img[src^='data:image/png;base64,']")).to_be_visible()

        # What a source says is text on every page.
        page.goto(f"{ui.url}/assets/tiny/prompts")
        expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()
        assert not said

        # The version: how to load it, and its checks by name.
        page.goto(f"{ui.url}/assets/tiny/training_set")
        first = metadata(page, "version")
        assert "tiny@" in first
        page.goto(f"{ui.url}/assets/tiny/training_set?view=checks")
        expect(page.get_by_text("reloads").first).to_be_visible()

        # An edit of one set's settings makes that set stale, without a reload by hand.
        recipe.write_text(recipe.read_text().replace("[0.1, 0.9]", "[0.3, 0.7]"))
        page.goto(f"{ui.url}/assets/tiny/sets/rl")
        expect(page.get_by_role("button", name="Unsynced").first).to_be_visible()
        assert ui.assets()["tiny/sets/sft"] == "FRESH"
        page.get_by_role("button", name="Materialize").first.click()
        assert ui.ended(runs=2) == "SUCCESS"
        page.goto(f"{ui.url}/assets/tiny/training_set")
        expect(page.get_by_text("Row count")).to_be_visible()
        assert metadata(page, "version") != first

        # A recipe that comes while the server runs shows; one that cannot be read says why.
        other = recipe.with_name("second.yaml")
        other.write_text(recipe.read_text())
        (home / "recipes" / "wrong.yaml").write_text("dataset: d\nsourcs: []\n")
        page.goto(f"{ui.url}/locations/winnow/asset-groups/second/lineage")
        expect(page.get_by_text("training_set").first).to_be_visible()
        page.goto(f"{ui.url}/assets/wrong/recipe")
        expect(page.get_by_text("did you mean 'sources'").first).to_be_visible()

        # A stage that cannot go on says what to do.
        (home / "sums.jsonl").rename(home / "summs.jsonl")
        page.goto(f"{ui.url}/assets/second/prompts")
        page.get_by_role("button", name="Materialize").first.click()
        assert ui.ended(runs=3) == "FAILURE"
        page.goto(f"{ui.url}/runs/{ui.runs()[0]['runId']}")
        expect(page.get_by_text("did you mean 'summs.jsonl'").first).to_be_visible()
        page.close()
