"""At which temperature a policy's answers have a wanted entropy.

AceReason-Nemotron 1.1 (arXiv 2506.13284) samples RL rollouts at the temperature at which the
temperature-adjusted entropy stays near 0.3. It gives no formula; ours is the mean, over the tokens of
answers drawn at temperature T, of the entropy (nats, full vocabulary) of softmax(logits / T). Where
only the log-probabilities of the k most likely tokens are known, `TopK` estimates it from below.
"""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import cast

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.contracts import Engine, TellingEngine, Untold

TARGET = 0.3
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
_LEAST = -9999.0  # vLLM's server says so for a probability of 0, which JSON has no logarithm of
_ROUNDING = 0.01  # by which told probabilities may sum to more than 1 (16-bit logits)


@dataclass(frozen=True, eq=False)
class TopK:
    """What the k most likely tokens say of the entropy, for each token of an answer: (n,) each.

    Let p be softmax(logits), b = 1 / T, q ~ p^b what is drawn from at temperature T, L the k most
    likely tokens (the same at every T), S the sum of p^b over L, and M the mass of q outside L.

    `entropies`: that of q given L, q / (1 - M) on L, nats. It never lies above the entropy H of q:
    every sum of its largest probabilities is at least that of as many of q (it majorises q), and the
    entropy falls with that order. For the same reason it grows with k, and with the whole vocabulary
    it is H. What it leaves out is h(M) + M (H of q outside L - itself), h the entropy of a coin.

    `outside`: m, the mass of p outside L, 1 - sum of p over L. For T <= 1, M <= m.

    `short`: an upper bound of H minus the estimate; infinite for T >= 1 unless m is 0, where only the
    size of the vocabulary would bound it. With c the least p in L, which no token outside exceeds, and
    T < 1:

        log(1 + m c^(b-1) / S) + b m g / S,  g = max of x^(b-1) log(1/x) over 0 < x <= c

    The first term is the growth of the log-normaliser: outside, p^b = p p^(b-1) <= p c^(b-1). The
    second is the sum over the tokens outside of q log(1/p^b), of a divisor no less than S; the parts of
    L only shrink. As exact as the log-probabilities told.
    """

    entropies: NDArray[np.float64]
    outside: NDArray[np.float64]
    short: NDArray[np.float64]

    @classmethod
    def of(cls, told: Sequence[Sequence[float]], temperature: float) -> "TopK":
        """From the log-probabilities (nats, at temperature 1) of each token's L, k or fewer. Raises
        ValueError where a token has none, or numbers that are no log-probabilities."""
        if not all(told):
            raise ValueError("a token has no log-probability")
        logs = np.full((len(told), max(map(len, told), default=1)), -np.inf)
        for row, each in zip(logs, told, strict=True):
            row[: len(each)] = np.maximum(each, _LEAST)
        mass = np.exp(logs).sum(axis=1)
        if not np.all(mass <= 1 + _ROUNDING):  # NaN too
            raise ValueError(f"probabilities of one token sum to {mass.max():.3g}")
        outside = np.maximum(1 - mass, 0.0)
        least = np.array([max(min(each), _LEAST) for each in told], dtype=np.float64)
        b = 1 / temperature
        scaled = b * logs
        top = scaled.max(axis=1, initial=-np.inf)
        sums = np.exp(scaled - top[:, None]).sum(axis=1)  # S, divided by the largest p^b
        q = np.exp(scaled - (top + np.log(sums))[:, None])
        surprise = np.where(q > 0, (top + np.log(sums))[:, None] - scaled, 0.0)
        return cls((q * surprise).sum(axis=1), outside, _short(outside, least, top, sums, b))


def _short(
    outside: NDArray[np.float64],
    least: NDArray[np.float64],
    top: NDArray[np.float64],
    sums: NDArray[np.float64],
    b: float,
) -> NDArray[np.float64]:
    """`TopK.short`; `least` is log c, S is exp(top) * sums."""
    if b <= 1:
        return np.where(outside > 0, np.inf, 0.0)
    share = np.exp((b - 1) * least - top) / sums  # c^(b-1) / S
    at = np.minimum(least, -1 / (b - 1))  # where g is reached
    g = np.exp((b - 1) * at - top) / sums * -at  # g / S
    bound: NDArray[np.float64] = np.log1p(outside * share) + b * outside * g
    return bound


