"""The proportional order against its definition."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from winnow.selectors.proportion import in_proportion


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 99))
def test_against_the_definition(groups: list[int], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(groups))
    seen: dict[int, int] = {}
    keyed = []
    for place, row in enumerate(order.tolist()):
        rank = seen.get(groups[row], 0)
        seen[groups[row]] = rank + 1
        keyed.append((Fraction(2 * rank + 1, 2 * groups.count(groups[row])), place, row))
    found = in_proportion(order, np.array(groups, np.int64))
    assert found.tolist() == [row for _, _, row in sorted(keyed)]


def test_a_cut_keeps_the_shares() -> None:
    found = in_proportion(np.arange(12), np.array([0] * 8 + [1] * 4))
    assert [int((found[:cut] < 8).sum()) for cut in (3, 6, 9, 12)] == [2, 4, 6, 8]


def test_rows_outside_the_order_do_not_count() -> None:
    group = np.array([0, 0, 1, 1, 3])
    assert in_proportion(np.array([1, 2, 3]), group).tolist() == [2, 1, 3]
