"""Entropy by temperature: the mean, its error, and where it reaches a target."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.synth.temperature import Point, picture, temperature_for


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


def test_the_picture_is_a_picture() -> None:
    pytest.importorskip("matplotlib")
    drawn = picture(points((0.5, 0.1), (1.0, 0.5)), 0.3, "<script> $x$")
    assert drawn.startswith(b"\x89PNG")
    assert picture(points((0.5, 0.1)), 0.3, "one").startswith(b"\x89PNG")
