import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import DatasetSource
from winnow.pipeline.sources.hf_dataset import HFDataset


def source(path: Path | str, **more: Any) -> HFDataset:
    return HFDataset(DatasetSource(type="dataset", name="s", path=str(path), **more))


def prompts(opened: HFDataset, limit: int | None = None) -> list[Any]:
    return [row.values.get("prompt") for row in opened.rows(limit)]


def write(path: Path, *rows: Mapping[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as people upload it, with a column that starts with nulls in one file."""
    write(tmp_path / "set" / "train.jsonl", {"prompt": None}, {"prompt": "a"}, {"prompt": {"b": 1}})
    write(tmp_path / "set" / "test.jsonl", {"prompt": "t"})
    return tmp_path / "set"


def test_folder_splits(folder: Path) -> None:
    assert prompts(source(folder)) == [None, "a", {"b": 1}]
    assert prompts(source(folder, split="test")) == ["t"]
    with pytest.raises(UsageError, match="split: no split 'dev'; the source has: train, test"):
        prompts(source(folder, split="dev"))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train[:2]", [0, 1]),
        ("train[-3:]", [7, 8, 9]),
        ("train[10%:30%]", [1, 2]),
        ("test+train[8:]", [100, 8, 9]),
        ("train[3:3]", []),
    ],
)
def test_split_slices(split: str, expected: list[int], tmp_path: Path) -> None:
    write(tmp_path / "train-0.jsonl", *({"prompt": i} for i in range(6)))
    write(tmp_path / "train-1.jsonl", *({"prompt": i} for i in range(6, 10)))
    write(tmp_path / "test.jsonl", {"prompt": 100})
    opened = source(tmp_path, split=split)
    assert prompts(opened) == expected
    assert [row.index for row in opened.rows()] == list(range(len(expected)))
    assert prompts(opened, limit=1) == expected[:1]


def test_configurations_named_in_the_readme(tmp_path: Path) -> None:
    """The layout in which published versions stand."""
    write(tmp_path / "easy" / "train.jsonl", {"prompt": "e"})
    write(tmp_path / "hard" / "train.jsonl", {"prompt": "h"})
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: easy\n  data_files: easy/*.jsonl\n"
        "- config_name: hard\n  data_files: hard/*.jsonl\n---\n"
    )
    assert prompts(source(tmp_path, config="hard")) == ["h"]
    with pytest.raises(UsageError, match="config: .*easy.*hard"):
        prompts(source(tmp_path))
    with pytest.raises(UsageError, match="config: .*'none' not found"):
        prompts(source(tmp_path, config="none"))


def test_a_folder_of_two_formats_is_refused(folder: Path) -> None:
    (folder / "more.csv").write_text("prompt\nx\n")
    with pytest.raises(UsageError, match="mixes formats or layouts: 'more.csv'"):
        prompts(source(folder))


def test_globs_and_mixed_files(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", {"prompt": "b"})
    (tmp_path / "a.csv").write_text("prompt\na\n")
    pq.write_table(pa.table({"other": [1], "prompt": ["c"]}), tmp_path / "c.parquet")
    assert prompts(source(tmp_path / "*.*")) == ["a", "b", "c"]
    assert prompts(source(tmp_path / "[ab].*"), limit=1) == ["a"]


def test_formats_that_only_datasets_reads(tmp_path: Path) -> None:
    import datasets

    rows = {"prompt": [None, "a", "b"]}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}).save_to_disk(tmp_path / "d")
    assert prompts(source(tmp_path / "d")) == [None, "a", "b"]
    (tmp_path / "lines.txt").write_text("one\ntwo\nthree\n")
    for limit, expected in ((None, ["one", "two", "three"]), (2, ["one", "two"])):
        lines = source(tmp_path / "lines.txt", columns={"prompt": "text", "answer": None})
        assert [row.values["text"] for row in lines.rows(limit)] == expected
    with pytest.raises(UsageError, match="split: "):
        prompts(source(tmp_path / "lines.txt", split="test"))


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"prompt": "a"}, {"prompt": "b"})
    (tmp_path / "b.jsonl.gz").write_bytes(b"no gzip at all")
    opened = source(tmp_path / "*")
    assert prompts(opened, limit=2) == ["a", "b"]
    with pytest.raises(UsageError, match="cannot be read"):
        prompts(opened)


def test_fingerprint_follows_the_content(tmp_path: Path, folder: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "a"})
    before = source(path).fingerprint()
    assert source(path).fingerprint() == before
    assert source(path, columns={"prompt": "q"}).fingerprint() == before
    again = write(tmp_path / "copy" / "a.jsonl", {"prompt": "a"})
    assert source(again).fingerprint() == before
    assert source(write(path, {"prompt": "b"})).fingerprint() != before

    train, test = (source(folder, split=s).fingerprint() for s in ("train", "test"))
    write(folder / "test.jsonl", {"prompt": "changed"})
    assert source(folder).fingerprint() == train
    assert source(folder, split="test").fingerprint() != test

    lines = tmp_path / "lines.txt"
    lines.write_text("one")
    one = source(lines).fingerprint()
    lines.write_text("two")
    assert source(lines).fingerprint() != one
