"""`winnow browse` as a user runs it: a process of its own, and a real browser."""

import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.pipeline.publish.browse.conftest import start
from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.browse.serve import serve
from winnow.pipeline.publish.version import Version
from winnow.pipeline.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def served(version: Version, browse_home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process, url = start(version, browse_home)
    yield process, url
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.wait(30)


def _status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as r:
            return int(r.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_only_this_machine_is_served(served: tuple[subprocess.Popen[str], str]) -> None:
    process, url = served
    assert _status(url) == 200
    assert _status(url, Host="evil.example") == 403
    assert _status(url, Origin="http://evil.example") == 403
    listening = psutil.Process(process.pid).net_connections("inet")
    assert {each.laddr.ip for each in listening if each.status == psutil.CONN_LISTEN} == {
        "127.0.0.1"
    }


def test_bytes_that_are_no_request_leave_it_standing(
    served: tuple[subprocess.Popen[str], str],
) -> None:
    _, url = served
    port = int(url.rstrip("/").rsplit(":", 1)[1])
    for raw in (
        b"GET /sets/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /?\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(raw)
            connection.settimeout(10)
            answer = connection.recv(200)
        assert answer.split(b" ")[1:2] in ([b"400"], [b"403"], [b"404"]), (raw[:40], answer)
    assert _status(url) == 200


def test_a_person_finds_a_row_and_reads_it(
    served: tuple[subprocess.Popen[str], str],
    browser: "Browser",
    version: Version,
    browse_home: Path,
) -> None:
    _, url = served
    page = browser.new_page()
    said: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.add(request.url))

    # Filter: from the overview to a set, then by pass rate.
    page.goto(url)
    page.click("nav >> text=sft/train")
    whole = page.locator("tr.row").count()
    page.fill("input[name='min.pass_rate']", "0.6")
    page.click("button:text('Filter')")
    kept = [row for row in version.table("sft").to_pylist() if row["pass_rate"] >= 0.6]
    assert 0 < page.locator("tr.row").count() == len(kept) < whole
    assert page.url.endswith("/sets/sft/train?min.pass_rate=0.6")  # empty fields stay out

    # Search, from the keyboard, for a text that would like to run.
    page.keyboard.press("/")
    page.keyboard.type("<script>document.title")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?**")
    page.check("text=exact text")
    page.click("form.filters button")
    assert page.locator("mark").first.inner_text() == "<script>document.title"
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/row?**")

    _read_row(page, version, browse_home)
    assert page.title() != "it ran"
    assert page.locator("img").count() == 0

    # Everything came from this server, and nothing complained.
    assert all(address.startswith(url) for address in asked)
    assert said == []
    page.close()


def _read_row(page: "Page", version: Version, home: Path) -> None:
    """All answers with their verdicts, one kind of them at a time, and why the row is there."""
    (task,) = {value for value in _ids(page) if value in _tasks(version)}
    prompt = _tasks(version)[task]
    rollouts = Workspace(home, "sums").read("rollouts").to_pylist()
    expected = [row for row in rollouts if row["prompt_id"] == prompt]
    assert page.locator(".card").count() == len(expected) == 4
    assert page.locator(".card .badge.correct").count() == 2
    page.check("input[value=wrong]")
    assert page.locator(".card:visible").count() == 2
    assert page.locator(".card.correct:visible").count() == 0
    page.check("input[value=all]")
    assert page.locator(".card:visible").count() == 4
    stages = page.locator("#why tbody tr td:first-child").all_inner_texts()
    assert stages[0] == "prompts"
    assert any(stage.startswith("training_set/") for stage in stages)
    before = page.url
    page.keyboard.press("j")
    page.wait_for_url(lambda address: address != before and "/row?" in address)


def _ids(page: "Page") -> list[str]:
    codes: list[Any] = page.locator("code.id").evaluate_all("all => all.map(one => one.title)")
    return [str(code) for code in codes]


def _tasks(version: Version) -> dict[str, str]:
    rows = [row for name in version.rows for row in version.table(name).to_pylist()]
    return {row["task_id"]: row["prompt_id"] for row in rows}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_told(version: Version, browse_home: Path, number: signal.Signals) -> None:
    process, url = start(version, browse_home)
    assert _status(url) == 200
    process.send_signal(number)
    process.wait(30)
    assert process.stdout is not None
    if number == signal.SIGINT:
        assert process.returncode == 0
        assert "stopped" in process.stdout.read()
    with pytest.raises(urllib.error.URLError):
        _status(url)


def test_a_taken_port_is_said(version: Version, browse_home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: cannot be used .*choose another"):
            serve(version, browse_home, port)
