"""`kmeans`: quotas over clusters, who goes first in one, and the order beyond the budget."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.quotas import balanced, proportional, square_root
from winnow.selectors.diversity.clustering import dealt, number_of_clusters
from winnow.selectors.run import select

pytest.importorskip("faiss")

SIZES = (40, 20, 4)
RULES = {"balanced": balanced, "proportional": proportional, "sqrt": square_root}


def table(seed: int = 0, **columns: Any) -> pa.Table:
    """Three far-apart blobs of 40, 20 and 4 rows."""
    rng = np.random.default_rng(seed)
    blob = np.repeat([0, 1, 2], SIZES)
    x = 30 * np.eye(3, 6)[blob] + rng.standard_normal((64, 6))
    return pa.table(
        {"row_id": [f"{i:02}" for i in range(64)], "embedding": x.tolist(), "blob": blob, **columns}
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("budget", [0, 1, 7, 20, 63, 64])
def test_quotas(rule: str, budget: int) -> None:
    rows = table()
    found = select("kmeans", rows, budget=budget, clusters=3, quotas=rule).to_pylist()
    wanted = RULES[rule](budget, SIZES).tolist()
    taken = Counter(
        b for b, r in zip(rows["blob"].to_pylist(), found, strict=True) if r["selected"]
    )
    assert [taken[b] for b in range(3)] == wanted
    for blob, row in zip(rows["blob"].to_pylist(), found, strict=True):
        assert (row["cluster"], row["quota"]) == (blob, wanted[blob])


def test_by_hand() -> None:
    found = [
        select("kmeans", table(), budget=12, clusters=3, quotas=rule)
        .filter(pa.compute.field("selected"))["cluster"]
        .to_pylist()
        for rule in RULES
    ]
    assert [sorted(Counter(c).items()) for c in found] == [
        [(0, 4), (1, 4), (2, 4)],
        [(0, 7), (1, 4), (2, 1)],  # 7.5, 3.75, 0.75
        [(0, 6), (1, 4), (2, 2)],  # 5.9, 4.2, 1.9
    ]


@pytest.mark.parametrize("within", ["nearest", "farthest", "random", "quality"])
def test_who_goes_first_in_a_cluster(within: str) -> None:
    quality = np.random.default_rng(1).standard_normal(64).tolist()
    rows = table(quality=quality)
    found = select("kmeans", rows, budget=6, clusters=3, within=within).to_pylist()
    x = np.array(rows["embedding"].to_pylist(), np.float32).astype(float)
    blob = np.array(rows["blob"])
    centres = np.array([x[blob == b].mean(axis=0) for b in range(3)])
    distance = np.linalg.norm(x - centres[blob], axis=1)
    np.testing.assert_allclose([r["centroid_distance"] for r in found], distance, rtol=1e-5)
    key = {"nearest": -distance, "farthest": distance, "quality": np.array(quality)}
    if within == "random":
        other = select("kmeans", rows, budget=6, clusters=3, within=within, seed=1).to_pylist()
        assert {r["row_id"] for r in found if r["selected"]} != {
            r["row_id"] for r in other if r["selected"]
        }
        return
    for b in range(3):
        best = sorted(np.flatnonzero(blob == b), key=lambda i: -key[within][i])[:2]
        assert {i for i, r in enumerate(found) if r["selected"] and blob[i] == b} == set(best)
    np.testing.assert_allclose([r["score"] for r in found], key[within], rtol=1e-5)


def oracle(label: list[int], score: list[float], quota: list[int]) -> list[int]:
    members = [
        sorted((i for i in range(len(label)) if label[i] == c), key=lambda i: (-score[i], i))
        for c in range(len(quota))
    ]
    inside = [
        ((place + 0.5) / quota[c], c, i)
        for c, rows in enumerate(members)
        for place, i in enumerate(rows[: quota[c]])
    ]
    outside = [
        (place, c, i) for c, rows in enumerate(members) for place, i in enumerate(rows[quota[c] :])
    ]
    return [i for _, _, i in sorted(inside)] + [i for _, _, i in sorted(outside)]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=1, max_size=40),
    st.integers(0, 45),
)
def test_the_order(rows: list[tuple[int, int]], budget: int) -> None:
    label = np.unique([c for c, _ in rows], return_inverse=True)[1]
    score = [float(s) for _, s in rows]
    quota = balanced(budget, np.bincount(label))
    order = dealt(label, np.array(score), quota).tolist()
    assert order == oracle(label.tolist(), score, quota.tolist())
    taken = np.bincount(label[order[: quota.sum()]], minlength=len(quota))
    assert taken.tolist() == quota.tolist()


@given(st.integers(1, 60), st.integers(0, 64), st.integers(0, 99))
@settings(deadline=None, max_examples=15)
def test_a_short_prefix_keeps_the_shares(clusters: int, budget: int, seed: int) -> None:
    """Half of a budget takes from every cluster its half, to within one row."""
    found = select("kmeans", table(), budget=budget, clusters=clusters, seed=seed).to_pylist()
    half = Counter(r["cluster"] for r in found if r["rank"] < budget // 2)
    for row in found:
        assert abs(half[row["cluster"]] - row["quota"] / 2) <= 1.5


def test_ready_clusters() -> None:
    rows = table(
        cluster=[7] * 40 + [-1] * 20 + [3] * 4, centroid_distance=[i / 64 for i in range(64)]
    )
    rows = rows.drop_columns(["embedding"])
    found = select("kmeans", rows, budget=6, groups="cluster", within="nearest").to_pylist()
    assert [i for i, r in enumerate(found) if r["selected"]] == [0, 1, 40, 41, 60, 61]
    assert [found[i]["cluster"] for i in (0, 40, 60)] == [7, -1, 3]
    found = select("kmeans", rows, budget=6, groups="cluster", within="farthest").to_pylist()
    assert [i for i, r in enumerate(found) if r["selected"]] == [38, 39, 58, 59, 62, 63]
    alone = rows.drop_columns(["centroid_distance"])
    found = select("kmeans", alone, budget=6, groups="cluster").to_pylist()
    assert all(r["centroid_distance"] is None for r in found)
    with pytest.raises(UsageError, match="no column 'centroid_distance'"):
        select("kmeans", alone, budget=6, groups="cluster", within="nearest")


def test_the_number_of_clusters() -> None:
    x = np.zeros((200, 2), np.float32)
    assert number_of_clusters(x, "sqrt", 0) == 10
    assert number_of_clusters(x[:1], "sqrt", 0) == 1
    assert number_of_clusters(np.zeros((10**7, 1), np.float32), "sqrt", 0) == 1024
    assert number_of_clusters(x, 5, 0) == 5
    found = select("kmeans", table(), budget=6, clusters="silhouette")
    assert len(set(found["cluster"].to_pylist())) in (2, 4)  # powers of two beside the true 3
    with pytest.raises(UsageError, match="clusters must be at least 1"):
        select("kmeans", table(), budget=6, clusters=0)


def test_equal_rows_are_one_cluster() -> None:
    rows = pa.table({"row_id": ["b", "a", "c"], "embedding": [[1.0, 0.0]] * 3})
    found = select("kmeans", rows, budget=2, clusters=3).to_pylist()
    assert [r["cluster"] for r in found] == [0, 0, 0]
    assert [r["selected"] for r in found] == [True, True, False]


def test_vectors_of_no_numbers() -> None:
    rows = pa.table({"row_id": ["a"], "embedding": pa.array([[]], pa.list_(pa.float32()))})
    with pytest.raises(UsageError, match="the vectors are empty"):
        select("kmeans", rows, budget=1)
