"""The Dagster UI as a process, for tests that talk to it or look at it."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 120_000  # milliseconds that a page has to show something

LAUNCH = """
mutation($job: String!, $assets: [AssetKeyInput!]) {
  launchRun(executionParams: {mode: "default", selector: {
    repositoryLocationName: "winnow", repositoryName: "__repository__", jobName: $job,
    assetSelection: $assets}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
STATUS = """
query($run: ID!) {
  runOrError(runId: $run) { ... on Run { status stepStats { stepKey status } } }
}"""
RUNS = "{ runsOrError { ... on Runs { results { runId status } } } }"
NODES = "{ assetNodes { assetKey { path } staleStatus } }"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: Callable[[], Any], seconds: float = 120.0) -> Any:
    """The first value of `what` that counts as true."""
    latest = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < latest, "waited in vain"
        time.sleep(0.5)
    return value


def metadata(page: "Page", name: str) -> str:
    """What an asset's page says beside a key of its metadata."""
    row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))
    return row.last.inner_text()


@dataclass
class UI:
    process: subprocess.Popen[str]
    url: str

    def get(self, path: str = "/server_info", **headers: str) -> int:
        """The status of a request."""
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.url}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def assets(self) -> dict[str, str]:
        nodes = self.ask(NODES)["assetNodes"]
        return {"/".join(node["assetKey"]["path"]): node["staleStatus"] for node in nodes}

    def runs(self) -> list[dict[str, str]]:
        """All runs, the latest first."""
        return list(self.ask(RUNS)["runsOrError"]["results"])

    def ended(self, runs: int) -> str:
        """The status of the latest of so many runs, once it has ended."""

        def status() -> str | None:
            found = self.runs()
            latest = found[0]["status"] if len(found) == runs else None
            return latest if latest in ("SUCCESS", "FAILURE", "CANCELED") else None

        return str(until(status, 400))

    def group(self) -> list[int]:
        """Processes that came from this UI, itself included."""
        import psutil

        parent = psutil.Process(self.process.pid)
        return [parent.pid, *(child.pid for child in parent.children(recursive=True))]


@contextlib.contextmanager
def serving(home: Path, folder: Path) -> Iterator[UI]:
    """`winnow ui` of a home, started in `folder`."""
    port = free_port()
    command = [sys.executable, "-m", "winnow.cli.main", "ui", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--home", str(home)], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(line)
        if line.startswith("Dagster UI: http://"):
            break
    try:
        assert process.poll() is None, told
        yield UI(process, f"http://127.0.0.1:{port}")
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
