"""What a causal model says of sequences of tokens, in one forward pass each.

Rows of like length share a batch. From what the model gives for a batch (hidden states under a
linear head, else logits) come UDS's nuclear norm and sketch (`uds_signals`) and the log-probability,
entropy and rank of the tokens of the response (`token_signals`). Beyond one batch nothing is kept
but those. Padding is never read, so a sequence's values depend on that sequence alone, up to
rounding.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.features import causal_model
from winnow.pipeline.features.causal_model import CausalModel, Head
from winnow.pipeline.features.token_signals import NONE, TokenSignals, token_signals
from winnow.pipeline.features.uds_signals import UdsOptions, UdsReader, UdsSignals, no_rows
from winnow.pipeline.models import ModelFolder

Want = Literal["uds", "logprobs", "entropies", "ranks"]

_UDS: tuple[Want, ...] = ("uds",)
_LOGIT_BYTES = 512 * 2**20  # of one batch's logits, where the head is not linear


@dataclass(frozen=True, order=True)
class TokenRow:
    """Token ids of a text; those at first..stop are the response, the rest stands around it.

    A token at 0 has nothing before it that could predict it and is never scored.
    """

    tokens: tuple[int, ...]
    first: int
    stop: int

    @classmethod
    def of(cls, prompt: Sequence[int], response: Sequence[int]) -> "TokenRow":
        """A response that ends the text."""
        return cls((*prompt, *response), len(prompt), len(prompt) + len(response))


@dataclass(frozen=True, eq=False)
class RowSignals:
    """Signals of one row, those that were asked for.

    `tokens` are of the response's tokens in order (none of a token at position 0); `uds` counts
    rows as `UdsOptions.rows` says.
    """

    tokens: TokenSignals
    uds: UdsSignals | None


class CausalScorer:
    """Scores tokenised rows under a Hugging Face causal model, float32, on a GPU where there is one.

    Its weights are read at the first `score`. `batch_tokens` bounds a forward pass, padding
    included; values change by rounding only.
    """

    def __init__(
        self, model: ModelFolder, uds: UdsOptions | None = None, *, batch_tokens: int = 4096
    ) -> None:
        self.folder = model
        self.uds = uds or UdsOptions()
        self._batch_tokens = batch_tokens
        self._model: CausalModel | None = None
        self._reader: UdsReader | None = None

    @property
    def vocab(self) -> int:
        """V, the words of the model's vocabulary; read from its configuration, without weights."""
        return int(causal_model.configuration(self.folder).vocab_size)

    @property
    def context(self) -> int | None:
        """Tokens that the model can read, from its configuration; None where that names no limit."""
        limit = getattr(causal_model.configuration(self.folder), "max_position_embeddings", None)
        return None if limit is None else int(limit)

    @property
    def head(self) -> Head:
        """Whether signals come from hidden states or from logits; loads the model."""
        return self._load().head

    def score(
        self,
        rows: Sequence[TokenRow],
        wanted: Collection[Want] = _UDS,
        *,
        temperature: float = 1.0,
    ) -> list[RowSignals]:
        """Signals of the rows, in order; equal rows are computed once. Log-probabilities and entropies
        are those of softmax(logits / temperature).

        For "uds" alone a row is cut to `uds.max_tokens` before it is read. Raises ValueError for a
        token id outside the vocabulary, and WinnowError for a row beyond what the model can read and
        where the model cannot be scored, naming the row's number.
        """
        uds, tokens = "uds" in wanted, bool(set(wanted) - {"uds"})
        read = [self._read(row, uds, tokens) for row in rows]
        todo = {
            row
            for row in read
            if (uds and not _empty(self._counted(row))) or (tokens and not _empty(_scored(row)))
        }
        done: dict[TokenRow, RowSignals] = {}
        if any(row.tokens for row in read):
            model = self._load()
            _check(read, model.vocab, self.context)
            for batch in self._batches(todo, model):
                found = self._forward(model, batch, uds, wanted, temperature)
                done.update(zip(batch, found, strict=True))
        nothing = RowSignals(NONE, no_rows(self.uds) if uds else None)
        return [done.get(row, nothing) for row in read]

    def close(self) -> None:
        """Free the model's memory; a later `score` loads it again."""
        if self._model is None:
            return
        self._model = self._reader = None
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _read(self, row: TokenRow, uds: bool, tokens: bool) -> TokenRow:
        """What the model reads of a row: nothing behind the response, for it could not matter."""
        end = row.stop if tokens else 0
        if uds:
            end = max(end, min(len(row.tokens), self.uds.max_tokens))
        return TokenRow(row.tokens[:end], row.first, row.stop)

    def _counted(self, row: TokenRow) -> tuple[int, int]:
        """The positions start..stop whose logits UDS counts."""
        n = min(len(row.tokens), self.uds.max_tokens)
        if self.uds.rows == "all":
            return 0, n
        return max(row.first - 1, 0), min(row.stop, n) - 1  # logits at t predict the token at t + 1

    def _batches(self, rows: Collection[TokenRow], model: CausalModel) -> Iterator[list[TokenRow]]:
        """The longest first, so that too little memory shows at once."""
        limit = self._batch_tokens
        if model.head == "logits":
            limit = min(limit, _LOGIT_BYTES // (4 * model.vocab))
        todo = sorted(rows, key=lambda row: (-len(row.tokens), row))
        while todo:
            size = max(1, limit // len(todo[0].tokens))
            yield todo[:size]
            todo = todo[size:]

    def _forward(
        self,
        model: CausalModel,
        batch: Sequence[TokenRow],
        uds: bool,
        wanted: Collection[Want],
        temperature: float,
    ) -> list[RowSignals]:
        import torch

        with torch.inference_mode():
            values = model.forward([row.tokens for row in batch])
            norms: list[UdsSignals | None] = [None] * len(batch)
            if uds:
                norms = [self._uds(model, row, values[at]) for at, row in enumerate(batch)]
            tokens = [NONE] * len(batch)
            if set(wanted) - {"uds"}:
                tokens = _of_tokens(model, batch, values, wanted, temperature)
        return [RowSignals(t, u) for t, u in zip(tokens, norms, strict=True)]

    def _uds(self, model: CausalModel, row: TokenRow, values: Any) -> UdsSignals:
        if self._reader is None:
            self._reader = UdsReader(model, self.uds)
        start, stop = self._counted(row)
        if start >= stop:
            return no_rows(self.uds)
        return self._reader.read(values[: min(len(row.tokens), self.uds.max_tokens)], start, stop)

    def _load(self) -> CausalModel:
        if self._model is None:
            self._model = causal_model.load(self.folder)
        return self._model


def _of_tokens(
    model: CausalModel,
    batch: Sequence[TokenRow],
    values: Any,
    wanted: Collection[Want],
    temperature: float,
) -> list[TokenSignals]:
    """Signals of the responses of a batch, from its (B, N, ...) values."""
    import torch

    def signals(before: Any, targets: list[int]) -> TokenSignals:
        return token_signals(
            model,
            before,
            torch.tensor(targets, dtype=torch.long, device=before.device),
            entropies="entropies" in wanted,
            ranks="ranks" in wanted,
            temperature=temperature,
        )

    spans = [_scored(row) for row in batch]
    before = [values[at, s - 1 : e - 1] for at, (s, e) in enumerate(spans)]
    targets = [list(row.tokens[s:e]) for row, (s, e) in zip(batch, spans, strict=True)]
    if model.head == "logits":  # to join them would hold the logits twice
        return [signals(*each) for each in zip(before, targets, strict=True)]
    found = signals(torch.cat(before), [token for each in targets for token in each])
    ends = np.cumsum([len(each) for each in targets]).tolist()
    return [found.part(end - len(t), end) for end, t in zip(ends, targets, strict=True)]


def _scored(row: TokenRow) -> tuple[int, int]:
    """The tokens start..stop of the response that have something before them."""
    start = max(row.first, 1)
    return start, max(row.stop, start)


def _empty(span: tuple[int, int]) -> bool:
    return span[0] >= span[1]


def _check(rows: Sequence[TokenRow], vocab: int, context: int | None) -> None:
    for at, row in enumerate(rows):
        if row.tokens and not 0 <= min(row.tokens) <= max(row.tokens) < vocab:
            raise ValueError(f"row {at} holds a token id outside 0..{vocab - 1}")
        if context is not None and len(row.tokens) > context:
            raise WinnowError(f"row {at} has {len(row.tokens)} tokens, the model reads {context}")
