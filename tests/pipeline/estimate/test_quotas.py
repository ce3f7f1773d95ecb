"""Quotas that add up, against dealing with fractions."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from winnow.pipeline.estimate.quotas import deal


def by_hand(total: int, weights: list[int], capacity: list[int]) -> list[int]:
    """The same with exact fractions."""
    quotas = [0] * len(weights)
    open_ = [g for g, w in enumerate(weights) if w and capacity[g]]
    left = min(total, sum(capacity[g] for g in open_))
    while open_:
        whole = sum(weights[g] for g in open_)
        shares = {g: Fraction(left * weights[g], whole) for g in open_}
        full = [g for g in open_ if shares[g] >= capacity[g]]
        if not full:
            for g in open_:
                quotas[g] = int(shares[g])
            rest = sorted(open_, key=lambda g: (int(shares[g]) - shares[g], g))
            for g in rest[: left - sum(quotas[g] for g in open_)]:
                quotas[g] += 1
            break
        for g in full:
            quotas[g] = capacity[g]
            left -= capacity[g]
            open_.remove(g)
    return quotas


GROUPS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), min_size=1, max_size=7)


@given(st.integers(0, 80), GROUPS)
@example(10, [(1, 20), (1, 20), (1, 20)])
def test_against_fractions(total: int, groups: list[tuple[int, int]]) -> None:
    weights, capacity = [w for w, _ in groups], [c for _, c in groups]
    found = deal(total, weights, capacity).tolist()
    assert sum(found) == min(total, sum(c for w, c in groups if w))
    assert all(quota <= c for quota, c in zip(found, capacity, strict=True))
    assert found == by_hand(total, weights, capacity)


def test_largest_remainders_and_first_of_equals() -> None:
    assert deal(10, [1, 1, 1], [99] * 3).tolist() == [4, 3, 3]
    assert deal(10, [0.55, 0.27, 0.18], [99] * 3).tolist() == [5, 3, 2]


def test_what_one_cannot_give_the_others_do() -> None:
    assert deal(10, [8, 1, 1], [4, 99, 99]).tolist() == [4, 3, 3]
    # The second is full only after the first has passed on its share.
    assert deal(10, [8, 1, 1], [2, 3, 99]).tolist() == [2, 3, 5]
    assert deal(10, [1, 1], [2, 3]).tolist() == [2, 3]


def test_no_weight_no_rows() -> None:
    assert deal(5, [0, 1], [9, 2]).tolist() == [0, 2]
    assert deal(5, [0, 0], [9, 2]).tolist() == [0, 0]
    assert deal(5, [], []).tolist() == []


@pytest.mark.parametrize(
    ("total", "weights", "capacity"),
    [(-1, [1], [1]), (1, [-1], [1]), (1, [1], [-1]), (1, [float("nan")], [1]), (1, [1, 2], [1])],
)
def test_what_makes_no_sense_is_refused(
    total: int, weights: list[float], capacity: list[int]
) -> None:
    with pytest.raises(ValueError, match="weights"):
        deal(total, weights, capacity)
