"""`kmq`: shares of clusters, and draws by quality without replacement."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.quotas import balanced, proportional
from winnow.selectors.diversity.draws import softmax, standing
from winnow.selectors.run import select


def test_the_softmax_of_the_spec() -> None:
    found = softmax(np.array([0.0, 1.0, -1.0]))
    np.testing.assert_allclose(found, [0.2447, 0.6652, 0.0900], atol=5e-5)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(-800, 800) | st.just(-math.inf)),
        min_size=1,
        max_size=20,
    )
)
def test_softmax_by_group(rows: list[tuple[int, float]]) -> None:
    group = [g for g, _ in rows]
    found = softmax(np.array([v for _, v in rows]), np.array(group))
    for (g, v), share in zip(rows, found.tolist(), strict=True):
        others = [w for h, w in rows if h == g]
        top = max(others)
        if top == -math.inf:
            assert share == pytest.approx(1 / len(others))
            continue
        whole = math.fsum(math.exp(w - top) for w in others)
        assert share == pytest.approx(math.exp(v - top) / whole, rel=1e-9, abs=1e-300)


def test_draws_are_successive_and_without_replacement() -> None:
    """Every order of three rows comes as often as drawing them one after the other gives."""
    weights = (1.0, 2.0, 4.0)
    times = 40_000
    log_weight = np.tile(np.log(weights), times)
    ranks = standing(log_weight, np.random.default_rng(0)).reshape(times, 3)
    seen = Counter(map(tuple, np.argsort(-ranks, axis=1).tolist()))
    for order in itertools.permutations(range(3)):
        left, chance = sum(weights), 1.0
        for row in order:
            chance *= weights[row] / left
            left -= weights[row]
        spread = math.sqrt(chance * (1 - chance) / times)
        assert abs(seen[order] / times - chance) < 4 * spread


def test_rows_of_no_weight_come_last_in_random_order() -> None:
    weight = np.array([-np.inf, 0.0, -np.inf, -np.inf, -50.0])
    lasts = set()
    for seed in range(40):
        ranks = standing(weight, np.random.default_rng(seed))
        assert sorted(ranks.tolist()) == [1, 2, 3, 4, 5]
        order = np.argsort(-ranks).tolist()
        assert set(order[:2]) == {1, 4}
        lasts.add(tuple(order[2:]))
    assert len(lasts) == 6


def table(quality: list[float] | None = None, sizes: tuple[int, ...] = (30, 15, 3)) -> pa.Table:
    label = np.repeat(np.arange(len(sizes)), sizes)
    n = len(label)
    quality = quality or np.random.default_rng(0).uniform(1, 6, n).tolist()
    return pa.table({"row_id": [f"{i:02}" for i in range(n)], "cluster": label, "quality": quality})


def taken(found: pa.Table, clusters: int = 3) -> list[int]:
    count = Counter(r["cluster"] for r in found.to_pylist() if r["selected"])
    return [count[c] for c in range(clusters)]


@given(budget=st.integers(0, 48), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_budgets(budget: int, seed: int) -> None:
    sizes = (30, 15, 3)
    for rule, quotas in (("proportional", proportional), ("equal", balanced)):
        found = select("kmq", table(), budget=budget, seed=seed, groups="cluster", budget_rule=rule)
        assert taken(found) == quotas(budget, sizes).tolist()
    # The code's equal rule: int(b / K) each, at most the size; the rest is dealt again.
    least = [min(budget // 3, s) for s in sizes]
    assert all(t >= m for t, m in zip(taken(found), least, strict=True))


@pytest.mark.parametrize("draw", ["softmax", "proportional"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_chance_of_a_draw(draw: str, temperature: float) -> None:
    rows = table([1.0, 2.0, 5.0, 0.0, 3.0], (3, 2))
    found = select(
        "kmq", rows, budget=2, groups="cluster", draw=draw, temperature=temperature
    ).to_pylist()
    for members in ((0, 1, 2), (3, 4)):
        quality = [rows["quality"][i].as_py() for i in members]
        if draw == "softmax":
            mass = [math.exp(q / temperature) for q in quality]
        else:
            mass = [q ** (1 / temperature) for q in quality]
        for i, m in zip(members, mass, strict=True):
            assert found[i]["draw_prob"] == pytest.approx(m / math.fsum(mass))


@pytest.mark.parametrize("draw", ["softmax", "proportional"])
def test_rows_are_drawn_as_often_as_they_say(draw: str) -> None:
    sizes = (3,) * 4000
    rows = table([1.0, 2.0, 3.0] * 4000, sizes)
    found = select(
        "kmq", rows, budget=4000, groups="cluster", draw=draw, budget_rule="equal"
    ).to_pylist()
    for i in range(3):
        share = sum(r["selected"] for r in found[i::3]) / 4000
        assert share == pytest.approx(found[i]["draw_prob"], abs=4 * 0.5 / math.sqrt(4000))


def test_a_failed_score_is_missing() -> None:
    rows = table([3.0, -1.0, 2.0, -1.0], (2, 2))
    found = select("kmq", rows, budget=4, groups="cluster").to_pylist()
    assert [r["reason"] for r in found] == ["selected", "no_quality", "selected", "no_quality"]
    assert [r["cluster"] for r in found] == [0, None, 1, None]
    assert [r["quota"] for r in found] == [1, None, 1, None]
    assert found[0]["draw_prob"] == 1.0
    found = select("kmq", rows, budget=4, groups="cluster", missing=None).to_pylist()
    assert all(r["selected"] for r in found)
    found = select("kmq", rows, budget=4, groups="cluster", missing=2.0).to_pylist()
    assert [r["selected"] for r in found] == [True, True, False, True]
    none = table([-1.0] * 4, (2, 2))
    assert not any(select("kmq", none, budget=4, groups="cluster")["selected"].to_pylist())


def test_a_negative_quality_has_no_proportion() -> None:
    rows = table([1.0, 2.0, -0.5], (3,))
    with pytest.raises(UsageError, match="02: quality is -0.5"):
        select("kmq", rows, budget=1, groups="cluster", draw="proportional")
    select("kmq", rows, budget=1, groups="cluster")


def test_a_quality_of_zero_is_drawn_last() -> None:
    rows = table([0.0, 0.0, 0.1, 0.0], (4,))
    for seed in range(20):
        found = select("kmq", rows, budget=1, seed=seed, groups="cluster", draw="proportional")
        assert found["selected"].to_pylist() == [False, False, True, False]


def test_clusters_of_embeddings() -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    blob = np.repeat([0, 1], (30, 10))
    x: Any = 30 * np.eye(2, 4)[blob] + rng.standard_normal((40, 4))
    rows = pa.table(
        {"row_id": [f"{i:02}" for i in range(40)], "embedding": x.tolist(), "quality": [1.0] * 40}
    )
    found = select("kmq", rows, budget=8, clusters=2)
    assert found["cluster"].to_pylist() == blob.tolist()
    assert taken(found, 2) == [6, 2]
    assert len(set(select("kmq", rows, budget=8)["cluster"].to_pylist())) == 40  # K = 1024
