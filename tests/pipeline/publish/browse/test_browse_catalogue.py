"""What a version may hand to the pages: its own files, and nothing that it merely points at."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.version import Version, open_version


@pytest.fixture
def copied(version: Version, tmp_path: Path) -> Path:
    """The version's folder, which a stranger may have changed."""
    folder = tmp_path / "sums" / version.id
    shutil.copytree(version.path, folder)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def _rewrite(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_is_found_beside_its_version_and_told_of(
    version: Version, browse_home: Path, tmp_path: Path
) -> None:
    found = catalogue(version, tmp_path)  # the version's own home comes first
    assert found.workspace is not None
    assert found.workspace.home == browse_home
    assert {"prompts", "rollouts", "verdicts", "difficulty"} <= set(found.stages)
    assert found.lacking == found.differing == ()
    assert [part.name for part in found.parts] == ["preference/train", "rl/train", "sft/train"]
    kinds = {column.name: column.kind for column in found.parts[2].columns}
    assert kinds["messages"] == "conversation"
    assert (kinds["source"], kinds["cluster"], kinds["pass_rate"]) == ("text", "integer", "number")


@pytest.mark.parametrize("name", ["../../secret", "..", "a/b", "", "sft\0", "."])
def test_no_name_in_a_manifest_leads_out(copied: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").mkdir()
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "secret" / "train.parquet")
    _rewrite(copied / "manifest.json", sets={name: {"splits": {"train": {"rows": 1}}}})
    with pytest.raises(WinnowError, match="names a set that cannot be one"):
        catalogue(open_version(copied), tmp_path)


def test_no_link_leads_out(copied: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "secret.parquet")
    (copied / "sft" / "train.parquet").unlink()
    (copied / "sft" / "train.parquet").symlink_to(tmp_path / "secret.parquet")
    with pytest.raises(WinnowError, match="leads out of the version's folder"):
        catalogue(open_version(copied), tmp_path)


@pytest.mark.parametrize("name", ["../../home/.stages/sums", "..", "/etc", "sums\0", 7, None])
def test_no_recipe_name_leads_to_other_tables(
    copied: Path, browse_home: Path, name: object
) -> None:
    _rewrite(copied / "run.json", recipe_name=name)
    found = catalogue(open_version(copied), browse_home)
    assert found.workspace is None
    assert found.stages == {}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({"id": ["x"], "A": [1], "a": [2]}), "more than one column is called 'a'"),
        (pa.table({"x": ["x"]}), "has no column id"),
    ],
)
def test_tables_that_are_no_sets_are_refused(
    copied: Path, tmp_path: Path, table: pa.Table, said: str
) -> None:
    pq.write_table(table, copied / "sft" / "train.parquet")
    with pytest.raises(WinnowError, match=said):
        catalogue(open_version(copied), tmp_path)


def test_missing_and_damaged_files_are_named(copied: Path, tmp_path: Path) -> None:
    (copied / "sft" / "train.parquet").write_bytes(b"no parquet")
    with pytest.raises(WinnowError, match=r"sft/train.parquet: cannot be read as Parquet"):
        catalogue(open_version(copied), tmp_path)
    (copied / "sft" / "train.parquet").unlink()
    with pytest.raises(WinnowError, match=r"sft/train.parquet: is missing"):
        catalogue(open_version(copied), tmp_path)


@pytest.mark.parametrize("name", ["../../secret", "..", "a/b", ""])
def test_no_view_in_a_manifest_leads_out(copied: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").mkdir()
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "secret" / "train.parquet")
    _rewrite(copied / "manifest.json", views={name: {"splits": {"train": {"rows": 1}}}})
    with pytest.raises(WinnowError, match="names a view that cannot be one"):
        catalogue(open_version(copied), tmp_path)


@pytest.mark.parametrize("file", ["lm/train.parquet", "openai/train.provenance.parquet"])
def test_no_link_in_a_view_leads_out(copied: Path, tmp_path: Path, file: str) -> None:
    shutil.move(copied / file, tmp_path / "secret.parquet")
    (copied / file).symlink_to(tmp_path / "secret.parquet")
    with pytest.raises(WinnowError, match=rf"{file}: leads out of the version's folder"):
        catalogue(open_version(copied), tmp_path)


@pytest.mark.parametrize(
    ("file", "table", "said"),
    [
        ("openai/train.provenance.parquet", pa.table({"winnow_id": ["x"]}), "has 1 rows, train"),
        ("lm/train.parquet", pa.table({"Winnow:Row": [1]}), "a column is called Winnow:Row"),
        ("lm/train.parquet", pa.table({"file_row_number": [1]}), "as pages call its number"),
        ("lm/train.parquet", pa.table({"a": [1], "A": [1]}), "more than one column is called 'a'"),
        ("openai/train.parquet", pa.table({"Policy": ["x"]}), "has 1"),
    ],
)
def test_views_that_cannot_be_shown_are_refused(
    copied: Path, tmp_path: Path, file: str, table: pa.Table, said: str
) -> None:
    pq.write_table(table, copied / file)
    with pytest.raises(WinnowError, match=said):
        catalogue(open_version(copied), tmp_path)


def test_tables_of_another_state_and_missing_ones_are_said(
    version: Version, browse_home: Path, copied: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(browse_home / ".stages", home / ".stages")
    stages = home / ".stages" / "sums"
    (stages / "verdicts.parquet").unlink()
    pq.write_table(pa.table({"task_id": ["x"]}), stages / "difficulty.parquet")
    manifest = json.loads((copied / "manifest.json").read_text())
    _rewrite(copied / "manifest.json", inputs={**manifest["inputs"], "rollouts": "another"})
    found = catalogue(open_version(copied), home)
    assert found.differing == ("rollouts",)
    assert [text.split(":")[0] for text in found.lacking] == [
        "verdicts of answers",
        "how often a prompt was solved",
    ]
