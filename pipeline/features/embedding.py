"""Sentence embeddings with sentence-transformers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.models import ModelFolder, quiet_transformers
from winnow.pipeline.names import Message, canonical_json

PROMPT_FORM = canonical_json({"text": "messages without system"})  # of what `prompt_text` gives


def prompt_text(messages: Sequence[Message]) -> str:
    """What is embedded of a prompt: all but the system prompt, which says nothing about this row."""
    return "\n\n".join(m["content"] for m in messages if m["role"] != "system")


class SentenceTransformerEmbedder:
    """An `Embedder` over a sentence-transformers folder.

    Runs on a GPU where torch has one. The weights are read at the first `embed`, so `identity` costs
    nothing. A text longer than the model's window counts up to the window's end only (256 tokens
    for all-MiniLM-L6-v2; `max_tokens` tells).
    """

    def __init__(self, model: ModelFolder, *, batch_size: int = 64) -> None:
        self._folder = model
        self._batch_size = batch_size
        self._model: Any = None

    @property
    def identity(self) -> str:
        return self._folder.identity

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a text that the model reads; null where it has no limit."""
        limit: int | None = self._loaded().max_seq_length
        return limit

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors (n, d), float32, in the order of the texts; n = 0 gives (0, d).

        A vector that the model leaves at zero stays zero. Raises ValueError, naming the text's
        index, where the model gives a value that is not finite.
        """
        model = self._loaded()
        # A lone surrogate stands in no UTF-8 text, and the tokenizer would refuse the whole batch.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        if not clean:
            return np.zeros((0, model.get_embedding_dimension()), np.float32)
        raw = model.encode(
            clean, batch_size=self._batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        vectors = np.asarray(raw, dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if bad.size:
            raise ValueError(f"{self.identity}: the vector of text {bad[0]} is not finite")
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(length > 0, length, 1.0)).astype(np.float32)

    def close(self) -> None:
        """Free the model's memory; a later `embed` loads it again."""
        if self._model is None:
            return
        self._model = None
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _loaded(self) -> Any:
        if self._model is None:
            import torch
            from sentence_transformers import SentenceTransformer

            quiet_transformers()
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self._model = SentenceTransformer(self._folder.path, device=device)
        return self._model
