"""UDS in a training loop (arXiv 2510.16882): a batch's logits in, the samples to train on out.

    selector = OnlineSelector(vocab=model.config.vocab_size, keep=1)
    for batch in batches:
        with torch.no_grad():
            logits = model(**batch).logits
        kept = selector(logits, batch["attention_mask"])
        loss = model(**{name: value[kept] for name, value in batch.items()}).loss

`uds_trainer.UDSTrainer` does this within Hugging Face's `Trainer`; `utility.uds` is the same choice
over recorded signals, and makes the same one of the same stream.

A sample's utility is the nuclear norm of its logits, by the eigenvalues of their float64 Gram matrix,
never by an SVD; its diversity the mean distance of its sketch to those in the buffer, by float64
differences. Sketches are products with the kept cosines in float64, and then rounded to float32, as
the recorded ones are. Logits are read some thousand words at a time, on the device that they are on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from winnow.pipeline.features import sketch as sk

Rows = Literal["all", "attended", "response"]

_WORDS = 8192  # read at a time: bounds the float64 copies


@dataclass(frozen=True, eq=False)
class BatchScores:
    """Of the samples of a batch, float64 tensors (B,): score = utility + alpha diversity."""

    utility: torch.Tensor
    diversity: torch.Tensor
    score: torch.Tensor


@dataclass(frozen=True, eq=False)
class HeadProducts:
    """What is kept of a linear head W (V, h) with a bias b or none: P'P and P'C for P = [W b]."""

    gram: torch.Tensor
    spectrum: torch.Tensor
    biased: bool


class OnlineSelector:
    """Keeps the `keep` best of every batch that it is given, and remembers their sketches.

    `vocab`: V, width of the logits. The projector is given, or drawn from `seed` with r1 positions of
    T and r2 words (`sketch.draw`). The defaults are those of the authors' trainer class. `rows` says
    which positions count: "all", padding and prompt as well (the authors' code, the default);
    "attended", those of the attention mask, moved to the front; "response", of these the ones whose
    logits predict a label other than -100, the others being zero rows that keep their positions.

    The first `first_step` calls keep every sample, compute nothing, and leave the buffer empty (the
    authors' script starts at 10; whether it fills the buffer before is not stated, this is ours).
    `projection="orthonormal"` multiplies `alpha` by sqrt(V T) / 2, so both rank alike. One buffer per
    process: under data parallelism each selects for itself.

    Raises ValueError for parameters outside their range.
    """

    def __init__(
        self,
        vocab: int,
        *,
        keep: int = 4,
        alpha: float = 2.5e-3,
        buffer: int = 1024,
        first_step: int = 0,
        rows: Rows = "all",
        projector: sk.Projector | None = None,
        seed: int = 0,
        r1: int = 8,
        r2: int = 128,
        T: int = 512,
        projection: sk.Projection = "official",
    ) -> None:
        if keep < 1 or buffer < 1 or first_step < 0 or not 0 <= alpha < float("inf"):
            raise ValueError("keep and buffer must be at least 1, first_step and alpha at least 0")
        if rows not in ("all", "attended", "response"):
            raise ValueError(f"rows must be all, attended or response, not {rows!r}")
        if projection not in ("official", "orthonormal"):
            raise ValueError(f"projection must be official or orthonormal, not {projection!r}")
        if projector is not None and projector.vocab != vocab:
            raise ValueError(f"the projector is for {projector.vocab} words, not {vocab}")
        self.keep, self.alpha, self.first_step, self.rows = keep, alpha, first_step, rows
        self.projection: sk.Projection = projection
        self.step = 0  # calls so far
        self.last: BatchScores | None = None  # of the latest call that selected
        self._projector = projector or sk.draw(vocab, seed, r1=r1, r2=r2, T=T)
        self._buffer = torch.zeros((buffer, self._projector.size))
        self._next = self._filled = 0
        self._tables: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def due(self) -> bool:
        """Whether the next call selects; until then it keeps everything and needs no logits."""
        return self.step >= self.first_step

    def skip(self) -> None:
        """Count a step that keeps everything, without its logits."""
        self.step += 1

    def __call__(
        self,
        logits: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Indices of the samples to keep, best first, from logits (B, N, V) of any float type.

        Equal scores go by the lower index. Fewer than `keep` samples are all kept. A sample whose
        logits are not finite is never kept. `attention_mask` and `labels` (B, N) are read as `rows`
        says. Raises ValueError for shapes that do not fit, more than T positions, and a batch
        without a finite sample.
        """
        if logits.ndim != 3 or logits.shape[2] != self._projector.vocab:
            raise ValueError(
                f"logits of shape {tuple(logits.shape)}, but V is {self._projector.vocab}"
            )
        return self._select(logits, attention_mask, labels, self._from_logits)

    def from_hidden(
        self,
        hidden: torch.Tensor,
        head: HeadProducts,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The same from the hidden states (B, N, h) that a linear head reads; no logits are formed.

        The logits must be exactly hidden W' + b: not soft-capped, not scaled. The choice is that of
        their float64 products, of which a model's own logits are a rounding.
        """
        width = head.gram.shape[0] - head.biased
        if hidden.ndim != 3 or hidden.shape[2] != width:
            raise ValueError(f"hidden states of shape {tuple(hidden.shape)}, but h is {width}")
        return self._select(
            hidden, attention_mask, labels, lambda rows: self._from_hidden(rows, head)
        )

    @torch.no_grad()
    def products(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> HeadProducts:
        """Products of a head's weight (V, h) and bias (V,), to be made again whenever these change.

        They cost V h (h + r2) multiplications.
        """
        if weight.ndim != 2 or weight.shape[0] != self._projector.vocab:
            raise ValueError(
                f"a head of shape {tuple(weight.shape)}, but V is {self._projector.vocab}"
            )
        cosines = self._on(weight.device)[0]
        width = weight.shape[1] + (bias is not None)
        gram = weight.new_zeros((width, width), dtype=torch.float64)
        spectrum = weight.new_zeros((width, cosines.shape[1]), dtype=torch.float64)
        for at in range(0, len(weight), _WORDS):
            part = weight[at : at + _WORDS].double()
            if bias is not None:
                part = torch.cat([part, bias[at : at + _WORDS, None].double()], dim=1)
            gram += part.T @ part
            spectrum += part.T @ cosines[at : at + _WORDS]
        return HeadProducts(gram, spectrum, bias is not None)

    def state_dict(self) -> dict[str, Any]:
        """Numbers and tensors on the CPU: all that a later call depends on besides the parameters."""
        p = self._projector
        return {
            "step": self.step,
            "next": self._next,
            "filled": self._filled,
            "buffer": self._buffer.cpu().clone(),
            "projection": self.projection,
            "projector": {
                name: torch.from_numpy(getattr(p, name).copy()) for name in ("s1", "s2", "c", "r")
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another selector was, with its projector.

        Raises ValueError where buffer, vocabulary or projection are of another kind.
        """
        projector = sk.Projector(**{n: t.cpu().numpy() for n, t in state["projector"].items()})
        mine = (tuple(self._buffer.shape), self._projector.vocab, self.projection)
        other = (tuple(state["buffer"].shape), projector.vocab, state["projection"])
        if mine != other:
            raise ValueError(
                f"the state is of a selector with (buffer, sketch size), vocab, projection = {other}, "
                f"this one has {mine}"
            )
        self.step, self._next, self._filled = (state[n] for n in ("step", "next", "filled"))
        self._buffer = state["buffer"].clone()
        self._projector, self._tables = projector, None

    @torch.no_grad()
    def _select(self, values: torch.Tensor, attention_mask: Any, labels: Any, read: Any) -> Any:
        if not self.due:
            self.step += 1
            return torch.arange(len(values), device=values.device)
        self._buffer = self._buffer.to(values.device)
        found = [
            self._signals(sample[counted], positions, read)
            for sample, (counted, positions) in zip(
                values, self._counted(values, attention_mask, labels), strict=True
            )
        ]
        if not found:
            raise ValueError("the batch has no samples")
        utility = torch.stack([norm for norm, _ in found])
        # Rounded as recorded sketches are, so that the choice over these is the same.
        sketches = torch.stack([sketch for _, sketch in found]).float()
        diversity = self._diversity(sketches)
        weight = self.alpha
        if self.projection == "orthonormal":
            weight *= sk.norm_ratio(self._projector.vocab, self._projector.positions)
        score = utility + weight * diversity
        finite = torch.isfinite(score)
        ranked = torch.where(finite, score, -torch.inf)
        best = torch.sort(ranked, descending=True, stable=True).indices
        kept = best[: min(self.keep, int(finite.sum()))]
        if not len(kept):
            raise ValueError("no sample of the batch has finite logits")
        self._push(sketches[kept])
        self.step += 1
        self.last = BatchScores(utility, diversity, score)
        return kept

    def _counted(
        self, values: torch.Tensor, attention_mask: torch.Tensor | None, labels: torch.Tensor | None
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """For each sample, the rows that count, and their positions in the sequence."""
        shape, device = values.shape[:2], values.device
        for name, given in (("attention_mask", attention_mask), ("labels", labels)):
            if given is not None and given.shape != shape:
                raise ValueError(f"{name} has shape {tuple(given.shape)}, not {tuple(shape)}")
        seen = torch.ones(shape, dtype=torch.bool, device=device)
        if self.rows != "all" and attention_mask is not None:
            seen = attention_mask.to(device).bool()
        elif self.rows == "attended":
            raise ValueError('rows="attended" needs the attention mask')
        counts = seen
        if self.rows == "response":
            if labels is None:
                raise ValueError('rows="response" needs the labels')
            counts = torch.zeros_like(seen)
            counts[:, :-1] = labels.to(device)[:, 1:] != -100
            counts &= seen
        longest = int(seen.sum(dim=1).max()) if seen.numel() else 0
        if longest > self._projector.positions:
            raise ValueError(
                f"{longest} positions, but the projector takes at most {self._projector.positions}"
            )
        position = seen.cumsum(dim=1) - 1
        return [(row, at[row]) for row, at in zip(counts, position, strict=True)]

    def _signals(
        self, rows: torch.Tensor, positions: torch.Tensor, read: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nuclear norm and sketch (d,) of one sample, float64; NaN where its logits overflow."""
        gram, columns = read(rows)
        time = self._on(rows.device)[1]
        scale = sk.scale(self._projector, self.projection)
        sketch = (time[:, positions] @ columns).ravel() * scale
        if not (torch.isfinite(gram).all() and torch.isfinite(sketch).all()):
            return gram.new_tensor(torch.nan), torch.full_like(sketch, torch.nan)
        return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum(), sketch

    def _from_logits(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A Gram matrix of logits (N, V) with their singular values squared, and L C (N, r2)."""
        cosines = self._on(rows.device)[0]
        n, vocab = rows.shape
        columns = rows.new_zeros((n, cosines.shape[1]), dtype=torch.float64)
        gram = rows.new_zeros((n, n), dtype=torch.float64)
        for at in range(0, vocab, _WORDS):
            part = rows[:, at : at + _WORDS].double()
            columns += part @ cosines[at : at + _WORDS]
            if n <= vocab:
                gram += part @ part.T
        if n > vocab:
            gram = rows.double().T @ rows.double()
        return gram, columns

    @staticmethod
    def _from_hidden(rows: torch.Tensor, head: HeadProducts) -> tuple[torch.Tensor, torch.Tensor]:
        wide = rows.double()
        if head.biased:
            wide = torch.cat([wide, wide.new_ones((len(wide), 1))], dim=1)
        return wide @ head.gram @ wide.T, wide @ head.spectrum

    def _diversity(self, sketches: torch.Tensor) -> torch.Tensor:
        """Mean distances (B,) to the buffer; 0 while it is empty."""
        if not self._filled:
            return sketches.new_zeros(len(sketches), dtype=torch.float64)
        return torch.cdist(
            sketches.double(),
            self._buffer[: self._filled].double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        ).mean(dim=1)

    def _push(self, sketches: torch.Tensor) -> None:
        """Into the next slots, in order; where there are too many the later ones stay."""
        for sketch in sketches:
            self._buffer[self._next] = sketch
            self._next = (self._next + 1) % len(self._buffer)
        self._filled = min(self._filled + len(sketches), len(self._buffer))

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines (V, r2) of the kept words and (r1, T) of the kept positions, on a device."""
        if self._tables is None or self._tables[0].device != device:
            p = self._projector
            self._tables = (
                torch.from_numpy(sk.cosines(p, 0, p.vocab)).to(device),
                torch.from_numpy(sk.time_cosines(p, p.positions)).to(device),
            )
        return self._tables
