"""Weights by class, and what has none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.difficulty.outcome import outcome
from winnow.pipeline.errors import UsageError


def test_the_published_weights() -> None:
    found = outcome("c_rlft", {"class": ["sub_optimal", "expert", "sub_optimal"]})
    assert found.column("weight") == found.column("score") == [0.1, 1.0, 0.1]
    assert found.column("condition") == ["sub_optimal", "expert", "sub_optimal"]
    assert found.column("selected") == [True] * 3
    assert found.order == [1, 0, 2]


def test_other_classes() -> None:
    columns = {"class": ["human", "model", "noise"]}
    found = outcome("c_rlft", columns, 2, weights={"human": 2, "model": 0.5, "noise": 0})
    assert found.column("weight") == [2.0, 0.5, 0.0]
    assert found.column("score") == [2.0, 0.5, 0.0]
    assert found.selected == [0, 1]


def test_a_class_without_a_weight_is_an_error() -> None:
    with pytest.raises(UsageError, match="row r001: class 'gpt-4' has no weight.*expert"):
        outcome("c_rlft", {"class": ["expert", "gpt-4"]})


def test_a_row_without_a_class_is_not_selected() -> None:
    found = outcome("c_rlft", {"class": ["expert", None]})
    assert found.column("reason") == ["selected", "no_class"]


def test_a_weight_below_zero() -> None:
    with pytest.raises(UsageError, match="expert: -1.0 is below 0"):
        outcome("c_rlft", {"class": ["expert"]}, weights={"expert": -1.0})


@given(
    classes=st.lists(st.sampled_from("abc"), min_size=1, max_size=30),
    weights=st.fixed_dictionaries(dict.fromkeys("abc", st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0]))),
    budget=st.integers(0, 30),
)
@settings(deadline=None, max_examples=60)
def test_the_heaviest_classes_go_first(
    classes: list[str], weights: dict[str, float], budget: int
) -> None:
    found = outcome("c_rlft", {"class": list(classes)}, budget, weights=weights)
    order = sorted(range(len(classes)), key=lambda i: (-weights[classes[i]], i))
    assert found.order == order
    chosen = set(order[:budget])
    expected = [weights[c] if i in chosen else 0.0 for i, c in enumerate(classes)]
    assert found.column("weight") == expected
