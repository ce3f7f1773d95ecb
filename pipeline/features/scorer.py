"""Nuclear norm and sketch of a causal model's logits, per sequence, in one forward pass.

The official UDS code lets the padding of a batch into the norm; here padding is cut off first, so a
sequence's value depends on that sequence alone.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.features import sketch as sk
from winnow.pipeline.models import ModelFolder, quiet_transformers
from winnow.pipeline.names import canonical_json

Rows = Literal["all", "response"]

_PROBE = 16  # tokens that tell a linear head from another
_PROBE_TOLERANCE = 1e-4  # float32 products in another order differ by about 1e-6


@dataclass(frozen=True, eq=False)
class SequenceFeatures:
    """Signals of one sequence: tokens that the model read, norm, and sketch (r1 * r2,) float32.

    A sequence without a row that counts has norm 0 and a sketch of zeros; one on which the model
    overflows has NaN for both.
    """

    n_tokens: int
    nuclear_norm: float
    sketch: NDArray[np.float32]


@dataclass(frozen=True, order=True)
class _Sequence:
    """Tokens that the model reads, and which logits rows count: start..stop."""

    tokens: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A model in memory, and the float64 tensors on its device that its output is multiplied by.

    gram P'P and spectrum P'C of a linear head, read with hidden states; of any other head gram is
    null and spectrum is C (V, r2), read with logits.
    """

    model: Any
    projector: sk.Projector
    gram: Any
    spectrum: Any


