"""The norm and the sketch against numpy's SVD and FFT, formula by formula."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.features import sketch as sk


def literal_sketch(logits: Any, p: sk.Projector) -> Any:
    """The definition, with full transforms: signs, real DFT, kept columns; signs, real DFT, rows."""
    padded = np.zeros((p.s1.size, p.s2.size))
    padded[: len(logits)] = logits
    words = np.real(np.fft.fft(padded * p.s2[None, :], axis=1))
    kept = words[:, p.c] * np.sqrt(p.s2.size / p.c.size)
    time = np.real(np.fft.fft(kept * p.s1[:, None], axis=0))
    return (time[p.r, :] * np.sqrt(p.s1.size / p.r.size)).reshape(-1)


def literal_norm(logits: Any) -> float:
    return float(np.linalg.svd(logits, compute_uv=False).sum())


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Any, Any, sk.Projector, Any]:
    """Hidden states, weight, bias or None, projector, row mask or None."""
    n, h, vocab = (draw(st.integers(1, top)) for top in (12, 9, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = sk.draw(
        vocab,
        draw(st.integers(0, 2**32 - 1)),
        r1=draw(st.integers(1, 5)),
        r2=draw(st.integers(1, 50)),  # more than V is legal
        T=n + draw(st.integers(0, 9)),
    )
    bias = rng.standard_normal(vocab) if draw(st.booleans()) else None
    mask = rng.random(n) < 0.5 if draw(st.booleans()) else None
    return rng.standard_normal((n, h)), rng.standard_normal((vocab, h)), bias, p, mask


@given(cases())
@settings(deadline=None, max_examples=150)
def test_both_routes_follow_the_definition(case: tuple[Any, Any, Any, sk.Projector, Any]) -> None:
    hidden, weight, bias, p, mask = case
    logits = hidden @ weight.T + (0.0 if bias is None else bias)
    seen = logits if mask is None else logits * mask[:, None]
    head = sk.head(weight, p, bias)

    z = literal_sketch(seen, p)
    close = {"rtol": 1e-9, "atol": 1e-9 * (1 + np.abs(z).max())}
    np.testing.assert_allclose(sk.sketch_from_logits(logits, p, mask=mask), z, **close)
    np.testing.assert_allclose(sk.sketch_from_hidden(hidden, head, p, mask=mask), z, **close)

    # Zero eigenvalues of a rank-deficient Gram matrix round to 1e-16, their roots to 1e-8.
    norm = pytest.approx(literal_norm(seen), rel=1e-6, abs=1e-12)
    assert sk.nuclear_norm_from_logits(logits, mask) == norm
    assert sk.nuclear_norm_from_hidden(hidden, head, mask) == norm


def test_the_hidden_route_is_accurate_at_a_model_s_shape() -> None:
    rng = np.random.default_rng(0)
    hidden, weight = rng.standard_normal((96, 128)), rng.standard_normal((9001, 128))  # two chunks
    logits = hidden @ weight.T
    p = sk.draw(9001, 1)
    head = sk.head(weight, p)
    assert sk.nuclear_norm_from_hidden(hidden, head) == pytest.approx(
        literal_norm(logits), rel=1e-10
    )
    z = literal_sketch(logits, p)
    off = np.abs(sk.sketch_from_hidden(hidden, head, p) - z).max() / np.abs(z).max()
    assert off < 1e-10


def test_a_hand_computed_sketch() -> None:
    # V = T = 2. Words: (3, -1) * (1, -1) = (3, 1), DFT (4, 2); kept column 1 = 2, times sqrt(2/1).
    # Time: (2 sqrt 2, 0) * (-1, 1), DFT has -2 sqrt 2 in both rows; both kept, times sqrt(2/2).
    p = sk.Projector(
        s1=np.array([-1, 1], np.int8),
        s2=np.array([1, -1], np.int8),
        c=np.array([1]),
        r=np.array([1, 0]),
    )
    np.testing.assert_allclose(sk.sketch_from_logits([[3.0, -1.0]], p), [-2 * 2**0.5] * 2)
    # Divided by sqrt(2 * 2) / 2 = 1.
    np.testing.assert_allclose(
        sk.sketch_from_logits([[3.0, -1.0]], p, "orthonormal"), [-2 * 2**0.5] * 2
    )


@pytest.mark.parametrize("shape", [(16, 64), (32, 128)])
def test_official_squared_norms_grow_by_vt_over_4(shape: tuple[int, int]) -> None:
    positions, vocab = shape
    logits = np.random.default_rng(3).standard_normal(shape)
    official, orthonormal = [], []
    for seed in range(250):
        p = sk.draw(vocab, seed, T=positions)
        official.append(np.square(sk.sketch_from_logits(logits, p)).sum())
        orthonormal.append(np.square(sk.sketch_from_logits(logits, p, "orthonormal")).sum())
    growth = np.mean(official) / np.square(logits).sum()
    # cos^2 averages to 1/2, but to 1 in the rows 0 and T/2 and the columns 0 and V/2.
    assert growth == pytest.approx((positions + 2) * (vocab + 2) / 4, rel=0.03)
    assert np.mean(official) / np.mean(orthonormal) == pytest.approx(positions * vocab / 4)
    assert sk.norm_ratio(vocab, positions) ** 2 == pytest.approx(positions * vocab / 4)


def test_rescaled_alpha_ranks_alike() -> None:
    rng = np.random.default_rng(4)
    p = sk.draw(300, 0, T=20)
    logits = rng.standard_normal((12, 20, 300))
    utility = np.array([sk.nuclear_norm_from_logits(x) for x in logits])
    scores = []
    for projection, alpha in (("official", 0.01), ("orthonormal", 0.01 * (300 * 20) ** 0.5 / 2)):
        z = np.array([sk.sketch_from_logits(x, p, projection) for x in logits])  # type: ignore[arg-type]
        distance = np.linalg.norm(z[:, None] - z[None], axis=2).mean(axis=1)
        scores.append(utility + alpha * distance)
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-12)
    assert (np.argsort(scores[0]) == np.argsort(scores[1])).all()


def test_cosines_are_exact_for_a_large_vocabulary() -> None:
    vocab = 152_064
    p = sk.draw(vocab, 2)
    got = sk.cosines(p, vocab - 50, vocab)
    for v in range(vocab - 50, vocab):
        turns = [Fraction(v * int(c), vocab) % 1 for c in p.c]
        wanted = [int(p.s2[v]) * math.cos(2 * math.pi * float(turn)) for turn in turns]
        np.testing.assert_allclose(got[v - vocab + 50], wanted, rtol=0, atol=4e-15)


def test_padding_changes_neither_signal_but_more_than_t_rows_are_refused() -> None:
    logits = np.random.default_rng(5).standard_normal((5, 30))
    padded = np.vstack([logits, np.zeros((3, 30))])
    p = sk.draw(30, 0, T=8)
    np.testing.assert_allclose(sk.sketch_from_logits(padded, p), sk.sketch_from_logits(logits, p))
    assert sk.nuclear_norm_from_logits(padded) == pytest.approx(
        sk.nuclear_norm_from_logits(logits), rel=1e-6
    )
    with pytest.raises(ValueError, match="9 positions, but the projector takes at most 8"):
        sk.sketch_from_logits(np.zeros((9, 30)), p)
    with pytest.raises(ValueError, match="V is 30"):
        sk.sketch_from_logits(np.zeros((4, 31)), p)
    with pytest.raises(ValueError, match="the head has 31 words, the projector 30"):
        sk.head(np.zeros((31, 4)), p)


def test_nothing_masked_in_is_zero_and_a_broken_matrix_is_nan() -> None:
    logits = np.random.default_rng(6).standard_normal((4, 30))
    none = np.zeros(4, bool)
    p = sk.draw(30, 0)
    assert sk.nuclear_norm_from_logits(logits, none) == 0.0
    assert not sk.sketch_from_logits(logits, p, mask=none).any()
    assert sk.sketch_from_logits(np.zeros((0, 30)), p).shape == (8 * 128,)
    assert sk.nuclear_norm_from_logits(np.zeros((0, 30))) == 0.0
    logits[2, 3] = np.inf
    assert np.isnan(sk.nuclear_norm_from_logits(logits))


def test_a_projector_is_drawn_from_its_seed() -> None:
    p, same, other = sk.draw(1000, 7), sk.draw(1000, 7), sk.draw(1000, 8)
    for name in ("s1", "s2", "c", "r"):
        assert (getattr(p, name) == getattr(same, name)).all()
        assert (getattr(p, name) != getattr(other, name)).any()
    assert (p.vocab, p.positions, p.size) == (1000, 512, 1024)
    assert abs(p.s2.mean()) < 0.2
    assert set(sk.draw(3, 0, r2=200).c.tolist()) == {0, 1, 2}  # with replacement


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s1": np.array([1, 0])}, "s1 must be"),
        ({"s2": np.array([], np.int8)}, "s2 must be"),
        ({"c": np.array([3])}, "c must lie in 0..2"),
        ({"r": np.array([-1])}, "r must lie in 0..1"),
        ({"c": np.array([0.5])}, "c must be a non-empty list of integers"),
        ({"r": np.array([], np.int64)}, "r must be a non-empty list of integers"),
    ],
)
def test_an_impossible_projector_is_refused(change: dict[str, Any], message: str) -> None:
    parts: dict[str, Any] = {
        "s1": np.array([1, -1]), "s2": np.array([1, 1, -1]), "c": np.array([2]), "r": np.array([0])
    }  # fmt: skip
    sk.Projector(**parts)
    with pytest.raises(ValueError, match=message):
        sk.Projector(**(parts | change))
