"""verl's own data set class on a published view."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import SMOLLM2, resolve_model
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.views import ViewRequest

omegaconf = pytest.importorskip(
    "omegaconf", reason="verl is not installed (verl, ray, tensordict, omegaconf, msgpack, pyvers)"
)
rl_dataset = pytest.importorskip(
    "verl.utils.dataset.rl_dataset",
    reason="verl is not installed (verl, ray, tensordict, omegaconf, msgpack, pyvers)",
)

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Made = dict[str, Callable[..., Any]]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """opened(version): RLHFDataset of the view `verl`."""
    from transformers import AutoTokenizer

    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve_model(SMOLLM2).path)
    except UsageError as error:
        pytest.skip(str(error))

    def call(version: Version, **settings: Any) -> Any:
        config = omegaconf.OmegaConf.create({"cache_dir": str(tmp_path / "verl"), **settings})
        path = str(version.table_path("verl", "train"))
        return rl_dataset.RLHFDataset(path, tokenizer, config)

    return call


def test_every_row_and_what_a_reward_function_is_given(
    tmp_path: Path, sets: Sets, published: Publish, opened: Callable[..., Any]
) -> None:
    version = published(tmp_path / "demo", sets, views={"verl": ViewRequest("rl", "verl")})
    rows = opened(version, max_prompt_length=64, filter_overlong_prompts_workers=1)
    assert len(rows) == sets["rl"]["train"].num_rows
    batch = rl_dataset.collate_fn([rows[at] for at in range(3)])
    assert batch["index"].tolist() == [0, 1, 2]
    assert [each[0]["content"] for each in batch["raw_prompt"]] == [
        f"Question {n}" for n in range(3)
    ]
    assert batch["reward_model"][0] == {"style": "rule", "ground_truth": "0"}
    assert batch["reward_model"][1]["ground_truth"] is None
    assert batch["data_source"].tolist() == ["leg_counting"] * 3
    info = batch["extra_info"][2]
    assert (info["winnow_id"], info["verifier"], info["verifier_args"], info["policy"]) == (
        "rl-000002", "reasoning_gym", "{}", "model@1"
    )  # fmt: skip


def test_prompts_that_are_too_long_are_left_out_by_verl_itself(
    tmp_path: Path, sets: Sets, published: Publish, opened: Callable[..., Any]
) -> None:
    version = published(tmp_path / "demo", sets, views={"verl": ViewRequest("rl", "verl")})
    assert len(opened(version, max_prompt_length=2, filter_overlong_prompts_workers=1)) == 0


def test_images_stand_in_the_prompt(
    tmp_path: Path,
    published: Publish,
    opened: Callable[..., Any],
    tables: dict[str, pa.Table],
    made: Made,
) -> None:
    images = made["image_set"]()["images"].take(pa.array([1, 0]))
    prompts = [made["said"]("<image> or <image>?"), made["said"]("What is <image>?")]
    table = tables["rl"]
    field = table.schema.field("prompt")
    table = table.set_column(
        table.column_names.index("prompt"), field, pa.array(prompts, field.type)
    )
    table = table.append_column("images", images)
    version = published(
        tmp_path / "demo", {"rl": {"train": table}}, views={"verl": ViewRequest("rl", "verl")}
    )
    rows = opened(version, filter_overlong_prompts=False)
    rows.processor = rows.tokenizer  # only asked whether there is one
    content = rows[0]["raw_prompt"][0]["content"]
    assert [part["type"] for part in content] == ["image", "text", "image", "text"]
    assert content[2]["image"].size == (2, 2)
