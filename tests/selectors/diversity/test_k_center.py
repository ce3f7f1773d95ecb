"""`k_center`: the greedy traversal, its guarantee, and the refusal of large jobs."""

import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.diversity import similarity
from winnow.selectors.diversity.k_center import euclidean_to, farthest_first
from winnow.selectors.run import select

Rows = list[tuple[float, ...]]
# Small whole numbers: float32 and float64 agree on every comparison, and ties are many.
points = st.lists(st.tuples(*[st.integers(-4, 4).map(float)] * 2), min_size=1, max_size=12)
# Directions whose cosines float32 tells apart or finds equal as float64 does.
directions = st.lists(
    st.sampled_from([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -3.0)]),
    min_size=1, max_size=10,
)  # fmt: skip


def table(rows: Rows) -> pa.Table:
    return pa.table(
        {"row_id": [f"{i:02}" for i in range(len(rows))], "embedding": [list(r) for r in rows]}
    )


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    lengths = math.hypot(*a) * math.hypot(*b)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def greedy(rows: Rows, count: int, distance: Any, first: int) -> list[int]:
    chosen = [first]
    while len(chosen) < min(count, len(rows)):
        left = [i for i in range(len(rows)) if i not in chosen]
        chosen.append(
            max(left, key=lambda i: (min(distance(rows[i], rows[c]) for c in chosen), -i))
        )
    return chosen


def by_rank(found: pa.Table) -> list[int]:
    ranks = found["rank"].to_pylist()
    return sorted(range(len(ranks)), key=lambda i: ranks[i])


@given(points, st.integers(1, 12))
@settings(deadline=None)
def test_against_the_plain_greedy(rows: Rows, budget: int) -> None:
    found = select("k_center", table(rows), budget=budget)
    mean = [math.fsum(c) / len(rows) for c in zip(*rows, strict=True)]
    order = by_rank(found)
    to_mean = [math.dist(r, mean) for r in rows]
    assert to_mean[order[0]] == pytest.approx(min(to_mean), abs=1e-5)
    wanted = greedy(rows, budget, math.dist, order[0])
    assert order[: len(wanted)] == wanted
    distance = found["distance"].to_pylist()
    assert distance[order[0]] is None
    for place, i in enumerate(order[1:], 1):
        before = order[: min(place, len(wanted))]
        assert distance[i] == pytest.approx(
            min(math.dist(rows[i], rows[c]) for c in before), rel=1e-6
        )
    rest = [distance[i] for i in order[len(wanted) :]]
    assert rest == sorted(rest, reverse=True)
    assert found["score"].to_pylist() == distance


@given(directions, st.integers(1, 10))
@settings(deadline=None)
def test_cosine(rows: Rows, budget: int) -> None:
    found = select("k_center", table(rows), budget=budget, metric="cosine")
    order = by_rank(found)
    wanted = greedy(rows, budget, lambda a, b: max(1 - cosine(a, b), 0), order[0])
    assert order[: len(wanted)] == wanted


@given(points, st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_at_most_twice_the_best_radius(rows: Rows, count: int) -> None:
    def radius(centres: Any) -> float:
        return max(min(math.dist(r, rows[c]) for c in centres) for r in rows)

    count = min(count, len(rows))
    found = select("k_center", table(rows), budget=count)
    best = min(radius(c) for c in itertools.combinations(range(len(rows)), count))
    assert radius(by_rank(found)[:count]) <= 2 * best + 1e-6


def test_the_first_is_nearest_to_the_mean() -> None:
    found = select("k_center", table([(0.0, 0.0), (9.0, 0.0), (4.0, 0.0), (0.0, 1.0)]), budget=1)
    assert found["selected"].to_pylist() == [False, False, True, False]
    assert found["distance"].to_pylist() == pytest.approx([4.0, 5.0, None, math.sqrt(17)])


def test_near_rows_far_from_the_origin() -> None:
    """Differences, not |a|^2 + |b|^2 - 2ab, which is 0 or noise here."""
    far = 4096.0
    rows: Rows = [(far, 0.0), (far, 0.25), (far, 1.0), (far, 0.5)]
    found = select("k_center", table(rows), budget=4)
    assert by_rank(found) == greedy(rows, 4, math.dist, by_rank(found)[0])
    assert sorted(d for d in found["distance"].to_pylist() if d is not None) == [0.25, 0.5, 0.5]


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_blocks_and_threads_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    whole = farthest_first(x, 40, euclidean_to(x))
    monkeypatch.setattr(similarity, "BLOCK", block)
    parts = farthest_first(x, 40, euclidean_to(x))
    assert (whole[0] == parts[0]).all()
    np.testing.assert_array_equal(whole[1], parts[1])


def test_a_job_too_large_is_refused_with_an_estimate() -> None:
    rows = table([(float(i), 0.0) for i in range(50)])
    with pytest.raises(UsageError, match=r"20 centres of 50 rows.*2\.0e\+03 multiply-adds.*second"):
        select("k_center", rows, budget=20, max_operations=1999)
    assert (
        sum(select("k_center", rows, budget=20, max_operations=2000)["selected"].to_pylist()) == 20
    )
