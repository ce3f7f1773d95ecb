"""Expected values written in JSON against the values that a function returned."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.verify.sandbox.inside.equal import same

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)
)
returned = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
        st.dictionaries(st.integers(), inner, max_size=4),
    ),
    max_leaves=10,
)


@given(returned)
def test_what_json_makes_of_a_value_is_the_same(value: Any) -> None:
    assert same(json.loads(json.dumps(value)), value, 0.0)


@given(returned, returned)
def test_without_tolerance_only_what_json_writes_alike_is_the_same(one: Any, other: Any) -> None:
    """The other way round, up to numbers, which JSON can write in several ways."""
    written = json.loads(json.dumps(one)), json.loads(json.dumps(other))
    assert same(written[0], other, 0.0) == (written[0] == written[1])


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.sampled_from([1e-9, 1e-3, 0.5, 2.0]))
def test_a_tolerance_is_absolute_or_relative(one: float, other: float, tolerance: float) -> None:
    close = abs(one - other) <= max(min(tolerance, 1.0) * max(abs(one), abs(other)), tolerance)
    assert same(one, other, tolerance) == (one == other or close)


@pytest.mark.parametrize(
    ("expected", "value", "answer"),
    [
        ([1, 2], (1, 2), True),
        ([1, 2], (2, 1), False),
        ([1, 2], {2, 1}, True),
        ([1, 1], {1}, False),
        ([1], {1, 2}, False),
        ([[1, 2]], {(1, 2)}, True),
        ([1, 2], "12", False),
        ("12", [1, 2], False),
        ({"1": 2}, {1: 2}, True),
        ({"1.5": 2}, {1.5: 2}, True),
        ({"true": 2, "null": 3}, {True: 2, None: 3}, True),
        ({"1": 2}, {1: 2, "1": 2}, False),
        ({"a": 1}, [("a", 1)], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (1, 1.0, True),
        (1, True, True),  # Python's own ==
        (0, None, False),
        ("", None, False),
        ([], (), True),
        ([], {}, False),
        (math.nan, math.nan, True),
        (10**400, 1e300, False),
        (10**400, 10**400, True),
    ],
)
def test_pairs(expected: Any, value: Any, answer: bool) -> None:
    assert same(expected, value, 0.0) is answer
    assert same([expected], [value], 0.0) is answer


def test_an_integer_beyond_all_floats_has_no_tolerance() -> None:
    assert not same(10**400, 1.5, 1e-6)
