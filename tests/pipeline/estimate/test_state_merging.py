"""Partitions of search states, against naive agglomeration and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from winnow.pipeline.estimate.state_merging import (
    child_budget,
    continuations,
    hyper_nodes,
    merge_states,
    prior,
    search_reward,
    upper_bound,
)


def naive(vectors: NDArray[np.float64], distance: float) -> list[int]:
    """Average linkage by its definition: the mean of all distances between two clusters."""
    far = [
        [1 - float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)) for b in vectors]
        for a in vectors
    ]
    clusters = [[row] for row in range(len(vectors))]
    while len(clusters) > 1:
        gap, i, j = min(
            (math.fsum(far[a][b] for a in x for b in y) / (len(x) * len(y)), i, j)
            for i, x in enumerate(clusters)
            for j, y in enumerate(clusters)
            if i < j
        )
        if gap >= distance:
            break
        clusters[i] += clusters.pop(j)
    label = {row: min(cluster) for cluster in clusters for row in cluster}
    return canonical([label[row] for row in range(len(vectors))])


def canonical(labels: list[int]) -> list[int]:
    place = {label: at for at, label in enumerate(dict.fromkeys(labels))}
    return [place[label] for label in labels]


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 12), st.integers(0, 2**16), st.sampled_from([0.02, 0.15, 0.5, 1.1]))
def test_against_naive_agglomeration(n: int, seed: int, distance: float) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 4))
    vectors = centres[rng.integers(0, 3, n)] + 0.4 * rng.normal(size=(n, 4))
    assert merge_states(vectors, distance=distance).tolist() == naive(vectors, distance)


@pytest.mark.parametrize("seed", range(20))
def test_against_scikit_learn(seed: int) -> None:
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is an extra")
    vectors = np.random.default_rng(seed).normal(size=(30, 3)).astype(np.float32)
    theirs = cluster.AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=0.15
    ).fit(vectors)
    assert merge_states(vectors).tolist() == canonical(theirs.labels_.tolist())


def test_at_exactly_the_threshold_nothing_merges() -> None:
    cluster = pytest.importorskip("sklearn.cluster", reason="scikit-learn is an extra")
    right_angle = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert merge_states(right_angle, distance=1.0).tolist() == [0, 1]
    assert merge_states(right_angle, distance=math.nextafter(1.0, 2.0)).tolist() == [0, 0]
    theirs = cluster.AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=1.0
    ).fit(right_angle)
    assert theirs.n_clusters_ == 2


def test_few_states() -> None:
    assert merge_states([[1.0, 2.0]]).tolist() == [0]
    assert merge_states(np.zeros((0, 3))).tolist() == []
    assert merge_states([[1.0, 0.0], [2.0, 0.0]]).tolist() == [0, 0]


def test_length_does_not_matter_and_the_default_is_015() -> None:
    for angle, same in ((math.acos(0.86), True), (math.acos(0.84), False)):
        found = merge_states([[5.0, 0.0], [math.cos(angle), math.sin(angle)]])
        assert (found[0] == found[1]) == same


def test_states_that_are_kept_apart() -> None:
    vectors = [[1.0, 0.0]] * 4
    assert merge_states(vectors, apart=[True, False, True, False]).tolist() == [0, 1, 0, 1]
    assert merge_states(vectors, apart=[True, False, False, False]).tolist() == [0, 1, 1, 1]
    found = merge_states([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], apart=["x", "x", "y"])
    assert found.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="apart has 1 entries for 4 states"):
        merge_states(vectors, apart=[True])


@pytest.mark.parametrize("bad", [[0.0, 0.0], [math.nan, 1.0]])
def test_a_vector_without_direction_is_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="no direction"):
        merge_states([[1.0, 0.0], bad])
    with pytest.raises(ValueError, match="above 0"):
        merge_states([[1.0, 0.0]], distance=0.0)


def test_hyper_nodes() -> None:
    labels, values = [0, 1, 0, 0], [0.2, 0.5, 0.9, 0.9]
    finished = [True, False, False, True]
    whole = {
        form: hyper_nodes(labels, values, finished, value=form)
        for form in ("max", "mean", "min", "first")
    }
    first, second = whole["max"]
    assert first.members == (2, 3, 0) and second.members == (1,)
    assert not first.finished and not second.finished
    assert [whole[form][0].value for form in whole] == [0.9, pytest.approx(2 / 3), 0.2, 0.2]
    assert hyper_nodes(labels, [0.95, 0.5, 0.9, 0.9], finished)[0].finished


def test_round_robin() -> None:
    assert continuations(3, 5) == [2, 2, 1]
    assert continuations(4, 2) == [1, 1, 0, 0]


def test_the_search_formulas() -> None:
    assert prior(2, 5) == pytest.approx(0.88)
    expected = 0.3 + 0.6 * 0.88 * math.sqrt(math.log(9) / 4)
    assert upper_bound(0.3, 0.88, 4, 9) == pytest.approx(expected)
    assert upper_bound(0.3, 0.88, 1, 1) == 0.3
    for visits, parent in ((0, 9), (1, 0)):
        with pytest.raises(ValueError, match="must be at least 1"):
            upper_bound(0.3, 0.88, visits, parent)
    assert search_reward(0.4, [1.0, 0.5]) == pytest.approx(0.575)
    assert [child_budget(m, root=False) for m in (1, 2, 3, 5, 100)] == [4, 5, 6, 6, 8]
    assert [child_budget(m, root=True) for m in (1, 100)] == [8, 16]
