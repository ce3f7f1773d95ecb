"""A finished run without a model, some of whose texts would like to be markup, and its pages."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from winnow.cli import main as cli
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.version import Version, resolve

TASKS = 12
HOSTILE = {
    20: "<script>document.title = 'it ran'</script><img src=x onerror=\"document.title = 'it ran'\">",
    21: "{{1234*4321}} {% for x in y %} ${1234*4321} #{1234*4321} [click](javascript:alert(1)) javascript:alert(1)",
    22: "\x1b[31mred\x1b[0m \x07 \u202egnirts\u202c \x00nul",
    23: "'; DROP TABLE documents; -- \" ` \\ %27 &lt;b&gt;",
}
RECIPE = """
dataset: sums
description: "Sums <script>document.title = 'it ran'</script>"
sources:
  - {{type: dataset, name: sums, path: "{source}", verifier: math, licence: mit}}
engine: {{type: replay, policy: teacher}}
sampling: {{n: 4, max_tokens: 50}}
clusters: {{k: 3}}
sets:
  sft: {{uds: false, pass_rate: [0.1, 0.9]}}
  rl: {{pass_rate: [0.2, 0.8]}}
  preference: {{}}
formats:
  lm: {{type: trl_language_modeling, set: sft}}
  plain: {{type: trl_preference, style: standard, provenance: false}}
  verl: {{}}
  openai: {{type: openai_chat, set: sft}}
  turns: {{type: sharegpt, set: preference}}
  adp: {{set: sft}}
"""


def question(i: int) -> str:
    return f"What is {i} + {i}? {HOSTILE.get(i, '')}".replace("\x00", "")


def _answers() -> list[dict[str, object]]:
    """Four answers per sum; the first i % 5 are right, of the hostile sums the first two."""
    rows = []
    for i in [*range(TASKS), *HOSTILE]:
        right = 2 if i in HOSTILE else i % 5
        for k in range(4):
            total = 2 * i if k < right else 2 * i + k + 1
            row: dict[str, object] = {
                "prompt": question(i),
                "completion": f"{HOSTILE.get(i, '')} After some thought, the answer is {total}.",
            }
            if i == 6 and k == 3:
                row["finish_reason"] = "length"
            rows.append(row)
    return rows


def types(*words: str) -> None:
    """Run a command that must succeed."""
    before, sys.argv = sys.argv, ["winnow", *words]
    try:
        with pytest.raises(SystemExit) as done:
            cli.main()
    finally:
        sys.argv = before
    assert not done.value.code, words


class Reader(HTMLParser):
    """What a browser would take for tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


def start(version: Version, home: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """`winnow browse` in a process of its own, and its address."""
    command = [sys.executable, "-m", "winnow.cli.main", "browse", version.ref, "--home", str(home)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(f"{version.ref}: http://127.0.0.1:"), line
    return process, line.split()[1]


@pytest.fixture(scope="session")
def browse_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `sums` has run."""
    folder = tmp_path_factory.mktemp("browse")
    source = folder / "sums.jsonl"
    rows = [{"prompt": question(i), "answer": str(2 * i)} for i in [*range(TASKS), *HOSTILE]]
    source.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"prompt": "no answer"}\n')
    recipe = folder / "sums.yaml"
    recipe.write_text(RECIPE.format(source=source))
    answers = folder / "answers.jsonl"
    answers.write_text("\n".join(json.dumps(row) for row in _answers()))
    home = folder / "home"
    types("import-rollouts", str(answers), "--policy", "teacher", "--home", str(home))
    types("run", str(recipe), "--home", str(home))
    return home


@pytest.fixture(scope="session")
def version(browse_home: Path) -> Version:
    return resolve("sums", browse_home)


@pytest.fixture(scope="session")
def browsed(version: Version, browse_home: Path) -> Iterator[Browser]:
    """The pages, with the index of words built."""
    browser = Browser(catalogue(version, browse_home))
    browser.start()
    assert browser.words.ready.wait(60)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def client(browsed: Browser) -> Iterator[TestClient]:
    """Asks for pages as a browser on this machine would; a bug on the server's side rises here."""
    with TestClient(browsed.app(), base_url="http://127.0.0.1:8000") as asking:
        yield asking


Get = Callable[..., str]


@pytest.fixture(scope="session")
def get(client: TestClient) -> Get:
    """get(path, **parameters): the HTML of a page that is there."""

    def page(path: str, **parameters: Any) -> str:
        answer = client.get(path, params=parameters)
        assert answer.status_code == 200, (answer.status_code, path, parameters)
        return answer.text

    return page


def links(html: str) -> list[str]:
    """Addresses that a page's links lead to."""
    from html import unescape

    return [unescape(found) for found in re.findall(r'<a [^>]*?href="([^"]*)"', html)]


@pytest.fixture(scope="session")
def links_of() -> Callable[[str], list[str]]:
    return links
