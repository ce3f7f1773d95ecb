"""A causal language model in memory, and what its head is like.

Where the head is linear (logits = W h + b), signals come from the hidden states h and from products
of W, and logits are formed for a few positions at a time or not at all. Where it is not (soft
capping, a scale), the model's own logits are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.models import ModelFolder, quiet_transformers

Head = Literal["hidden", "logits"]  # what is read: hidden states under a linear head, or logits

_PROBE = 16  # tokens that tell a linear head from another
_PROBE_TOLERANCE = 1e-4  # float32 products in another order differ by about 1e-6


def configuration(folder: ModelFolder) -> Any:
    """The configuration of the text model; reads no weights."""
    from transformers import AutoConfig

    config: Any = AutoConfig.from_pretrained(folder.path, local_files_only=True)
    return config.get_text_config()


@dataclass(frozen=True, eq=False)
class CausalModel:
    """A model on its device, with V (`vocab`), and which of its outputs is to be read."""

    model: Any
    vocab: int
    head: Head

    @property
    def weight(self) -> Any:
        """W (V, h) of a linear head."""
        return self.model.get_output_embeddings().weight

    @property
    def bias(self) -> Any:
        """b (V,) of a linear head, or None."""
        return self.model.get_output_embeddings().bias

    def forward(self, batch: Sequence[Sequence[int]]) -> Any:
        """Hidden states (B, N, h), or logits (B, N, V), of token ids with the longest first.

        Padding stands on the right, where causal attention never looks. To be called, as whatever
        reads the values, under torch.inference_mode.
        """
        import torch

        tokens = torch.zeros((len(batch), len(batch[0])), dtype=torch.long)
        seen = torch.zeros_like(tokens)
        for at, sequence in enumerate(batch):
            tokens[at, : len(sequence)] = torch.tensor(sequence)
            seen[at, : len(sequence)] = 1
        device = self.model.device
        inputs = {"input_ids": tokens.to(device), "attention_mask": seen.to(device)}
        if self.head == "logits":
            return self.model(**inputs, use_cache=False).logits
        return self.model.base_model(**inputs, use_cache=False).last_hidden_state


def load(folder: ModelFolder) -> CausalModel:
    """Load in float32 (bf16 keeps 8 bits of a logit), on a GPU where torch has one.

    Raises WinnowError where the model's output does not fit its configuration.
    """
    import torch
    from transformers import AutoModelForCausalLM

    quiet_transformers()
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder.path, dtype=torch.float32, local_files_only=True
    )
    model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    linear, width = _probe(model)
    named = int(model.config.get_text_config().vocab_size)
    if width != named:
        raise WinnowError(
            f"{folder.name}: the model gives {width} logits, "
            f"but its configuration names a vocabulary of {named}"
        )
    return CausalModel(model, width, "hidden" if linear else "logits")


def _probe(model: Any) -> tuple[bool, int]:
    """Whether the logits are the head's product with the base model's output, and their number.

    The comparison finds a scaled head and anything else between the two. Soft-capping hardly shows
    where logits are small, so its configuration key counts as well.
    """
    import torch

    words = model.get_input_embeddings().num_embeddings
    tokens = torch.arange(_PROBE, device=model.device)[None] % words
    layer = model.get_output_embeddings()
    with torch.inference_mode():
        logits = model(input_ids=tokens, use_cache=False).logits
        width = int(logits.shape[-1])
        capped = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
        if capped or not isinstance(layer, torch.nn.Linear) or model.base_model is model:
            return False, width
        hidden = model.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        if hidden.shape[-1] != layer.in_features:
            return False, width
        off = (layer(hidden) - logits).abs().max()
        return bool(off <= _PROBE_TOLERANCE * logits.abs().max()), width
