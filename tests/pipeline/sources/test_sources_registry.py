import json
import sys
from pathlib import Path

import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import Columns, DatasetSource, PluginSource, ReasoningGymSource
from winnow.pipeline.sources import check, fingerprint, open_source

MODULE = """
from winnow.pipeline.contracts import SourceRow

class Letters:
    def __init__(self, text, repeat=1):
        self.text = text * repeat

    def rows(self, limit=None):
        for index, letter in enumerate(self.text[:limit]):
            yield SourceRow(index, {"prompt": letter, "answer": letter.upper()})
"""


@pytest.fixture
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another package's wheel leaves behind."""
    (tmp_path / "letters_source.py").write_text(MODULE)
    info = tmp_path / "letters_source-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: letters-source\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[winnow.sources]\nletters = letters_source:Letters\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "letters_source", raising=False)


def plugin(**more: object) -> PluginSource:
    return PluginSource.model_validate(
        {"type": "plugin", "name": "p", "plugin": "letters", "args": {"text": "abc"}, **more}
    )


@pytest.mark.usefixtures("_plugin")
def test_a_source_of_another_package() -> None:
    rows = list(open_source(plugin()).rows(2))
    assert [row.values for row in rows] == [
        {"prompt": "a", "answer": "A"},
        {"prompt": "b", "answer": "B"},
    ]
    assert fingerprint(plugin()) == fingerprint(plugin(args={"text": "abc", "repeat": 1}))
    assert fingerprint(plugin()) != fingerprint(plugin(args={"text": "abd"}))
    check(plugin())


@pytest.mark.usefixtures("_plugin")
def test_what_is_wrong_with_a_plugin() -> None:
    with pytest.raises(UsageError, match="source 'p': plugin: no entry point 'x' .*known: letters"):
        open_source(plugin(plugin="x"))
    with pytest.raises(UsageError, match="source 'p': args: missing a required argument: 'text'"):
        open_source(plugin(args={}))
    with pytest.raises(UsageError, match="args: got an unexpected keyword argument 'txt'"):
        check(plugin(args={"text": "a", "txt": 1}))


def test_check_reads_no_row(tmp_path: Path) -> None:
    broken = tmp_path / "a.parquet"
    broken.write_bytes(b"")
    check(DatasetSource(type="dataset", name="s", path=str(broken)))
    check(ReasoningGymSource(type="reasoning_gym", family="leg_counting", size=10**9))
    with pytest.raises(UsageError, match="no such file"):
        check(DatasetSource(type="dataset", name="s", path=str(tmp_path / "b.parquet")))
    with pytest.raises(UsageError, match="did you mean 'leg_counting'"):
        check(ReasoningGymSource(type="reasoning_gym", family="legcounting", size=1))


def test_fingerprint_follows_the_files_of_images(tmp_path: Path) -> None:
    """Also where the column holds their names as JSON text."""
    rows, image = tmp_path / "rows.jsonl", tmp_path / "a.png"
    row = {"prompt": "?", "plain": "a.png", "listed": json.dumps(["a.png"])}
    rows.write_text(json.dumps(row) + "\n" + json.dumps({**row, "listed": "{"}) + "\n")
    sources = [
        DatasetSource(
            type="dataset", name="s", path=str(rows), columns=Columns.model_validate(columns)
        )
        for columns in ({"images": "plain"}, {"images": "listed", "json_columns": ["listed"]})
    ]
    image.write_bytes(b"1")
    before = [fingerprint(each) for each in sources]
    assert [fingerprint(each) for each in sources] == before
    image.write_bytes(b"12")
    assert all(a != b for a, b in zip(before, map(fingerprint, sources), strict=True))


def test_fingerprint_of_a_family_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from winnow.pipeline.sources import reasoning_gym_family

    def never(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(reasoning_gym_family, "WORKER", None)
    monkeypatch.setattr(reasoning_gym_family, "_start", never)
    assert fingerprint(ReasoningGymSource(type="reasoning_gym", family="leg_counting", size=4))
