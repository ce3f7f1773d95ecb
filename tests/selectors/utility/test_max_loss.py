"""MaxLoss against its definition."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.run import select


def rows(values: list[float]) -> pa.Table:
    return pa.table({"row_id": [f"{i:03}" for i in range(len(values))], "logprob_mean": values})


@given(st.lists(st.integers(-9, 0), min_size=1, max_size=30), st.integers(0, 30))
@settings(deadline=None)
def test_the_highest_losses_first_then_by_id(values: list[int], budget: int) -> None:
    result = select("max_loss", rows([v / 4 for v in values]), budget=budget)
    assert result["score"].to_pylist() == [-v / 4 for v in values]
    wanted = sorted(range(len(values)), key=lambda i: (values[i], i))
    rank = result["rank"].to_pylist()
    assert sorted(range(len(values)), key=rank.__getitem__) == wanted
    chosen = [i for i, taken in enumerate(result["selected"].to_pylist()) if taken]
    assert chosen == sorted(wanted[:budget])


def test_it_needs_a_budget() -> None:
    with pytest.raises(UsageError, match="max_loss needs a budget"):
        select("max_loss", rows([-1.0]))


def test_a_loss_instead_of_a_log_probability_is_refused() -> None:
    with pytest.raises(UsageError, match="row 001: logprob_mean holds 2.5"):
        select("max_loss", rows([-1.0, 2.5]), budget=1)
