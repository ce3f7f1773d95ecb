"""faiss k-means and the plot's projection: what must hold for any input."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from winnow.pipeline.features import clusters
from winnow.pipeline.features.clusters import Clustering, kmeans, project_2d, sample_of_rows

faiss: Any = pytest.importorskip("faiss")


def partition(assignment: Any) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(assignment == c).tolist()) for c in np.unique(assignment)}


def blobs(seed: int, sizes: tuple[int, ...], d: int = 8) -> tuple[Any, Any]:
    """Rows around far-apart centres, shuffled, and the blob that each belongs to."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = 20 * np.eye(len(sizes), d)[labels] + rng.standard_normal((len(labels), d))
    return rows.astype(np.float32), labels


def check(result: Clustering, x: Any, k: int) -> None:
    """Nearest centroid, its distance, and the numbering."""
    n, distinct = len(x), len(np.unique(x, axis=0))
    assert result.assignment.dtype == np.int32
    assert result.distance.dtype == np.float64
    assert len(result.centroids) <= min(k, distinct)
    to_all = np.linalg.norm(x[:, None].astype(float) - result.centroids[None], axis=2)
    own = to_all[np.arange(n), result.assignment]
    scale = 1 + np.abs(x).max()
    np.testing.assert_allclose(result.distance, own, rtol=1e-12, atol=1e-12)
    # faiss compares float32 squares: a tie within their rounding may go either way.
    assert (own**2 <= to_all.min(axis=1) ** 2 + 1e-4 * scale**2).all()
    sizes = np.bincount(result.assignment, minlength=len(result.centroids))
    first = [int(np.flatnonzero(result.assignment == c)[0]) for c in range(len(sizes))]
    assert (sizes > 0).all()
    assert [(-s, f) for s, f in zip(sizes, first, strict=True)] == sorted(
        (-s, f) for s, f in zip(sizes, first, strict=True)
    )


small = arrays(
    np.float32,
    st.tuples(st.integers(1, 30), st.integers(1, 4)),
    elements=st.integers(-3, 3).map(float),  # many equal rows and ties
)


@given(small, st.integers(1, 40), st.integers(-5, 2**40), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=30)
def test_any_rows(x: Any, k: int, seed: int, random: Any) -> None:
    result = kmeans(x, k, seed=seed, starts=2)
    check(result, x, k)
    groups = partition(result.assignment)
    for row in np.unique(x, axis=0):
        assert len(set(result.assignment[(x == row).all(axis=1)].tolist())) == 1

    again = kmeans(x, k, seed=seed, starts=2)
    assert (again.assignment == result.assignment).all()
    assert (again.distance == result.distance).all()

    order = np.array(random.sample(range(len(x)), len(x)))
    permuted = kmeans(x[order], k, seed=seed, starts=2)
    assert {frozenset(order[list(g)].tolist()) for g in partition(permuted.assignment)} == groups
    assert (permuted.distance == result.distance[order]).all()


@pytest.mark.parametrize("seed", range(4))
def test_well_separated_blobs_are_found_largest_first(seed: int) -> None:
    x, labels = blobs(seed, (40, 90, 10, 60))
    result = kmeans(x, 4, seed=seed, starts=10)
    assert partition(result.assignment) == partition(labels)
    assert np.bincount(result.assignment).tolist() == [90, 60, 40, 10]


def test_every_row_trains_its_centroid() -> None:
    """Beyond 256 rows a centroid faiss would subsample unless told not to."""
    x, _ = blobs(0, (900, 700))
    result = kmeans(x, 2, seed=0, starts=3, iterations=30)
    for c in (0, 1):
        mean = x[result.assignment == c].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(result.centroids[c], mean, atol=1e-3)


