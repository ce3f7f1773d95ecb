"""At which temperature a policy's answers have a wanted entropy.

AceReason-Nemotron 1.1 (arXiv 2506.13284) samples RL rollouts at the temperature at which the
temperature-adjusted entropy stays near 0.3. It gives no formula; ours is the mean, over the tokens of
answers drawn at temperature T, of the entropy (nats, full vocabulary) of softmax(logits / T).
"""

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TARGET = 0.3
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)


@dataclass(frozen=True)
class Point:
    """What was measured at one temperature: the mean entropy of a token and its standard error,
    nats, from so many answers and tokens. The error treats answers, not tokens, as independent."""

    temperature: float
    entropy: float
    error: float
    answers: int
    tokens: int

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
    axes.set_ylabel("entropy of a token (nats, ± 2 standard errors)")
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=130, metadata={"Software": None})
    return sink.getvalue()
