"""Published sets through `datasets.load_dataset`, with the network refused."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline.publish.version import Version

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Rows = Mapping[str, Callable[..., pa.Table]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    import datasets

    def refuse(self: Any, address: Any) -> None:
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.socket.connect_ex", refuse)
    datasets.disable_progress_bars()

    def call(path: Path, name: str | None = None, **given: Any) -> Any:
        return datasets.load_dataset(str(path), name, cache_dir=str(tmp_path / "cache"), **given)

    return call


def test_every_set_and_split(
    tmp_path: Path, sets: Sets, published: Publish, load: Callable[..., Any]
) -> None:
    version = published(tmp_path / "demo", sets)
    for name, splits in sets.items():
        for split, table in splits.items():
            if table.num_rows == 0:
                continue
            rows = load(version.path, name, split=split)
            assert rows.column_names == table.column_names
            assert rows.to_list() == table.to_pylist()
            assert list(load(version.path, name, split=split, streaming=True)) == rows.to_list()
    both = load(version.path, "sft")
    assert {split: part.num_rows for split, part in both.items()} == {"train": 50, "holdout": 10}
    message = both["train"][3]["messages"][1]
    assert message == {"role": "assistant", "content": "answer 3"}


def test_the_sets_are_the_only_configs(
    tmp_path: Path, sets: Sets, published: Publish, load: Callable[..., Any]
) -> None:
    import datasets

    version = published(tmp_path / "demo", sets)
    assert datasets.get_dataset_config_names(str(version.path)) == ["sft", "rl", "preference"]
    with pytest.raises(ValueError, match="Config name is missing"):
        load(version.path)


def test_a_copy_under_an_old_name_is_not_served_from_the_cache(
    tmp_path: Path, rows: Rows, published: Publish, load: Callable[..., Any]
) -> None:
    for answer in ("one", "two"):
        version = published(tmp_path / "demo", {"sft": {"train": rows["sft"](range(3), answer)}})
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(version.path, tmp_path / "copy")
        loaded = load(tmp_path / "copy", "sft", split="train")
        assert loaded[0]["messages"][1]["content"] == f"{answer} 0"


def test_an_empty_split_is_left_out_and_an_empty_set_says_so(
    tmp_path: Path, rows: Rows, published: Publish, load: Callable[..., Any]
) -> None:
    none = range(0)
    version = published(
        tmp_path / "demo",
        {
            "sft": {"train": rows["sft"](range(4)), "holdout": rows["sft"](none)},
            "rl": {"train": rows["rl"](none), "holdout": rows["rl"](none)},
            "preference": {
                "train": rows["preference"](none),
                "holdout": rows["preference"](range(2)),
            },
        },
    )
    assert {split: part.num_rows for split, part in load(version.path, "sft").items()} == {
        "train": 4
    }
    assert load(version.path, "preference", split="holdout").num_rows == 2
    assert list(load(version.path, "rl", split="train", streaming=True)) == []
    with pytest.raises(ValueError, match="corresponds to no data"):
        load(version.path, "rl", split="train")
    # The files of empty splits are there all the same, with their columns.
    assert version.table("rl").schema.equals(rows["rl"](none).schema)
    assert version.rows["rl"] == {"train": 0, "holdout": 0}


def test_names_that_yaml_could_take_for_something_else(
    tmp_path: Path, rows: Rows, published: Publish, load: Callable[..., Any]
) -> None:
    names = ["no", "1.0", "123", "null", "2024-01-01", "a.b-c_d", "0x10", "default"]
    table = rows["rl"](range(2))
    version = published(tmp_path / "demo", {name: {"train": table} for name in names})
    for name in names:
        assert load(version.path, name, split="train").num_rows == 2


def test_a_version_without_any_rows_never_serves_the_ledger(
    tmp_path: Path, rows: Rows, published: Publish, load: Callable[..., Any]
) -> None:
    version = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(0))}})
    with pytest.raises(ValueError, match="corresponds to no data"):
        load(version.path, split="train")
