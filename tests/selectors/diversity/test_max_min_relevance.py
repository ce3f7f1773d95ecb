"""`max_min_relevance`: maximal marginal relevance against a plain loop."""

import math

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.run import select

# Cosines of these are exact in float32: -1, 0, 0.6, 0.8 of small Pythagorean sides would not be.
AXES = [(0.0, 0.0), (1.0, 0.0), (4.0, 0.0), (0.0, 2.0), (-1.0, 0.0), (0.0, -2.0)]
Rows = list[tuple[tuple[float, float], float]]
rows_of = st.lists(
    st.tuples(st.sampled_from(AXES), st.integers(-8, 8).map(lambda v: v / 8)),
    min_size=1,
    max_size=12,
)


def table(rows: Rows) -> pa.Table:
    return pa.table(
        {
            "row_id": [f"{i:02}" for i in range(len(rows))],
            "embedding": [list(v) for v, _ in rows],
            "relevance": [r for _, r in rows],
        }
    )


def cosine(a: tuple[float, float], b: tuple[float, float]) -> float:
    lengths = math.hypot(*a) * math.hypot(*b)
    return (a[0] * b[0] + a[1] * b[1]) / lengths if lengths else 0.0


@given(rows_of, st.integers(0, 12), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
@settings(deadline=None)
def test_against_the_plain_loop(rows: Rows, budget: int, weight: float) -> None:
    found = select(
        "max_min_relevance", table(rows), budget=budget, relevance_weight=weight
    ).to_pylist()
    chosen: list[int] = []

    def similarity(i: int) -> float | None:
        return max((cosine(rows[i][0], rows[c][0]) for c in chosen), default=None)

    def value(i: int) -> float:
        return weight * rows[i][1] - (1 - weight) * (similarity(i) or 0.0)

    def check(i: int) -> None:
        assert found[i]["score"] == pytest.approx(value(i))
        assert found[i]["similarity"] == similarity(i)

    for place in range(min(budget, len(rows))):
        left = [i for i in range(len(rows)) if i not in chosen]
        best = max(left, key=lambda i: (value(i), -i))
        assert found[best]["rank"] == place
        check(best)
        chosen.append(best)
    rest = [i for i in range(len(rows)) if i not in chosen]
    for place, i in enumerate(sorted(rest, key=lambda i: (-value(i), i)), len(chosen)):
        assert found[i]["rank"] == place
        check(i)


def test_by_hand() -> None:
    """0.5 rel - 0.5 cos: the near copy of the best is passed over for the less relevant other."""
    rows: Rows = [((1.0, 0.0), 0.9), ((1.0, 0.1), 0.8), ((0.0, 1.0), 0.3)]
    found = select("max_min_relevance", table(rows), budget=2).to_pylist()
    assert [r["rank"] for r in found] == [0, 2, 1]
    assert found[0]["score"] == pytest.approx(0.45)
    assert found[2]["score"] == pytest.approx(0.15)
    only = select("max_min_relevance", table(rows), budget=2, relevance_weight=1.0).to_pylist()
    assert [r["rank"] for r in only] == [0, 1, 2]


def test_relevance_mapped_to_the_scale_of_a_cosine() -> None:
    rows: Rows = [((1.0, 0.0), 10.0), ((0.0, 1.0), 30.0), ((-1.0, 0.0), 20.0)]
    found = select(
        "max_min_relevance", table(rows), budget=1, scale="min_max", relevance_weight=1.0
    )
    assert found["score"].to_pylist() == [0.0, 1.0, 0.5]
    equal: Rows = [((1.0, 0.0), 7.0), ((0.0, 1.0), 7.0)]
    found = select(
        "max_min_relevance", table(equal), budget=1, scale="min_max", relevance_weight=1.0
    )
    assert found["score"].to_pylist() == [0.0, 0.0]
    huge: Rows = [((1.0, 0.0), -1.7e308), ((0.0, 1.0), 1.7e308)]
    found = select(
        "max_min_relevance", table(huge), budget=1, scale="min_max", relevance_weight=1.0
    )
    assert found["score"].to_pylist() == [0.0, 1.0]


def test_a_job_too_large_is_refused_with_an_estimate() -> None:
    rows: Rows = [((1.0, float(i)), 0.0) for i in range(50)]
    with pytest.raises(UsageError, match=r"20 of 50 rows.*2\.0e\+03 multiply-adds"):
        select("max_min_relevance", table(rows), budget=20, max_operations=1999)
    select("max_min_relevance", table(rows), budget=20, max_operations=2000)
