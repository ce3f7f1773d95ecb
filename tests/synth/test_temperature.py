"""Entropy by temperature: the mean, its error, where it reaches a target, and estimates of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from winnow.pipeline.contracts import Identity, Untold
from winnow.pipeline.recipe import OpenAIEngine as OpenAI
from winnow.synth.engines.openai import OpenAIEngine
from winnow.synth.engines.replay import Recorded
from winnow.synth.temperature import (
    Point,
    TopK,
    mean_outside,
    picture,
    telling,
    temperature_for,
    way,
)


def points(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(t, h, 0.01, 10, 100) for t, h in pairs]


def test_the_mean_is_over_tokens_not_over_answers() -> None:
    found = Point.of(0.5, [np.array([0.1, 0.3]), np.array([0.9])])
    assert (found.answers, found.tokens) == (2, 3)
    assert found.entropy == pytest.approx(1.3 / 3)


def test_the_error_is_that_of_repeated_draws() -> None:
    rng = np.random.default_rng(0)

    def answers() -> list[np.ndarray]:
        return [rng.gamma(2.0, rng.gamma(2.0, 0.1), rng.integers(5, 60)) for _ in range(40)]

    drawn = [Point.of(1.0, answers()) for _ in range(1500)]
    spread = float(np.std([p.entropy for p in drawn]))
    assert float(np.mean([p.error for p in drawn])) == pytest.approx(spread, rel=0.1)


def test_no_tokens_make_no_point() -> None:
    with pytest.raises(ValueError, match="no token was drawn at temperature 0.5"):
        Point.of(0.5, [np.zeros(0)])


def test_where_the_line_reaches_the_target() -> None:
    curve = points((1.0, 0.6), (0.5, 0.2), (0.75, 0.3))
    assert temperature_for(curve, 0.3) == 0.75
    assert temperature_for(curve, 0.25) == pytest.approx(0.625)
    assert temperature_for(curve, 0.45) == pytest.approx(0.875)
    assert temperature_for(curve, 0.1) is None
    assert temperature_for(curve, 0.7) is None
    assert temperature_for(points((0.5, 0.2), (1.0, 0.2)), 0.2) == 0.5
    assert temperature_for(points((0.5, 0.1), (0.6, 0.4), (0.7, 0.2)), 0.3) == pytest.approx(
        0.5 + 0.1 * 2 / 3
    )


@given(st.lists(st.floats(0, 5), min_size=2, max_size=6), st.floats(0, 5))
def test_a_found_temperature_lies_on_the_line(entropies: list[float], target: float) -> None:
    curve = points(*((0.1 * (at + 1), h) for at, h in enumerate(entropies)))
    found = temperature_for(curve, target)
    assert (found is None) == (not min(entropies) <= target <= max(entropies))
    if found is not None:
        x = [p.temperature for p in curve]
        assert np.interp(found, x, entropies) == pytest.approx(target, abs=1e-6)


def entropy(p: NDArray[np.float64]) -> float:
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def adjusted(p: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """softmax(logits / T), whatever the logits of `p`."""
    q: NDArray[np.float64] = np.exp((np.log(p) - np.log(p.max())) / temperature)
    return q / q.sum()


def test_the_estimate_by_hand() -> None:
    """p = 1/2, 1/4, 1/8, 1/8, of which two are told."""
    told = [[math.log(0.5), math.log(0.25)]]
    one = TopK.of(told, 1.0)
    assert one.entropies == pytest.approx([math.log(3) - 2 / 3 * math.log(2)])
    assert one.outside == pytest.approx([0.25])
    assert one.short == pytest.approx([math.inf])
    half = TopK.of(told, 0.5)  # p^2: 1/4, 1/16
    assert half.entropies == pytest.approx([math.log(5) - 4 / 5 * math.log(4)])
    assert half.outside == pytest.approx([0.25])
    # S = 5/16, c = 1/4, where x log(1/x) still grows.
    bound = math.log(1 + 0.25 * 0.25 / (5 / 16)) + 2 * 0.25 * 0.25 * math.log(4) / (5 / 16)
    assert half.short == pytest.approx([bound])


def test_tokens_of_which_less_is_told_stand_beside_others() -> None:
    few, more = [math.log(0.9)], [math.log(0.5), math.log(0.3), -9999.0]
    both = TopK.of([few, more], 0.7)
    assert both.entropies[0] == 0
    assert both.entropies[1] == pytest.approx(entropy(adjusted(np.array([0.5, 0.3]), 0.7)))
    assert both.outside == pytest.approx([0.1, 0.2])
    assert both.short[1] == 0  # no token outside is likelier than exp(-9999)
    assert TopK.of([], 0.7).entropies.shape == (0,)


@pytest.mark.parametrize("told", [[2.0, -1.0], [math.nan, -1.0], [0.0, math.nan], []])
def test_what_is_no_log_probability_is_refused(told: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilit"):
        TopK.of([[-0.1], told], 0.5)


@given(
    st.lists(st.floats(-30, 0), min_size=2, max_size=40),
    st.floats(0.05, 3.0),
    st.integers(1, 39),
)
def test_the_estimate_lies_below_the_entropy_and_not_farther_than_it_says(
    logits: list[float], temperature: float, k: int
) -> None:
    p = np.sort(np.exp(logits) / np.exp(logits).sum())[::-1]
    k = min(k, len(p))
    q = adjusted(p, temperature)
    full = entropy(q)
    found = TopK.of([np.log(p[:k]).tolist()], temperature)
    assert found.outside[0] == pytest.approx(p[k:].sum(), abs=1e-9)
    assert found.entropies[0] <= full + 1e-9
    assert full - found.entropies[0] <= found.short[0] + 1e-6
    if temperature <= 1:
        assert q[k:].sum() <= found.outside[0] + 1e-9
    if temperature < 0.99:
        assert math.isfinite(found.short[0])
    if k < len(p):
        more = TopK.of([np.log(p[: k + 1]).tolist()], temperature)
        assert more.entropies[0] >= found.entropies[0] - 1e-9
    whole = TopK.of([np.log(p).tolist()], temperature)
    assert whole.entropies[0] == pytest.approx(full, abs=1e-9)


def test_colder_answers_are_estimated_better() -> None:
    """Of a distribution like a language model's: 50,000 words by Zipf's law, 20 of them told."""
    p = 1 / np.arange(1, 50_001) ** 1.5
    p /= p.sum()
    told = [np.log(p[:20]).tolist()]
    off, bounds = [], []
    for temperature in (1.0, 0.7, 0.5, 0.3):
        found = TopK.of(told, temperature)
        off.append(entropy(adjusted(p, temperature)) - found.entropies[0])
        bounds.append(found.short[0])
    assert off == sorted(off, reverse=True)
    assert off[0] > 0.1 and off[-1] < 1e-4
    assert bounds[0] == math.inf and bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 1e-3


def test_a_point_of_estimates_says_that_it_is_one() -> None:
    answers = [TopK.of([[math.log(0.5), math.log(0.25)]] * n, 0.5) for n in (1, 3)]
    point = Point.of_top_k(0.5, 2, answers)
    assert replace(point, top_k=None, outside=0.0, short=0.0) == Point.of(
        0.5, [each.entropies for each in answers]
    )
    assert point.top_k == 2
    assert point.outside == pytest.approx(0.25)
    assert point.short == pytest.approx(answers[0].short[0])
    colder = replace(point, tokens=12, outside=0.05)
    assert mean_outside([point, colder]) == pytest.approx(0.1)
    assert way([point]) == "estimate from the engine's 2 most likely tokens"
    assert way(points((0.5, 0.1))) == "full vocabulary"


def test_which_engines_tell() -> None:
    served = OpenAIEngine(OpenAI(type="openai", model="m", base_url="http://127.0.0.1:9/v1"))
    assert telling(served) is served
    with pytest.raises(Untold, match="teacher does not tell the most likely tokens"):
        telling(Recorded(Identity("teacher", "imported")))


def test_the_picture_is_a_picture() -> None:
    pytest.importorskip("matplotlib")
    drawn = picture(points((0.5, 0.1), (1.0, 0.5)), 0.3, "<script> $x$")
    assert drawn.startswith(b"\x89PNG")
    assert picture(points((0.5, 0.1)), 0.3, "one").startswith(b"\x89PNG")
