"""TRL's own functions and trainers on views of a published version: a tiny model, one step, CPU."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import SMOLLM2, resolve_model
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.views import ViewRequest
from winnow.pipeline.schema import column

trl = pytest.importorskip("trl", reason="TRL is not installed (extra dev)")

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
STYLES = ("conversational", "standard")
TYPES = {
    "trl_language_modeling": "sft", "trl_prompt_completion": "sft", "trl_prompt_only": "rl",
    "trl_preference": "preference", "trl_unpaired_preference": "preference",
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    try:
        path = resolve_model(SMOLLM2).path
    except UsageError as error:
        pytest.skip(str(error))
    found = AutoTokenizer.from_pretrained(path)
    found.pad_token = found.pad_token or found.eos_token
    return found


@pytest.fixture
def published_views(
    tmp_path: Path, sets: Sets, published: Publish, tables: dict[str, pa.Table],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, str], Any]:  # fmt: skip
    """load(type, style): the view's train split."""
    import datasets

    datasets.disable_progress_bars()
    steps = tables["steps"].append_column(
        column("id", pa.string(), "Name."), pa.array(["step-0", "step-1"])
    )
    views = {
        f"{name}-{style}": ViewRequest(of, name, style)
        for name, of in TYPES.items()
        for style in STYLES
    }
    views["trl_stepwise_supervision-standard"] = ViewRequest("steps", "trl_stepwise_supervision")
    version = published(tmp_path / "demo", {**sets, "steps": {"train": steps}}, views=views)

    def load(name: str, style: str = "conversational") -> Any:
        return datasets.load_dataset(
            str(version.path), f"{name}-{style}", split="train", cache_dir=str(tmp_path / "cache")
        )

    return load


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", TYPES)
def test_trl_takes_each_for_what_it_is(
    published_views: Callable[[str, str], Any], tokenizer: Any, name: str, style: str
) -> None:
    from trl.data_utils import is_conversational, maybe_apply_chat_template

    row = published_views(name, style)[0]
    assert is_conversational(row) == (style == "conversational")
    text = maybe_apply_chat_template(row, tokenizer)
    if style == "conversational" and "prompt" in text:
        assert text["prompt"].endswith("<|im_start|>assistant\n")
    for key in ("text", "prompt", "completion", "chosen", "rejected"):
        if key in text:
            assert isinstance(text[key], str)
            assert text[key]


@pytest.mark.parametrize("style", STYLES)
def test_trl_unpairs_pairs_as_we_do(published_views: Callable[[str, str], Any], style: str) -> None:
    from trl import unpair_preference_dataset

    theirs = unpair_preference_dataset(published_views("trl_preference", style))
    ours = published_views("trl_unpaired_preference", style)
    columns = ("prompt", "completion", "label", "winnow_id")

    def rows(dataset: Any) -> list[str]:
        return sorted(str([row[name] for name in columns]) for row in dataset)

    assert rows(theirs) == rows(ours)


def tiny(tokenizer: Any, head: str = "CausalLM", **settings: Any) -> Any:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=512,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, **settings,
    )  # fmt: skip
    return getattr(transformers, f"AutoModelFor{head}").from_config(config)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def settings(kind: Any, folder: Path, **more: Any) -> Any:
    return kind(
        output_dir=str(folder / "model"), report_to="none", max_steps=1, use_cpu=True, bf16=False,
        per_device_train_batch_size=2, save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False, **more,
    )  # fmt: skip


def trained(trainer: Any) -> float:
    """The loss of one step."""
    import math

    with quiet():
        loss = trainer.train().training_loss
    assert math.isfinite(loss)
    return float(loss)


def _learnt(row: dict[str, Any]) -> list[int]:
    """Tokens of a prepared row that the loss is taken on; TRL's releases differ in how they say it."""
    if "labels" in row:
        return [token for token in row["labels"] if token != -100]
    pairs = zip(row["input_ids"], row["completion_mask"], strict=True)
    return [token for token, counts in pairs if counts]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["trl_language_modeling", "trl_prompt_completion"])
def test_sft_trainer(
    published_views: Callable[[str, str], Any],
    tokenizer: Any,
    tmp_path: Path,
    name: str,
    style: str,
) -> None:
    with quiet():
        trainer = trl.SFTTrainer(
            tiny(tokenizer),
            args=settings(trl.SFTConfig, tmp_path, max_length=128),
            train_dataset=published_views(name, style),
            processing_class=tokenizer,
        )
    row = trainer.train_dataset[0]
    assert "answer 0" in tokenizer.decode(row["input_ids"])
    if name == "trl_prompt_completion":
        learnt = _learnt(row)
        assert "Question" not in tokenizer.decode(learnt)
        assert "answer 0" in tokenizer.decode(learnt)
    assert trained(trainer) > 0


