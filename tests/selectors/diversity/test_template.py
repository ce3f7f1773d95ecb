"""`template`: at most so many of each group, and turns among the groups."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.run import select

rows_of = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-3, 3)), min_size=1, max_size=30)


def table(rows: list[tuple[str, int]]) -> pa.Table:
    return pa.table(
        {
            "row_id": [f"{i:02}" for i in range(len(rows))],
            "template_id": [t for t, _ in rows],
            "quality": [float(q) for _, q in rows],
        }
    )


@given(rows_of, st.integers(1, 4))
@settings(deadline=None, max_examples=50)
def test_the_best_of_each_group_take_turns(rows: list[tuple[str, int]], most: int) -> None:
    found = select("template", table(rows), per_template=most, by="quality").to_pylist()
    place = []
    for i, (template, quality) in enumerate(rows):
        better = [j for j, (t, q) in enumerate(rows) if t == template and (-q, j) < (-quality, i)]
        place.append(len(better))
    order = sorted(
        (i for i in range(len(rows)) if place[i] < most), key=lambda i: (place[i], -rows[i][1], i)
    )
    assert [r["place"] for r in found] == place
    for rank, i in enumerate(order):
        assert (found[i]["rank"], found[i]["selected"]) == (rank, True)
    for i, row in enumerate(found):
        if place[i] >= most:
            assert (row["rank"], row["reason"], row["selected"]) == (None, "template_full", False)


@given(rows_of, st.integers(1, 4), st.integers(0, 30), st.integers(0, 20))
@settings(deadline=None, max_examples=50)
def test_random_rows_of_each_group(
    rows: list[tuple[str, int]], most: int, budget: int, seed: int
) -> None:
    found = select("template", table(rows), budget=budget, seed=seed, per_template=most).to_pylist()
    count = Counter(t for (t, _), r in zip(rows, found, strict=True) if r["selected"])
    size = Counter(t for t, _ in rows)
    assert all(count[t] <= most for t in size)
    assert sum(count.values()) == min(budget, sum(min(most, s) for s in size.values()))
    if count:  # no group is two rows ahead of one that has more to give
        open_ = [count[t] for t in size if count[t] < min(most, size[t])]
        assert max(count.values()) - min(open_, default=max(count.values())) <= 1


def test_the_draw_is_seeded_and_fair() -> None:
    rows = table([("a", 0)] * 3 + [("b", 0)] * 3)
    seen = Counter()  # type: ignore[var-annotated]
    for seed in range(300):
        found = select("template", rows, seed=seed)["selected"].to_pylist()
        assert sum(found[:3]) == sum(found[3:]) == 1
        seen.update(i for i, s in enumerate(found) if s)
    assert all(60 < seen[i] < 140 for i in range(6))


def test_parameters() -> None:
    with pytest.raises(UsageError, match="per_template"):
        select("template", table([("a", 0)]), per_template=0)
    with pytest.raises(UsageError, match="no column 'quality'"):
        select("template", table([("a", 0)]).drop_columns(["quality"]), by="quality")
