"""`iterative_kmq`: scores, weights and draws of one round, and what the originals get wrong."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.diversity.iterative_kmq import drawn_quotas, new_weights
from winnow.selectors.run import select

SIZES = (12, 8, 4)


def table(**columns: Any) -> pa.Table:
    label = np.repeat([0, 1, 2], SIZES)
    return pa.table({"row_id": [f"{i:02}" for i in range(24)], "cluster": label, **columns})


def scored(**columns: Any) -> pa.Table:
    """Two rows of each cluster are picked; mean reward differences 0, 1 and -1."""
    at = {
        0: (2.0, 1.0),
        1: (0.0, 1.0),
        12: (3.0, 2.0),
        13: (1.0, 0.0),
        20: (1.0, 3.0),
        21: (1.0, 1.0),
    }
    return table(
        picked=[i in at for i in range(24)],
        reward_gold=[at[i][0] if i in at else None for i in range(24)],
        reward_generated=[at[i][1] if i in at else None for i in range(24)],
        **columns,
    )


def run(rows: pa.Table, budget: int, seed: int = 0, **parameters: Any) -> list[dict[str, Any]]:
    found = select("iterative_kmq", rows, budget=budget, seed=seed, groups="cluster", **parameters)
    return found.to_pylist()


def weights(found: list[dict[str, Any]]) -> list[float]:
    return [found[i]["cluster_weight"] for i in (0, 12, 20)]


@pytest.mark.parametrize("budget", [0, 3, 7, 20, 24])
def test_the_first_round_is_even(budget: int) -> None:
    found = run(table(), budget)
    taken = Counter(r["cluster"] for r in found if r["selected"])
    assert [taken[c] for c in range(3)] == {
        0: [0, 0, 0],
        3: [1, 1, 1],
        7: [3, 2, 2],
        20: [8, 8, 4],
        24: [12, 8, 4],
    }[budget]
    assert weights(found) == pytest.approx([1 / 3] * 3)
    assert [r["round"] for r in found] == [0] * 24
    assert found[0]["draw_prob"] == pytest.approx(1 / 36)


def test_the_softmax_of_the_spec() -> None:
    found = run(scored(), 4, round=1)
    assert weights(found) == pytest.approx([0.2447, 0.6652, 0.0900], abs=5e-5)
    # Two rows of every cluster are picked: each unpicked one has its part of the rest.
    assert found[2]["draw_prob"] == pytest.approx(weights(found)[0] / 10)
    assert found[22]["draw_prob"] == pytest.approx(weights(found)[2] / 2)
    open_ = [r["draw_prob"] for r in found if r["draw_prob"] is not None]
    assert math.fsum(open_) == pytest.approx(1) and len(open_) == 18
    for i in (0, 1, 12, 13, 20, 21):
        assert (found[i]["reason"], found[i]["rank"]) == ("already_picked", None)
    assert sum(r["selected"] for r in found) == 4
    assert {r["round"] for r in found} == {1}


def test_the_product_form_clips_and_adds_up_to_one() -> None:
    """As published, s = (0, 1, -1) divides by 0 and s = (1, 2, -1) weighs the third -1/2."""
    found = run(scored(), 4, round=1, form="product")
    assert weights(found) == pytest.approx([1e-6, 1, 1e-6], rel=1e-5)
    before = [0.5] * 12 + [0.1] * 8 + [0.4] * 4
    found = run(scored(cluster_weight=before), 4, round=2, form="product", epsilon=0.5)
    mass = [0.5 * 0.5, 1.0 * 0.1, 0.5 * 0.4]
    assert weights(found) == pytest.approx([m / math.fsum(mass) for m in mass])


def test_the_weight_before_is_one_for_a_cluster() -> None:
    before = [None] * 3 + [0.5] * 9 + [None] * 8 + [0.4, 0.4, 0.3, 0.4]
    with pytest.raises(UsageError, match="22: cluster_weight is 0.3"):
        run(scored(cluster_weight=before), 4, round=2, form="product")
    before[22] = 0.4
    found = run(scored(cluster_weight=before), 4, round=2, form="product", epsilon=0.5)
    mass = [0.5 * 0.5, 1.0 / 3, 0.5 * 0.4]  # no weight is known for the second: 1 / K
    assert weights(found) == pytest.approx([m / math.fsum(mass) for m in mass])
    with pytest.raises(UsageError, match="00: cluster_weight is -1"):
        run(scored(cluster_weight=[-1.0] * 24), 4, round=2, form="product")


def test_perplexity_without_an_exponential() -> None:
    rows = table(
        picked=[i in (0, 1, 12) for i in range(24)],
        logprob_mean=[-math.log(2.0), -math.log(4.0)]
        + [-9.0] * 10
        + [-math.log(6.0)]
        + [None] * 11,
    )
    found = run(rows, 4, round=1, form="perplexity")
    mass = [3.0, 6.0, 4.5]  # the third has no scored row: the mean of the others
    assert weights(found) == pytest.approx([m / 13.5 for m in mass])
    with pytest.raises(UsageError, match="row 00: logprob_mean"):
        run(table(picked=[True] * 24, logprob_mean=[-1e6] * 24), 4, round=1, form="perplexity")
    unread = rows.set_column(
        3, "logprob_mean", pa.array([*rows["logprob_mean"].to_pylist()[:23], -1e6])
    )
    assert weights(run(unread, 4, round=1, form="perplexity")) == weights(found), "not picked"
    losses = table(picked=[i == 0 for i in range(24)], logprob_mean=[0.5] * 24)
    with pytest.raises(UsageError, match="row 00: logprob_mean holds 0.5.*loss"):
        run(losses, 4, round=1, form="perplexity")


def test_a_cluster_without_scored_rows_gets_the_mean() -> None:
    rows = table(
        picked=[i in (0, 12, 20) for i in range(24)],
        reward_gold=[2.0] + [None] * 11 + [5.0] + [None] * 11,
        reward_generated=[1.0] + [None] * 11 + [2.0] + [None] * 11,
    )
    mass = [math.exp(1), math.exp(3), math.exp(2)]
    found = run(rows, 4, round=1)
    assert weights(found) == pytest.approx([m / math.fsum(mass) for m in mass])


def test_unscored_and_unpicked_rows_count_for_nothing() -> None:
    rows = scored().to_pylist()
    rows[3] |= {"reward_gold": 99.0, "reward_generated": 0.0}  # not picked
    rows[2] |= {"picked": True, "reward_gold": 50.0}  # picked, one reward only
    changed = run(pa.Table.from_pylist(rows), 4, round=1)
    assert weights(changed) == pytest.approx(weights(run(scored(), 4, round=1)))


def test_without_any_score_all_clusters_count_alike() -> None:
    rows = table(picked=[False] * 24, reward_gold=[None] * 24, reward_generated=[None] * 24)
    for form in ("softmax", "product"):
        assert weights(run(rows, 4, round=1, form=form)) == pytest.approx([1 / 3] * 3)


@given(
    st.lists(st.none() | st.floats(-50, 50), min_size=1, max_size=9),
    st.floats(0.1, 5),
    st.randoms(use_true_random=False),
)
def test_weights(scores: list[float | None], temperature: float, random: Any) -> None:
    known = [s for s in scores if s is not None]
    mean = math.fsum(known) / len(known) if known else 1.0
    s = [mean if v is None else v for v in scores]
    before = [random.uniform(0.1, 1) for _ in s]
    given_ = np.array([math.nan if v is None else v for v in scores])
    old = np.array(before)
    top = max(s)
    mass = [math.exp((v - top) / temperature) for v in s]
    found = new_weights(given_, old, "softmax", temperature=temperature)
    assert found.tolist() == pytest.approx([m / math.fsum(mass) for m in mass])
    mass = [max(v, 1e-6) * w for v, w in zip(s, before, strict=True)]
    found = new_weights(given_, old, "product")
    assert found.tolist() == pytest.approx([m / math.fsum(mass) for m in mass])
    mass = [max(v, 1e-6) for v in s]
    found = new_weights(given_, old, "perplexity")
    assert found.tolist() == pytest.approx([m / math.fsum(mass) for m in mass])


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6)), min_size=1, max_size=8),
    st.integers(0, 60),
    st.integers(0, 99),
)
def test_what_a_full_cluster_cannot_give_is_drawn_again(
    clusters: list[tuple[float, int]], total: int, seed: int
) -> None:
    weight, capacity = np.array([w for w, _ in clusters]), np.array([c for _, c in clusters])
    quota = drawn_quotas(total, weight, capacity, np.random.default_rng(seed))
    assert quota.sum() == min(total, capacity.sum())
    assert (quota <= capacity).all() and (quota >= 0).all()
    if quota[weight == 0].any():  # only when the others are exhausted
        assert (quota == capacity)[weight > 0].all()


def test_clusters_come_up_by_weight_with_replacement() -> None:
    weight, times = np.array([0.2, 0.5, 0.3]), 2000
    rng = np.random.default_rng(0)
    draws = np.array([drawn_quotas(4, weight, np.full(3, 9), rng) for _ in range(times)])
    np.testing.assert_allclose(draws.mean(axis=0) / 4, weight, atol=0.02)
    np.testing.assert_allclose(draws.var(axis=0), 4 * weight * (1 - weight), rtol=0.1)


@given(budget=st.integers(0, 20), seed=st.integers(0, 50))
@settings(deadline=None, max_examples=20)
def test_the_budget_is_the_rounds(budget: int, seed: int) -> None:
    found = run(scored(), budget, seed, round=1)
    assert sum(r["selected"] for r in found) == min(budget, 18)
    assert sorted(r["rank"] for r in found if r["rank"] is not None) == list(range(18))


def test_the_codes_mistake_takes_k_times_fewer_rows() -> None:
    found = run(scored(), 10, round=1, official_m=True)
    assert sum(r["selected"] for r in found) == 10 // 3
    assert Counter(r["reason"] for r in found) == {
        "already_picked": 6,
        "selected": 3,
        "not_drawn": 15,
    }
    assert sum(r["selected"] for r in run(table(), 10, official_m=True)) == 10  # round 0 is right


def test_three_rounds_on_embeddings() -> None:
    """The clusters stay, no row is picked twice, and the weight carries over."""
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((90, 4))
    rows = pa.table({"row_id": [f"{i:02}" for i in range(90)], "embedding": x.tolist()})
    picked = np.zeros(90, bool)
    cluster: list[int] | None = None
    before: list[float] = []
    for number in range(3):
        table = rows
        if number:
            gold = [1.0 + c if p else None for c, p in zip(cluster or [], picked, strict=True)]
            table = (
                rows.append_column("picked", pa.array(picked))
                .append_column("reward_gold", pa.array(gold))
                .append_column("reward_generated", pa.array([0.5 if p else None for p in picked]))
                .append_column("cluster_weight", pa.array(before))
            )
        found = select("iterative_kmq", table, budget=10, clusters=5, round=number, form="product")
        assert cluster in (None, found["cluster"].to_pylist())
        cluster, before = found["cluster"].to_pylist(), found["cluster_weight"].to_pylist()
        new = np.array(found["selected"])
        assert new.sum() == 10 and not (new & picked).any()
        picked |= new
    by_cluster = dict(zip(cluster or [], before, strict=True))
    assert by_cluster[4] > by_cluster[0]
    mass = [(c + 0.5) ** 2 for c in range(5)]  # twice from 1 / K
    wanted = [m / math.fsum(mass) for m in mass]
    assert [by_cluster[c] for c in range(5)] == pytest.approx(wanted)
