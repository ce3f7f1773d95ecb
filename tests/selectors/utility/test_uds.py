"""UDS against a literal reading of its definition, in plain Python."""

import math
import string
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Step
from winnow.selectors.registry import get_selector
from winnow.selectors.run import select
from winnow.selectors.utility.distances import Vectors, centre, distances
from winnow.selectors.utility.uds import UDSResult, spread, uds


def literal(
    ids: list[str],
    norms: list[float],
    sketches: list[list[float]],
    *,
    alpha: float,
    buffer: int,
    batch: int,
    keep: int | list[int],
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
            taken = rank < (keep if isinstance(keep, int) else keep[step])
            rows[name] = (step, known[name][0], v, -minus, taken, rank)
            if taken:
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
        "keep": draw(
            st.integers(1, batch)
            | st.lists(
                st.integers(0, batch),
                min_size=math.ceil(len(ids) / batch),
                max_size=math.ceil(len(ids) / batch),
            )
        ),
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
        keep = parameters["keep"]
        keep = keep if isinstance(keep, int) else keep[step]
        assert result.selected[rows].sum() == min(keep, len(rows))
        best = sorted(rows.tolist(), key=lambda at: (-norms[at], ids[at]))[:keep]
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
        ({"keep": [4, 4]}, "1 batches"),
        ({"keep": [9]}, "in every batch"),
        ({"keep": [-1]}, "in every batch"),
        ({"batch": 0}, "batch"),
        ({"buffer": 0}, "buffer"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"projection": "orthonormal"}, "needs vocab"),
        ({"projection": "other"}, "official or orthonormal"),
        ({"ids": ["a", "b", "a"]}, "the id a stands for more than one row"),
        ({"nuclear_norm": np.array([0.0, math.nan, 0.0])}, "nuclear norm of b is not finite"),
        ({"sketch": np.array([[0.0], [0.0], [math.inf]])}, "sketch of c is not finite"),
        ({"sketch": np.array([[0.0], [0.0], [1e200]])}, "sketch of c is too large"),
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


def measured_directly(
    norms: Any, sketches: Any, *, alpha: float, buffer: int, batch: int, keep: Any, seed: int
) -> tuple[Any, Any, Any]:
    """(score, selected, rank) of rows named in their order, with every distance a difference."""
    n = len(norms)
    stream = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    slots = np.full((buffer, sketches.shape[1]), np.nan)
    pushed = 0
    score, selected, place = np.zeros(n), np.zeros(n, bool), np.zeros(n, int)
    for step, start in enumerate(range(0, n, batch)):
        rows = np.sort(stream[start : start + batch])
        filled = slots[: min(pushed, buffer)]
        for row in rows:
            apart = np.sqrt(np.square(filled - sketches[row].astype(float)).sum(axis=1))
            score[row] = norms[row] + alpha * (math.fsum(apart) / len(apart) if len(apart) else 0)
        best = rows[np.argsort(-score[rows], kind="stable")]
        place[best] = np.arange(len(best))
        for row in best[: keep if isinstance(keep, int) else keep[step]]:
            selected[row] = True
            slots[pushed % buffer] = sketches[row]
            pushed += 1
    return score, selected, place


