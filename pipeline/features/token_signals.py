"""Log-probability, entropy and rank of single tokens, from a tile of logits at a time.

At a position with logits z over the V words, for the token w that stands there:

    log-probability  log p(w) = z_w - log sum_v exp(z_v)
    entropy          H = - sum_v p(v) log p(v), over the full vocabulary
    rank             1 + the number of other words with a larger logit

all in nats. A tile is some positions by some words. It is small enough to stay in a processor's
cache, so reading it several times costs little beside the product that makes it; the sums over the
vocabulary go on from tile to tile, shifted by the largest logit seen so far. Logits are float32, as
the model's own product makes them; sums within a tile are float32, across tiles float64. Against
float64 all through, from the same hidden states, log-probabilities and entropies of the default
model were less than 1e-5 nats off (302 tokens of real answers), and every rank was right.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.features.causal_model import CausalModel

_TILE_ON_CPU = (256, 4_096)  # positions, words: 4 MiB
_TILE_ON_GPU = (2_048, 16_384)  # 128 MiB, so that few kernels are started
_LEAST = -1e30  # stands for minus infinity, which times a probability of 0 is not a number


@dataclass(frozen=True, eq=False)
class TokenSignals:
    """(n,) values of n tokens; entropies and ranks are empty where they were not asked for."""

    logprobs: NDArray[np.float64]
    entropies: NDArray[np.float64]
    ranks: NDArray[np.int64]

    def part(self, start: int, stop: int) -> "TokenSignals":
        return TokenSignals(
            self.logprobs[start:stop], self.entropies[start:stop], self.ranks[start:stop]
        )


NONE = TokenSignals(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))


def token_signals(
    model: CausalModel,
    values: Any,
    targets: Any,
    *,
    entropies: bool,
    ranks: bool,
    temperature: float = 1.0,
    tile: tuple[int, int] | None = None,
) -> TokenSignals:
    """Signals of `targets` (n,), from what the model gives at the positions before them.

    `values`: hidden states (n, h) or logits (n, V), as `model.head` says; `targets` int64 on the
    same device, which no logits leave. `temperature` divides the logits. `tile`: positions and words of
    a tile.
    """
    import torch

    rows, words = tile or (_TILE_ON_GPU if values.is_cuda else _TILE_ON_CPU)
    found = [
        _signals(
            model,
            values[at : at + rows],
            targets[at : at + rows],
            words,
            entropies,
            ranks,
            temperature,
        )
        for at in range(0, len(targets), rows)
    ]
    if not found:
        return NONE
    logprobs, spreads, places = (torch.cat(each).cpu().numpy() for each in zip(*found, strict=True))
    return TokenSignals(logprobs, spreads, places)


def _signals(
    model: CausalModel,
    values: Any,
    targets: Any,
    words: int,
    entropies: bool,
    ranks: bool,
    temperature: float,
) -> tuple[Any, Any, Any]:
    """Float64 log-probabilities and entropies, and int64 ranks, all (n,)."""
    import torch

    chosen = _chosen(model, values, targets)
    largest = torch.full_like(chosen, _LEAST)
    total = torch.zeros_like(chosen, dtype=torch.float64)  # sum of exp(z - largest)
    moment = torch.zeros_like(total)  # sum of exp(z - largest) (z - largest)
    above = torch.zeros_like(targets)
    for start in range(0, model.vocab, words):
        z = _tile(model, values, start, min(start + words, model.vocab))
        if ranks:
            above += _above(z, chosen, targets - start)
        if temperature != 1:
            z /= temperature
        now = torch.maximum(largest, z.amax(dim=1))
        z -= now[:, None]
        drop = (largest - now).double()
        shrink = drop.exp()
        if entropies:
            moment = shrink * (moment + drop * total)
            weights = z.exp()
            total = shrink * total + weights.sum(dim=1)
            moment += weights.mul_(z).sum(dim=1)
        else:
            total = shrink * total + z.exp_().sum(dim=1)
        largest = now
    log_total = total.log()
    logprobs = (chosen / temperature - largest).double() - log_total
    spreads = log_total - moment / total if entropies else total[:0]
    return logprobs, spreads, above + 1 if ranks else above[:0]


def _chosen(model: CausalModel, values: Any, targets: Any) -> Any:
    """Logits (n,) of the targets, float32."""
    if model.head == "logits":
        return values.gather(1, targets[:, None])[:, 0].float().clamp(min=_LEAST)
    logits = (values * model.weight[targets]).sum(dim=1)
    return logits if model.bias is None else logits + model.bias[targets]


def _tile(model: CausalModel, values: Any, start: int, stop: int) -> Any:
    """Float32 logits of the words start..stop, in memory that may be overwritten."""
    import torch

    if model.head == "logits":
        return values[:, start:stop].float().clamp(min=_LEAST)
    bias = None if model.bias is None else model.bias[start:stop]
    return torch.nn.functional.linear(values, model.weight[start:stop], bias)


def _above(z: Any, chosen: Any, place: Any) -> Any:
    """How many words of a tile lie above the target, which stands at `place` where it is inside.

    Its own logit here can be a rounding off from `chosen`, and must not count.
    """
    higher = z > chosen[:, None]
    inside = (place >= 0) & (place < z.shape[1])
    own = higher.gather(1, place.clamp(0, z.shape[1] - 1)[:, None])[:, 0] & inside
    return higher.sum(dim=1) - own.long()
