"""Mixtures of sources: shares, caps, what happens where a source runs out."""

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.quotas import deal
from winnow.selectors.mixing.mix import largest_total, shares
from winnow.selectors.run import select


def pool(**sizes: int) -> pa.Table:
    sources = [name for name, size in sizes.items() for _ in range(size)]
    return pa.table(
        {
            "row_id": [f"r{at:04d}" for at in range(len(sources))],
            "source": sources,
            "quality": [float(at % 7) for at in range(len(sources))],
        }
    )


def run(table: pa.Table, **parameters: Any) -> list[dict[str, Any]]:
    found = select("mix", table, **parameters)
    rows: list[dict[str, Any]] = found.append_column("source", table["source"]).to_pylist()
    return rows


def counts(table: pa.Table, **parameters: Any) -> dict[str, int]:
    return dict(Counter(row["source"] for row in run(table, **parameters) if row["selected"]))


class TestShares:
    def test_weights(self) -> None:
        table = pool(a=100, b=100, c=100)
        assert counts(table, weights={"a": 3, "b": 1}, budget=40) == {"a": 30, "b": 10}
        row = run(table, weights={"a": 3, "b": 1}, budget=40)[-1]
        assert row["reason"] == "source_not_wanted" and row["share"] == 0

    def test_counts(self) -> None:
        table = pool(a=100, b=100)
        assert counts(table, counts={"a": 20, "b": 5}) == {"a": 20, "b": 5}
        assert counts(table, counts={"a": 20, "b": 5}, budget=50) == {"a": 40, "b": 10}

    @pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0, 1e9, 0.5, 0.01])
    def test_temperature(self, temperature: float) -> None:
        table = pool(a=1000, b=500, c=100)
        row = {r["source"]: r["share"] for r in run(table, temperature=temperature, budget=10)}
        if temperature == 0.01:
            assert row["a"] == pytest.approx(1)
            return
        powers = {s: math.pow(n, 1 / temperature) for s, n in (("a", 1000), ("b", 500), ("c", 100))}
        for source, power in powers.items():
            assert row[source] == pytest.approx(power / math.fsum(powers.values()))

    def test_a_small_temperature_leaves_no_source_unwanted(self) -> None:
        rows = run(pool(a=40, b=4, c=1), temperature=0.001, budget=42)
        assert Counter(r["source"] for r in rows if r["selected"])["a"] == 40
        assert Counter(r["reason"] for r in rows) == {"selected": 42, "budget": 3}
        assert all(r["share"] > 0 for r in rows)
        assert counts(pool(a=2, b=2), weights={"a": 1e-320, "b": 1e300}, budget=3) == {
            "b": 2,
            "a": 1,
        }

    def test_the_sources_as_they_are(self) -> None:
        assert counts(pool(a=80, b=20), budget=10) == {"a": 8, "b": 2}
        assert counts(pool(a=80, b=20)) == {"a": 80, "b": 20}

    def test_without_a_budget_as_many_as_the_shares_allow(self) -> None:
        table = pool(a=80, b=20)
        assert counts(table, weights={"a": 1, "b": 1}) == {"a": 20, "b": 20}
        assert counts(table, weights={"a": 1, "b": 1}, caps={"a": 7}) == {"a": 7, "b": 7}
        assert counts(table, weights={"a": 0.29, "b": 0.71}) == {"a": 8, "b": 20}

    def test_every_beginning_is_mixed(self) -> None:
        table = pool(a=90, b=90)
        ranks = {r["rank"]: r["source"] for r in run(table, weights={"a": 2, "b": 1}, budget=60)}
        for end in range(1, 61):
            assert abs(sum(ranks[at] == "a" for at in range(end)) - 2 * end / 3) <= 1
        assert sum(ranks[at] == "a" for at in range(60, 90)) == 20  # and what comes after, too


class TestScarcity:
    def test_the_others_give_what_one_cannot(self) -> None:
        table = pool(a=5, b=100, c=100)
        assert counts(table, weights={"a": 2, "b": 1, "c": 1}, budget=40) == {
            "a": 5, "b": 18, "c": 17
        }  # fmt: skip

    def test_or_it_is_missing(self) -> None:
        table = pool(a=5, b=100)
        found = run(table, weights={"a": 1, "b": 1}, budget=40, redeal=False)
        assert Counter(r["source"] for r in found if r["selected"]) == {"a": 5, "b": 20}
        assert Counter(r["reason"] for r in found) == {"selected": 25, "over_quota": 80}
        assert counts(table, counts={"a": 9, "b": 3}, redeal=False) == {"a": 5, "b": 3}
        assert counts(table, counts={"a": 9, "b": 3}) == {"a": 5, "b": 7}

    def test_caps(self) -> None:
        table = pool(a=100, b=100)
        assert counts(table, caps={"a": 3}, budget=40) == {"a": 3, "b": 37}
        assert counts(table, caps={"a": 0.25}, budget=40) == {"a": 10, "b": 30}
        assert counts(table, cap=0.29, budget=100) == {"a": 29, "b": 29}
        assert counts(table, cap=12, caps={"b": 1.0}, budget=40) == {"a": 12, "b": 28}
        assert counts(table, caps={"a": 0}) == {"b": 100}
        assert counts(table, caps={"a": 0.25}) == {"a": 50, "b": 50}  # of the 200 usable rows
        assert counts(pool(a=20, b=20), caps={"a": 0.25}, budget=100) == {"a": 10, "b": 20}
        reasons = Counter(r["reason"] for r in run(table, cap=12, budget=40))
        assert reasons == {"selected": 24, "source_cap": 176}

    def test_few_rows_weigh_more_where_asked(self) -> None:
        table = pool(a=5, b=100)
        for repeat, weight in ((1.0, 1), (3.0, 3), (9.0, 4)):
            rows = run(table, weights={"a": 1, "b": 1}, budget=40, repeat=repeat)
            assert {r["weight"] for r in rows if r["selected"] and r["source"] == "a"} == {weight}
            assert {r["weight"] for r in rows if r["selected"] and r["source"] == "b"} == {1}

    def test_no_row_weighs_more_where_rows_are_enough(self) -> None:
        found = run(pool(a=6, b=20), weights={"a": 0.5, "b": 0.5}, budget=5, repeat=2.0)
        assert {r["weight"] for r in found if r["selected"]} == {1}

    def test_a_cap_is_no_lack_of_rows(self) -> None:
        table = pool(a=5, b=100)
        rows = run(table, weights={"a": 1, "b": 1}, budget=40, repeat=9.0, caps={"a": 10})
        assert {r["weight"] for r in rows if r["selected"] and r["source"] == "a"} == {2}
        rows = run(table, weights={"a": 1, "b": 1}, budget=40, repeat=9.0, caps={"a": 3})
        assert {r["weight"] for r in rows if r["selected"]} == {1}


