"""Chains of selectors, against running them by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import ALPHA, MCTS_SOLVED, QUALITY, N, but
from winnow.selectors.mixing import compose
from winnow.selectors.parameters import NoParameters, Parameters
from winnow.selectors.pool import Pool, Ragged
from winnow.selectors.registry import get_selector
from winnow.selectors.run import declared, select


class Best(Selector[NoParameters]):
    """Rows of high quality."""

    name, paper, parameters = "best", "none", NoParameters

    def inputs(self, parameters: NoParameters) -> Sequence[Column]:
        return (QUALITY,)

    def choose(self, pool: Pool, room: int | None, parameters: NoParameters) -> Choice:
        good = pool["quality"] >= 0
        order = np.argsort(-pool["quality"], kind="stable")
        return Choice(
            order[good[order]],
            pool["quality"],
            reason=[None if g else "bad" for g in good],
            weight=np.array([1.0 + at % 3 for at in range(len(pool))]),
            count=4,
        )


class PairsParameters(Parameters):
    """Parameters of the test's pairs."""

    nulls: bool = True


class Pairs(Selector[PairsParameters]):
    """Rows two by two; reads columns whose values may be missing."""

    name, paper, parameters, needs_budget = "pairs", "none", PairsParameters, True

    def inputs(self, parameters: PairsParameters) -> Sequence[Column]:
        return tuple(
            but(c, nulls=parameters.nulls, optional=True) for c in (N, MCTS_SOLVED, ALPHA, QUALITY)
        )

    def choose(self, pool: Pool, room: int | None, parameters: PairsParameters) -> Choice:
        assert room is not None
        if parameters.nulls and pool.has("n"):
            assert pool["n"].dtype == np.float64 and isinstance(pool["mcts_solved"], list)
        n = len(pool)
        return Choice(
            np.arange(n), np.full(n, 0.5), unit=np.arange(n) // 2, weight=np.full(n, 2.0),
            reason=["pair"] * n,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    real = get_selector
    ours: dict[str, Selector[Any]] = {"best": Best(), "pairs": Pairs()}
    monkeypatch.setattr(compose, "get_selector", lambda name: ours.get(name) or real(name))


def table(rows: int = 12, **more: Any) -> pa.Table:
    return pa.table(
        {
            "row_id": [f"r{at:03d}" for at in range(rows)],
            "quality": [float(at) - 2 for at in range(rows)],
            "source": ["a" if at % 3 else "b" for at in range(rows)],
            **more,
        }
    )


def run(rows: pa.Table, *steps: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = select("compose", rows, steps=list(steps), **more).to_pylist()
    return found


def test_each_step_sees_what_the_one_before_selected() -> None:
    found = run(table(), {"name": "best"}, {"name": "pairs", "budget": 3})
    assert [r["reason"] for r in found] == (
        ["1:best:bad"] * 2
        + ["1:best:not_chosen"] * 6
        + ["2:pairs:pair"] * 2
        + ["2:pairs:budget"] * 2
    )
    assert [r["selected"] for r in found] == [False] * 8 + [True, True, False, False]
    assert [r["rank"] for r in found] == [None] * 8 + [0, 1, None, None]
    assert [r["steps_passed"] for r in found] == [0] * 8 + [2, 2, 1, 1]
    assert [r["score"] for r in found] == [None] * 8 + [0.5] * 4


def test_weights_multiply() -> None:
    found = run(table(), {"name": "best"}, {"name": "pairs", "budget": 4})
    assert [r["weight"] for r in found] == [0] * 8 + [6, 2, 4, 6]  # of rows 8 to 11: 3, 1, 2, 3


def test_the_budget_of_a_step_is_of_what_it_sees() -> None:
    steps: list[dict[str, Any]] = [
        {"name": "best", "budget": 0.5},
        {"name": "pairs", "budget": 0.67},
    ]
    found = run(table(), *steps)
    assert [r["row_id"] for r in found if r["selected"]] == ["r006", "r007", "r008", "r009"]
    assert {r["reason"] for r in found[2:6]} == {"1:best:budget"}


def test_a_row_cut_by_the_last_step_says_so() -> None:
    found = run(table(), {"name": "mix"}, {"name": "best", "budget": 3})
    assert [r["reason"] for r in found[2:]] == ["2:best:budget"] * 7 + ["selected"] * 3
    found = run(table(), {"name": "mix"}, {"name": "best"})
    assert [r["reason"] for r in found[2:]] == ["2:best:not_chosen"] * 6 + ["selected"] * 4
    found = run(table(), {"name": "mix"}, {"name": "best", "budget": 3}, budget=2)
    assert [r["reason"] for r in found[2:]] == ["budget"] * 8 + ["selected"] * 2
    assert [r["steps_passed"] for r in found] == [1] * 2 + [2] * 10


def test_the_budget_of_the_whole_replaces_the_last_one() -> None:
    steps: list[dict[str, Any]] = [{"name": "best"}, {"name": "pairs", "budget": 2}]
    assert sum(r["selected"] for r in run(table(), *steps, budget=4)) == 4
    assert sum(r["selected"] for r in run(table(), *steps, budget=3)) == 2  # pairs stay whole
    assert (
        sum(r["selected"] for r in run(table(), {"name": "best"}, {"name": "pairs"}, budget=4)) == 4
    )


def test_a_budget_in_tokens_within() -> None:
    rows = table(n_tokens=[10, 90, 10, 10, 10, 10, 10, 10, 10, 10, 90, 10])
    found = run(rows, {"name": "best", "budget": "25tok"}, {"name": "mix"})
    assert [r["row_id"] for r in found if r["selected"]] == ["r009", "r011"]
    found = run(rows, {"name": "mix"}, {"name": "best", "budget": "25tok"})
    assert [r["row_id"] for r in found if r["selected"]] == ["r009", "r011"]
    assert found[10]["rank"] is None and found[10]["reason"] == "2:best:budget"
    found = run(rows, {"name": "mix"}, {"name": "best", "budget": "25tok"}, budget=2)
    assert [r["row_id"] for r in found if r["selected"]] == ["r010", "r011"]
    with pytest.raises(UsageError, match="no column 'n_tokens'"):
        run(table(), {"name": "best", "budget": "25tok"})


def test_one_step_is_the_selector_itself() -> None:
    both: dict[str, dict[str, Any]] = {"random": {}, "mix": {"temperature": 3.0}}
    for name, parameters in both.items():
        alone = select(name, table(40), budget=11, seed=3, **parameters)
        chained = select(
            "compose", table(40), budget=11, seed=3,
            steps=[{"name": name, "parameters": parameters}],
        )  # fmt: skip
        for column in ("score", "selected", "rank", "weight"):
            assert alone[column] == chained[column]


def test_a_later_step_is_the_selector_on_the_smaller_table() -> None:
    rows = table(40)
    first = select("mix", rows, weights={"a": 1}, seed=5)
    rest = rows.filter(first["selected"])
    second = select("random", rest, budget=6, seed=5)
    expected = set(rest.filter(second["selected"])["row_id"].to_pylist())
    steps: list[dict[str, Any]] = [
        {"name": "mix", "parameters": {"weights": {"a": 1}}},
        {"name": "random", "budget": 6},
    ]
    assert {r["row_id"] for r in run(rows, *steps, seed=5) if r["selected"]} == expected


def test_a_second_draw_does_not_repeat_the_first() -> None:
    """With the same numbers twice, the first row would be kept in more than a quarter of the runs:
    where its number is high enough the first time, it is the second time."""
    steps: list[dict[str, Any]] = [{"name": "random", "budget": 0.5}] * 2
    chain = {"name": "compose", "parameters": {"steps": steps[:1]}}
    for second in (steps[1], chain):
        kept = [run(table(8), steps[0], second, seed=seed)[0]["selected"] for seed in range(300)]
        assert 45 < sum(kept) < 105  # 75 expected, four standard deviations


def test_chains_within_chains() -> None:
    inner = {"name": "compose", "parameters": {"steps": [{"name": "best", "budget": 6}]}}
    found = run(table(), inner, {"name": "pairs", "budget": 2})
    assert found[0]["reason"] == "1:compose:1:best:bad"
    assert [r["row_id"] for r in found if r["selected"]] == ["r006", "r007"]


def test_inputs_are_the_union() -> None:
    steps = {"steps": [{"name": "best"}, {"name": "pairs"}, {"name": "mix"}]}
    names = [c.name for c in declared(compose.Compose(), steps)]
    assert names == ["quality", "n", "mcts_solved", "alpha", "source"]
    for order in (["best", "pairs"], ["pairs", "best"]):
        both = declared(compose.Compose(), {"steps": [{"name": name} for name in order]})
        quality = next(c for c in both if c.name == "quality")
        assert not quality.optional and not quality.nulls
    strict = {"steps": [{"name": "pairs"}, {"name": "pairs", "parameters": {"nulls": False}}]}
    assert not any(c.nulls for c in declared(compose.Compose(), strict))
    assert all(c.optional for c in declared(compose.Compose(), strict))


def test_a_value_that_any_step_needs_is_needed_by_all() -> None:
    rows = table(4, n=[8, None, 8, 8], mcts_solved=[True] * 4, alpha=[1.0] * 4)
    loose, strict = (
        {"name": "pairs", "budget": 4, "parameters": {"nulls": x}} for x in (True, False)
    )
    assert all(r["selected"] for r in run(rows, loose, loose))
    assert run(rows, loose, strict)[1]["reason"] == "no_n"


def test_no_row_is_left() -> None:
    found = run(
        table(), {"name": "best", "budget": 0}, {"name": "pairs", "budget": 3}, {"name": "mix"}
    )
    assert not any(r["selected"] for r in found)
    assert {r["reason"] for r in found} == {"1:best:bad", "1:best:budget"}


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "name at least one selector"),
        ([{"name": "nobody"}], "step 1:nobody: selector 'nobody' is not known"),
        ([{"name": "best"}, {"name": "pairs"}], "step 2:pairs: needs a budget"),
        ([{"name": "best", "parameters": {"x": 1}}], "step 1:best: x: "),
        ([{"name": "best", "budget": 1.5}], "step 1:best: a budget of 1.5"),
        ([{"name": "best", "budget": "many"}], "step 1:best: budget 'many'"),
        ([{"name": "best", "size": 3}], "steps.0.size"),
        (
            [{"name": "mix", "parameters": {"weights": {"z": 1}}}],
            "step 1:mix: weights: no usable row has the source 'z'",
        ),
    ],
)
def test_what_makes_no_sense_is_named(steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(table(), *steps)


class TestTake:
    def test_every_kind_of_column(self) -> None:
        lists = [[1.0], [], [2.0, 3.0], [4.0]]
        ragged = Ragged(np.array([1.0, 2, 3, 4]), np.array([0, 1, 1, 3, 4]))
        matrix = np.arange(8, dtype=np.float32).reshape(4, 2)
        pool = Pool(list("abcd"), {"l": ragged, "m": matrix, "t": ["w", "x", None, "z"]}, seed=7)
        for rows in ([0, 2], [1], [], [0, 1, 2, 3], [1, 3]):
            part = pool.take(np.array(rows, dtype=np.int64))
            assert list(part.ids) == ["abcd"[i] for i in rows] and part.seed == 7
            assert [part["l"][i].tolist() for i in range(len(part))] == [lists[i] for i in rows]
            assert np.array_equal(part["m"], matrix[rows])
            assert part["t"] == [["w", "x", None, "z"][i] for i in rows]
        assert not pool.take(np.array([1]), ["t", "absent"]).has("m")

    def test_a_matrix_in_a_file_stays_in_one(self) -> None:
        file = np.memmap(compose.__file__, np.float32, "r", shape=(100, 2))
        pool = Pool([str(i) for i in range(100)], {"m": file})
        rows = np.arange(0, 100, 3)
        part = pool.take(rows)["m"]
        assert isinstance(part, np.memmap) and part.tobytes() == file[rows].tobytes()
        assert pool.take(np.arange(100))["m"] is file


@given(
    rates=st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=30),
    low=st.sampled_from([0.0, 0.5]),
    high=st.sampled_from([0.5, 1.0]),
    first=st.none() | st.integers(0, 30),
    budget=st.integers(0, 30),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_a_chain_is_its_steps_by_hand(
    rates: list[float], low: float, high: float, first: int | None, budget: int, seed: int
) -> None:
    rows = pa.table({"row_id": [f"r{i:02d}" for i in range(len(rates))], "pass_rate": rates})
    steps = [
        {"name": "pass_rate", "budget": first, "parameters": {"low": low, "high": high}},
        {"name": "random"},
    ]
    whole = select("compose", rows, budget=budget, seed=seed, steps=steps).to_pylist()
    passed = select("pass_rate", rows, budget=first, seed=seed, low=low, high=high)
    left = rows.filter(passed["selected"])
    last = {r["row_id"]: r for r in select("random", left, budget=budget, seed=seed).to_pylist()}
    for row in whole:
        by_hand = last.get(row["row_id"])
        assert row["selected"] == (by_hand is not None and by_hand["selected"])
        assert row["rank"] == (by_hand and by_hand["rank"])