def sketches_of_kind(kind: str, n: int, width: int, rng: np.random.Generator) -> Any:
    rows = rng.standard_normal((n, width))
    match kind:
        case "duplicates":
            return rows[rng.integers(0, n // 20, n)]
        case "near duplicates":
            close = 10.0 ** rng.integers(-12, -1, (n, 1))
            return rows[rng.integers(0, n // 20, n)] + close * rows
        case "a large common mean":
            return 1e7 * rng.standard_normal(width) + rows
        case "two places far apart":
            return 1e6 * rng.integers(0, 2, (n, 1)) + rows
        case "one outlier":
            rows[n // 2] = 1e12
            return rows
        case "float32":
            return (1e3 + rows).astype(np.float32)
        case _:
            return np.zeros((n, width))


@pytest.mark.parametrize(
    "kind",
    ["duplicates", "near duplicates", "a large common mean", "two places far apart", "one outlier",
     "float32", "all alike"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("batch", "keep", "buffer"), [(8, 1, 64), (1, 1, 50), (7, 3, 2), (600, 40, 25), (5, 5, 1000)]
)
def test_the_choice_is_that_of_the_direct_form(
    kind: str, batch: int, keep: int, buffer: int
) -> None:
    """Over several blocks, blocks of one wide batch, and buffers that a block fills many times."""
    rng = np.random.default_rng(11)
    n = 900
    sketches = sketches_of_kind(kind, n, 24, rng)
    norms = rng.integers(0, 2, n).astype(float)
    settings: dict[str, Any] = {
        "alpha": 1.0, "buffer": buffer, "batch": batch, "keep": keep, "seed": 4
    }  # fmt: skip
    score, selected, rank = measured_directly(norms, sketches, **settings)
    found = uds([f"{i:04}" for i in range(n)], norms, sketches, **settings)
    np.testing.assert_allclose(found.score, score, rtol=2e-9)
    assert (found.selected == selected).all()
    assert (found.rank == rank).all()


def test_slots_after_more_was_pushed_than_they_hold() -> None:
    """Five rows into three slots leave the pointer at the third, so one more row replaces that."""
    rng = np.random.default_rng(3)
    sketches, norms = rng.standard_normal((64, 6)), rng.random(64)
    settings: dict[str, Any] = {
        "alpha": 1.0, "buffer": 3, "batch": 8, "keep": [5, 1, 1, 4, 1, 0, 7, 1], "seed": 0
    }  # fmt: skip
    score, selected, _ = measured_directly(norms, sketches, **settings)
    found = uds([f"{i:02}" for i in range(64)], norms, sketches, **settings)
    np.testing.assert_allclose(found.score, score, rtol=1e-12)
    assert (found.selected == selected).all()


def test_equal_rows_rank_by_id_wherever_they_stand_in_a_block() -> None:
    rng = np.random.default_rng(2)
    n, width = 640, 333
    few = rng.standard_normal((3, width)) * np.pi
    sketches = few[rng.integers(0, 3, n)]
    found = uds([f"{i:04}" for i in range(n)], np.ones(n), sketches, alpha=1.0, batch=16, keep=2)
    for step in range(1, n // 16):
        rows = np.flatnonzero(found.step == step)
        for sketch in few:
            alike = rows[(sketches[rows] == sketch).all(axis=1)]
            assert (np.diff(found.rank[alike]) > 0).all()
            assert len(set(found.score[alike].tolist())) <= 1


def test_scores_that_differ_less_than_a_product_can_tell_are_told_apart() -> None:
    """Two rows whose distances from the buffer differ by 1e-13, relative, far from the origin."""
    misled = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        held, step = 125 * rng.standard_normal(64), 0.8 * rng.standard_normal(64)
        stream = np.stack(
            [held, held, held + step, held + step * (1 + 1e-13), *rng.standard_normal((96, 64))]
        )
        met = np.random.Generator(np.random.PCG64(seed)).permutation(100)
        sketches, norms = np.zeros((100, 64)), np.zeros(100)
        sketches[met] = stream
        norms[met[0]] = 1.0
        found = uds(
            [f"{i:03}" for i in range(100)], norms, sketches, alpha=1.0, batch=2, keep=1, seed=seed
        )
        one, other = math.dist(held, stream[2]), math.dist(held, stream[3])
        assert one < other
        assert found.selected[met[3]] and not found.selected[met[2]]
        origin = centre(sketches)
        products = distances(Vectors.of(stream[2:4], origin), Vectors.of(stream[:1], origin))
        misled += bool(products[0, 0] >= products[1, 0])
    assert misled > 5, "products alone would choose the wrong row"


def test_sketches_on_disk(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    n = 700
    ids = [f"{i:03}" for i in range(n)]
    held = rng.standard_normal((n, 20)).astype(np.float32)
    mapped = np.memmap(tmp_path / "sketches", np.float32, "w+", shape=(n + 5, 20))
    mapped[5:] = held
    norms = rng.random(n)
    first, second = uds(ids, norms, held, keep=2), uds(ids, norms, mapped[5:], keep=2)
    for name in ("score", "selected", "rank", "diversity"):
        assert (getattr(first, name) == getattr(second, name)).all()


def test_it_tells_how_far_it_is() -> None:
    class Listener:
        def __init__(self) -> None:
            self.done: list[int] = []

        def step(self, step: Step) -> None:
            self.done.append(step.done)
            assert step.total == 700

        def note(self, text: str) -> None:
            raise AssertionError(text)

    listener = Listener()
    uds([f"{i}" for i in range(700)], np.zeros(700), np.zeros((700, 2)), progress=listener)
    assert listener.done == [256, 512, 700]


@given(n=st.integers(0, 300), batch=st.integers(1, 40), share=st.floats(0, 1))
@settings(deadline=None)
def test_spread(n: int, batch: int, share: float) -> None:
    total = int(share * n)
    counts = spread(total, n, batch)
    assert counts.sum() == total and len(counts) == math.ceil(n / batch)
    for step, count in enumerate(counts.tolist()):
        start, end = step * batch, min((step + 1) * batch, n)
        assert count == total * end // n - total * start // n
        assert 0 <= count <= end - start


def test_spread_of_more_than_there_is() -> None:
    assert spread(3, 16, 4).tolist() == [0, 1, 1, 1]
    with pytest.raises(ValueError, match="17 of 16 rows"):
        spread(17, 16, 4)


def rows_of(n: int, seed: int = 0) -> Any:
    import pyarrow as pa

    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "row_id": [f"r{i:03}" for i in range(n)],
            "nuclear_norm": rng.exponential(1.0, n),
            "sketch": rng.standard_normal((n, 6)).astype(np.float32).tolist(),
        }
    )


def arrays(table: Any) -> tuple[list[str], Any, Any]:
    return (
        table["row_id"].to_pylist(),
        table["nuclear_norm"].to_numpy(),
        np.array(table["sketch"].to_pylist(), dtype=np.float32),
    )


def test_the_selector_without_a_budget_is_uds() -> None:
    table = rows_of(61)
    result = select("uds", table, seed=9, alpha=0.3, keep=2, batch=5, buffer=7)
    wanted = uds(*arrays(table), seed=9, alpha=0.3, keep=2, batch=5, buffer=7)
    for name in ("step", "utility", "diversity", "score", "selected"):
        assert result[name].to_pylist() == getattr(wanted, name).tolist(), name
    order = np.argsort(result["rank"].to_numpy())
    chosen = [int(i) for i in order if wanted.selected[i]]
    assert chosen == sorted(chosen, key=lambda i: (wanted.step[i], wanted.rank[i]))
    others = [int(i) for i in order if not wanted.selected[i]]
    assert others == sorted(others, key=lambda i: -wanted.score[i])
    assert order.tolist() == chosen + others


@pytest.mark.parametrize("budget", [0, 1, 20, 61, 99, 0.125])
def test_the_selector_meets_a_budget_spread_over_the_stream(budget: Any) -> None:
    table = rows_of(61)
    result = select("uds", table, budget=budget, seed=9, alpha=0.3, batch=5)
    rows = min(budget, 61) if isinstance(budget, int) else int(budget * 61)
    counts = spread(rows, 61, 5)
    assert sum(result["selected"].to_pylist()) == rows
    wanted = uds(*arrays(table), seed=9, alpha=0.3, batch=5, keep=counts)
    assert result["selected"].to_pylist() == wanted.selected.tolist()
    assert result["score"].to_pylist() == wanted.score.tolist()
    per_step = np.bincount(wanted.step[wanted.selected], minlength=len(counts))
    assert per_step.tolist() == counts.tolist()


def test_the_selector_refuses_a_negative_norm() -> None:
    table = rows_of(9)
    at = table.column_names.index("nuclear_norm")
    table = table.set_column(at, "nuclear_norm", [[1.0] * 4 + [-2.0] + [1.0] * 4])
    with pytest.raises(UsageError, match="row r004: nuclear_norm is -2.0"):
        select("uds", table)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"keep": 9}, r"keep \(9\) must be at most batch \(8\)"),
        ({"projection": "orthonormal"}, "needs vocab"),
        ({"alpha": -1.0}, "alpha"),
        ({"projection": "other"}, "projection"),
    ],
)
def test_the_selector_checks_its_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        select("uds", rows_of(3), **parameters)


def test_the_defaults() -> None:
    defaults = get_selector("uds").parameters.read({})
    assert (defaults.alpha, defaults.buffer, defaults.batch, defaults.keep, defaults.T) == (
        2.5e-3, 1024, 8, 4, 512
    )  # fmt: skip