def test_repeated_rows_weigh_as_often_as_they_stand() -> None:
    x = np.array([[0, 0]] * 9 + [[10, 0]], np.float32)
    result = kmeans(x, 1, seed=0)
    np.testing.assert_allclose(result.centroids, [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(result.distance, [1] * 9 + [9], atol=1e-5)


def test_the_thread_count_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_ONE_THREAD", 0)
    x = np.random.default_rng(1).standard_normal((3000, 32)).astype(np.float32)
    before = faiss.omp_get_max_threads()
    try:
        results = []
        for threads in (1, 2):
            faiss.omp_set_num_threads(threads)
            results.append(kmeans(x, 12, seed=-3, starts=2))
    finally:
        faiss.omp_set_num_threads(before)
    assert (results[0].assignment == results[1].assignment).all()
    assert (results[0].distance == results[1].distance).all()


def test_a_cluster_that_ends_empty_is_dropped() -> None:
    rng = np.random.default_rng(649)  # found by search: faiss leaves 1 of 13 clusters empty here
    x = rng.integers(-3, 4, (rng.integers(3, 30), rng.integers(1, 3))).astype(np.float32)
    result = kmeans(x, 13, seed=649, starts=1, iterations=1)
    check(result, x, 13)
    assert len(result.centroids) == 12


def test_edges() -> None:
    empty = kmeans(np.zeros((0, 3), np.float32), 5, seed=0)
    assert (empty.assignment.shape, empty.distance.shape) == ((0,), (0,))
    assert empty.centroids.shape == (0, 3)
    one = kmeans([[1.0, 2.0]], 5, seed=0)
    assert (one.assignment.tolist(), one.distance.tolist()) == ([0], [0.0])
    equal = kmeans(np.ones((7, 3)), 4, seed=0)
    assert equal.assignment.tolist() == [0] * 7
    assert equal.distance.tolist() == [0.0] * 7
    zeros = kmeans([[0.0, 1.0], [-0.0, 1.0]], 2, seed=0)
    assert zeros.assignment.tolist() == [0, 0]
    each = kmeans(np.arange(12.0).reshape(6, 2), 60, seed=0)
    assert sorted(each.assignment.tolist()) == list(range(6))
    assert not each.distance.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_names_its_row(value: float) -> None:
    x = np.ones((5, 2))
    x[3, 1] = value
    for call in (lambda: kmeans(x, 2, seed=0), lambda: project_2d(x)):
        with pytest.raises(ValueError, match="row 3 of the vectors"):
            call()


def test_impossible_parameters_are_refused() -> None:
    x = np.ones((5, 2))
    wrong: list[Any] = [{"k": 0}, {"k": 2, "starts": 0}, {"k": 2, "iterations": 0}]
    for arguments in (*wrong, {"k": 2, "sample_per_centroid": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            kmeans(x, seed=0, **arguments)
    for shape in ((5,), (5, 0), (5, 2, 1)):
        with pytest.raises(ValueError, match="the shape"):
            kmeans(np.ones(shape), 2, seed=0)


@given(small)
@settings(deadline=None, max_examples=60)
def test_the_projection_is_that_of_the_svd(x: Any) -> None:
    points = project_2d(x)
    assert points.shape == (len(x), 2)
    centred = x.astype(float) - x.mean(axis=0, dtype=float)
    singular = np.linalg.svd(centred, compute_uv=False)
    wanted = np.zeros(2)
    if len(x) >= 2:
        wanted[: min(2, len(singular))] = singular[:2]
    np.testing.assert_allclose(np.linalg.norm(points, axis=0), wanted, atol=1e-6)
    np.testing.assert_allclose(points.sum(axis=0), 0, atol=1e-9)


def test_the_projection_has_fixed_signs() -> None:
    x = np.random.default_rng(2).standard_normal((200, 6)) * [9, 4, 1, 1, 1, 1]
    points = project_2d(x)
    assert np.corrcoef(points[:, 0], x[:, 0])[0, 1] > 0.99
    assert np.corrcoef(points[:, 1], x[:, 1])[0, 1] > 0.99
    order = np.random.default_rng(3).permutation(200)
    np.testing.assert_allclose(project_2d(x[order]), points[order], atol=1e-6)
    assert project_2d(np.ones((1, 4))).tolist() == [[0.0, 0.0]]
    assert project_2d(np.ones((0, 4))).shape == (0, 2)
    assert project_2d([[1.0], [3.0]]).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_above_the_limit_a_seeded_sample_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is the larger of the limit and what the centroids ask for; a large one gets one start."""
    monkeypatch.setattr(clusters, "_SMALL", 300)
    seen: list[tuple[int, int]] = []
    train = clusters._train

    def watched(x: Any, weights: Any, k: int, seed: int, starts: int, iterations: int) -> Any:
        seen.append((len(x), starts))
        return train(x, weights, k, seed, starts, iterations)

    monkeypatch.setattr(clusters, "_train", watched)
    x, labels = blobs(1, (900, 700))
    for per_centroid in (100, 400, None):
        result = kmeans(x, 2, seed=0, starts=3, sample_per_centroid=per_centroid)
        assert partition(result.assignment) == partition(labels)
        check(result, x, 2)
    kmeans(x[:300], 2, seed=0, starts=3)
    assert seen == [(300, 3), (800, 1), (1600, 1), (300, 3)]


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_does_not_depend_on_the_order_of_rows(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_SMALL", 50)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((400, 5)).astype(np.float32)
    x = x[rng.integers(0, 400, 900)]  # rows that stand several times
    order = rng.permutation(len(x))
    first = kmeans(x, 7, seed=seed, sample_per_centroid=10)
    second = kmeans(x[order], 7, seed=seed, sample_per_centroid=10)
    assert (second.distance == first.distance[order]).all()
    groups = {frozenset(order[list(g)].tolist()) for g in partition(second.assignment)}
    assert groups == partition(first.assignment)
    other = kmeans(x, 7, seed=seed + 1, sample_per_centroid=10)
    assert (other.distance != first.distance).any()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(4).standard_normal((500, 6)).astype(np.float32)
    whole, plane = kmeans(x, 9, seed=0), project_2d(x)
    monkeypatch.setattr(clusters, "_CHUNK", 7)
    monkeypatch.setattr(clusters, "_EXACT", 50)
    parts = kmeans(x, 9, seed=0)
    assert (parts.assignment == whole.assignment).all()
    assert (parts.distance == whole.distance).all()
    np.testing.assert_allclose(project_2d(x), plane, atol=1e-10)
    x[400, 2] = np.inf
    with pytest.raises(ValueError, match="row 400 of the vectors"):
        kmeans(x, 2, seed=0)


def test_ties_that_float32_cannot_tell_go_to_the_nearest_in_float64() -> None:
    """Far from the origin, squares of 1e8 hide differences of 1."""
    far = 10_000.0
    x = np.array([[far, 0.999], [far, 1.001]] * 30, np.float32)
    centroids = np.array([[far, 0], [far, 2]], np.float32)
    index = faiss.IndexFlatL2(2)
    index.add(centroids)
    labels, distance = clusters._assign(x, centroids, index)
    assert labels.tolist() == [0, 1] * 30
    np.testing.assert_allclose(distance, [0.999] * 60, atol=1e-6)
    # An exact tie, and more centroids within the rounding error than the search gives.
    many = np.array([[far, i / 16] for i in range(8)], np.float32)
    index = faiss.IndexFlatL2(2)
    index.add(many)
    rows = np.array(([[far, i / 16] for i in range(8)] + [[far, 1 / 32]]) * 5, np.float32)
    labels, distance = clusters._assign(rows, many, index)
    assert labels.tolist() == [*range(8), 0] * 5
    assert distance.tolist() == ([0.0] * 8 + [1 / 32]) * 5


@pytest.mark.parametrize("offset", [100, 1000])
def test_every_row_goes_to_its_nearest_centroid_exactly(offset: float) -> None:
    """From 128,000 numbers on faiss forms squares as |x|^2 + |c|^2 - 2xc."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2000, 64)) + offset).astype(np.float32)
    centroids = x[:200].copy()
    index = faiss.IndexFlatL2(64)
    index.add(centroids)
    labels, distance = clusters._assign(x, centroids, index)
    to_all = np.linalg.norm(x[:, None].astype(float) - centroids[None], axis=2)
    assert (labels == to_all.argmin(axis=1)).all()
    np.testing.assert_allclose(distance, to_all.min(axis=1), rtol=1e-12)
    assert (index.search(x, 1)[1][:, 0] != labels).any()  # float32 alone errs here


def test_squares_beyond_float32() -> None:
    x = np.array([[1e30, 0], [1e30, 1e28], [-1e30, 0]], np.float32)
    result = kmeans(x, 3, seed=0)
    assert sorted(result.assignment.tolist()) == [0, 1, 2]
    assert not result.distance.any()
    with pytest.raises(ValueError, match="row 1"):
        kmeans(np.array([[1.0], [1e300]]), 1, seed=0)  # no float32 holds it


def test_a_file_larger_than_its_blocks_is_read_where_it_lies(tmp_path: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2000, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    first, second = kmeans(x, 8, seed=1), kmeans(mapped, 8, seed=1)
    assert (first.assignment == second.assignment).all()
    assert (project_2d(x) == project_2d(mapped)).all()


def test_no_copy_of_the_matrix_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr(clusters, "_CHUNK", 256)
    monkeypatch.setattr(clusters, "_SMALL", 500)
    x = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    kmeans(x[:100], 4, seed=0)  # imports
    tracemalloc.start()
    kmeans(x, 4, seed=0, iterations=2, sample_per_centroid=10)
    project_2d(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes * 0.6


@given(small, st.integers(1, 40), st.integers(0, 2**16))
@settings(deadline=None, max_examples=30)
def test_a_sample_of_rows(x: Any, size: int, seed: int) -> None:
    taken = sample_of_rows(x, size, seed=seed)
    assert (np.diff(taken) > 0).all()
    distinct = np.unique(x, axis=0)
    assert len(taken) == len(np.unique(x[taken], axis=0)) == min(size, len(distinct))
    order = np.random.default_rng(seed).permutation(len(x))
    again = x[order][sample_of_rows(x[order], size, seed=seed)]
    assert {tuple(r) for r in again.tolist()} == {tuple(r) for r in x[taken].tolist()}


def test_a_sample_is_drawn_by_its_seed_and_knows_one_zero() -> None:
    x = np.arange(200.0).reshape(100, 2)
    samples = {tuple(sample_of_rows(x, 10, seed=seed).tolist()) for seed in range(-2, 3)}
    assert len(samples) == 5
    assert sample_of_rows([[0.0, 1.0], [-0.0, 1.0]], 2, seed=0).tolist() == [0]