def telling(engine: Engine) -> TellingEngine:
    """The engine as one that tells the most likely tokens. Raises Untold where it cannot."""
    if "top_logprobs" not in signature(engine.complete).parameters:
        raise Untold(
            f"engine {engine.identity.policy} does not tell the most likely tokens (its `complete` "
            "takes no `top_logprobs`)"
        )
    return cast("TellingEngine", engine)


@dataclass(frozen=True)
class Point:
    """What was measured at one temperature: the mean entropy of a token and its standard error,
    nats, from so many answers and tokens. The error treats answers, not tokens, as independent.

    Of an estimate, `top_k` is its k, and `outside` and `short` are the means of `TopK`'s."""

    temperature: float
    entropy: float
    error: float
    answers: int
    tokens: int
    top_k: int | None = None
    outside: float = 0.0
    short: float = 0.0

    @classmethod
    def of(cls, temperature: float, entropies: Sequence[NDArray[np.float64]]) -> "Point":
        """From the entropies of each answer's tokens. Raises ValueError where there is no token."""
        lengths = np.array([len(each) for each in entropies], dtype=np.float64)
        sums = np.array([each.sum() for each in entropies], dtype=np.float64)
        if lengths.sum() == 0:
            raise ValueError(f"no token was drawn at temperature {temperature:g}")
        mean = float(sums.sum() / lengths.sum())
        # Of a ratio of means, by its linear approximation.
        off = (sums - mean * lengths) / lengths.mean()
        n = len(off)
        error = float(np.sqrt((off * off).sum() / (n - 1) / n)) if n > 1 else math.nan
        return cls(temperature, mean, error, n, int(lengths.sum()))

    @classmethod
    def of_top_k(cls, temperature: float, top_k: int, answers: Sequence[TopK]) -> "Point":
        """As `of`, an estimate."""
        point = cls.of(temperature, [each.entropies for each in answers])
        return replace(
            point,
            top_k=top_k,
            outside=sum(float(each.outside.sum()) for each in answers) / point.tokens,
            short=sum(float(each.short.sum()) for each in answers) / point.tokens,
        )


def way(points: Sequence[Point]) -> str:
    """What the points are made from, in a few words."""
    k = points[0].top_k
    return "full vocabulary" if k is None else f"estimate from the engine's {k} most likely tokens"


def mean_outside(points: Sequence[Point]) -> float:
    """Of all tokens of all points, `Point.outside`."""
    return sum(p.outside * p.tokens for p in points) / sum(p.tokens for p in points)


def temperature_for(points: Sequence[Point], target: float) -> float | None:
    """Where the line through the points first reaches the target, from the lowest temperature on; None
    where it does not."""
    ordered = sorted(points, key=lambda point: point.temperature)
    for a, b in itertools.pairwise(ordered):
        if min(a.entropy, b.entropy) <= target <= max(a.entropy, b.entropy):
            if a.entropy == b.entropy:
                return a.temperature
            share = (target - a.entropy) / (b.entropy - a.entropy)
            return a.temperature + share * (b.temperature - a.temperature)
    return None


def picture(points: Sequence[Point], target: float, title: str) -> bytes:
    """The curve as PNG. Needs matplotlib."""
    from matplotlib.figure import Figure

    ordered = sorted(points, key=lambda point: point.temperature)
    x, y = [p.temperature for p in ordered], [p.entropy for p in ordered]
    errors = [2 * (p.error if math.isfinite(p.error) else 0.0) for p in ordered]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.errorbar(x, y, yerr=errors, color="#0072B2", marker="o", markersize=4, capsize=3)
    axes.axhline(target, color="#6B7078", linewidth=0.9, linestyle="--")
    axes.text(x[-1], target, f" target {target:g}", va="bottom", ha="right", color="#6B7078")
    found = temperature_for(points, target)
    if found is not None:
        axes.axvline(found, color="#D55E00", linewidth=0.9)
        axes.text(found, max(y), f" T = {found:.2f}", color="#D55E00", va="top")
    axes.set_xlabel("temperature")
    axes.set_ylabel(f"entropy of a token (nats, ± 2 standard errors)\n{way(points)}")
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=130, metadata={"Software": None})
    return sink.getvalue()
