"""IFD against its definition, row by row."""

import itertools
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.run import select


def rows(pairs: list[tuple[float, float]]) -> pa.Table:
    """Losses with and without the prompt."""
    return pa.table(
        {
            "row_id": [f"{i:03}" for i in range(len(pairs))],
            "logprob_mean": [-given for given, _ in pairs],
            "logprob_mean_alone": [-alone for _, alone in pairs],
        }
    )


loss = st.integers(1, 12).map(lambda i: i / 4)


@given(
    st.lists(st.tuples(loss, loss), min_size=1, max_size=25),
    st.sampled_from(["perplexity", "loss"]),
    st.sampled_from([1.0, 0.7, 1.3]),
)
@settings(deadline=None)
def test_the_definition(pairs: list[tuple[float, float]], ratio: str, below: float) -> None:
    result = select("ifd", rows(pairs), ratio=ratio, below=below)
    scores = [
        math.exp(given) / math.exp(alone) if ratio == "perplexity" else given / alone
        for given, alone in pairs
    ]
    assert result["score"].to_pylist() == pytest.approx(scores)
    kept = [i for i, s in enumerate(scores) if s < below - 1e-12]
    assert [i for i, taken in enumerate(result["selected"].to_pylist()) if taken] == kept
    rank = result["rank"].to_pylist()
    order = sorted(kept, key=rank.__getitem__)
    for one, other in itertools.pairwise(order):
        assert scores[one] >= scores[other] - 1e-12
        if pairs[one] == pairs[other]:
            assert one < other
    for i, reason in enumerate(result["reason"].to_pylist()):
        assert reason == ("selected" if i in kept else "ifd_too_high")


def test_by_hand() -> None:
    # perplexities given and alone: 2 of 4, 3 of 4, 4 of 4, 5 of 4, 9 of 10
    pairs = [(2, 4), (3, 4), (4, 4), (5, 4), (9, 10)]
    table = rows([(math.log(a), math.log(b)) for a, b in pairs])
    result = select("ifd", table, budget=2)
    assert result["score"].to_pylist() == pytest.approx([0.5, 0.75, 1.0, 1.25, 0.9])
    assert result["rank"].to_pylist() == [2, 1, None, None, 0]
    assert result["selected"].to_pylist() == [False, True, False, False, True]
    assert result["reason"].to_pylist() == [
        "budget", "selected", "ifd_too_high", "ifd_too_high", "selected"
    ]  # fmt: skip


def test_the_two_ratios_order_rows_differently() -> None:
    table = rows([(2.0, 3.0), (0.2, 0.4)])  # e^-1 < e^-0.2, but 2 / 3 > 1 / 2
    assert select("ifd", table)["rank"].to_pylist() == [1, 0]
    assert select("ifd", table, ratio="loss")["rank"].to_pylist() == [0, 1]


def test_a_row_where_the_prompt_changes_nothing_is_dropped() -> None:
    for ratio in ("perplexity", "loss"):
        result = select("ifd", rows([(1.7, 1.7), (1.6, 1.7)]), ratio=ratio)
        assert result["selected"].to_pylist() == [False, True]


def test_a_response_of_no_loss_alone() -> None:
    table = rows([(0.0, 0.0), (1.0, 0.0), (1.0, 2.0)])
    result = select("ifd", table)
    assert result["score"].to_pylist() == pytest.approx([1.0, math.e, math.exp(-1)])
    assert result["selected"].to_pylist() == [False, False, True]
    result = select("ifd", table, ratio="loss")
    assert result["score"].to_pylist() == [None, None, 0.5]
    assert result["selected"].to_pylist() == [False, False, True]


@pytest.mark.parametrize("alone", [0.0, -0.0, 1e-9, -0.005])
@pytest.mark.parametrize("ratio", ["perplexity", "loss"])
def test_no_loss_alone_is_dropped_whatever_the_limit(ratio: str, alone: float) -> None:
    """Also by signed zeros and by what rounding leaves of a loss of 0."""
    table = rows([(0.0, alone), (1.0, alone), (0.5e-9, alone), (1.0, 2.0)])
    result = select("ifd", table, ratio=ratio, below=5.0)
    assert result["selected"].to_pylist() == [False, False, False, True]
    assert result["reason"].to_pylist() == ["no_loss_alone"] * 3 + ["selected"]
    if ratio == "loss":
        assert result["score"].to_pylist() == [None, None, None, 0.5]


def test_a_ratio_beyond_float64() -> None:
    result = select("ifd", rows([(900.0, 0.5), (0.5, 900.0)]))
    assert result["score"].to_pylist() == [None, 0.0]
    assert result["selected"].to_pylist() == [False, True]


@pytest.mark.parametrize("column", ["logprob_mean", "logprob_mean_alone"])
def test_a_loss_instead_of_a_log_probability_is_refused(column: str) -> None:
    pairs = [(1.0, 2.0), (-2.5, 2.0) if column == "logprob_mean" else (1.0, -2.5)]
    with pytest.raises(UsageError, match=f"row 001: {column} holds 2.5"):
        select("ifd", rows(pairs))


@pytest.mark.parametrize(
    ("parameters", "message"), [({"below": 0.0}, "below"), ({"ratio": "log"}, "ratio")]
)
def test_impossible_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select("ifd", rows([(1.0, 2.0)]), **parameters)