@pytest.mark.parametrize("style", STYLES)
def test_dpo_trainer(
    published_views: Callable[[str, str], Any], tokenizer: Any, tmp_path: Path, style: str
) -> None:
    with quiet():
        trainer = trl.DPOTrainer(
            tiny(tokenizer),
            ref_model=tiny(tokenizer),
            args=settings(trl.DPOConfig, tmp_path),
            train_dataset=published_views("trl_preference", style),
            processing_class=tokenizer,
        )
    assert trained(trainer) > 0


@pytest.mark.parametrize("style", STYLES)
def test_reward_trainer(
    published_views: Callable[[str, str], Any], tokenizer: Any, tmp_path: Path, style: str
) -> None:
    with quiet():
        trainer = trl.RewardTrainer(
            tiny(tokenizer, "SequenceClassification", num_labels=1),
            args=settings(trl.RewardConfig, tmp_path, max_length=128),
            train_dataset=published_views("trl_preference", style),
            processing_class=tokenizer,
        )
    assert trained(trainer) > 0


@pytest.mark.parametrize("style", STYLES)
def test_kto_trainer(
    published_views: Callable[[str, str], Any], tokenizer: Any, tmp_path: Path, style: str
) -> None:
    with quiet():
        trainer = trl.KTOTrainer(
            tiny(tokenizer),
            ref_model=tiny(tokenizer),
            args=settings(trl.KTOConfig, tmp_path),
            train_dataset=published_views("trl_unpaired_preference", style),
            processing_class=tokenizer,
        )
    assert trained(trainer) > 0


def test_prm_trainer(
    published_views: Callable[[str, str], Any], tokenizer: Any, tmp_path: Path
) -> None:
    prm = pytest.importorskip(
        "trl.experimental.prm", reason="this release of TRL has no trainer for stepwise supervision"
    )
    rows = published_views("trl_stepwise_supervision", "standard")
    with quiet():
        trainer = prm.PRMTrainer(
            tiny(tokenizer, "TokenClassification", num_labels=2),
            args=settings(prm.PRMConfig, tmp_path, max_length=128),
            train_dataset=rows,
            processing_class=tokenizer,
        )
    labels = [[label for label in row["labels"] if label != -100] for row in trainer.train_dataset]
    assert labels == [[1, 1], [0]]
    assert trained(trainer) > 0


def test_grpo_trainer_hands_references_to_the_reward(
    published_views: Callable[[str, str], Any], tokenizer: Any, tmp_path: Path
) -> None:
    import math

    seen: list[tuple[Any, ...]] = []

    def reward(
        prompts: Any, completions: Any, answer: Any, verifier: Any, verifier_args: Any, **more: Any
    ) -> list[float]:
        seen.extend(zip(prompts, answer, verifier, verifier_args, strict=True))
        return [float(at) for at in range(len(completions))]

    rows = published_views("trl_prompt_only", "conversational")
    with quiet():
        trainer = trl.GRPOTrainer(
            tiny(tokenizer),
            reward_funcs=reward,
            args=settings(trl.GRPOConfig, tmp_path, max_completion_length=4, num_generations=2),
            train_dataset=rows,
            processing_class=tokenizer,
        )
        assert math.isfinite(trainer.train().training_loss)
    known = [(r["prompt"], r["answer"], r["verifier"], r["verifier_args"]) for r in rows]
    assert seen
    assert all(each in known for each in seen)


def test_sft_trainer_reads_tools(
    tmp_path: Path, published: Publish, tokenizer: Any, made: dict[str, Callable[..., Any]]
) -> None:
    """A template of a few lines that shows tools and calls, as those of models that call tools do."""
    import datasets

    views = {"lm": ViewRequest("agent", "trl_language_modeling")}
    table = made["tool_set"](made["with_tools"](), made["with_tools"]())
    version = published(tmp_path / "demo", {"agent": {"train": table}}, views=views)
    rows = datasets.load_dataset(
        str(version.path), "lm", split="train", cache_dir=str(tmp_path / "c")
    )
    shown = tokenizer.__class__.from_pretrained(tokenizer.name_or_path)
    shown.pad_token = tokenizer.pad_token
    shown.chat_template = (
        "{% for t in tools %}[tool {{ t.function.name }}]{% endfor %}"
        "{% for m in messages %}[{{ m.role }}: {{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}call {{ c.function.name }} {{ c.function.arguments }}"
        "{% endfor %}]{% endfor %}"
    )
    with quiet():
        trainer = trl.SFTTrainer(
            tiny(shown), args=settings(trl.SFTConfig, tmp_path, max_length=256), train_dataset=rows,
            processing_class=shown,
        )  # fmt: skip
    text = shown.decode(trainer.train_dataset[0]["input_ids"])
    assert text.startswith("[tool weather][system: Use the tools.]")
    assert '[assistant: call weather {"town": "Ulm"}][tool: fog]' in text
    assert trained(trainer) > 0
