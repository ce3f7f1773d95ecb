"""What tests of several rooms share."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).parents[1]


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
