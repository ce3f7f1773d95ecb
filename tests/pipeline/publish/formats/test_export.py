"""`winnow export`: a consumer's own files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.export import export
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.formats.base import without_nulls
from winnow.pipeline.publish.version import Version

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Made = dict[str, Callable[..., Any]]

EXPORTS = {
    "trl_language_modeling": "jsonl", "trl_prompt_completion": "jsonl", "trl_prompt_only": "jsonl",
    "trl_preference": "jsonl", "trl_unpaired_preference": "jsonl", "verl": "parquet",
    "open_instruct": "jsonl", "openai_chat": "jsonl", "sharegpt": "json", "alpaca": "json",
    "adp": "jsonl",
}  # fmt: skip


@pytest.fixture
def version(tmp_path: Path, sets: Sets, published: Publish) -> Version:
    return published(tmp_path / "demo", sets)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("format", EXPORTS)
def test_the_folder_opens_with_datasets_too(
    tmp_path: Path, version: Version, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    chosen = "sft" if format in ("sharegpt", "alpaca") else None
    done = export(version, format, tmp_path / "out", set_name=chosen)
    assert (done.path / f"train.{EXPORTS[format]}").is_file()
    found = datasets.load_dataset(str(done.path))
    assert {split: rows.num_rows for split, rows in found.items()} == done.rows
    streamed = datasets.load_dataset(str(done.path), split="train", streaming=True)
    assert sum(1 for _ in streamed) == done.rows["train"]


def test_openai_lines_and_what_stands_beside(tmp_path: Path, version: Version) -> None:
    done = export(version, "openai_chat", tmp_path / "out")
    assert (done.set, done.rows) == ("sft", {"train": 50, "holdout": 10})
    rows = lines(done.path / "train.jsonl")
    assert rows[3] == {"messages": version.table("sft").to_pylist()[3]["messages"]}
    beside = lines(done.path / "train.provenance.jsonl")
    assert [row["winnow_id"] for row in beside] == version.table("sft")["id"].to_pylist()
    bare = export(version, "openai_chat", tmp_path / "bare", provenance=False)
    assert sorted(path.name for path in bare.path.iterdir()) == [
        "README.md", "export.json", "holdout.jsonl", "train.jsonl"
    ]  # fmt: skip
    assert lines(bare.path / "train.jsonl") == rows


def test_llama_factory_finds_its_data(tmp_path: Path, version: Version) -> None:
    done = export(version, "alpaca", tmp_path / "out", set_name="sft")
    info = json.loads((done.path / "dataset_info.json").read_text())
    assert info == {
        name: {
            "file_name": file,
            "formatting": "alpaca",
            "columns": {"prompt": "instruction", "query": "input", "system": "system",
                        "history": "history", "response": "output"},
        }
        for name, file in (("demo_sft", "train.json"), ("demo_sft_holdout", "holdout.json"))
    }  # fmt: skip
    rows = json.loads((done.path / "train.json").read_text())
    assert rows[0]["output"] == "answer 0"
    assert set(info["demo_sft"]["columns"].values()) <= set(rows[0])

    done = export(version, "sharegpt", tmp_path / "pairs", set_name="preference")
    info = json.loads((done.path / "dataset_info.json").read_text())["demo_preference"]
    assert info["ranking"] is True
    assert info["columns"] == {"messages": "conversations", "system": "system", "chosen": "chosen",
                               "rejected": "rejected"}  # fmt: skip


def test_verls_parquet(tmp_path: Path, version: Version) -> None:
    done = export(version, "verl", tmp_path / "out")
    table = pq.read_table(done.path / "train.parquet")
    assert table.column_names == ["data_source", "prompt", "ability", "reward_model", "extra_info"]
    assert [row["index"] for row in table["extra_info"].to_pylist()] == list(range(20))
    assert done.rows == {"train": 20}  # no file for a holdout without rows


def test_adp_lines_keep_the_protocol(tmp_path: Path, published: Publish, made: Made) -> None:
    table = made["tool_set"](made["with_tools"](), made["with_tools"]())
    version = published(tmp_path / "demo", {"agent": {"train": table}})
    done = export(version, "adp", tmp_path / "out")
    first, second = adp.read_trajectories(done.path / "train.jsonl")
    assert (first.id, second.id) == ("tools-0", "tools-1")
    assert first.details["policy"] == "model@1"
    assert "loss_mask" not in first.details  # all actions
    back = adp.message_rows(done.path / "train.jsonl")
    assert [without_nulls(m) for m in back["messages"].to_pylist()[0]] == [
        without_nulls(m) for m in made["with_tools"]()
    ]


def test_images_become_files(tmp_path: Path, published: Publish, made: Made) -> None:
    version = published(tmp_path / "demo", {"sft": {"train": made["image_set"]()}})
    done = export(version, "sharegpt", tmp_path / "out")
    rows = json.loads((done.path / "train.json").read_text())
    assert [len(row["images"]) for row in rows] == [1, 2]
    assert rows[0]["images"][0] == rows[1]["images"][1]
    assert len(list((done.path / "images").iterdir())) == 2
    assert (done.path / rows[0]["images"][0]).read_bytes() == made["png"]((255, 0, 0))
    info = json.loads((done.path / "dataset_info.json").read_text())
    assert info["demo_sft"]["columns"]["images"] == "images"


def test_the_same_bytes_again(tmp_path: Path, version: Version) -> None:
    for format in ("adp", "verl", "sharegpt"):
        both = [export(version, format, tmp_path / f"{format}{n}", set_name=s).path
                for n, s in enumerate([{"verl": "rl"}.get(format, "sft")] * 2)]  # fmt: skip
        files = [{p.name: p.read_bytes() for p in path.iterdir()} for path in both]
        assert files[0] == files[1]


@pytest.mark.parametrize(
    ("format", "given", "match"),
    [
        ("tlr", {}, "no format is called 'tlr'"),
        ("verl", {"set_name": "hard"}, "has no set 'hard'; its sets: preference, rl, sft"),
        ("verl", {"set_name": "sft"}, "set sft: verl: lacks .*; --set rl would fit; formats for sft: "),
        ("adp", {"style": "standard"}, "adp has no styles; leave --style out"),
        ("trl_stepwise_supervision", {}, r"no set has prompt \(text\), completions"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(
    tmp_path: Path, version: Version, format: str, given: dict[str, Any], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        export(version, format, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_of_several_that_fit_the_option_says_which(
    tmp_path: Path, published: Publish, made: Made
) -> None:
    table = made["sft"](made["said"]("Q", "A"))
    two = published(tmp_path / "two", {"sft": {"train": table}, "other": {"train": table}})
    with pytest.raises(UsageError, match="alpaca: reads other and sft; say which as `--set`"):
        export(two, "alpaca", tmp_path / "out")


def test_nothing_is_overwritten_by_accident(tmp_path: Path, version: Version) -> None:
    out = tmp_path / "out"
    export(version, "adp", out)
    with pytest.raises(UsageError, match="holds an export already; --overwrite replaces it"):
        export(version, "openai_chat", out)
    export(version, "openai_chat", out, overwrite=True)
    assert not list(out.glob("*.provenance.parquet"))
    assert json.loads((out / "export.json").read_text())["format"] == "openai_chat"
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds notes.txt, which no export wrote"):
        export(version, "adp", out, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"

    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists, and is no export"):
        export(version, "adp", home, overwrite=True)
    with pytest.raises(UsageError, match="there is no folder"):
        export(version, "adp", tmp_path / "a" / "b")
    (tmp_path / "empty").mkdir()
    export(version, "adp", tmp_path / "empty")


def test_a_failed_export_leaves_nothing(tmp_path: Path, published: Publish, made: Made) -> None:
    table = made["sft"](made["said"]("Q", "A"), made["said"]("Q"))
    version = published(tmp_path / "demo", {"sft": {"train": table}})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match="train, row sft-1"):
        export(version, "alpaca", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before
