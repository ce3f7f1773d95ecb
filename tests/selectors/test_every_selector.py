"""What every selector promises, whatever it does: held against each one in the registry."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.pools import parameters, table
from winnow.pipeline.errors import UsageError
from winnow.selectors.base import Selector
from winnow.selectors.budget import read_budget
from winnow.selectors.documentation import document
from winnow.selectors.registry import SELECTORS, get_selector
from winnow.selectors.rows import TableRows
from winnow.selectors.run import COMMON, Selection, declared, select_rows

NAMES = list(SELECTORS)
every_selector = pytest.mark.parametrize("name", NAMES)


def run(selector: Selector[Any], rows: pa.Table, budget: Any = None, seed: int = 0) -> Selection:
    if budget is None and selector.needs_budget:
        budget = 3
    return select_rows(
        selector,
        TableRows(rows),
        parameters=parameters(selector),
        budget=read_budget(budget),
        seed=seed,
        columns={},
    )


def by_id(selection: Selection) -> dict[str, dict[str, Any]]:
    return {row["row_id"]: row for row in selection.table.to_pylist()}


@every_selector
@given(n=st.integers(1, 40), seed=st.integers(0, 2**16), budget=st.none() | st.integers(0, 50))
@settings(deadline=None, max_examples=12)
def test_order_and_other_columns_change_nothing(
    name: str, n: int, seed: int, budget: int | None
) -> None:
    selector = get_selector(name)
    rows = table(selector, n, seed)
    shuffled = rows.take(pa.array(np.random.default_rng(seed).permutation(n)))
    shuffled = shuffled.append_column("another", pa.array(range(n)))
    shuffled = shuffled.select(list(reversed(shuffled.column_names)))
    first, second = run(selector, rows, budget, seed), run(selector, shuffled, budget, seed)
    assert second.table["row_id"].to_pylist() == shuffled["row_id"].to_pylist()
    assert by_id(first) == by_id(second)


@every_selector
@given(n=st.integers(1, 40), seed=st.integers(0, 2**16), budget=st.none() | st.integers(0, 50))
@settings(deadline=None, max_examples=12)
def test_a_selection_is_consistent(name: str, n: int, seed: int, budget: int | None) -> None:
    selector = get_selector(name)
    rows = table(selector, n, seed)
    found = run(selector, rows, budget, seed)
    result = found.table
    assert result["row_id"].to_pylist() == rows["row_id"].to_pylist()
    assert result.column_names == ["row_id", *COMMON.names, *selector.own.names]
    ranks = [r for r in result["rank"].to_pylist() if r is not None]
    assert sorted(ranks) == list(range(len(ranks)))
    for row in result.to_pylist():
        assert row["reason"]
        assert row["weight"] >= 0 if row["selected"] else row["weight"] == 0
        assert row["rank"] is not None or not row["selected"]
    chosen = sorted(row["rank"] for row in result.to_pylist() if row["selected"])
    assert chosen == list(range(len(chosen))), "the best are selected, without gaps"
    if budget is not None:
        whole = found.selected == min(budget, len(ranks))
        assert whole or (found.selected < budget and name in PAIRED)


# Rows that stand together may leave a budget of one row unused.
PAIRED = {"preference_pairs", "compose"}


@every_selector
@given(n=st.integers(1, 30), seed=st.integers(0, 2**16), tokens=st.integers(0, 800))
@settings(deadline=None, max_examples=8)
def test_a_budget_in_tokens(name: str, n: int, seed: int, tokens: int) -> None:
    selector = get_selector(name)
    rows = table(selector, n, seed, tokens=True)
    found = run(selector, rows, f"{tokens}tok", seed)
    cost = dict(zip(rows["row_id"].to_pylist(), rows["n_tokens"].to_pylist(), strict=True))
    result = found.table.to_pylist()
    spent = sum(cost[row["row_id"]] for row in result if row["selected"])
    assert spent <= tokens
    if name not in PAIRED:
        unspent = tokens - spent
        passed = [row for row in result if row["rank"] is not None and not row["selected"]]
        assert all(cost[row["row_id"]] > unspent for row in passed), "whatever fits is taken"


@every_selector
def test_a_share(name: str) -> None:
    selector = get_selector(name)
    found = run(selector, table(selector, 20, 3), 0.5)
    qualify = 20 - found.table["rank"].null_count
    assert found.selected == min(10, qualify) or name in PAIRED


@every_selector
def test_one_row(name: str) -> None:
    selector = get_selector(name)
    found = run(selector, table(selector, 1), 1)
    assert found.table.num_rows == 1


@every_selector
def test_rows_that_are_all_alike(name: str) -> None:
    selector = get_selector(name)
    found = run(selector, table(selector, 12, equal=True), 5)
    qualify = 12 - found.table["rank"].null_count
    assert found.selected == min(5, qualify) or name in PAIRED


@every_selector
def test_no_rows(name: str) -> None:
    selector = get_selector(name)
    found = run(selector, table(selector, 0), 5)
    assert found.table.num_rows == 0
    assert found.table.column_names == ["row_id", *COMMON.names, *selector.own.names]


@every_selector
def test_the_same_seed_gives_the_same_choice(name: str) -> None:
    selector = get_selector(name)
    rows = table(selector, 30, 1)
    assert run(selector, rows, 10, 5).table == run(selector, rows, 10, 5).table


@every_selector
def test_a_row_without_a_value_is_not_selected(name: str) -> None:
    selector = get_selector(name)
    rows = table(selector, 20, 2)
    needed = [c for c in declared(selector, parameters(selector)) if not c.nulls]
    for column in needed:
        values = rows[column.name].to_pylist()
        values[4] = None
        at = rows.column_names.index(column.name)
        kind = rows.schema.field(column.name).type
        holed = rows.set_column(at, column.name, pa.array(values, kind))
        row = run(selector, holed, 20).table.to_pylist()[4]
        assert not row["selected"] and row["rank"] is None and row["score"] is None
        assert row["reason"] == f"no_{column.name}"


@every_selector
def test_numbers_that_are_none(name: str) -> None:
    selector = get_selector(name)
    rows = table(selector, 20, 2)
    for column in declared(selector, parameters(selector)):
        if column.kind not in ("number", "numbers", "vector") or column.nulls:
            continue
        for bad in (float("nan"), float("inf")):
            values = rows[column.name].to_pylist()
            values[4] = bad if column.kind == "number" else [bad] * len(values[4])
            at = rows.column_names.index(column.name)
            holed = rows.set_column(at, column.name, pa.array(values))
            assert run(selector, holed, 20).table["reason"].to_pylist()[4] == f"no_{column.name}"


@every_selector
def test_a_missing_column_is_named(name: str) -> None:
    selector = get_selector(name)
    rows = table(selector, 5)
    for column in declared(selector, parameters(selector)):
        if column.optional:
            run(selector, rows.drop_columns([column.name]), 3)
            continue
        with pytest.raises(UsageError, match=f"no column '{column.name}'"):
            run(selector, rows.drop_columns([column.name]), 3)


@every_selector
def test_a_wrong_parameter_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="no_such_parameter"):
        declared(get_selector(name), {"no_such_parameter": 1})


@every_selector
def test_documentation(name: str) -> None:
    found = document(get_selector(name))
    assert found.summary.endswith(".") and len(found.summary) <= 110
    assert found.paper
    for parameter, _, _, meaning in found.parameters:
        assert meaning, parameter
    for column, _, meaning in found.own:
        assert meaning, column
