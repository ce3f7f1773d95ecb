"""Nuclear norm and sketch of one sequence's logits, from what a causal model gives for it.

The official UDS code lets the padding of a batch into the norm; here padding is cut off first, so a
sequence's value depends on that sequence alone.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.features import sketch as sk
from winnow.pipeline.features.causal_model import CausalModel, Head

Rows = Literal["all", "response"]

# How the norm is computed: from hidden states and products of a linear head, or as the eigenvalues of
# the float64 Gram matrix of logits.
NORM_FORMS: dict[Head, str] = {"hidden": "linear head", "logits": "gram of logits"}


@dataclass(frozen=True)
class UdsOptions:
    """What determines norm and sketch besides the model and the tokens.

    rows="response" counts only the logits that predict a token of the response, the rows that a
    fine-tuning loss reads; the others are zero rows and positions stay. A sequence is cut to
    `max_tokens`. `seed` draws the projector, of r1 positions out of T and r2 words. Raises
    ValueError where max_tokens is not in 1..T.
    """

    seed: int = 0
    projection: sk.Projection = "official"
    rows: Rows = "all"
    max_tokens: int = 512
    r1: int = 8
    r2: int = 128
    T: int = 512

    def __post_init__(self) -> None:
        if not 1 <= self.max_tokens <= self.T:
            raise ValueError(f"max_tokens ({self.max_tokens}) must be in 1..{self.T}")

    def form(self, head: Head) -> dict[str, Any]:
        """What names the two signals, besides how a row became tokens."""
        return {**asdict(self), "dtype": "float32", "norm": NORM_FORMS[head]}


@dataclass(frozen=True, eq=False)
class UdsSignals:
    """Norm and sketch (r1 * r2,) float32. Both are NaN where the model overflows; without a row
    that counts the norm is 0 and the sketch zeros."""

    nuclear_norm: float
    sketch: NDArray[np.float32]


def no_rows(options: UdsOptions) -> UdsSignals:
    """Of a sequence without a row that counts."""
    return UdsSignals(0.0, np.zeros(options.r1 * options.r2, np.float32))


class UdsReader:
    """Reads the two signals of sequences, with float64 products on the model's device.

    Of a linear head they are P'P and P'C, to be multiplied by hidden states; of any other head C
    (V, r2), to be multiplied by logits.
    """

    def __init__(self, model: CausalModel, options: UdsOptions) -> None:
        import torch
        from threadpoolctl import ThreadpoolController

        self._options = options
        self._threads = ThreadpoolController()  # finding the libraries takes longer than one norm
        self._projector = sk.draw(
            model.vocab, options.seed, r1=options.r1, r2=options.r2, T=options.T
        )
        device = model.model.device
        self._gram: Any = None
        if model.head == "hidden":
            bias = None if model.bias is None else model.bias.detach().cpu().numpy()
            head = sk.head(model.weight.detach().cpu().numpy(), self._projector, bias)
            self._gram = torch.from_numpy(head.gram).to(device)
            self._spectrum = torch.from_numpy(head.spectrum).to(device)
        else:
            cosines = sk.cosines(self._projector, 0, model.vocab)
            self._spectrum = torch.from_numpy(cosines).to(device)

    def read(self, values: Any, start: int, stop: int) -> UdsSignals:
        """From the hidden states (N, h) or logits (N, V) of a sequence; rows start..stop count."""
        import torch

        rows = values.double()
        if self._gram is None:
            gram = rows @ rows.T
        else:
            if rows.shape[1] < len(self._gram):  # the head has a bias
                rows = torch.cat([rows, rows.new_ones((len(rows), 1))], dim=1)
            gram = rows @ self._gram @ rows.T
        columns = (rows @ self._spectrum).cpu().numpy()
        position = np.arange(len(rows))
        mask = (position >= start) & (position < stop)
        # torch's threads still spin after a product: numpy's beside them would wait for a core.
        with self._threads.limit(limits=1, user_api="blas"):
            norm = sk.nuclear_norm_from_gram(gram.cpu().numpy(), mask)
        z = sk.sketch_from_columns(columns, self._projector, self._options.projection, mask)
        if not (np.isfinite(norm) and np.isfinite(z).all()):
            norm, z = float("nan"), np.full_like(z, np.nan)
        return UdsSignals(norm, z.astype(np.float32))
