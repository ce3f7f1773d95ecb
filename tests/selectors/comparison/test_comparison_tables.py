"""The tables of a comparison against sets and plain loops."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.selectors.comparison.runs import Contender, Run
from winnow.selectors.comparison.tables import (
    JACCARD,
    SELECTIONS,
    SUMMARY,
    Comparison,
    by_chance,
    compare,
    jaccard,
)
from winnow.selectors.comparison.traits import Traits
from winnow.selectors.registry import get_selector


def ran(label: str, chosen: list[bool], weight: list[float] | None = None, **more: Any) -> Run:
    """A run that selected just these rows."""
    n = len(chosen)
    table = {
        "row_id": [f"r{i}" for i in range(n)],
        "score": pa.array([None] * n, pa.float64()),
        "selected": pa.array(chosen, pa.bool_()),
        "rank": pa.array([i if c else None for i, c in enumerate(chosen)], pa.int64()),
        "weight": pa.array(
            [w if c else 0.0 for c, w in zip(chosen, weight or [1.0] * n, strict=True)],
            pa.float64(),
        ),
        "reason": pa.array(["selected" if c else "budget" for c in chosen], pa.string()),
        **more,
    }
    contender = Contender(label, get_selector("random"))
    return Run(contender, "ran", pa.table(table), None, 1.5, 2**20)


def row(found: Comparison, label: str) -> dict[str, Any]:
    return next(r for r in found.summary.to_pylist() if r["selector"] == label)


@st.composite
def selections(draw: st.DrawFn) -> list[list[bool]]:
    n = draw(st.integers(1, 30))
    return draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=5))


@given(chosen=selections())
@settings(deadline=None, max_examples=60)
def test_overlap_is_that_of_sets(chosen: list[list[bool]]) -> None:
    sets = {f"s{at}": {i for i, c in enumerate(each) if c} for at, each in enumerate(chosen)}
    table = jaccard({f"s{at}": np.array(each) for at, each in enumerate(chosen)})
    assert table.schema == JACCARD
    found = table.to_pylist()
    assert [(r["a"], r["b"]) for r in found] == [(a, b) for a in sets for b in sets]
    n = len(chosen[0])
    for each in found:
        a, b = sets[each["a"]], sets[each["b"]]
        assert (each["both"], each["either"]) == (len(a & b), len(a | b))
        if a | b:
            assert each["jaccard"] == pytest.approx(len(a & b) / len(a | b))
            chance = len(a) * len(b) / n
            assert each["by_chance"] == pytest.approx(chance / (len(a) + len(b) - chance))
        else:
            assert each["jaccard"] is None and each["by_chance"] is None


def test_overlap_of_more_rows_than_one_piece() -> None:
    n = 2**20 + 1000
    a, b = np.zeros(n, bool), np.zeros(n, bool)
    a[500 : 2**20 + 400] = True
    b[: 2**20 + 300] = True
    found = jaccard({"a": a, "b": b}).to_pylist()[1]
    assert (found["both"], found["either"]) == (2**20 - 200, 2**20 + 400)


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_the_summary_against_plain_loops(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 25))
    number = st.floats(-1e3, 1e3) | st.just(math.nan)
    column = st.lists(number, min_size=n, max_size=n)
    hard, long = data.draw(column), data.draw(column)
    cluster = data.draw(st.lists(st.integers(-1, 4), min_size=n, max_size=n))
    source = data.draw(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=n, max_size=n))
    chosen = data.draw(st.lists(st.booleans(), min_size=n, max_size=n))
    weight = data.draw(st.lists(st.floats(0, 9), min_size=n, max_size=n))
    traits = Traits(
        rows=n, difficulty=np.array(hard), length=np.array(long), tokens=np.array(long),
        source=source, cluster=np.array(cluster, dtype=np.int64),
    )  # fmt: skip
    found = row(compare(traits, [ran("x", chosen, weight)]), "x")
    mine = [i for i in range(n) if chosen[i]]
    assert found["rows"] == len(mine) and found["share"] == pytest.approx(len(mine) / n)
    for name, values in (("difficulty", hard), ("length", long)):
        own = [values[i] for i in mine if not math.isnan(values[i])]
        if not own:
            assert found[f"{name}_mean"] is None and found[f"{name}_q50"] is None
            continue
        mean = math.fsum(own) / len(own)
        assert found[f"{name}_mean"] == pytest.approx(mean, abs=1e-9)
        assert found[f"{name}_q50"] == pytest.approx(_quantile(own, 0.5), abs=1e-9)
        assert found[f"{name}_q10"] == pytest.approx(_quantile(own, 0.1), abs=1e-9)
        pool = [v for v in values if not math.isnan(v)]
        middle = math.fsum(pool) / len(pool)
        spread = math.sqrt(math.fsum((v - middle) ** 2 for v in pool) / len(pool))
        if spread > 1e-6:
            shift = (mean - middle) / spread
            assert found[f"{name}_shift"] == pytest.approx(shift, abs=1e-6)
    tokens = math.fsum(long[i] for i in mine if not math.isnan(long[i]))
    assert found["tokens"] == pytest.approx(tokens, abs=1e-6)
    _check_clusters(found, [cluster[i] for i in mine], cluster)
    own_sources = Counter(source[i] for i in mine if source[i] is not None)
    if own_sources:
        assert {s["source"]: s["rows"] for s in found["sources"]} == dict(own_sources)
        total = sum(own_sources.values())
        pool_sources = Counter(s for s in source if s is not None)
        away = [
            abs(own_sources[s] / total - count / sum(pool_sources.values()))
            for s, count in pool_sources.items()
        ]
        assert found["source_shift"] == pytest.approx(math.fsum(away) / 2)
    else:
        assert found["sources"] is None
    weights = [weight[i] for i in mine]
    squares = math.fsum(w * w for w in weights)
    if squares > 1e-100:
        assert found["effective_rows"] == pytest.approx(math.fsum(weights) ** 2 / squares)


def _check_clusters(found: dict[str, Any], own: list[int], pool: list[int]) -> None:
    own, everyone = [c for c in own if c >= 0], {c for c in pool if c >= 0}
    if not own:
        assert found["clusters"] is None
        return
    counts = Counter(own)
    assert found["clusters"] == len(counts)
    assert found["cluster_share"] == pytest.approx(len(counts) / len(everyone))
    if len(everyone) > 1:
        entropy = -math.fsum(c / len(own) * math.log(c / len(own)) for c in counts.values())
        even = entropy / math.log(len(everyone))
        assert found["cluster_evenness"] == pytest.approx(even, abs=1e-12)
        assert 0 <= found["evenness_by_chance"] <= 1 + 1e-12
    else:
        assert found["cluster_evenness"] is None


@given(cluster=st.lists(st.integers(0, 3), min_size=1, max_size=8), data=st.data())
@settings(deadline=None, max_examples=40)
def test_chance_is_the_mean_over_all_draws(cluster: list[int], data: st.DataObject) -> None:
    drawn = data.draw(st.integers(1, len(cluster)))
    reached, entropies = [], []
    for draw in itertools.combinations(cluster, drawn):
        counts = Counter(draw)
        reached.append(len(counts))
        entropies.append(-math.fsum(c / drawn * math.log(c / drawn) for c in counts.values()))
    found = by_chance(np.array(list(Counter(cluster).values())), drawn)
    assert found[0] == pytest.approx(math.fsum(reached) / len(reached))
    assert found[1] == pytest.approx(math.fsum(entropies) / len(entropies), abs=1e-12)


def _quantile(values: list[float], q: float) -> float:
    """Between the two nearest, as numpy's default."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def test_the_pool_is_the_first_row_and_schemas_hold() -> None:
    traits = Traits(rows=3, cluster=np.array([0, 1, 1]), length=np.array([1.0, 2.0, 3.0]))
    found = compare(traits, [ran("x", [True, False, False])])
    assert found.summary.schema == SUMMARY and found.selections.schema == SELECTIONS
    pool = found.summary.to_pylist()[0]
    assert (pool["selector"], pool["rows"], pool["clusters"]) == ("pool", 3, 2)
    assert pool["length_shift"] == 0.0 and pool["effective_rows"] == 3.0
    assert pool["seconds"] is None and pool["tokens"] is None
    assert row(found, "x")["seconds"] == 1.5 and row(found, "x")["peak_bytes"] == 2**20


