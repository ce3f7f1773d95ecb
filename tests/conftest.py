"""What tests of several rooms share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).parents[1]
CHROMIUM_FLAGS = (
    "--no-sandbox",  # Chromium's own sandbox refuses root
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first, so that the others fill the second core beside it."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@dataclass
class StubServer:
    """A running counting server."""

    url: str
    log: Path

    def seeds(self) -> list[int]:
        """Seeds of the requests answered so far, in order."""
        return [int(s) for s in self.log.read_text().split()] if self.log.exists() else []


@pytest.fixture
def stub_server(tmp_path: Path) -> Iterator[StubServer]:
    yield from _served(tmp_path, "0.02")


@pytest.fixture
def slow_server(tmp_path: Path) -> Iterator[StubServer]:
    """One that takes seconds for an answer."""
    yield from _served(tmp_path, "4")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless Chromium (Debian's package `chromium`, driven by Playwright) that reaches this
    machine and no other; skips where one of the two is missing.

    Of the module's scope, not the session's: while Playwright's synchronous interface is open, its
    event loop counts as running in this thread, and no other test could call `asyncio.run`.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium here (Debian: apt install chromium)")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_FLAGS])
        yield started
        started.close()


def _served(folder: Path, seconds: str) -> Iterator[StubServer]:
    log = folder / "requests.log"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "stub_server.py"), str(log), seconds],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    yield StubServer(f"http://127.0.0.1:{port}/v1", log)
    process.kill()
    process.wait()
