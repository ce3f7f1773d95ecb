"""How a table and feature tables become a pool, and a choice a row per row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pydantic import Field

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Silent
from winnow.pipeline.row_files import RowFile
from winnow.pipeline.schema import column
from winnow.selectors import gather as gathering
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.budget import Budget
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.rows import FileRows, TableRows
from winnow.selectors.run import select, select_rows


class _Best(Parameters):
    least: float = Field(-1e9, description="The lowest score that qualifies.")


class Best(Selector[_Best]):
    """The highest scores."""

    name = "best"
    paper = "none"
    parameters = _Best
    own = pa.schema([column("twice", pa.float64(), "Two times the score.")])

    def inputs(self, parameters: _Best) -> Sequence[Column]:
        return (Column("points", "number", "Points."),)

    def choose(self, pool: Pool, room: int | None, parameters: _Best) -> Choice:
        points = pool["points"]
        order = np.argsort(-points, kind="stable")
        return Choice(
            order[points[order] >= parameters.least],
            points,
            reason=["low" if p < parameters.least else None for p in points],
            weight=np.full(len(pool), 0.5),
            columns={"twice": 2 * points},
        )


def run(
    rows: Any,
    features: Sequence[Any] = (),
    budget: Budget | None = None,
    columns: dict[str, str] | None = None,
    selector: Selector[Any] | None = None,
    **parameters: Any,
) -> list[dict[str, Any]]:
    found = select_rows(
        selector or Best(),
        TableRows(rows),
        [TableRows(f, f"features {at}") for at, f in enumerate(features)],
        parameters=parameters,
        budget=budget,
        seed=0,
        columns=columns or {},
    )
    return found.table.to_pylist()


def test_a_row_out_for_every_row_in() -> None:
    rows = pa.table({"row_id": ["b", "a", "c", "d"], "points": [3.0, None, 1.0, 2.0]})
    assert run(rows, budget=Budget(1, "rows"), least=2.0) == [
        {"row_id": "b", "score": 3.0, "selected": True, "rank": 0, "weight": 0.5,
         "reason": "selected", "twice": 6.0},
        {"row_id": "a", "score": None, "selected": False, "rank": None, "weight": 0.0,
         "reason": "no_points", "twice": None},
        {"row_id": "c", "score": 1.0, "selected": False, "rank": None, "weight": 0.0,
         "reason": "low", "twice": 2.0},
        {"row_id": "d", "score": 2.0, "selected": False, "rank": 1, "weight": 0.5 * 0,
         "reason": "budget", "twice": 4.0},
    ]  # fmt: skip


def test_features_are_joined_by_name() -> None:
    rows = pa.table({"row_id": ["a", "b", "c"]})
    features = pa.table({"row_id": ["c", "x", "a"], "points": [1.0, 9.0, 2.0]})
    found = run(rows, [features])
    assert [row["score"] for row in found] == [2.0, None, 1.0]
    assert found[1]["reason"] == "no_points"


def test_features_go_before_the_rows_own_column() -> None:
    rows = pa.table({"row_id": ["a"], "points": [1.0]})
    assert run(rows, [pa.table({"row_id": ["a"], "points": [5.0]})])[0]["score"] == 5.0


def test_names_that_are_numbers_join_as_text() -> None:
    rows = pa.table({"row_id": [7, 8]})
    features = pa.table({"row_id": ["8", "7"], "points": [1.0, 2.0]})
    assert [row["score"] for row in run(rows, [features])] == [2.0, 1.0]


def test_rows_without_names_are_named_by_their_texts() -> None:
    rows = pa.table({"prompt": ["p", "q", "p"], "completion": ["1", "1", "2"], "points": [1, 2, 3]})
    names = [row["row_id"] for row in run(rows)]
    assert len(set(names)) == 3
    more = rows.append_column("noise", pa.array([4, 5, 6]))
    assert [row["row_id"] for row in run(more)] == names
    features = pa.table({**rows.select(["completion", "prompt"]).to_pydict(), "points": [6, 5, 4]})
    assert [row["score"] for row in run(rows, [features])] == [6, 5, 4]


def test_equal_texts_share_the_features_of_their_text() -> None:
    rows = pa.table({"prompt": ["p", "q", "p"]})
    features = pa.table({"prompt": ["q", "p"], "points": [1.0, 2.0]})
    assert [row["score"] for row in run(rows, [features])] == [2.0, 1.0, 2.0]
    twice = pa.table({"prompt": ["q", "p", "p"], "points": [1.0, 2.0, 3.0]})
    with pytest.raises(UsageError, match="2 rows have the same texts, the first is row 1"):
        run(rows, [twice])


def test_rows_of_one_text_are_told_apart_by_their_values() -> None:
    rows = pa.table({"prompt": ["p", "p", "p"], "points": [3, 1, 2]})
    names = {row["score"]: row["row_id"] for row in run(rows)}
    assert len(set(names.values())) == 3
    turned = {row["score"]: row["row_id"] for row in run(rows.take([2, 0, 1]))}
    assert turned == names


def test_numbers_alone_name_rows_too() -> None:
    rows = pa.table({"points": [3, 1, 3]})
    names = [row["row_id"] for row in run(rows)]
    assert len(set(names)) == 3
    more = rows.append_column("noise", pa.array([4, 5, 6]))
    assert [row["row_id"] for row in run(more)] == names


@pytest.mark.parametrize(
    ("rows", "features", "message"),
    [
        ({"row_id": ["a", "a"], "points": [1, 2]}, [], "rows 0 and 1 have one row_id, 'a'"),
        ({"row_id": ["a", None], "points": [1, 2]}, [], "row 1: row_id is missing"),
        ({"row_id": ["a"]}, [], "no column 'points' .*--column points=NAME.*--features"),
        ({"row_id": ["a"], "points": ["1"]}, [], "points: holds string, not numbers"),
        ({"row_id": ["a"], "points": [[1.0]]}, [], "points: holds list.* not numbers"),
        ({"row_id": ["a"]}, [{"points": [1]}], "no column 'row_id' to join features on"),
        ({"row_id": ["a"]}, [{"row_id": ["b"], "points": [1]}], "none of its row_id stands in"),
        (
            {"row_id": ["a"]},
            [{"row_id": ["a"], "points": [1]}, {"row_id": ["a"], "points": [1]}],
            "points: stands in features 0 and in features 1",
        ),
        ({"row_id": ["a", "b"], "points": [None, None]}, [], "no row has all values"),
        ({"row_id": ["a"], "points": [float("nan")]}, [], "points in 1 of 1 rows"),
    ],
)
def test_what_makes_no_sense(rows: Any, features: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(pa.table(rows), [pa.table(f) for f in features])


def test_another_name_for_a_column() -> None:
    rows = pa.table({"row_id": ["a"], "mine": [4]})
    assert run(rows, columns={"points": "mine"})[0]["score"] == 4
    with pytest.raises(UsageError, match="--column wrong: is no input"):
        run(rows, columns={"wrong": "mine"})
    with pytest.raises(UsageError, match="--column row_id: is no input"):
        run(rows, columns={"row_id": "mine"})


def test_two_columns_of_one_name() -> None:
    rows = pa.table([pa.array([1]), pa.array([2])], names=["points", "points"])
    with pytest.raises(UsageError, match="two columns are called points"):
        run(rows)


@pytest.mark.parametrize("value", ['"\\ud800"', str(2**100), "[1]"])
def test_a_line_that_fits_no_column_is_named(tmp_path: Path, value: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"points": 1, "prompt": "p"}}\n{{"points": 2, "prompt": {value}}}\n')
    with pytest.raises(UsageError, match="rows.jsonl(, row 1)?: prompt: "):
        select_rows(Best(), FileRows(RowFile(path)), parameters={}, budget=None, seed=0, columns={})


def test_a_negative_seed() -> None:
    with pytest.raises(UsageError, match="a seed of -1"):
        select("random", pa.table({"row_id": ["a"]}), budget=1, seed=-1)


def test_tokens_buy_what_fits_in_the_order_of_preference() -> None:
    rows = pa.table(
        {"row_id": ["a", "b", "c", "d"], "points": [4, 3, 2, 1], "n_tokens": [5, 9, 4, 1]}
    )
    found = run(rows, budget=Budget(10, "tokens"))
    assert [row["selected"] for row in found] == [True, False, True, True]
    with pytest.raises(UsageError, match="no column 'n_tokens'"):
        run(rows.drop_columns(["n_tokens"]), budget=Budget(10, "tokens"))
    wrong = pa.table({"row_id": ["a", "b"], "points": [2, 1], "n_tokens": [1, -1]})
    with pytest.raises(UsageError, match="row 'b': n_tokens is below 0"):
        run(wrong, budget=Budget(10, "tokens"))


def test_from_python_with_polars() -> None:
    found = select("random", pl.DataFrame({"row_id": list("abcd")}), budget=0.5, seed=3)
    assert sum(found["selected"].to_pylist()) == 2


class Pairs(Best):
    name = "pairs"

    def choose(self, pool: Pool, room: int | None, parameters: _Best) -> Choice:
        n = len(pool) // 2 * 2
        return Choice(
            np.arange(n), pool["points"], unit=np.arange(n) // 2,
            reason=[None] * n + ["odd"] * (len(pool) - n), columns={"twice": pool["points"]},
        )  # fmt: skip


@pytest.mark.parametrize(("budget", "selected"), [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4), (9, 4)])
def test_what_stands_together_is_not_cut_apart(budget: int, selected: int) -> None:
    rows = pa.table({"row_id": list("abcde"), "points": [1, 2, 3, 4, 5]})
    found = run(rows, budget=Budget(budget, "rows"), selector=Pairs())
    assert sum(row["selected"] for row in found) == selected


class Seen(Best):
    """Remembers its pool."""

    def __init__(self, *columns: Column) -> None:
        self.columns, self.pool = columns, Pool([], {})

    def inputs(self, parameters: _Best) -> Sequence[Column]:
        return self.columns

    def choose(self, pool: Pool, room: int | None, parameters: _Best) -> Choice:
        self.pool = pool
        n = len(pool)
        return Choice(np.arange(n), np.zeros(n), columns={"twice": np.zeros(n)})


def pool_of(rows: dict[str, Any], *columns: Column, features: Sequence[Any] = ()) -> Pool:
    selector = Seen(*columns)
    run(pa.table(rows), [pa.table(f) for f in features], selector=selector)
    return selector.pool


def test_a_pool_is_sorted_by_name_and_holds_what_was_declared() -> None:
    rows = {
        "row_id": ["c", "a", "b"],
        "points": [1, 2, 3],
        "flag": [True, False, True],
        "n": [1.0, 2.0, 3.0],
        "v": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "list": [[1], [], [2, 3]],
        "words": [["x"], ["y", "z"], []],
        "text": ["C", "A", "B"],
        "other": [0, 0, 0],
    }
    pool = pool_of(
        rows,
        Column("points", "number", "."), Column("flag", "flag", "."), Column("n", "integer", "."),
        Column("v", "vector", "."), Column("list", "numbers", "."), Column("words", "texts", "."),
        Column("text", "text", "."), Column("absent", "number", ".", optional=True),
    )  # fmt: skip
    assert list(pool.ids) == ["a", "b", "c"]
    assert pool["points"].tolist() == [2.0, 3.0, 1.0]
    assert pool["flag"].tolist() == [False, True, True]
    assert pool["n"].tolist() == [2, 3, 1] and pool["n"].dtype == np.int64
    assert pool["v"].tolist() == [[3, 4], [5, 6], [1, 2]] and pool["v"].dtype == np.float32
    assert [pool["list"][i].tolist() for i in range(3)] == [[], [2, 3], [1]]
    assert pool["words"] == [["y", "z"], [], ["x"]]
    assert pool["text"] == ["A", "B", "C"]
    assert not pool.has("absent") and not pool.has("other")


def test_rows_that_lack_a_value_leave_every_column() -> None:
    rows = {
        "row_id": list("abcdef"),
        "points": [1.0, None, 3.0, 4.0, 5.0, 6.0],
        "v": [[1.0], [2.0], None, [4.0], [float("nan")], [6.0]],
        "list": [[1], [2], [3], [4, None], [5], [6, 6]],
    }
    columns = (Column("points", "number", "."), Column("v", "vector", "."),
               Column("list", "numbers", "."))  # fmt: skip
    pool = pool_of(rows, *columns)
    assert list(pool.ids) == ["a", "f"]
    assert pool["points"].tolist() == [1, 6]
    assert pool["v"].tolist() == [[1], [6]]
    assert [pool["list"][i].tolist() for i in range(2)] == [[1], [6, 6]]
    reasons = [row["reason"] for row in run(pa.table(rows), selector=Seen(*columns))]
    assert reasons[1:5] == ["no_points", "no_v", "no_list", "no_v"]


def test_where_nulls_are_allowed_the_selector_sees_them() -> None:
    rows = {"row_id": list("ab"), "x": [None, 2], "t": ["s", None], "l": [None, [1.0, None]]}
    pool = pool_of(
        rows,
        Column("x", "integer", ".", nulls=True), Column("t", "text", ".", nulls=True),
        Column("l", "numbers", ".", nulls=True),
    )  # fmt: skip
    assert np.isnan(pool["x"][0]) and pool["x"][1] == 2
    assert pool["t"] == ["s", None]
    assert len(pool["l"][0]) == 0 and np.isnan(pool["l"][1][1])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0], [1.0, 2.0]], "row 1 has a vector of another length than row 0"),
        ([["a"], ["b"]], "not vectors of numbers"),
        ([1.0, 2.0], "holds double, not vectors"),
    ],
)
def test_vectors_that_are_none(vectors: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pool_of({"row_id": ["a", "b"], "v": vectors}, Column("v", "vector", "."))


def test_vectors_of_any_list_type_and_a_matrix_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(20_000, 3)).astype(np.float32)
    names = [f"{i:06d}" for i in np.random.default_rng(1).permutation(len(values))]
    expected = values[np.argsort(names)]
    monkeypatch.setattr(gathering, "_IN_MEMORY", 0.0)
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 3)):
        array = pa.array([None, *values[1:].tolist()], kind)
        pool = pool_of({"row_id": names, "v": array}, Column("v", "vector", "."))
        assert isinstance(pool["v"].base, np.memmap) or isinstance(pool["v"], np.memmap)
        lacks = int(np.searchsorted(np.sort(names), names[0]))
        assert np.array_equal(pool["v"], np.delete(expected, lacks, axis=0))


def test_each_purpose_has_a_random_stream_of_its_own() -> None:
    pool = Pool(["a"], {}, seed=5)
    draws = [pool.rng(*p).random() for p in ((), ("x",), ("y",), ("x", "y"))]
    assert len(set(draws)) == 4
    assert draws == [pool.rng(*p).random() for p in ((), ("x",), ("y",), ("x", "y"))]


def test_groups_are_numbered_in_the_order_of_their_values() -> None:
    pool = Pool(list("abcd"), {"s": ["y", None, "x", "y"]})
    assert pool.groups("s").tolist() == [1, 2, 0, 1]


def test_ragged_rows_against_numpy() -> None:
    rng = np.random.default_rng(0)
    lists = [rng.normal(size=n) for n in (3, 0, 1, 5, 0, 2)]
    ragged = Ragged(np.concatenate(lists), np.cumsum([0, *map(len, lists)]))
    assert len(ragged) == 6
    for at, values in enumerate(lists):
        assert np.array_equal(ragged[at], values)
        assert np.isclose(ragged.sums()[at], values.sum())
        if len(values):
            assert np.isclose(ragged.means()[at], values.mean())
            assert np.isclose(ragged.stds()[at], values.std())
        else:
            assert np.isnan(ragged.means()[at]) and np.isnan(ragged.stds()[at])
        if len(values) > 1:
            assert np.isclose(ragged.stds(ddof=1)[at], values.std(ddof=1))
        else:
            assert np.isnan(ragged.stds(ddof=1)[at])


def test_a_broken_promise_is_a_bug_not_bad_input() -> None:
    class Twice(Best):
        def choose(self, pool: Pool, room: int | None, parameters: _Best) -> Choice:
            return Choice(np.zeros(2, np.int64), pool["points"], columns={"twice": pool["points"]})

    with pytest.raises(AssertionError, match="best"):
        run(pa.table({"row_id": ["a", "b"], "points": [1, 2]}), selector=Twice())


def test_progress_reaches_the_selector() -> None:
    assert isinstance(Pool([], {}).progress, Silent)
