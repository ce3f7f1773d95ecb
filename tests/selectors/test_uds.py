"""UDS against a literal reading of its definition, in plain Python."""

import math
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.selectors.utility.uds import UDSResult, uds


def literal(
    ids: list[str],
    norms: list[float],
    sketches: list[list[float]],
    *,
    alpha: float,
    buffer: int,
    batch: int,
    keep: int,
    seed: int,
) -> dict[str, tuple[int, float, float, float, bool, int]]:
    """(step, utility, diversity, score, selected, rank) of every id."""  # fmt: skip
    known = {i: (u, z) for i, u, z in zip(ids, norms, sketches, strict=True)}
    by_id = sorted(ids)
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(ids))
    stream = [by_id[at] for at in shuffled]
    slots: list[list[float] | None] = [None] * buffer
    pointer = 0
    rows = {}
    for step in range(math.ceil(len(stream) / batch)):
        scored = []
        for name in stream[step * batch : (step + 1) * batch]:
            u, z = known[name]
            filled = [q for q in slots if q is not None]
            v = math.fsum(math.dist(z, q) for q in filled) / len(filled) if filled else 0.0
            scored.append((-(u + alpha * v), name, v))
        scored.sort(key=lambda row: row[:2])
        for rank, (minus, name, v) in enumerate(scored):
            rows[name] = (step, known[name][0], v, -minus, rank < keep, rank)
            if rank < keep:
                slots[pointer] = known[name][1]
                pointer = (pointer + 1) % buffer
    return rows


