"""`winnow report` and `winnow diff --html`, as a user types them."""

import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.pipeline.publish.conftest import demo_sets, ledger_rows, make_manifest, rl_rows
from winnow.cli import main as cli
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.writer import publish

Types = Callable[..., tuple[int, str, str]]


@pytest.fixture
def types(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Types:
    """types(word, ...) gives the exit code and what was printed to either stream."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["winnow", *words])
        with pytest.raises(SystemExit) as done:
            cli.main()
        said = capsys.readouterr()
        return int(done.value.code or 0), said.out, said.err

    return call


def published(home: Path, sets: dict[str, dict[str, pa.Table]]) -> Version:
    return publish(
        home / "demo",
        sets,
        manifest=make_manifest(),
        ledger=ledger_rows(("row-1", "prompts", "dropped", "empty")),
    )


def test_a_report_goes_beside_the_versions(tmp_path: Path, types: Types) -> None:
    version = published(tmp_path, demo_sets())
    code, out, err = types("report", "demo", "--home", str(tmp_path))
    path = tmp_path / "reports" / f"demo-{version.id}.html"
    assert (code, out) == (0, f"{path}\n")
    assert f"report: reading {version.ref}" in err
    assert "<title>demo</title>" in path.read_text()

    there = tmp_path / "deep" / "there.html"
    code, out, _ = types("report", version.ref, "--home", str(tmp_path), "--output", str(there))
    assert (code, out) == (0, f"{there}\n")
    # A version's folder is left as it is: its files are what its name is made from.
    assert not list(version.path.rglob("*.html"))


def test_a_version_that_is_not_there(tmp_path: Path, types: Types) -> None:
    published(tmp_path, demo_sets())
    code, _, err = types("report", "other", "--home", str(tmp_path))
    assert code == 2
    assert "datasets in" in err and "demo" in err


def test_a_diff_as_a_page(tmp_path: Path, types: Types) -> None:
    a = published(tmp_path, {"rl": {"train": rl_rows(range(5))}})
    b = published(tmp_path, {"rl": {"train": rl_rows(range(2, 9))}})
    path = tmp_path / "diff.html"
    words = ("diff", a.ref, b.ref, "--home", str(tmp_path), "--limit", "1")
    code, out, _ = types(*words, "--html", str(path))
    assert (code, out) == (0, f"{path}\n")
    text = path.read_text()
    assert "4 rows came, the first 1" in text and "2 rows went, the first 1" in text
    new, gone = "its task is new in B", "its task is gone in B"
    said = types(*words)[1]
    assert f"  came: 4\n    4: {new}\n    rl-000005 {new}\n" in said
    assert f"  went: 2\n    2: {gone}\n    rl-000000 {gone}\n" in said
