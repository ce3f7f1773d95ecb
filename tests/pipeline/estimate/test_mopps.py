"""The posterior against its recurrence written out, its vectors, and the k = 1 slip."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.estimate.mopps import inside_first, nearest_first, prior_from_run, update

ROUNDS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=6)
DRAWS = st.lists(st.integers(0, 20).map(lambda i: i / 20), min_size=1, max_size=30)


def test_vectors() -> None:
    """Prior (1, 1), discount 0.5, 8 answers a round: 2 right, then 4."""
    first = update(1, 1, 2, 6, discount=0.5)
    assert tuple(map(float, first)) == (3, 7)
    second = update(*first, 4, 4, discount=0.5)
    assert tuple(map(float, second)) == (6, 8)
    assert float(second[0] / (second[0] + second[1])) == pytest.approx(0.4286, abs=5e-5)


@pytest.mark.parametrize(("right", "wanted"), [(1, (2.0, 1.0)), (0, (1.0, 2.0))])
def test_one_answer_a_round_counts_once(right: int, wanted: tuple[float, float]) -> None:
    found = update(1, 1, right, 1 - right, discount=0.5)
    assert tuple(map(float, found)) == wanted


@given(ROUNDS, st.floats(0, 1), st.floats(0.1, 9), st.floats(0.1, 9))
def test_rounds_against_the_recurrence(
    rounds: list[tuple[int, int]], lam: float, a0: float, b0: float
) -> None:
    a, b = a0, b0
    alpha, beta = np.array([a0]), np.array([b0])
    for s, w in rounds:
        a = lam * a + (1 - lam) * a0 + s
        b = lam * b + (1 - lam) * b0 + w
        alpha, beta = update(alpha, beta, [s], [w], discount=lam, prior=(a0, b0))
    assert alpha[0] == pytest.approx(a, rel=1e-12)
    assert beta[0] == pytest.approx(b, rel=1e-12)


def test_discount_one_counts_and_zero_forgets() -> None:
    assert tuple(map(float, update(5, 7, 2, 1))) == (7, 8)
    assert tuple(map(float, update(5, 7, 2, 1, discount=0))) == (3, 2)


@given(st.integers(0, 9), st.integers(0, 9))
def test_prior_from_an_old_run(c: int, w: int) -> None:
    assert tuple(map(float, prior_from_run(c, w))) == (1 + 3 * c, 1 + 3 * w)
    assert tuple(map(float, prior_from_run(c, w, 0.0))) == (1, 1)


@given(DRAWS, st.sampled_from([0.2, 0.5]))
def test_nearest_first(draws: list[float], target: float) -> None:
    found = nearest_first(np.array(draws), target).tolist()
    assert found == sorted(range(len(draws)), key=lambda i: ((draws[i] - target) ** 2, i))


@given(DRAWS, st.integers(0, 99))
def test_inside_first(draws: list[float], seed: int) -> None:
    found = inside_first(np.array(draws), np.random.default_rng(seed)).tolist()
    inside = [i for i, g in enumerate(draws) if 0.3 <= g <= 0.7]
    outside = [i for i, g in enumerate(draws) if not 0.3 <= g <= 0.7]
    assert sorted(found[: len(inside)]) == inside
    assert found[len(inside) :] == sorted(outside, key=lambda i: ((draws[i] - 0.5) ** 2, i))


def test_both_edges_are_in_the_band() -> None:
    """With a target beyond it, so that the edges are not the nearest of the others anyway."""
    for target in (0.0, 1.0):
        draws = np.array([0.29, 0.3, 0.71, 0.7])
        found = inside_first(draws, np.random.default_rng(0), target=target)
        assert set(found[:2].tolist()) == {1, 3}


def test_the_band_is_shuffled() -> None:
    found = inside_first(np.full(50, 0.5), np.random.default_rng(0))
    assert sorted(found.tolist()) == list(range(50)) != found.tolist()


def test_values_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="discount"):
        update(1, 1, 1, 1, discount=1.1)
    with pytest.raises(ValueError, match="counts"):
        update(1, 1, -1, 1)
    with pytest.raises(ValueError, match="counts and weight"):
        prior_from_run(1, -1)
    with pytest.raises(ValueError, match="counts and weight"):
        prior_from_run(1, 1, -1.0)