class CausalScorer:
    """Scores tokenised prompts with their responses under a Hugging Face causal model.

    rows="response" counts only the logits that predict a token of the response, the rows that a
    fine-tuning loss reads; the others are zero rows and positions stay. `chat` names how the caller
    turned messages into tokens. The model is float32 on every device, for bf16 keeps 8 bits of a
    logit; it runs on a GPU where torch has one, and its weights are read at the first `score`.
    Where its head is linear no logits are formed; a probe compares both ways at loading.
    """

    def __init__(
        self,
        model: ModelFolder,
        *,
        projector_seed: int = 0,
        projection: sk.Projection = "official",
        rows: Rows = "all",
        max_tokens: int = 512,
        chat: str = "chat_template",
        r1: int = 8,
        r2: int = 128,
        T: int = 512,
        batch_tokens: int = 4096,
    ) -> None:
        """`batch_tokens` bounds a forward pass, padding included; values change by rounding only.

        Raises ValueError where max_tokens is not in 1..T.
        """
        if not 1 <= max_tokens <= T:
            raise ValueError(f"max_tokens ({max_tokens}) must be in 1..{T}")
        self.folder = model
        self.projection = projection
        self.rows = rows
        self.max_tokens = max_tokens
        self.positions = T
        self._seed, self._chat, self._r1, self._r2 = projector_seed, chat, r1, r2
        self._batch_tokens = batch_tokens
        self._loaded: _Loaded | None = None

    @property
    def form(self) -> str:
        """Canonical JSON of all that determines a value besides the model and the tokens."""
        projector = {"T": self.positions, "r1": self._r1, "r2": self._r2, "seed": self._seed}
        return canonical_json(
            {
                "chat": self._chat,
                "dtype": "float32",
                "max_tokens": self.max_tokens,
                "projection": self.projection,
                "projector": projector,
                "rows": self.rows,
            }
        )

    @property
    def vocab(self) -> int:
        """V, the words of the model's vocabulary; read from its configuration, without weights."""
        from transformers import AutoConfig

        config: Any = AutoConfig.from_pretrained(self.folder.path, local_files_only=True)
        return int(config.get_text_config().vocab_size)

    @property
    def linear_head(self) -> bool:
        """Whether norm and sketch come from hidden states; loads the model."""
        return self._load().gram is not None

    def score(self, items: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[SequenceFeatures]:
        """Features of (prompt token ids, response token ids), in order.

        Prompt and response are joined and cut to max_tokens; equal sequences are computed once.
        Raises ValueError for a token id outside the vocabulary, naming the item; WinnowError where
        the model cannot be scored.
        """
        sequences = [self._sequence(prompt, response) for prompt, response in items]
        done: dict[_Sequence, SequenceFeatures] = {}
        empty = np.zeros(self._r1 * self._r2, dtype=np.float32)
        for sequence in sequences:
            if sequence.start >= sequence.stop:
                done[sequence] = SequenceFeatures(len(sequence.tokens), 0.0, empty)
        if any(sequence.tokens for sequence in sequences):
            loaded = self._load()
            _check_tokens(sequences, loaded.projector.vocab)
            for batch in self._batches(set(sequences) - set(done)):
                done.update(zip(batch, self._forward(loaded, batch), strict=True))
        return [done[sequence] for sequence in sequences]

    def close(self) -> None:
        """Free the model's memory; a later `score` loads it again."""
        if self._loaded is None:
            return
        self._loaded = None
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _sequence(self, prompt: Sequence[int], response: Sequence[int]) -> _Sequence:
        tokens = (*prompt, *response)[: self.max_tokens]
        if self.rows == "all":
            return _Sequence(tokens, 0, len(tokens))
        return _Sequence(tokens, max(len(prompt) - 1, 0), len(tokens) - 1)

    def _batches(self, sequences: Collection[_Sequence]) -> Iterator[list[_Sequence]]:
        """The longest first, so that too little memory shows at once."""
        todo = sorted(sequences, key=lambda s: (-len(s.tokens), s))
        while todo:
            size = max(1, self._batch_tokens // len(todo[0].tokens))
            yield todo[:size]
            todo = todo[size:]

    def _forward(self, loaded: _Loaded, batch: list[_Sequence]) -> list[SequenceFeatures]:
        import torch

        tokens = torch.zeros((len(batch), len(batch[0].tokens)), dtype=torch.long)
        seen = torch.zeros_like(tokens)
        for at, sequence in enumerate(batch):
            # Padding stands on the right, where causal attention never looks.
            tokens[at, : len(sequence.tokens)] = torch.tensor(sequence.tokens)
            seen[at, : len(sequence.tokens)] = 1
        device = loaded.model.device
        inputs = {"input_ids": tokens.to(device), "attention_mask": seen.to(device)}
        with torch.inference_mode():
            if loaded.gram is None:
                values = loaded.model(**inputs, use_cache=False).logits
            else:
                values = loaded.model.base_model(**inputs, use_cache=False).last_hidden_state
            return [
                self._features(loaded, sequence, values[at, : len(sequence.tokens)].double())
                for at, sequence in enumerate(batch)
            ]

    def _features(self, loaded: _Loaded, sequence: _Sequence, rows: Any) -> SequenceFeatures:
        """From the hidden states (N, h), or the logits (N, V), of one sequence, float64."""
        import torch

        if loaded.gram is None:
            gram = rows @ rows.T
        else:
            if rows.shape[1] < len(loaded.gram):  # the head has a bias
                rows = torch.cat([rows, rows.new_ones((len(rows), 1))], dim=1)
            gram = rows @ loaded.gram @ rows.T
        columns = (rows @ loaded.spectrum).cpu().numpy()
        position = np.arange(len(sequence.tokens))
        mask = (position >= sequence.start) & (position < sequence.stop)
        norm = sk.nuclear_norm_from_gram(gram.cpu().numpy(), mask)
        z = sk.sketch_from_columns(columns, loaded.projector, self.projection, mask)
        if not (np.isfinite(norm) and np.isfinite(z).all()):
            norm, z = float("nan"), np.full_like(z, np.nan)
        return SequenceFeatures(len(sequence.tokens), norm, z.astype(np.float32))

    def _load(self) -> _Loaded:
        if self._loaded is not None:
            return self._loaded
        import torch
        from transformers import AutoModelForCausalLM

        quiet_transformers()
        model: Any = AutoModelForCausalLM.from_pretrained(
            self.folder.path, dtype=torch.float32, local_files_only=True
        )
        model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
        linear, width = _probe(model)
        if width != self.vocab:
            raise WinnowError(
                f"{self.folder.name}: the model gives {width} logits, "
                f"but its configuration names a vocabulary of {self.vocab}"
            )
        projector = sk.draw(width, self._seed, r1=self._r1, r2=self._r2, T=self.positions)
        if linear:
            layer = model.get_output_embeddings()
            weight, bias = layer.weight.detach().cpu().numpy(), layer.bias
            head = sk.head(weight, projector, None if bias is None else bias.detach().cpu().numpy())
            gram = torch.from_numpy(head.gram).to(model.device)
            spectrum = torch.from_numpy(head.spectrum).to(model.device)
        else:
            gram = None
            spectrum = torch.from_numpy(sk.cosines(projector, 0, width)).to(model.device)
        self._loaded = _Loaded(model, projector, gram, spectrum)
        return self._loaded


def _check_tokens(sequences: Sequence[_Sequence], vocab: int) -> None:
    for at, sequence in enumerate(sequences):
        if sequence.tokens and not 0 <= min(sequence.tokens) <= max(sequence.tokens) < vocab:
            raise ValueError(f"item {at} holds a token id outside 0..{vocab - 1}")


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
