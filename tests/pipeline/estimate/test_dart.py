"""Targets against exact fractions, and the stop rule against its table."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.estimate.dart import (
    expected_trials,
    prop2diff_targets,
    stop_reason,
    uniform_targets,
)

COUNTS = st.integers(1, 64).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(st.lists(COUNTS, min_size=1, max_size=20), st.integers(1, 400), st.booleans())
def test_prop2diff_against_exact_fractions(
    counts: list[tuple[int, int]], k_p: int, cover: bool
) -> None:
    """f as 1 - pass rate: the form in which rounding errors push a quotient above a whole number."""
    f = [1 - Fraction(c, n) for c, n in counts]
    hardest = max(f)
    wanted = [math.ceil(k_p * x / hardest) if hardest else 0 for x in f]
    if cover:
        wanted = [max(1, t) for t in wanted]
    rates = 1 - np.array([c / n for c, n in counts])
    assert prop2diff_targets(rates, k_p, cover=cover).tolist() == wanted


def test_prop2diff_vectors() -> None:
    assert prop2diff_targets([0.75, 0.25, 0.0]).tolist() == [192, 64, 1]
    assert prop2diff_targets([0.75, 0.25, 0.0], cover=False).tolist() == [192, 64, 0]
    assert prop2diff_targets([1.0, 1 / 1000], 192).tolist() == [192, 1], "rounded up"
    assert prop2diff_targets([1 - 0.7, 1.0], 10).tolist() == [3, 10], "3.0000000000000004 is 3"
    assert prop2diff_targets([0.0, 0.0]).tolist() == [1, 1]
    assert prop2diff_targets([0.0, 0.0], cover=False).tolist() == [0, 0]
    assert prop2diff_targets([]).tolist() == []


def test_uniform() -> None:
    assert uniform_targets(3).tolist() == [40, 40, 40]
    assert uniform_targets(2, 7).tolist() == [7, 7]


def stop(trials: int, correct: int, most: int | None, least: int | None, strict: bool) -> str:
    return str(
        stop_reason(trials, correct, max_trials=most, min_correct=least, official_strict=strict)
    )


def test_stop_vectors() -> None:
    assert stop(3, 5, None, 5, False) == "max_n_corrects"
    assert stop(3, 5, None, 5, True) == "", "the official comparison wants one more"
    assert stop(3, 6, None, 5, True) == "max_n_corrects"
    assert stop(3, 4, None, 5, False) == ""
    assert stop(10, 9, 10, 5, False) == "max_n_trials", "it is asked first"
    assert stop(9, 0, 10, 5, False) == ""
    for none in (0, -1, None):
        assert stop(10**6, 10**6, none, none, False) == "", "a limit that is none"
        assert stop(10**6, 10**6, none, none, True) == ""


LIMIT = st.none() | st.integers(-2, 12)


@given(st.integers(0, 12), st.integers(0, 12), LIMIT, LIMIT, st.booleans())
def test_stop_against_the_rule(
    trials: int, correct: int, most: int | None, least: int | None, strict: bool
) -> None:
    wanted = ""
    if most is not None and most > 0 and trials >= most:
        wanted = "max_n_trials"
    elif least is not None and least > 0:
        if (strict and correct > least) or (not strict and correct >= least):
            wanted = "max_n_corrects"
    assert stop(trials, correct, most, least, strict) == wanted


def test_stop_for_many_prompts() -> None:
    found = stop_reason([8, 8, 2], [0, 3, 3], max_trials=[8, 9, 9], min_correct=3)
    assert found.tolist() == ["max_n_trials", "max_n_corrects", "max_n_corrects"]


def test_expected_trials() -> None:
    found = expected_trials([40, 192, 1, 0], [0.0, 0.75, 1.0, 1.0]).tolist()
    assert found == [40, 768, math.inf, 0]


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_rates_that_make_no_sense(rate: float) -> None:
    with pytest.raises(ValueError, match="fail rates"):
        prop2diff_targets([0.5, rate])
    with pytest.raises(ValueError, match="fail rates"):
        expected_trials(1, [0.5, rate])
    with pytest.raises(ValueError, match="targets"):
        expected_trials([1, -1], 0.5)
    with pytest.raises(ValueError, match="k_p"):
        prop2diff_targets([0.5], 0)
    with pytest.raises(ValueError, match="k_u"):
        uniform_targets(1, 0)
