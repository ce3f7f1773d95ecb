"""Q-Tuning against a literal reading of its definition."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Silent
from winnow.selectors.budget import read_budget
from winnow.selectors.pool import Ragged
from winnow.selectors.pruning.q_tuning import (
    QTuning,
    QTuningParameters,
    lowest_tokens,
    token_scores,
)
from winnow.selectors.rows import TableRows
from winnow.selectors.run import select, select_rows

Lists = list[list[float]]


def table(logprobs: Lists, entropies: Lists) -> pa.Table:
    return pa.table(
        {
            "row_id": [f"r{i:04}" for i in range(len(logprobs))],
            "token_logprobs": pa.array(logprobs, pa.list_(pa.float64())),
            "token_entropies": pa.array(entropies, pa.list_(pa.float64())),
        }
    )


def choose(logprobs: Lists, entropies: Lists, budget: Any = None, **parameters: Any) -> list[Any]:
    return select("q_tuning", table(logprobs, entropies), budget=budget, **parameters).to_pylist()


def flat(values: list[tuple[float, float]]) -> tuple[Lists, Lists]:
    """Rows of one token with these (perplexity, entropy)."""
    return [[-math.log(p)] for p, _ in values], [[e] for _, e in values]


def ragged(rows: Lists) -> Ragged:
    lengths = [len(row) for row in rows]
    return Ragged(
        np.array([v for row in rows for v in row], dtype=np.float64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    )


# The literal reading.


def quantile(values: list[float], level: float) -> float:
    ordered = sorted(values)
    at = level * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    step, part = ordered[high] - ordered[low], at - low
    # rounded as numpy does, since a threshold is compared with the values it lies between
    return ordered[low] + step * part if part < 0.5 else ordered[high] - step * (1 - part)


def corners(ppl: list[float], ent: list[float], share: float, steps: int, top: float) -> list[str]:
    names: list[str] = []
    low, high = 0.0, top
    for _ in range(steps):
        a = (low + high) / 2
        p_low, p_high = quantile(ppl, a), quantile(ppl, 1 - a)
        e_low, e_high = quantile(ent, a), quantile(ent, 1 - a)
        names = []
        for p, e in zip(ppl, ent, strict=True):
            if p <= p_low and e >= e_high:
                names.append("Q4")
            elif p >= p_high and e <= e_low:
                names.append("Q2")
            elif p >= p_high and e >= e_high:
                names.append("Q1")
            elif p <= p_low and e <= e_low:
                names.append("Q3")
            else:
                names.append("none")
        if sum(name in ("Q2", "Q4") for name in names) / len(names) < share:
            low = a
        else:
            high = a
    return names


def scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(v - low) / (high - low) if high > low else 0.0 for v in values]


def distances(ppl: list[float], ent: list[float], scale: str) -> list[float]:
    if scale == "clip":
        cut = quantile(ppl, 0.99)
        ppl = [min(p, cut) for p in ppl]
    elif scale == "log":
        ppl = [math.log(p) for p in ppl]
    return [abs(p - e) for p, e in zip(scaled(ppl), scaled(ent), strict=True)]


def scores(logprobs: list[float], weight: float, neighbour: str) -> list[float]:
    ppl = [math.exp(-lp) for lp in logprobs]
    found = []
    for i, p in enumerate(ppl):
        near = [ppl[j] for j in (i - 1, i + 1) if 0 <= j < len(ppl)]
        around = math.fsum(near)
        if neighbour == "mean" and near:
            around /= len(near)
        found.append((1 - weight) * p + weight * around)
    return found


def mask(values: list[float], share: float) -> list[bool]:
    count = max(math.ceil(share * len(values) - 1e-9), 1)
    kept = sorted(range(len(values)), key=lambda i: (values[i], i))[:count]
    return [i in kept for i in range(len(values))]


TOKENS = st.lists(
    st.tuples(
        st.sampled_from([-3.0, -2.0, -1.0, -0.5, -0.1]), st.sampled_from([0.0, 0.5, 1.0, 3.0])
    ),
    min_size=1,
    max_size=6,
)
PARAMETERS = st.fixed_dictionaries(
    {
        "r_token": st.sampled_from([0.3, 0.5, 0.7, 1.0]),
        "steps": st.integers(1, 10),
        "highest_level": st.sampled_from([0.49, 0.3]),
        "neighbour_weight": st.sampled_from([0.0, 0.25, 0.5]),
        "neighbour": st.sampled_from(["sum", "mean"]),
        "keep": st.sampled_from(["lowest", "highest"]),
        "ppl_scale": st.sampled_from(["clip", "log", "raw"]),
    }
)


@given(
    st.lists(TOKENS, min_size=8, max_size=40),
    PARAMETERS,
    st.none() | st.integers(0, 45),
    st.sampled_from([0.125, 0.25, 0.5, 1.0]),
)
@settings(deadline=None, max_examples=150)
def test_the_definition(
    rows: list[list[tuple[float, float]]], p: dict[str, Any], budget: int | None, r_sample: float
) -> None:
    logprobs = [[lp for lp, _ in row] for row in rows]
    entropies = [[e for _, e in row] for row in rows]
    found = choose(logprobs, entropies, budget, r_sample=r_sample, **p)
    n = len(rows)
    ppl = [math.exp(-math.fsum(lp) / len(lp)) for lp in logprobs]
    ent = [math.fsum(e) / len(e) for e in entropies]
    assert [row["perplexity"] for row in found] == pytest.approx(ppl, rel=1e-12)
    assert [row["entropy"] for row in found] == pytest.approx(ent, rel=1e-12, abs=1e-15)
    # Beyond this point what is compared is the choice, on the same float64 figures.
    ppl, ent = [r["perplexity"] for r in found], [r["entropy"] for r in found]
    share = r_sample if budget is None else min(budget, n) / n
    names = corners(ppl, ent, share, p["steps"], p["highest_level"])
    assert [row["quadrant"] for row in found] == names
    far = distances(ppl, ent, p["ppl_scale"])
    assert [row["score"] for row in found] == pytest.approx(far, rel=1e-9, abs=1e-12)
    far = [row["score"] for row in found]
    corner = [name in ("Q2", "Q4") for name in names]
    order = sorted(range(n), key=lambda i: (not corner[i], -far[i], i))
    wanted = math.floor(r_sample * n + 1e-9) if budget is None else min(budget, n)
    taken = order[: wanted if budget is not None else max(wanted, sum(corner))]
    ranked = sorted((row["rank"], i) for i, row in enumerate(found) if row["selected"])
    assert [i for _, i in ranked] == taken
    for i, row in enumerate(found):
        if row["rank"] is None:
            assert row["reason"] == f"quadrant_{names[i].lower()}" and row["token_keep"] is None
            continue
        assert row["keep_reason"] == (names[i] if corner[i] else "supplement")
        whole = [True] * len(logprobs[i])
        sign = 1 if p["keep"] == "lowest" else -1
        s = [sign * v for v in scores(logprobs[i], p["neighbour_weight"], p["neighbour"])]
        assert row["token_keep"] == (mask(s, p["r_token"]) if names[i] == "Q2" else whole)


def test_the_published_defaults() -> None:
    p = QTuningParameters.read({})
    assert (p.r_sample, p.r_token, p.steps, p.highest_level) == (0.125, 0.5, 10, 0.49)
    assert (p.neighbour_weight, p.neighbour, p.keep) == (0.5, "sum", "lowest")
    # a diagonal has no corner row, so that the share is filled up, rounded down
    found = choose(*flat([(float(i + 1), float(i)) for i in range(23)]))
    assert sum(row["selected"] for row in found) == 2


def test_the_token_vector() -> None:
    logprobs = ragged([[-math.log(p) for p in (2, 10, 3, 1.5)]])
    s = token_scores(logprobs, 0.5, "sum")
    assert s == pytest.approx([6, 7.5, 7.25, 2.25], rel=1e-12)
    assert lowest_tokens(Ragged(s, logprobs.offsets), 0.5).tolist() == [True, False, False, True]
    assert token_scores(logprobs, 0.5, "mean") == pytest.approx([6, 6.25, 4.375, 2.25], rel=1e-12)


@given(
    st.lists(
        st.lists(st.sampled_from([-4.0, -2.0, -1.0, 0.0]), max_size=7), min_size=1, max_size=12
    ),
    st.sampled_from([0.1, 0.5, 0.7, 1.0]),
    st.sampled_from(["sum", "mean"]),
)
def test_tokens_of_rows_of_all_lengths(rows: Lists, share: float, neighbour: str) -> None:
    given_ = ragged(rows)
    found = token_scores(given_, 0.5, neighbour)
    wanted = [v for row in rows for v in scores(row, 0.5, neighbour)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-12)
    kept = lowest_tokens(Ragged(found, given_.offsets), share).tolist()
    own = [found[a:b].tolist() for a, b in zip(given_.offsets, given_.offsets[1:], strict=False)]
    assert kept == [flag for row in own if row for flag in mask(row, share)]


def test_the_four_corners_and_the_middle() -> None:
    # (perplexity, entropy): high-high, high-low, low-low, low-high, and eight between.
    values = [(9.0, 9.0), (9.0, 1.0), (1.1, 1.0), (1.1, 9.0)] + [
        (4.0 + i / 8, 4.0) for i in range(8)
    ]
    found = choose(*flat(values), r_sample=0.16)
    assert [row["quadrant"] for row in found] == ["Q1", "Q2", "Q3", "Q4"] + ["none"] * 8
    assert [row["selected"] for row in found] == [False, True, False, True] + [False] * 8
    assert [row["reason"] for row in found][:5] == [
        "quadrant_q1", "quadrant_q2", "quadrant_q3", "quadrant_q4", "quadrant_none"
    ]  # fmt: skip


def test_a_budget_is_met_exactly() -> None:
    rng = np.random.default_rng(0)
    values = [(float(math.exp(a)), float(b)) for a, b in np.abs(rng.normal(size=(200, 2)))]
    for budget in (0, 1, 7, 25, 60, 150, 200, 500):
        found = choose(*flat(values), budget)
        assert sum(row["selected"] for row in found) == min(budget, 200)
    assert sum(row["selected"] for row in choose(*flat(values), 0.25)) == 50


def test_corner_rows_are_cut_by_their_distance_and_others_come_after() -> None:
    values = [(9.0, 1.0), (8.0, 1.0)] + [(2.0 + i / 8, 4.0) for i in range(9)] + [(1.1, 9.0)]
    found = choose(*flat(values), 1, ppl_scale="raw")
    corner = [i for i, row in enumerate(found) if row["quadrant"] in ("Q2", "Q4")]
    best = max(corner, key=lambda i: found[i]["score"])
    assert [i for i, row in enumerate(found) if row["selected"]] == [best]
    found = choose(*flat(values), 12, ppl_scale="raw")
    ranked = sorted(found, key=lambda row: row["rank"])
    kinds = [row["keep_reason"] == "supplement" for row in ranked]
    assert kinds == sorted(kinds) and any(kinds) and not all(kinds)


def test_all_alike_is_q4_and_kept_whole() -> None:
    found = choose([[-1.0, -2.0]] * 10, [[1.0, 2.0]] * 10)
    assert {row["quadrant"] for row in found} == {"Q4"}
    assert all(row["selected"] and row["token_keep"] == [True, True] for row in found)
    assert sum(row["selected"] for row in choose([[-1.0]] * 10, [[1.0]] * 10, 3)) == 3


def test_a_small_pool_is_kept() -> None:
    values = [(float(i + 1), float(i)) for i in range(7)]
    found = choose(*flat(values))
    assert {row["reason"] for row in found} == {"small_pool"}
    assert all(row["selected"] and row["quadrant"] is None for row in found)
    assert [row["selected"] for row in choose(*flat(values), 2)] == [True] * 2 + [False] * 5
    assert {row["quadrant"] for row in choose(*flat([*values, (8.0, 7.0)]))} != {None}


def test_an_answer_without_tokens_is_out() -> None:
    logprobs, entropies = flat([(float(i + 1), float(i)) for i in range(9)])
    found = choose([[], *logprobs], [[], *entropies], 9)
    assert found[0]["reason"] == "empty" and found[0]["rank"] is None
    assert found[0]["perplexity"] is None and found[0]["quadrant"] is None
    assert sum(row["selected"] for row in found) == 9


def test_one_outlier_does_not_decide_the_supplement() -> None:
    # Nearly a diagonal: little lies in a corner. One perplexity of 1e6 among 1 to 5 presses the scaled
    # others to 0, and then the rows of highest entropy are farthest from the diagonal.
    n = 200
    values = [(1.0 + 4 * i / n, 4 * i / n) for i in range(n)]
    values[60] = (1.0 + 4 * 60 / n, 2.2)
    values[10] = (1e6, 4 * 10 / n)
    logprobs, entropies = flat(values)
    clipped = choose(logprobs, entropies, 5)
    raw = choose(logprobs, entropies, 5, ppl_scale="raw")
    assert clipped[60]["score"] > clipped[199]["score"]
    assert raw[60]["score"] < raw[199]["score"]
    log = choose(logprobs, entropies, 5, ppl_scale="log")
    assert log[199]["score"] < raw[199]["score"]


def test_perplexities_beyond_float64_stay_finite() -> None:
    logprobs, entropies = flat([(float(i + 1), float(i)) for i in range(9)])
    found = choose([[-1e4, -1e4], *logprobs], [[0.0, 0.0], *entropies], 4)
    assert found[0]["perplexity"] == pytest.approx(math.exp(700))
    assert found[0]["quadrant"] == "Q2" and found[0]["token_keep"] == [True, False]
    assert all(math.isfinite(row["score"]) for row in found)


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("entropy", "warns"), [(lambda p, u: p, True), (lambda p, u: 1 - p, False)]
)
def test_the_share_of_the_supplement_is_told(
    entropy: Callable[[float, float], float], warns: bool
) -> None:
    rng = np.random.default_rng(1)
    values = [(1 + p, entropy(p, u) + 1e-6 * u) for p, u in rng.random((100, 2)).tolist()]
    notes = Notes()
    select_rows(
        QTuning(), TableRows(table(*flat(values))), parameters={}, budget=read_budget(40), seed=0,
        columns={}, progress=notes,
    )  # fmt: skip
    assert len(notes.lines) == 1
    assert notes.lines[0].startswith("warning: q_tuning") == warns
    # Of the others the last level that the bisection tries leaves two short.
    assert ("100% of 40" if warns else "5% of 40") in notes.lines[0]


def test_the_note_counts_the_selection_and_not_all_corner_rows() -> None:
    notes = Notes()
    rows = TableRows(table([[-1.0]] * 10, [[1.0]] * 10))  # all in Q4
    for budget, count in ((3, 3), (None, 10)):
        select_rows(
            QTuning(), rows, parameters={}, budget=read_budget(budget), seed=0, columns={},
            progress=notes,
        )  # fmt: skip
        assert f"0% of {count} selected rows" in notes.lines[-1]


def test_masks_may_hold_more_tokens_than_int32_counts() -> None:
    found = select("q_tuning", table([[-1.0]] * 10, [[1.0]] * 10))
    assert found.schema.field("token_keep").type == pa.large_list(pa.bool_())


def test_the_reachable_share_falls_with_the_correlation() -> None:
    # Measured for 20,000 rows with log-perplexity and entropy jointly normal: 0.48, 0.31, 0.19, 0.09.
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 20_000))
    for correlation, share in ((0.0, 0.48), (0.5, 0.31), (0.8, 0.19), (0.95, 0.09)):
        ent = correlation * x + math.sqrt(1 - correlation**2) * y
        found = select(
            "q_tuning", table([[-v] for v in (x - x.min()).tolist()], [[v] for v in (ent + 9).tolist()]),
            r_sample=1.0,
        )  # fmt: skip
        kinds = found["quadrant"].to_pylist()
        corner = sum(kind in ("Q2", "Q4") for kind in kinds) / len(kinds)
        assert corner == pytest.approx(share, abs=0.012)


def test_tokens_must_match() -> None:
    logprobs, entropies = flat([(float(i + 1), float(i)) for i in range(9)])
    entropies[3] = [1.0, 2.0]
    with pytest.raises(UsageError, match="row r0003: token_entropies holds 2 numbers.*1"):
        choose(logprobs, entropies)
    entropies[3] = [1.0]
    entropies[4] = [-0.5]
    with pytest.raises(UsageError, match="row r0004: token_entropies holds -0.5.*at least 0"):
        choose(logprobs, entropies)
    entropies[4] = [-1e-7]
    logprobs[5] = [1.0]
    with pytest.raises(UsageError, match="row r0005: token_logprobs holds 1"):
        choose(logprobs, entropies)
