import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.publish.holdout import group_holdout

GROUPS = st.lists(st.text(max_size=20), max_size=50)
SHARES = st.floats(0, 1, exclude_max=True)


@given(GROUPS, GROUPS, SHARES, st.integers(0, 2**31))
def test_a_group_never_moves_when_others_come(
    old: list[str], new: list[str], share: float, seed: int
) -> None:
    before, after = group_holdout(old, share, seed), group_holdout([*new, *old], share, seed)
    assert before == after & set(old)
    assert after <= {*old, *new}


@given(GROUPS, SHARES, SHARES, st.integers(0, 2**31))
def test_a_larger_share_holds_out_the_same_and_more(
    groups: list[str], a: float, b: float, seed: int
) -> None:
    small, large = sorted((a, b))
    assert group_holdout(groups, small, seed) <= group_holdout(groups, large, seed)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_share_converges(share: float) -> None:
    n = 20_000
    held = len(group_holdout((f"group {k}" for k in range(n)), share, 7)) / n
    assert abs(held - share) < 4 * math.sqrt(share * (1 - share) / n)


def test_seeds_draw_independently() -> None:
    groups = [str(k) for k in range(10_000)]
    a, b = group_holdout(groups, 0.5, 1), group_holdout(groups, 0.5, 2)
    assert abs(len(a & b) / len(groups) - 0.25) < 0.02


def test_no_share_holds_out_nothing() -> None:
    assert group_holdout([str(k) for k in range(1000)], 0, 1) == set()


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_impossible_share(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        group_holdout(["a"], share, 0)
