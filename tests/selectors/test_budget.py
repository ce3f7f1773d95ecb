"""Budgets as people write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.budget import Budget, read_budget


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("1000", Budget(1000, "rows")),
        ("1_000", Budget(1000, "rows")),
        ("0", Budget(0, "rows")),
        ("1", Budget(1, "rows")),
        ("1.0", Budget(1.0, "share")),
        ("0.1", Budget(0.1, "share")),
        (".5", Budget(0.5, "share")),
        ("1e-3", Budget(0.001, "share")),
        ("50000tok", Budget(50000, "tokens")),
    ],
)
def test_reading(text: str, budget: Budget) -> None:
    assert Budget.parse(text) == budget


@pytest.mark.parametrize(
    "text", ["", "ten", "1.5", "-1", "-0.1", "1.5tok", "tok", "nan", "inf", "1.0x"]
)
def test_what_makes_no_sense(text: str) -> None:
    with pytest.raises(UsageError, match="budget"):
        Budget.parse(text)


def test_numbers_are_rows_and_fractions_shares() -> None:
    assert read_budget(3) == Budget(3, "rows")
    assert read_budget(0.5) == Budget(0.5, "share")
    assert read_budget(None) is None
    assert read_budget(np.int64(1)) == Budget(1, "rows")
    assert read_budget(np.float64(0.5)) == Budget(0.5, "share")
    with pytest.raises(UsageError, match="budget of True"):
        read_budget(True)


@given(st.integers(0, 10_000), st.integers(0, 10**9))
def test_a_share_is_the_decimal_that_was_written(part: int, rows: int) -> None:
    assert Budget.parse(f"{part / 10_000:.4f}").rows(rows) == part * rows // 10_000


@given(st.integers(0, 100), st.integers(1, 100))
def test_a_share_that_is_whole_is_not_rounded_down(part: int, whole: int) -> None:
    part = min(part, whole)
    assert Budget(part / whole, "share").rows(whole) == part


def test_tokens_say_nothing_about_rows() -> None:
    assert Budget(5, "tokens").rows(10) is None
