"""Query strings in, choices of rows out, and back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.publish.browse.asked import (
    BadRequest,
    Choice,
    Condition,
    choice_of,
    link,
    parameters,
)
from winnow.pipeline.publish.browse.parts import Column, Part

PART = Part(
    0,
    "sft",
    "train",
    Path("train.parquet"),
    3,
    (
        Column("id", "text"),
        Column("so.urce", "text"),
        Column("n", "integer"),
        Column("rate", "number"),
        Column("good", "flag"),
        Column("messages", "conversation"),
    ),
)
_WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63) + 1, 2**63 - 1)
_CONDITIONS = st.one_of(
    st.builds(Condition, st.just("is"), st.sampled_from(["id", "so.urce"]), _WORDS),
    st.builds(Condition, st.sampled_from(["is", "min", "max"]), st.just("rate"), _NUMBERS),
    st.builds(Condition, st.sampled_from(["min", "max"]), st.just("n"), _NUMBERS),
    st.builds(Condition, st.just("is"), st.just("good"), st.booleans()),
    st.builds(Condition, st.just("none"), st.sampled_from(["id", "n", "rate"]), st.just(True)),
)
_CHOICES = st.builds(
    Choice,
    st.lists(_CONDITIONS, max_size=4, unique_by=lambda c: (c.test, c.column)).map(tuple),
    st.sampled_from([None, "n", "rate", "so.urce"]),
    st.just(False),
)


@given(_CHOICES)
def test_a_choice_survives_its_link(choice: Choice) -> None:
    query = link("/sets/sft/train", **choice.parameters()).partition("?")[2]
    assert choice_of(parameters(query.encode()), PART) == choice


def test_the_order_survives_its_link() -> None:
    choice = Choice((), "rate", True)
    assert choice_of(choice.parameters(), PART) == choice
    assert choice.order == '"rate" DESC NULLS LAST, "id"'


@given(st.binary(max_size=200))
def test_bytes_are_parameters_or_a_bad_request(query: bytes) -> None:
    try:
        found = parameters(query)
    except BadRequest:
        return
    assert all(value and "\0" not in value for value in found.values())
    "".join(found.values()).encode()  # holds no lone surrogate


def test_empty_fields_of_a_form_ask_for_nothing() -> None:
    assert parameters(b"is.so.urce=&min.rate=&max.rate=0.5") == {"max.rate": "0.5"}


def test_names_reach_sql_quoted_and_values_never() -> None:
    choice = choice_of({"is.so.urce": "'; DROP"}, PART)
    assert choice.where == '"so.urce" = ?'
    assert choice.values == ["'; DROP"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("is.messages", "x", "rows cannot be chosen or sorted by messages"),
        ("is.other", "x", "sft/train has no column 'other'"),
        ("sort", "messages", "rows cannot be chosen or sorted by messages"),
        ("min.so.urce", "1", "so.urce holds no numbers"),
        ("min.rate", "1_0", "1_0 is no number that a column can hold"),
        ("min.rate", "-1e400", "is no number that a column can hold"),
        ("is.good", "1", "is.good: is true or false"),
        ("none.n", "yes", "none.n: is 1 or absent"),
        ("where", "1=1", "where: no such parameter here"),
    ],
)
def test_what_is_wrong_is_said(name: str, value: str, said: str) -> None:
    with pytest.raises(BadRequest, match=".*") as error:
        choice_of({name: value}, PART)
    assert said in str(error.value)
