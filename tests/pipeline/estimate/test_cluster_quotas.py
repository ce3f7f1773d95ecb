"""Quotas of groups: exact sums, caps, and the shares they are meant to be."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.estimate.quotas import balanced, proportional, square_root

sizes_and_total = st.lists(st.integers(0, 40), max_size=12).flatmap(
    lambda sizes: st.tuples(st.just(sizes), st.integers(0, sum(sizes) + 5))
)


@pytest.mark.parametrize("rule", [balanced, proportional, square_root])
@given(case=sizes_and_total)
def test_the_sum_is_exact_and_no_group_gives_more_than_it_has(rule, case) -> None:  # type: ignore[no-untyped-def]
    sizes, total = case
    quotas = rule(total, sizes).tolist()
    assert sum(quotas) == min(total, sum(sizes))
    assert all(0 <= q <= s for q, s in zip(quotas, sizes, strict=True))


@given(sizes_and_total)
def test_balanced_fills_one_row_at_a_time(case: tuple[list[int], int]) -> None:
    """Row by row to the group with the least so far; of equals to the larger, then to the first."""
    sizes, total = case
    wanted = [0] * len(sizes)
    for _ in range(min(total, sum(sizes))):
        open_ = [g for g in range(len(sizes)) if wanted[g] < sizes[g]]
        wanted[min(open_, key=lambda g: (wanted[g], -sizes[g], g))] += 1
    assert balanced(total, sizes).tolist() == wanted


@given(sizes_and_total)
def test_proportional_by_largest_remainders(case: tuple[list[int], int]) -> None:
    sizes, total = case
    rows = sum(sizes)
    if total >= rows:
        assert proportional(total, sizes).tolist() == sizes
        return
    shares = [Fraction(total * s, rows) for s in sizes]
    wanted = [math.floor(s) for s in shares]
    by_remainder = sorted(range(len(sizes)), key=lambda g: (wanted[g] - shares[g], g))
    for g in by_remainder[: total - sum(wanted)]:
        wanted[g] += 1
    assert proportional(total, sizes).tolist() == wanted


@given(sizes_and_total)
def test_square_root_within_one_row_of_the_level(case: tuple[list[int], int]) -> None:
    """Every quota is the share min(size, t sqrt(size)) to within one row, for the t that deals all."""
    sizes, total = case
    low, high = 0.0, 100.0
    for _ in range(100):
        t = (low + high) / 2
        dealt = math.fsum(min(s, t * math.sqrt(s)) for s in sizes)
        low, high = (t, high) if dealt < min(total, sum(sizes)) else (low, t)
    for quota, size in zip(square_root(total, sizes).tolist(), sizes, strict=True):
        assert abs(quota - min(size, high * math.sqrt(size))) < 1 + 1e-6


def test_by_hand() -> None:
    assert balanced(10, [100, 100, 100]).tolist() == [4, 3, 3]
    assert balanced(11, [2, 50, 100]).tolist() == [2, 4, 5]
    assert proportional(10, [50, 30, 20]).tolist() == [5, 3, 2]
    assert proportional(2, [10, 30]).tolist() == [1, 1]
    assert square_root(12, [4, 16, 36]).tolist() == [2, 4, 6]
    assert square_root(50, [4, 16, 36]).tolist() == [4, 16, 30]


def test_large_pools_stay_exact() -> None:
    sizes = np.full(1000, 10**6)
    assert proportional(123_456_789, sizes).sum() == 123_456_789
    assert balanced(123_456_789, sizes).max() == 123_457


@pytest.mark.parametrize("rule", [balanced, proportional, square_root])
def test_what_makes_no_sense_is_refused(rule) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="at least 0"):
        rule(-1, [1])
    with pytest.raises(ValueError, match="at least 0"):
        rule(1, [-1])
