"""LLaMA-Factory's own loader on exports: dataset_info.json, columns, turns, tools, pictures."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline.publish.export import export
from winnow.pipeline.publish.version import Version

loader = pytest.importorskip(
    "llamafactory.data.loader",
    reason="LLaMA-Factory is not installed (llamafactory, peft, torchaudio)",
    exc_type=ImportError,
)

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Made = dict[str, Callable[..., Any]]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """opened(folder, name): rows as LLaMA-Factory aligns them."""
    from llamafactory.data.parser import get_dataset_list

    def call(folder: Path, name: str) -> list[dict[str, Any]]:
        [found] = get_dataset_list([name], str(folder))
        data = SimpleNamespace(
            dataset_dir=str(folder), media_dir=str(folder), streaming=False, max_samples=None,
            preprocessing_num_workers=None, overwrite_cache=False,
        )  # fmt: skip
        model = SimpleNamespace(cache_dir=str(tmp_path / "cache"), hf_hub_token=None)
        training = SimpleNamespace(local_process_index=0, dataloader_num_workers=0)
        return list(loader._load_single_dataset(found, model, data, training))

    return call


@pytest.mark.parametrize("format", ["alpaca", "sharegpt"])
def test_answers_and_pairs(
    tmp_path: Path, sets: Sets, published: Publish, opened: Callable[..., Any], format: str
) -> None:
    version = published(tmp_path / "demo", sets)
    folder = export(version, format, tmp_path / "sft", set_name="sft").path
    rows = opened(folder, "demo_sft")
    assert len(rows) == 50
    assert rows[3]["_prompt"] == [{"role": "user", "content": "Question 3 € \n'x'"}]
    assert rows[3]["_response"] == [{"role": "assistant", "content": "answer 3"}]
    assert not rows[3]["_system"]
    assert len(opened(folder, "demo_sft_holdout")) == 10

    folder = export(version, format, tmp_path / "pairs", set_name="preference").path
    row = opened(folder, "demo_preference")[0]
    assert [m["content"] for m in row["_response"]] == ["right 0", "wrong 0"]
    assert [m["content"] for m in row["_prompt"]] == ["Question 0"]


def test_rounds_and_system_prompts(
    tmp_path: Path, published: Publish, opened: Callable[..., Any], tables: dict[str, pa.Table]
) -> None:
    version = published(tmp_path / "demo", {"sft": {"train": tables["sft"]}})
    for format in ("alpaca", "sharegpt"):
        row = opened(export(version, format, tmp_path / format).path, "demo_sft")[1]
        assert [m["content"] for m in row["_prompt"]] == ["Hi", "Hello", "3 + 3?"]
        assert row["_response"][0]["content"] == "6"
        assert row["_system"] == "Be brief."


def test_tools(
    tmp_path: Path, published: Publish, opened: Callable[..., Any], tables: dict[str, pa.Table]
) -> None:
    from llamafactory.data.formatter import FunctionFormatter, ToolFormatter

    version = published(tmp_path / "demo", {"agent": {"train": tables["tools"]}})
    [row] = opened(export(version, "sharegpt", tmp_path / "out").path, "demo_agent")
    assert [m["role"] for m in row["_prompt"]] == [
        "user", "function", "observation", "assistant", "user", "function", "observation"
    ]  # fmt: skip
    [shown] = ToolFormatter(tool_format="qwen").apply(content=row["_tools"])
    assert '"name": "weather"' in shown
    formatter = FunctionFormatter(slots=["{{content}}"], tool_format="qwen")
    calls = formatter.apply(
        content=row["_prompt"][1]["content"], thought_words=("<think>", "</think>")
    )[0]
    assert calls.startswith("<think>\nAsk for both.\n</think>")
    assert calls.count("<tool_call>\n{") == 2


def test_pictures(
    tmp_path: Path, published: Publish, opened: Callable[..., Any], made: Made
) -> None:
    version = published(tmp_path / "demo", {"sft": {"train": made["image_set"]()}})
    rows = opened(export(version, "sharegpt", tmp_path / "out").path, "demo_sft")
    assert [len(row["_images"]) for row in rows] == [1, 2]
    assert Path(rows[0]["_images"][0]).read_bytes() == made["png"]((255, 0, 0))
