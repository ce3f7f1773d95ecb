"""Tables against tables: by hand, and against an oracle that tries every pairing of rows."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.verify.sql_execution.comparison import (
    Cell,
    Row,
    canonical,
    close,
    grouped,
    permutations,
    permuted,
    same_order,
    same_rows,
)
from winnow.pipeline.verify.sql_execution.qatch import overlap

NEAR = 1 + 5e-7  # within the tolerance, twice that is not
CELLS = st.sampled_from(
    [None, 0, 1, 2, 1.0, NEAR, NEAR**3, 2.5, 2.5 * NEAR, "", "1", "a", "A", b"a", math.nan, math.inf,
     True, ("moment", "2024-01-01T00:00:00"), 10**17, 1e17]
)  # fmt: skip
ROWS = st.lists(st.tuples(CELLS, CELLS), max_size=5)


def same_cell(first: Cell, second: Cell) -> bool:
    """The definition, cell by cell."""
    numbers = [isinstance(cell, int | float) for cell in (first, second)]
    if all(numbers):
        if math.isnan(first) or math.isnan(second):
            return math.isnan(first) and math.isnan(second)
        if float(first).is_integer() and float(second).is_integer():
            return bool(first == second)
        return math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-9)
    return type(first) is type(second) and bool(first == second)


def same_by_trying(rows: list[Row], others: list[Row]) -> bool:
    return len(rows) == len(others) and any(
        all(all(map(same_cell, row, other)) for row, other in zip(rows, order, strict=True))
        for order in itertools.permutations(others)
    )


@given(ROWS, ROWS)
@settings(max_examples=400, deadline=None)
def test_against_the_oracle(rows: list[Row], others: list[Row]) -> None:
    assert same_rows(rows, others) == same_by_trying(rows, others)


@given(ROWS, st.randoms(use_true_random=False), st.data())
@settings(max_examples=300, deadline=None)
def test_against_the_oracle_where_tables_are_much_alike(
    rows: list[Row], rng: random.Random, data: st.DataObject
) -> None:
    others = list(rows)
    rng.shuffle(others)
    if others and rng.random() < 0.5:
        at = data.draw(st.integers(0, len(others) - 1))
        others[at] = (data.draw(CELLS), others[at][1])
    assert same_rows(rows, others) == same_by_trying(rows, others)


@given(ROWS, ROWS)
@settings(deadline=None)
def test_it_is_symmetric(rows: list[Row], others: list[Row]) -> None:
    assert same_rows(rows, others) == same_rows(others, rows)


@given(ROWS)
def test_a_table_is_itself(rows: list[Row]) -> None:
    assert same_rows(rows, list(reversed(rows)))
    assert same_order(rows, [[row] for row in rows])


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (1, 1.0, True), (1, True, True), (1, "1", False), (0, None, False), ("", None, False),
        (1, 1 + 9e-7, True), (1, 1 + 3e-6, False), (0, 9e-10, True), (0, 1e-8, False),
        (1_000_000, 1_000_001, False), (1e6, 1_000_001.0, False), (2**60, 2**60 + 1, False),
        (0.1 + 0.2, 0.3, True), (math.nan, math.nan, True), (math.inf, math.inf, True),
        (math.inf, -math.inf, False), (math.inf, 1e308, False), ("a", "A", False), ("a", "a ", False),
        (b"a", "a", False), (("time", "10:00:00"), "10:00:00", False),
        (("list", (1, 2)), ("list", (1, 2)), True), (-0.0, 0, True),
    ],
)  # fmt: skip
def test_cells(first: Cell, second: Cell, same: bool) -> None:
    assert same_rows([(first,)], [(second,)]) is same
    assert same_rows([(second,)], [(first,)]) is same


def test_close_needs_a_fraction() -> None:
    assert close(1e6, 1e6 + 0.5)
    assert not close(1_000_000, 1_000_001)


def test_tables_of_other_width() -> None:
    assert not same_rows([(1, 2)], [(1,)])
    assert not same_rows([(1.5, 2)], [(1.5,)])


def test_many_rows_with_noise() -> None:
    rng = random.Random(0)
    rows: list[Row] = [(i % 50, rng.random() * 1e6, rng.random()) for i in range(20_000)]
    noisy: list[Row] = [(a, b * (1 + 1e-9), c + 1e-12) for a, b, c in rows]
    rng.shuffle(noisy)
    assert same_rows(rows, noisy)
    noisy[7] = (noisy[7][0], noisy[7][1] * 1.001, noisy[7][2])
    assert not same_rows(rows, noisy)


def test_groups_of_ties() -> None:
    rows: list[Row] = [("a", 1, 9), ("b", 1, 9), ("c", 2, 9), ("d", 1, 9)]
    groups = grouped(rows, [1], 2)
    assert groups == [[("a", 1), ("b", 1)], [("c", 2)], [("d", 1)]]
    assert same_order([("b", 1), ("a", 1), ("c", 2), ("d", 1)], groups)
    assert not same_order([("d", 1), ("a", 1), ("c", 2), ("b", 1)], groups)
    assert not same_order([("a", 1), ("b", 1), ("c", 2)], groups)
    assert not same_order([*(row[:2] for row in rows), ("e", 3)], groups)
    assert same_order([], [])


def test_permutations_of_columns() -> None:
    reference: list[Row] = [(1, "a", 2), (2, "b", 1)]
    rows: list[Row] = [("a", 2, 1), ("b", 1, 2)]
    orders = permutations(rows, reference)
    assert sorted(orders) == [(1, 0, 1 + 1), (2, 0, 1)]
    fits = [order for order in orders if same_rows(permuted(rows, order), reference)]
    assert (2, 0, 1) in fits
    assert permutations([(1, 2)], [(1, 3)]) == []
    assert permutations([(1, 2)], [(1,)]) == []
    assert permutations([], []) == []


def test_a_wide_table_of_equal_columns_ends() -> None:
    wide: list[Row] = [(1,) * 60, (2,) * 60]
    assert len(permutations(wide, wide)) == 500


@given(CELLS, CELLS)
def test_canonical_forms_are_equal_only_for_equal_cells(first: Cell, second: Cell) -> None:
    if canonical(first) == canonical(second):
        assert same_cell(first, second)


def overlap_by_definition(rows: list[Row], reference: list[Row]) -> tuple[float, float, float]:
    def distinct(table: list[Row]) -> list[Cell]:
        found: list[Cell] = []
        for cell in itertools.chain.from_iterable(table):
            if not any(canonical(cell) == canonical(other) for other in found):
                found.append(cell)
        return found

    if not rows or not reference:
        value = float(not rows and not reference)
        return value, value, value
    predicted, target = distinct(rows), distinct(reference)
    return (
        sum(any(same_cell(c, t) for t in target) for c in predicted) / len(predicted),
        sum(any(same_cell(t, c) for c in predicted) for t in target) / len(target),
        min(len(rows), len(reference)) / max(len(rows), len(reference)),
    )


@given(ROWS, ROWS)
@settings(max_examples=300, deadline=None)
def test_overlap_against_the_definition(rows: list[Row], reference: list[Row]) -> None:
    found = overlap(rows, reference)
    metrics = (found.cell_precision, found.cell_recall, found.tuple_cardinality)
    assert metrics == pytest.approx(overlap_by_definition(rows, reference))
    assert found.mean == pytest.approx(sum(metrics) / 3)


@pytest.mark.parametrize(
    ("rows", "reference", "precision", "recall", "cardinality"),
    [
        # the vectors in the docstrings of QATCH's released metrics
        ([("a", "b"), ("c", "d")], [("a", "b"), ("c", "d")], 1, 1, 1),
        ([("a", "b"), ("c", "e")], [("a", "b"), ("c", "d")], 0.75, 0.75, 1),
        ([("a",), ("b",), ("c",), ("d",)], [("a", "b"), ("c", "d")], 1, 1, 0.5),
        ([("a", "x"), ("y", "d")], [("a", "b"), ("c", "d")], 0.5, 0.5, 1),
        ([("a", "a"), ("b", "b"), ("c", "d")], [("a", "b"), ("c", "d")], 1, 1, 2 / 3),
        ([("a", "b"), (3, 2)], [("a", "b"), ("c", "d"), ("c", "d"), ("f", "g")], 0.5, 1 / 3, 0.5),
        # ours
        ([], [], 1, 1, 1),
        ([("a",)], [], 0, 0, 0),
        ([], [("a",)], 0, 0, 0),
        ([("1",)], [(1,)], 0, 0, 1),
        ([(0.1 + 0.2,)], [(0.3,)], 1, 1, 1),
        ([(1_000_000,)], [(1_000_001,)], 0, 0, 1),
        ([(None,), (None,)], [(None,)], 1, 1, 0.5),
    ],
)  # fmt: skip
def test_overlap_by_hand(
    rows: list[Row], reference: list[Row], precision: float, recall: float, cardinality: float
) -> None:
    found = overlap(rows, reference)
    assert found.cell_precision == pytest.approx(precision)
    assert found.cell_recall == pytest.approx(recall)
    assert found.tuple_cardinality == pytest.approx(cardinality)