class TestWithin:
    def test_a_seeded_draw(self) -> None:
        draws = {
            tuple(r["row_id"] for r in run(pool(a=30), budget=5, seed=seed) if r["selected"])
            for seed in (0, 1, 0)
        }
        assert len(draws) == 2

    def test_the_best(self) -> None:
        rows = run(pool(a=14, b=14), within="quality", budget=4)
        assert [r["row_id"] for r in rows if r["selected"]] == ["r0006", "r0013", "r0020", "r0027"]
        assert [r["score"] for r in rows if r["selected"]] == [6.0] * 4

    def test_quality_is_read_only_then(self) -> None:
        table = pool(a=3).drop_columns(["quality"])
        assert counts(table) == {"a": 3}
        with pytest.raises(UsageError, match="no column 'quality'"):
            run(table, within="quality")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": {"x": 1.0}}, "weights: no usable row has the source 'x'; there are: a, b"),
        ({"counts": {"x": 1}}, "counts: no usable row has the source 'x'"),
        ({"caps": {"x": 1}}, "caps: no usable row has the source 'x'"),
        ({"weights": {"a": 1.0}, "temperature": 2.0}, "weights and temperature exclude each other"),
        ({"weights": {"a": 0.0}}, "weights: must be at least 0, and one of them more"),
        ({"weights": {}}, "weights: must be at least 0, and one of them more"),
        ({"weights": {"a": -1.0, "b": 2.0}}, "weights: must be at least 0"),
        ({"cap": 1.5}, "a cap of 1.5: must be"),
        ({"caps": {"a": -1}}, "a cap of -1: must be"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(pool(a=3, b=3), **parameters)


SIZES = st.lists(st.integers(1, 10**7), min_size=1, max_size=8)


@given(SIZES)
@example([252_908, 217_450, 223_967, 374_029])
def test_sources_as_they_are_are_whole(sizes: list[int]) -> None:
    weights = [Fraction(size) for size in sizes]
    assert largest_total(weights, sizes) == sum(sizes)
    assert deal(sum(sizes), shares(weights), np.array(sizes)).tolist() == sizes


@given(st.data(), SIZES)
def test_the_largest_total_is_exact(data: st.DataObject, sizes: list[int]) -> None:
    weights = [data.draw(st.integers(1, 10**6)) for _ in sizes]
    total = largest_total([Fraction(w) for w in weights], sizes)

    def fits(rows: int) -> bool:
        return all(rows * w <= size * sum(weights) for w, size in zip(weights, sizes, strict=True))

    assert fits(total) and not fits(total + 1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 25), st.integers(0, 5), st.none() | st.integers(0, 25)),
             min_size=1, max_size=5),
    st.integers(0, 60),
)  # fmt: skip
def test_totals_are_exact(sources: list[tuple[int, int, int | None]], budget: int) -> None:
    if not any(weight for _, weight, _ in sources):
        return
    names = "abcde"
    table = pool(**{names[at]: size for at, (size, _, _) in enumerate(sources)})
    weights = {names[at]: weight for at, (_, weight, _) in enumerate(sources)}
    caps = {names[at]: cap for at, (_, _, cap) in enumerate(sources) if cap is not None}
    able = {
        names[at]: min(size, size if cap is None else cap) if weight else 0
        for at, (size, weight, cap) in enumerate(sources)
    }
    found = counts(table, weights=weights, caps=caps, budget=budget)
    assert sum(found.values()) == min(budget, sum(able.values()))
    assert all(count <= able[name] for name, count in found.items())
    more = {name: found.get(name, 0) for name in able if found.get(name, 0) < able[name]}
    for one, given_one in more.items():  # of two that could give more, each has its share
        for other, given_other in more.items():
            ratio = weights[one] / weights[other]
            assert abs(given_one - ratio * given_other) <= 1 + ratio
