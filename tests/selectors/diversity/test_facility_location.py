"""`facility_location`: greedy against brute force, its guarantees, and the forms it takes."""

import itertools
import math
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.diversity import coverage, similarity
from winnow.selectors.diversity.coverage import (
    Blocks,
    Neighbours,
    Stored,
    lazy_greedy,
    sample_size,
    stochastic_greedy,
)
from winnow.selectors.diversity.similarity import unit_rows
from winnow.selectors.run import select

# Cosines that are exact in float32, so that ties are ties everywhere.
AXES = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (3.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 2.0),
        (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)]  # fmt: skip
Rows = list[tuple[float, ...]]
rows_of = st.lists(st.sampled_from(AXES), min_size=1, max_size=12)


def table(rows: Any) -> pa.Table:
    return pa.table(
        {"row_id": [f"{i:04}" for i in range(len(rows))], "embedding": [list(r) for r in rows]}
    )


def clipped(a: Any, b: Any) -> float:
    lengths = math.hypot(*a) * math.hypot(*b)
    return (
        max(0.0, math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths) if lengths else 0.0
    )


def objective(rows: Any, chosen: Any, kept: list[set[int]] | None = None) -> float:
    return math.fsum(
        max((clipped(r, rows[j]) for j in chosen if kept is None or j in kept[i]), default=0.0)
        for i, r in enumerate(rows)
    )


def greedy(rows: Any, count: int) -> list[int]:
    chosen: list[int] = []
    for _ in range(min(count, len(rows))):
        left = [i for i in range(len(rows)) if i not in chosen]
        value = {i: objective(rows, [*chosen, i]) for i in left}
        chosen.append(min(i for i in left if value[i] >= max(value.values()) - 1e-6))
    return chosen


def by_rank(found: pa.Table) -> list[int]:
    ranks = found["rank"].to_pylist()
    return sorted(range(len(ranks)), key=lambda i: ranks[i])


@pytest.mark.parametrize("stored", [True, False])
@given(rows_of, st.integers(0, 12))
@settings(deadline=None, max_examples=50)
def test_against_the_plain_greedy(stored: bool, rows: Rows, budget: int) -> None:
    found = select(
        "facility_location",
        table(rows),
        budget=budget,
        method="exact",
        exact_rows=99 if stored else 1,
    )
    wanted = greedy(rows, budget)
    order = by_rank(found)
    assert order[: len(wanted)] == wanted
    cover = found["coverage"].to_pylist()
    for i in range(len(rows)):
        assert cover[i] == max((clipped(rows[i], rows[j]) for j in wanted), default=0.0)
    scores = found["score"].to_pylist()
    for place, i in enumerate(wanted):
        gain = objective(rows, wanted[: place + 1]) - objective(rows, wanted[:place])
        assert scores[i] == pytest.approx(gain)
    rest = order[len(wanted) :]
    assert rest == sorted(rest, key=lambda i: (cover[i], i))
    assert all(scores[i] is None for i in rest)


