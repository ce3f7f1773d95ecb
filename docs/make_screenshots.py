"""Takes the pictures in this folder: python docs/make_screenshots.py [--home data] [--recipe quickstart]

Needs a home folder in which the recipe has run, Playwright (a development dependency) and Debian's
package `chromium`. `--only card,report` takes some of the pictures: `asset-graph` (the recipe's graph in
`winnow ui`, and `asset-metadata`, what it says of the version), `report` (the way into the set `sft`, and the map with a search), `browse` (a row of `sft`
with all answers to its prompt) and `card` (the version's README as a hub shows it, in two columns). Run
it again when what they show looks different.
"""

import argparse
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from winnow.assets.graph import identifier
from winnow.pipeline.publish.version import Version, resolve
from winnow.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser

OUT = Path(__file__).parent
START_SECONDS = 180
_CARD = """
body { font: 14px/1.5 "DejaVu Sans", sans-serif; color: #1f2328; margin: 24px 28px; width: 1580px; }
main { columns: 2; column-gap: 36px; column-rule: 1px solid #d1d9e0; column-fill: auto; height: 2120px; }
.tags span { background: #eef1f4; border-radius: 999px; padding: 1px 8px; margin: 0 14px 0 4px; }
h1, h2 { border-bottom: 1px solid #d1d9e0; padding-bottom: 6px; } h1 { margin-top: 0; }
table { border-collapse: collapse; font-size: 12px; } th, td { border: 1px solid #d1d9e0; padding: 3px 10px; }
pre { background: #f6f8fa; padding: 12px; font-size: 11px; white-space: pre-wrap; } img { max-width: 560px; }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, default=Path("data"))
    parser.add_argument("--recipe", default="quickstart", help="stem of the recipe's file")
    parser.add_argument("--only", default=",".join(PICTURES), help=", ".join(PICTURES))
    chosen = parser.parse_args()
    if unknown := set(chosen.only.split(",")) - set(PICTURES):
        raise SystemExit(f"no picture {min(unknown)!r}; there are: {', '.join(PICTURES)}")
    work = Workspace(chosen.home, chosen.recipe)
    published = work.read("published", ["version"])["version"][0].as_py()
    dataset = next(path.parent for path in chosen.home.glob(f"*/{published}"))
    version = resolve(f"{dataset.name}@{published}", chosen.home)
    with _chromium() as browser:
        for name in chosen.only.split(","):
            for path in PICTURES[name](browser, version, work):
                with Image.open(path) as image:  # half as large with a palette
                    smaller = image.convert("RGB").quantize(256)
                smaller.save(path, optimize=True)
                print(path)


def asset_graph(browser: "Browser", version: Version, work: Workspace) -> list[Path]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with _served("ui", "--home", str(work.home), "--port", str(port)) as server:
        _wait_for(f"{url}/server_info", server)
        page = browser.new_page(viewport={"width": 2000, "height": 1760})
        page.goto(f"{url}/locations/winnow/asset-groups/{identifier(work.name)}/lineage")
        node = page.get_by_text("training_set", exact=True).last
        node.wait_for(timeout=120_000)
        page.wait_for_timeout(10_000)  # the graph is laid out, and its nodes ask for their state
        page.screenshot(path=OUT / "asset-graph.png")
        node.click()  # which shows what is known of it beside the graph
        page.get_by_text("Metadata", exact=True).first.wait_for(timeout=60_000)
        page.wait_for_timeout(5_000)
        beside = {"x": 1192, "y": 104, "width": 808, "height": 1656}
        page.screenshot(path=OUT / "asset-metadata.png", clip=beside)
    return [OUT / "asset-graph.png", OUT / "asset-metadata.png"]


def report(browser: "Browser", version: Version, work: Workspace) -> list[Path]:
    from winnow.pipeline.publish.report import workspace_of, write

    with tempfile.TemporaryDirectory() as folder:
        path = write(version, workspace_of(version, work.home), Path(folder) / "report.html")
        page = browser.new_page(viewport={"width": 1328, "height": 1248})
        page.goto(path.as_uri())
        page.locator(".chart:not(.js-plotly-plot)").wait_for(state="detached")
        page.get_by_label("Search").fill("schedule")
        page.locator("#map-matches li").first.click()
        heading = page.get_by_role("heading", name="sft", exact=True).first
        # Only what the picture is to show: the way into the set, and the map.
        shown = (
            page.locator("section")
            .filter(has=heading)
            .or_(page.locator("section").filter(has=page.locator("#map")))
        )
        shown.evaluate_all("(all) => all.forEach((one) => one.classList.add('shown'))")
        page.locator("section:not(.shown)").evaluate_all(
            "(all) => all.forEach((one) => { one.hidden = true; })"
        )
        heading.evaluate(
            "(one) => window.scrollTo(0, one.getBoundingClientRect().y + scrollY - 30)"
        )
        page.wait_for_timeout(1_000)
        page.screenshot(path=OUT / "report.png")
    return [OUT / "report.png"]


def browse(browser: "Browser", version: Version, work: Workspace) -> list[Path]:
    with _served("browse", version.ref, "--home", str(work.home), "--no-open") as server:
        assert server.stdout is not None
        url = re.search(r"http://[^\s/]+", server.stdout.readline())
        assert url is not None
        page = browser.new_page(viewport={"width": 1400, "height": 1420})
        page.goto(f"{url[0]}/row?set=sft&id={_telling(version, work)}")
        page.screenshot(path=OUT / "browse.png")
    return [OUT / "browse.png"]


def card(browser: "Browser", version: Version, work: Workspace) -> list[Path]:
    import yaml
    from markdown_it import MarkdownIt

    _, header, text = (version.path / "README.md").read_text("utf-8").split("---\n", 2)
    tags = [
        f"{key} <span>{each}</span>"
        for key, value in yaml.safe_load(header).items()
        if key not in ("configs", "dataset_info", "pretty_name")
        for each in (value if isinstance(value, list) else [value])
    ]
    body = MarkdownIt("commonmark").enable("table").render(text)
    page = browser.new_page(viewport={"width": 1640, "height": 2200})
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(version.path, folder, dirs_exist_ok=True)
        made = Path(folder) / "card.html"
        made.write_text(
            f"<meta charset=utf-8><style>{_CARD}</style><p class=tags>{''.join(tags)}</p>"
            f"<main>{body}</main>"
        )
        page.goto(made.as_uri())
        page.wait_for_load_state("networkidle")
        page.screenshot(path=OUT / "card.png")  # the first two columns of it
    return [OUT / "card.png"]


PICTURES: dict[str, Callable[["Browser", Version, Workspace], list[Path]]] = {
    "asset-graph": asset_graph,
    "report": report,
    "browse": browse,
    "card": card,
}


def _telling(version: Version, work: Workspace) -> str:
    """The row of `sft` with the most kinds of verdicts on the answers to its prompt; of several the one
    with the fewest lines, which a picture has room for."""
    longest: dict[str, int] = {}  # lines of the longest answer
    for row in work.read("rollouts", ["prompt_id", "completion"]).to_pylist():
        lines = row["completion"].count("\n")
        longest[row["prompt_id"]] = max(longest.get(row["prompt_id"], 0), lines)
    verdicts: dict[str, set[str]] = {}
    for row in work.read("verdicts", ["task_id", "verdict"]).to_pylist():
        verdicts.setdefault(row["task_id"], set()).add(row["verdict"])

    def order(row: dict[str, Any]) -> tuple[int, int]:
        asked = sum(message["content"].count("\n") for message in row["messages"])
        return -len(verdicts[row["task_id"]]), asked + longest[row["prompt_id"]]

    best: dict[str, Any] = min(version.table("sft").to_pylist(), key=order)
    return str(best["id"])


@contextlib.contextmanager
def _chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("no chromium here (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses root.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def _served(*command: str) -> Iterator[subprocess.Popen[str]]:
    """`winnow COMMAND` for the length of the block."""
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "winnow.cli.main", *command], stdout=subprocess.PIPE, text=True
    )
    try:
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()


def _wait_for(url: str, server: subprocess.Popen[str]) -> None:
    """Until the server answers; SystemExit where it ends or takes too long."""
    latest = time.monotonic() + START_SECONDS
    while time.monotonic() < latest and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    main()
