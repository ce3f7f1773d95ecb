"""What the documentation shows works: every page with commands is followed as a reader would.

A fenced block whose first line says a file's name behind its language is that file; a block of
language `sh` is run there, and `winnow browse` in it until its page has been read.
`<!-- needs: NAME as FILE -->` on a page asks for a file of real data, without which the page is
skipped; `<!-- uses: NAME as FILE -->` for one of this repository.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGES = sorted(ROOT.glob("docs/*.md"))
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"<!-- needs: (\S+) as (\S+) -->")
_USES = re.compile(r"<!-- uses: (\S+) as (\S+) -->")
_SPOKEN = re.compile(r"`(winnow [^`]+)`")


@dataclass(frozen=True)
class Block:
    language: str
    file: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    return [
        Block(found[1], found[2], found[3]) for found in _BLOCK.finditer(page.read_text("utf-8"))
    ]


def followed(page: Path) -> bool:
    return any(block.language == "sh" for block in blocks(page))


FOLLOWED = [page for page in (ROOT / "README.md", *PAGES) if followed(page)]


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_a_reader_who_follows_the_page_gets_there(page: Path, tmp_path: Path) -> None:
    for source, name in _NEEDS.findall(page.read_text("utf-8")):
        if not (DATA / source).is_file():
            pytest.skip(f"{page.name} needs {source} of the shared data, which is not here")
        shutil.copyfile(DATA / source, tmp_path / name)
    for source, name in _USES.findall(page.read_text("utf-8")):
        shutil.copyfile(ROOT / source, tmp_path / name)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
    }
    for block in blocks(page):
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
            if block.file == "pyproject.toml":
                _install(block.text, tmp_path)
        elif block.language == "sh":
            for served, lines in groupby(block.text.splitlines(), _is_served):
                run = _serve if served else _run
                run("\n".join(lines), tmp_path, env)


def _is_served(line: str) -> bool:
    return line.startswith("winnow browse ")


def _run(text: str, folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def _serve(line: str, folder: Path, env: dict[str, str]) -> None:
    """Start a server, read its first page, and stop it as a reader would."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=folder, env={**env, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        said = server.stdout.readline()
        found = re.search(r"http://\S+", said)
        assert found, f"{line}\n{said}"
        with urllib.request.urlopen(found[0], timeout=60) as page:
            assert page.status == 200
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert server.returncode == 0


def _install(project: str, folder: Path) -> None:
    """Give the modules in `folder` the entry points of a pyproject.toml, as installing them would."""
    facts = tomllib.loads(project)["project"]
    info = folder / f"{facts['name'].replace('-', '_')}-{facts['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {facts['name']}\nVersion: {facts['version']}\n"
    )
    lines = [
        line
        for group, points in facts["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {place}" for name, place in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    import typer

    from winnow.cli.main import app

    group = typer.main.get_command(app)
    known = {
        name: {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        for name, command in getattr(group, "commands", {}).items()
    }
    text = page.read_text("utf-8")
    lines = list(_SPOKEN.findall(text))
    lines += [line for block in blocks(page) for line in block.text.splitlines()
              if line.startswith("winnow ")]  # fmt: skip
    for line in lines:
        command, *rest = line.split()[1:]
        if command.isupper() or command.startswith(("-", "[")):
            continue
        assert command in known, line
        for word in rest:
            if word.startswith("--"):
                option = word.rstrip(".,;").partition("=")[0]
                assert option in known[command] | {"--help", "--debug"}, line


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_recipes_that_a_page_shows_are_recipes(page: Path) -> None:
    from winnow.pipeline import recipe

    for block in blocks(page):
        if block.language == "yaml" and block.text.startswith("dataset:"):
            recipe.parse(block.text, page.name)


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *PAGES]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_reference.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