@pytest.mark.parametrize("form", ["stored", "blocks", "neighbours"])
@pytest.mark.parametrize("seed", range(4))
def test_the_lazy_search_finds_the_greedy_set(form: str, seed: int) -> None:
    """On ordinary vectors: the same set as recomputing every gain each time."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 4)) + 2 * np.eye(4)[rng.integers(0, 4, 40)]
    unit = unit_rows(x.astype(np.float32))
    made: Any = {"stored": Stored, "blocks": Blocks, "neighbours": lambda u: Neighbours(u, 40)}[
        form
    ]
    if form == "neighbours":
        pytest.importorskip("faiss")
    chosen, gain = lazy_greedy(made(unit), 40, 12)
    assert chosen.tolist() == greedy(x.tolist(), 12)
    assert math.fsum(gain.tolist()) == pytest.approx(
        objective(x.tolist(), chosen.tolist()), rel=1e-5
    )


@given(rows_of, st.integers(1, 4), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_at_least_1_minus_1_over_e_of_the_best(rows: Rows, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    noisy = [tuple(np.array(r) + 0.3 * rng.standard_normal(3)) for r in rows]
    found = select("facility_location", table(noisy), budget=count)
    count = min(count, len(rows))
    best = max(objective(noisy, c) for c in itertools.combinations(range(len(rows)), count))
    assert objective(noisy, by_rank(found)[:count]) >= (1 - 1 / math.e) * best - 1e-5


def test_stochastic_with_every_row_in_the_sample_is_exact() -> None:
    x = np.random.default_rng(0).standard_normal((50, 5))
    unit = unit_rows(x.astype(np.float32))
    exact = lazy_greedy(Blocks(unit), 50, 10)
    rng = np.random.default_rng(1)
    sampled = stochastic_greedy(Blocks(unit), 50, 10, 1e-9, rng)  # 104 of 50
    assert exact[0].tolist() == sampled[0].tolist()
    np.testing.assert_allclose(exact[1], sampled[1], rtol=1e-5)


def test_the_sample_of_the_stochastic_form() -> None:
    assert sample_size(100_000, 1000, 0.1) == math.ceil(100 * math.log(10)) == 231
    assert sample_size(10, 10, 0.5) == 1
    assert sample_size(10, 1, 0.01) == 10
    assert sample_size(10, 0, 0.01) == 10


@pytest.mark.parametrize("seed", range(3))
def test_stochastic_is_near_exact_and_distinct(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((400, 6)) + 2 * np.eye(6)[rng.integers(0, 6, 400)]
    exact = by_rank(select("facility_location", table(x), budget=40))[:40]
    found = select(
        "facility_location", table(x), budget=40, method="stochastic", epsilon=0.05, seed=seed
    )
    sampled = by_rank(found)[:40]
    assert len(set(sampled)) == 40
    assert objective(x, sampled) >= 0.95 * objective(x, exact)
    other = select("facility_location", table(x), budget=40, method="stochastic", seed=seed + 1)
    assert by_rank(other)[:40] != sampled


def test_auto_is_stochastic_above_exact_rows() -> None:
    x = table(np.random.default_rng(0).standard_normal((80, 5)))

    def chosen(**parameters: Any) -> list[int]:
        return by_rank(select("facility_location", x, budget=20, **parameters))[:20]

    assert chosen() == chosen(method="exact") == chosen(exact_rows=80)
    assert chosen(exact_rows=79) == chosen(method="stochastic") != chosen()
    assert chosen(exact_rows=79, method="exact") == chosen()


@pytest.mark.parametrize("count", [1, 3, 8])
def test_only_neighbours_count(count: int) -> None:
    pytest.importorskip("faiss")
    x = np.random.default_rng(2).standard_normal((30, 4))
    found = select("facility_location", table(x), budget=6, neighbours=count)
    kept = [set(sorted(range(30), key=lambda j: -_cosine(x[i], x[j]))[:count]) for i in range(30)]
    wanted: list[int] = []
    for _ in range(6):
        left = [i for i in range(30) if i not in wanted]
        wanted.append(max(left, key=lambda i: round(objective(x, [*wanted, i], kept), 6)))
    order = by_rank(found)[:6]
    if count > 1:  # alone every row counts 1 for itself: float32 decides
        assert order == wanted
    assert math.fsum(found["coverage"].to_pylist()) == pytest.approx(
        objective(x, order, kept), rel=1e-5
    )


def _cosine(a: Any, b: Any) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("block", [1, 16, 64])
def test_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = unit_rows(np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32))
    whole = lazy_greedy(Blocks(unit), 50, 12)
    monkeypatch.setattr(coverage, "BLOCK", block)
    monkeypatch.setattr(similarity, "BLOCK", block)
    monkeypatch.setattr(coverage, "_FIRST_BATCH", 1)
    for made in (Blocks(unit), Stored(unit)):
        parts = lazy_greedy(made, 50, 12)
        assert whole[0].tolist() == parts[0].tolist()
        np.testing.assert_allclose(whole[1], parts[1], rtol=1e-5)


def test_unit_rows() -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0], [3e30, -4e30]], np.float32)
    wanted = np.array([[0.6, 0.8], [0.0, 0.0], [1.0, 0.0], [0.6, -0.8]], np.float32)
    assert np.abs(unit_rows(x) - wanted).max() < 1e-6


@pytest.mark.parametrize(
    "parameters",
    [{}, {"method": "exact", "exact_rows": 1}, {"method": "stochastic"}, {"neighbours": 3}],
)
def test_a_job_too_large_is_refused_with_an_estimate(parameters: dict[str, Any]) -> None:
    x = table(np.random.default_rng(0).standard_normal((40, 3)))
    with pytest.raises(UsageError, match=r"5 of 40 rows.*multiply-adds.*GiB.*max_operations"):
        select("facility_location", x, budget=5, max_operations=100, **parameters)


def test_a_large_pool_is_refused_before_anything_is_computed() -> None:
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(400_000, np.float32)), 2)
    rows = pa.table({"row_id": [f"{i:06}" for i in range(200_000)], "embedding": x})
    with pytest.raises(UsageError, match="fewer rows"):
        select("facility_location", rows, budget=1000, max_operations=1e11)


def test_more_memory_than_is_free_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Little:
        available = 9000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    x = table(np.random.default_rng(0).standard_normal((50, 3)))
    with pytest.raises(UsageError, match="memory.*lower exact_rows"):
        select("facility_location", x, budget=5)
    select("facility_location", x, budget=5, exact_rows=10)
