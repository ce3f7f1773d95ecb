"""The band of perplexity against its definition, row by row."""

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.run import select


def rows(values: list[float]) -> pa.Table:
    return pa.table({"row_id": [f"{i:03}" for i in range(len(values))], "logprob_mean": values})


def of_perplexity(values: list[float]) -> pa.Table:
    return rows([-math.log(v) for v in values])


losses = st.lists(st.integers(0, 12).map(lambda i: i / 4), min_size=1, max_size=25)


@given(losses, st.integers(0, 8), st.integers(0, 8))
@settings(deadline=None)
def test_by_quantile(values: list[float], a: int, b: int) -> None:
    low, high = min(a, b) / 8, max(a, b) / 8
    result = select("perplexity_band", rows([-v for v in values]), low=low, high=high)
    n = len(values)
    place = []
    for v in values:
        below, equal = sum(w < v for w in values), sum(w == v for w in values)
        place.append((below + (equal + 1) / 2 - 0.5) / n)
    assert result["quantile"].to_pylist() == pytest.approx(place)
    assert result["score"].to_pylist() == pytest.approx([math.exp(v) for v in values])
    inside = [i for i in range(n) if low <= place[i] <= high]
    check(result, place, inside, (low + high) / 2)


@given(losses, st.integers(4, 40), st.integers(4, 40))
@settings(deadline=None)
def test_by_value(values: list[float], a: int, b: int) -> None:
    low, high = min(a, b) / 4, max(a, b) / 4
    result = select("perplexity_band", rows([-v for v in values]), by="value", low=low, high=high)
    ppl = [math.exp(v) for v in values]
    check(result, ppl, [i for i, p in enumerate(ppl) if low <= p <= high], (low + high) / 2)


def check(result: Any, value: list[float], inside: list[int], middle: float) -> None:
    selected = result["selected"].to_pylist()
    assert [i for i, taken in enumerate(selected) if taken] == inside
    rank, reason = result["rank"].to_pylist(), result["reason"].to_pylist()
    order = sorted(inside, key=rank.__getitem__)
    away = [abs(value[i] - middle) for i in order]
    for at in range(1, len(order)):
        assert away[at - 1] <= away[at] + 1e-9
        if value[order[at - 1]] == value[order[at]]:
            assert order[at - 1] < order[at]
    for i, v in enumerate(value):
        if i not in inside:
            assert reason[i] == ("below_band" if v < middle else "above_band")


def test_the_middle_half_is_the_default() -> None:
    result = select("perplexity_band", of_perplexity([1, 2, 4, 8, 16, 32, 64, 128]))
    assert result["quantile"].to_pylist() == [i / 16 for i in range(1, 16, 2)]
    assert result["selected"].to_pylist() == [False] * 2 + [True] * 4 + [False] * 2
    # 7/16 and 9/16 lie equally near the middle: the lower row comes first
    assert result["rank"].to_pylist() == [None, None, 2, 0, 1, 3, None, None]


def test_the_ends_belong_to_the_band() -> None:
    table = of_perplexity([1.0, 2.0, 3.0, 4.0])
    result = select(
        "perplexity_band", table, by="value", low=math.exp(math.log(2)), high=math.exp(math.log(4))
    )
    assert result["selected"].to_pylist() == [False, True, True, True]
    result = select("perplexity_band", table, low=0.125, high=0.625)
    assert result["selected"].to_pylist() == [True, True, True, False]


def test_a_perplexity_beyond_float64() -> None:
    result = select("perplexity_band", rows([-800.0, -1.0]), by="value", low=1.0, high=1e300)
    assert result["score"].to_pylist() == [None, pytest.approx(math.e)]
    assert result["reason"].to_pylist() == ["above_band", "selected"]
    result = select("perplexity_band", rows([-800.0, -900.0, -1.0]), low=0.0, high=1.0)
    assert result["quantile"].to_pylist() == pytest.approx([0.5, 5 / 6, 1 / 6])


def test_equal_perplexities_stand_in_the_middle() -> None:
    result = select("perplexity_band", of_perplexity([3.0] * 5), budget=2)
    assert result["quantile"].to_pylist() == [0.5] * 5
    assert result["selected"].to_pylist() == [True, True, False, False, False]


def test_a_loss_instead_of_a_log_probability_is_refused() -> None:
    with pytest.raises(UsageError, match="row 001: logprob_mean holds 2.5"):
        select("perplexity_band", rows([-1.0, 2.5]))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"by": "value"}, "both low and high are needed"),
        ({"by": "value", "low": 2.0}, "both low and high are needed"),
        ({"by": "value", "low": 0.25, "high": 0.75}, "is a perplexity, at least 1"),
        ({"low": 0.8}, r"low \(0.8\) must be at most high \(0.75\)"),
        ({"low": 2.0, "high": 9.0}, "at most 1; for perplexities set by=value"),
        ({"low": -0.1}, "low"),
        ({"by": "rank"}, "by"),
    ],
)
def test_impossible_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select("perplexity_band", rows([-1.0]), **parameters)