def test_one_cluster_of_all_is_even_only_where_there_is_one() -> None:
    traits = Traits(rows=4, cluster=np.array([0, 0, 1, 1]))
    found = compare(traits, [ran("one", [True, True, False, False]), ran("both", [True] * 4)])
    assert row(found, "one")["cluster_evenness"] == 0.0
    assert row(found, "both")["cluster_evenness"] == pytest.approx(1.0)


def test_a_run_that_did_not_run_has_its_reason_and_no_figures() -> None:
    lacking = Run(Contender("g", get_selector("random"), {"a": 1}), "not_run", why="no column x")
    found = compare(Traits(rows=2), [lacking, ran("x", [True, False])])
    told = row(found, "g")
    assert (told["status"], told["why"], told["parameters"]) == (
        "not_run",
        "no column x",
        '{"a":1}',
    )
    assert told["rows"] is None and told["seconds"] is None
    assert set(found.selections["selector"].to_pylist()) == {"x"}
    assert found.jaccard.num_rows == 1


def test_rows_that_lack_a_value_are_counted_by_column() -> None:
    contender = Contender("g", get_selector("grape"))
    reasons = pa.array(["selected", "no_logprob_mean", "no_logprob_mean"], pa.string())
    plain = ran("x", [True, False, False], reason=reasons)
    found = compare(Traits(rows=3), [Run(contender, "ran", plain.table)])
    assert row(found, "g")["lacking"] == [{"column": "logprob_mean", "rows": 2}]


def test_selections_hold_every_row_under_every_run() -> None:
    found = compare(Traits(rows=2), [ran("x", [True, False]), ran("y", [False, True])])
    rows = [(r["row_id"], r["selector"], r["selected"]) for r in found.selections.to_pylist()]
    assert rows == [("r0", "x", True), ("r1", "x", False), ("r0", "y", False), ("r1", "y", True)]


def test_a_run_over_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="x: 2 rows, the pool has 3"):
        compare(Traits(rows=3), [ran("x", [True, False])])
