"""The blockwise search against all cosines, taken in float64."""

import numpy as np
import pytest
from numpy.typing import NDArray

from winnow.pipeline.clean.dedup import semantic
from winnow.pipeline.clean.dedup.survivors import Survivors


def vectors(kind: str, n: int, dims: int) -> NDArray[np.float32]:
    """Directions with near copies: evenly spread, bent towards one another, or in a few clusters."""
    draw = np.random.default_rng(1)
    scale = 1 / (1 + np.arange(dims)) if kind == "bent" else np.ones(dims)
    out = draw.standard_normal((n, dims)) * scale
    if kind == "bent":
        out += 0.5 * scale
    if kind == "clusters":
        out = draw.standard_normal((5, dims))[draw.integers(0, 5, n)] + 0.25 * out
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    copies = draw.choice(n, n // 5, replace=False)
    out[copies] = out[draw.integers(0, n, len(copies))] + 0.4 / np.sqrt(
        dims
    ) * draw.standard_normal((len(copies), dims))
    return (out / np.linalg.norm(out, axis=1, keepdims=True)).astype(np.float32)


def by_brute_force(x: NDArray[np.float32], threshold: float) -> list[int]:
    """For each row, best first: the most similar better row that stays, or -1."""
    wide = x.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    keeper: list[int] = []
    for row in range(len(x)):
        cosine = wide[:row] @ wide[row]
        cosine[[k >= 0 for k in keeper]] = -1
        best = int(np.argmax(cosine)) if row else -1
        keeper.append(best if row and cosine[best] >= threshold - semantic.TOLERANCE else -1)
    return keeper


@pytest.mark.parametrize("kind", ["even", "bent", "clusters"])
@pytest.mark.parametrize(("device", "block"), [("numpy", 128), ("numpy", 1024), ("cpu", 1024)])
def test_no_pair_is_missed(
    kind: str, device: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one block and in many; "cpu" runs the torch way, as on CUDA."""
    if device == "cpu":
        pytest.importorskip("torch")
    monkeypatch.setattr(semantic, "_BLOCK", block)
    x = vectors(kind, 1500, 64)
    marks = semantic.mark(x, np.zeros(len(x), dtype=np.int64), 0.9, device)
    assert marks.keeper.tolist() == by_brute_force(x, 0.9)
    assert marks.kept.tolist() == (marks.keeper < 0).tolist()
    dropped = np.flatnonzero(~marks.kept)
    assert len(dropped) > 100
    exact = np.einsum("ij,ij->i", x[dropped].astype(float), x[marks.keeper[dropped]].astype(float))
    assert marks.score[dropped] == pytest.approx(exact, abs=1e-6)


def test_the_bound_is_one() -> None:
    """The projection is a bound with fewer dimensions than there are, where that pays."""
    x = vectors("even", 3000, 256)
    left, right = semantic._projected(x, 0.2)
    assert left.shape[1] < 128
    bound = left[:500] @ right[:500].T
    distance = 2 - 2 * x[:500].astype(np.float64) @ x[:500].T.astype(np.float64)
    assert (bound[distance <= 0.2] >= 0).all()


def test_groups_are_never_compared() -> None:
    x = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (6, 1))
    marks = semantic.mark(x, np.array([1, 0, 1, 0, 2, 1]), 0.9)
    assert marks.keeper.tolist() == [-1, -1, 0, 1, -1, 0]
    assert len(set(marks.components().tolist())) == 3


def test_one_cluster_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "_BLOCK", 512)
    draw = np.random.default_rng(0)
    x = np.ones((2000, 16)) + 0.01 * draw.standard_normal((2000, 16))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    marks = semantic.mark(x, np.zeros(2000, dtype=np.int64), 0.9)
    assert marks.kept.sum() == 1
    assert len(set(marks.components().tolist())) == 1


def test_survivors_reduce_their_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components are the same whether all links are held or a forest of them."""
    from winnow.pipeline.clean.dedup import survivors

    draw = np.random.default_rng(0)

    def run(many: int) -> tuple[list[bool], list[int], list[int]]:
        monkeypatch.setattr(survivors, "_MANY", many)
        marks = Survivors(1000)
        for start in range(0, 1000, 100):
            later = draw.integers(max(start, 1), start + 100, 40)
            earlier = draw.integers(0, later)
            marks.block(start, later, earlier, draw.random(40))
        _, labels = np.unique(marks.components(), return_inverse=True)
        first = [int(np.flatnonzero(labels == label)[0]) for label in labels]
        return marks.kept.tolist(), marks.keeper.tolist(), first

    held = run(10**9)
    draw = np.random.default_rng(0)
    assert run(50) == held
