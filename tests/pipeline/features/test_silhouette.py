"""The sweep over numbers of clusters."""

import math
from typing import Any

import numpy as np
import pytest

from winnow.pipeline.features.clusters import kmeans, sample_of_rows
from winnow.pipeline.features.silhouette import sweep

pytest.importorskip("faiss")


def blobs(count: int, size: int = 30) -> Any:
    rng = np.random.default_rng(count)
    return np.concatenate(
        [
            20 * np.eye(8)[c % 8] * (1 + c // 8) + rng.standard_normal((size, 8))
            for c in range(count)
        ]
    ).astype(np.float32)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_true_number_is_found(count: int) -> None:
    found = sweep(blobs(count), seed=0)
    assert found.best == count
    assert set(found.silhouette) == {2**e for e in range(1, 11) if 2**e * 4 <= 30 * count}


def test_the_score_is_rousseeuws() -> None:
    """(b - a) / max(a, b): a the mean distance within, b to the nearest other cluster; 0 if alone."""
    x = np.random.default_rng(3).standard_normal((25, 3)).astype(np.float32)
    found = sweep(x, [4], seed=5)
    sample = x[sample_of_rows(x, 10_000, seed=5)]
    labels = kmeans(sample, 4, seed=5, starts=5, iterations=20).assignment.tolist()
    scores = []
    for i in range(25):
        to: dict[int, list[float]] = {}
        for j in range(25):
            if i != j:
                to.setdefault(labels[j], []).append(math.dist(sample[i], sample[j]))
        mine = to.pop(labels[i], [])
        if not mine:
            scores.append(0.0)
            continue
        a = math.fsum(mine) / len(mine)
        b = min(math.fsum(d) / len(d) for d in to.values())
        scores.append((b - a) / max(a, b))
    assert found.silhouette[4] == pytest.approx(math.fsum(scores) / 25, abs=1e-5)


def test_a_sample_of_the_rows_in_any_order() -> None:
    x = blobs(4, 100)
    order = np.random.default_rng(0).permutation(len(x))
    first, second = sweep(x, seed=1, rows=60), sweep(x[order], seed=1, rows=60)
    assert first.best == second.best == 4
    assert max(first.silhouette) <= 15
    assert first.silhouette.keys() == second.silhouette.keys()


def test_too_few_rows_and_wrong_candidates() -> None:
    assert sweep(np.ones((5, 2)), seed=0).best == 1
    assert sweep(np.eye(3), [2, 3, 9], seed=0).silhouette.keys() == {2}
    assert sweep(np.zeros((0, 2)), seed=0).best == 1
    with pytest.raises(ValueError, match="at least 2"):
        sweep(np.eye(3), [1], seed=0)
    with pytest.raises(ValueError, match="row 0"):
        sweep([[math.nan]], seed=0)