def columns(result: UDSResult, at: int) -> tuple[int, float, float, float, bool, int]:
    return (
        int(result.step[at]), float(result.utility[at]), float(result.diversity[at]),
        float(result.score[at]), bool(result.selected[at]), int(result.rank[at]),
    )  # fmt: skip


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[str], Any, Any, dict[str, Any]]:
    """Rows with many equal sketches and norms, so that ties are common, and parameters."""
    ids = draw(
        st.lists(st.text(string.ascii_letters + "0é", min_size=1, max_size=3), unique=True,
                 min_size=0, max_size=40)
    )  # fmt: skip
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = rng.standard_normal((4, 3))
    batch = draw(st.integers(1, 9))
    parameters = {
        "alpha": draw(st.sampled_from([0.0, 2.5e-3, 1.0, 50.0])),
        "buffer": draw(st.integers(1, 12)),
        "batch": batch,
        "keep": draw(st.integers(1, batch)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }
    norms = rng.integers(0, 3, len(ids)).astype(float)
    return ids, norms, vectors[rng.integers(0, 4, len(ids))], parameters


@given(pools())
@settings(deadline=None, max_examples=300)
def test_the_definition(pool: tuple[list[str], Any, Any, dict[str, Any]]) -> None:
    ids, norms, sketches, parameters = pool
    result = uds(ids, norms, sketches, **parameters)
    wanted = literal(ids, norms.tolist(), sketches.tolist(), **parameters)
    for at, name in enumerate(ids):
        assert columns(result, at) == pytest.approx(wanted[name], rel=1e-9, abs=1e-12)


@given(pools(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_the_rows_changes_nothing(
    pool: tuple[list[str], Any, Any, dict[str, Any]], random: Any
) -> None:
    ids, norms, sketches, parameters = pool
    order = random.sample(range(len(ids)), len(ids))
    result = uds(ids, norms, sketches, **parameters)
    permuted = uds([ids[at] for at in order], norms[order], sketches[order], **parameters)
    for new, old in enumerate(order):
        assert columns(permuted, new) == columns(result, old)  # to the last bit


@given(pools())
@settings(deadline=None)
def test_what_holds_for_every_batch(pool: tuple[list[str], Any, Any, dict[str, Any]]) -> None:
    ids, norms, sketches, parameters = pool
    result = uds(ids, norms, sketches, **parameters)
    everything = uds(ids, norms, sketches, **(parameters | {"keep": parameters["batch"]}))
    assert everything.selected.all()
    by_norm = uds(ids, norms, sketches, **(parameters | {"alpha": 0.0}))
    for step in range(math.ceil(len(ids) / parameters["batch"])):
        rows = np.flatnonzero(result.step == step)
        assert sorted(result.rank[rows].tolist()) == list(range(len(rows)))
        assert result.selected[rows].sum() == min(parameters["keep"], len(rows))
        best = sorted(rows.tolist(), key=lambda at: (-norms[at], ids[at]))[: parameters["keep"]]
        assert sorted(rows[by_norm.selected[rows]].tolist()) == sorted(best)


def test_a_hand_computed_stream() -> None:
    # Seed 0 meets c, a, b, d. Batch 1: empty buffer, c wins by utility, its sketch (0, 0) enters.
    # Batch 2: b and d lie at 5 and 1 from it: 1 + 0.5 * 5 beats 2 + 0.5 * 1.
    assert np.random.Generator(np.random.PCG64(0)).permutation(4).tolist() == [2, 0, 1, 3]
    result = uds(
        ["a", "b", "c", "d"],
        np.array([1.0, 1.0, 2.0, 2.0]),
        np.array([[9.0, 9.0], [3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]),
        alpha=0.5, batch=2, keep=1, seed=0,
    )  # fmt: skip
    assert result.step.tolist() == [0, 1, 0, 1]
    assert result.diversity.tolist() == [0.0, 5.0, 0.0, 1.0]
    assert result.score.tolist() == [1.0, 3.5, 2.0, 2.5]
    assert result.selected.tolist() == [False, True, True, False]
    assert result.rank.tolist() == [1, 0, 0, 1]


def test_orthonormal_sketches_with_the_rescaled_alpha_give_the_same_choice() -> None:
    rng = np.random.default_rng(0)
    ids = [f"row{i:03}" for i in range(200)]
    norms, sketches = rng.random(200) * 1e5, rng.standard_normal((200, 32)) * 1e6
    ratio = math.sqrt(49_152 * 512) / 2
    official = uds(ids, norms, sketches, seed=3, alpha=2.5e-3)
    orthonormal = uds(
        ids, norms, sketches / ratio, seed=3, alpha=2.5e-3, projection="orthonormal", vocab=49_152
    )
    np.testing.assert_allclose(orthonormal.score, official.score, rtol=1e-12)
    np.testing.assert_allclose(orthonormal.diversity * ratio, official.diversity, rtol=1e-12)
    assert (orthonormal.rank == official.rank).all()
    # and alpha matters here: without rescaling the choice is another one
    plain = uds(ids, norms, sketches / ratio, seed=3, alpha=2.5e-3)
    assert (plain.selected != official.selected).any()


def test_distances_between_near_duplicates_are_exact() -> None:
    """Against 30 slots, where matrix-product distances of such rows would be noise."""
    rng = np.random.default_rng(1)
    base = rng.standard_normal(1024) * 1e7
    ids = [f"{i:02}" for i in range(32)]
    sketches = base + np.linspace(0, 1e-2, 32)[:, None]
    result = uds(ids, np.zeros(32), sketches, alpha=1.0, batch=1, keep=1, buffer=32)
    last = int(result.step.argmax())
    others = [at for at in range(32) if at != last]
    wanted = math.fsum(math.dist(sketches[last], sketches[at]) for at in others) / 31
    assert result.diversity[last] == pytest.approx(wanted, rel=1e-12)
    squares = np.square(sketches).sum(axis=1)
    product = squares[last] + squares[others] - 2 * sketches[others] @ sketches[last]
    matrix_form = np.sqrt(np.clip(product, 0, None)).mean()
    assert abs(matrix_form / wanted - 1) > 0.01


def test_a_float32_table_of_sketches_is_measured_in_float64() -> None:
    sketches = (np.array([[0.0], [2.0**-20], [1.0]]) + 2.0**3).astype(np.float32)
    result = uds(["a", "b", "c"], np.zeros(3), sketches, alpha=1.0, batch=1, keep=1)
    wanted = literal(["a", "b", "c"], [0.0] * 3, sketches.astype(float).tolist(),
                     alpha=1.0, buffer=9, batch=1, keep=1, seed=0)  # fmt: skip
    assert [float(v) for v in result.diversity] == [wanted[i][2] for i in "abc"]


def test_no_rows() -> None:
    result = uds([], np.zeros(0), np.zeros((0, 4)))
    assert all(
        len(getattr(result, name)) == 0
        for name in ("step", "utility", "diversity", "score", "selected", "rank")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep": 0}, "keep"),
        ({"keep": 9}, "keep"),
        ({"buffer": 0}, "buffer"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"projection": "orthonormal"}, "needs vocab"),
        ({"projection": "other"}, "official or orthonormal"),
        ({"ids": ["a", "b", "a"]}, "the id a stands for more than one row"),
        ({"nuclear_norm": np.array([0.0, math.nan, 0.0])}, "nuclear norm of b is not finite"),
        ({"sketch": np.array([[0.0], [0.0], [math.inf]])}, "sketch of c is not finite"),
        ({"sketch": np.zeros((2, 1))}, "3 ids, but norms of shape"),
        ({"nuclear_norm": np.zeros(4)}, "3 ids, but norms of shape"),
    ],
)
def test_impossible_input_is_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "ids": ["a", "b", "c"], "nuclear_norm": np.zeros(3), "sketch": np.zeros((3, 1))
    }  # fmt: skip
    uds(**arguments)
    with pytest.raises(ValueError, match=message):
        uds(**(arguments | change))
