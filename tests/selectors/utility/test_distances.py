"""Distances by matrix products against Python's own, from far apart to the last bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.selectors.utility.distances import PRECISION, Vectors, centre, distances


@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.sampled_from([1, 3, 64, 1024]),
    close=st.integers(-17, 3),
    offset=st.sampled_from([0.0, 1.0, 1e4, 1e9]),
    scale=st.sampled_from([1e-20, 1.0, 1e20]),
)
@settings(deadline=None, max_examples=150)
def test_any_pair(seed: int, width: int, close: int, offset: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((9, width)) + offset
    b = a[rng.integers(0, 9, 12)] + 10.0**close * rng.standard_normal((12, width))
    b[::5] = a[0]
    a, b = a * scale, b * scale
    origin = centre(a)
    found = distances(Vectors.of(a, origin), Vectors.of(b, origin))
    wanted = [[math.dist(x, y) for y in b.tolist()] for x in a.tolist()]
    np.testing.assert_allclose(found, wanted, rtol=PRECISION, atol=0)


def test_rows_among_themselves() -> None:
    rows = np.random.default_rng(0).standard_normal((20, 5))
    rows[7] = rows[3]
    own = Vectors.of(rows, centre(rows))
    found = distances(own, own, itself=True)
    assert (np.diag(found) == 0).all() and found[7, 3] == found[3, 7] == 0
    np.testing.assert_allclose(found, found.T, rtol=1e-13)
    np.testing.assert_allclose(found[2], [math.dist(rows[2], row) for row in rows], rtol=1e-14)


def test_no_rows() -> None:
    origin = centre(np.zeros((0, 3)))
    some, none = Vectors.of(np.ones((4, 3)), origin), Vectors.room(0, 3)
    assert distances(some, none).shape == (4, 0)
    assert distances(none, some).shape == (0, 4)


def test_the_origin_does_not_follow_an_outlier() -> None:
    rows = np.random.default_rng(0).standard_normal((101, 4))
    rows[50] = 1e30
    assert np.abs(centre(rows)).max() < 1


def test_a_common_mean_makes_no_pair_a_near_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured by differences")

    monkeypatch.setattr("winnow.selectors.utility.distances.direct", refuse)
    rows = np.random.default_rng(0).standard_normal((30, 64)) + 1e8
    own = Vectors.of(rows, centre(rows))
    wanted = [[math.dist(a, b) for b in rows] for a in rows]
    np.testing.assert_allclose(distances(own, own, itself=True), wanted, rtol=1e-9)


def test_products_alone_would_be_wrong() -> None:
    """What the direct form is for: without it this pair would be 1e-3 off."""
    a = np.random.default_rng(0).standard_normal((1, 1024)) * 1e7
    b = a + 1e-4
    product = float(np.square(a).sum() + np.square(b).sum() - 2 * (a @ b.T)[0, 0])
    wanted = math.dist(a[0], b[0])
    assert abs(math.sqrt(max(product, 0)) / wanted - 1) > 1e-3
    origin = np.zeros(1024)
    assert distances(Vectors.of(a, origin), Vectors.of(b, origin))[0, 0] == pytest.approx(
        wanted, rel=1e-12
    )
