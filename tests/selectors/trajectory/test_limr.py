"""LIMR: fill rules, score, threshold, and the faults of the original."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.selectors.run import select
from winnow.selectors.trajectory.limr import fill_missing, lim_scores

NONE = math.nan


def table(accuracies: list[Any]) -> pa.Table:
    return pa.table(
        {
            "row_id": [f"r{i}" for i in range(len(accuracies))],
            "accuracies": pa.array(accuracies, pa.list_(pa.float64())),
        }
    )


def run(accuracies: list[Any], **parameters: Any) -> list[dict[str, Any]]:
    return select("limr", table(accuracies), **parameters).to_pylist()


# The same in plain Python, with -1 for an epoch without answers.


def oracle_fill(row: list[float], rule: str) -> list[float]:
    row = list(row)
    if rule == "official":
        for k in range(len(row) - 1):
            if row[k] == -1 and row[k + 1] != -1:
                row[k] = row[k + 1]
    elif rule == "linear":
        given = list(row)
        for k, value in enumerate(given):
            left = [j for j in range(k) if given[j] != -1]
            right = [j for j in range(k + 1, len(given)) if given[j] != -1]
            if value == -1 and left and right:
                a, b = left[-1], right[0]
                row[k] = given[a] + (given[b] - given[a]) * (k - a) / (b - a)
    return row


def oracle(rows: list[list[float]], rule: str, epochs: int | None) -> list[float | None]:
    filled = [oracle_fill(row, rule)[:epochs] for row in rows]
    kept = [row for row in filled if -1 not in row]
    if not kept:
        return [None] * len(rows)
    mean = [math.fsum(row[k] for row in kept) / len(kept) for k in range(len(kept[0]))]
    below = math.fsum((1 - m) ** 2 for m in mean)
    scores: list[float | None] = []
    for row in filled:
        if -1 in row:
            scores.append(None)
        elif below == 0:
            scores.append(1.0)
        else:
            off = math.fsum((a - m) ** 2 for a, m in zip(row, mean, strict=True))
            scores.append(1 - off / below)
    return scores


values = st.sampled_from([-1.0, -1.0, 0.0, 0.125, 0.25, 0.5, 0.875, 1.0])
tables = st.integers(1, 7).flatmap(
    lambda epochs: st.lists(
        st.lists(values, min_size=epochs, max_size=epochs), min_size=1, max_size=12
    )
)
rules = st.sampled_from(["official", "none", "linear"])


@given(rows=tables, rule=rules, data=st.data())
@settings(deadline=None, max_examples=200)
def test_scores_are_those_of_the_formula(rows: list[list[float]], rule: str, data: Any) -> None:
    epochs = data.draw(st.none() | st.integers(1, len(rows[0])))
    want = oracle(rows, rule, epochs)
    found = run(rows, fill=rule, epochs=epochs, theta=0.25)
    whole = [f for row in rows if -1 not in (f := oracle_fill(row, rule)[:epochs])]
    taken = "always_right" if all(a == 1 for row in whole for a in row) else "selected"
    for row, score, drawn in zip(found, want, rows, strict=True):
        if score is None:
            assert row["score"] is None and row["reason"] == "missing_epoch"
            continue
        assert row["score"] == pytest.approx(score, rel=1e-12, abs=1e-12)
        if abs(score - 0.25) > 1e-9:
            assert row["selected"] == (score >= 0.25)
            assert row["reason"] == (taken if score >= 0.25 else "below_theta")
        filled = oracle_fill(drawn, rule)[:epochs]
        assert row["epochs_filled"] == sum(
            a == -1 and b != -1 for a, b in zip(drawn, filled, strict=False)
        )
    ranked = sorted((r for r in found if r["rank"] is not None), key=lambda r: r["rank"])
    assert [(-r["score"], r["row_id"]) for r in ranked] == sorted(
        (-r["score"], r["row_id"]) for r in ranked
    ), "best first, equal scores in the order of the names"


def test_a_worked_example() -> None:
    # Means 0.25 and 0.75; below = 0.5625 + 0.0625 = 0.625.
    found = run([[0.0, 0.5], [0.5, 1.0], [0.25, 0.75]])
    assert [r["score"] for r in found] == [0.8, 0.8, 1.0]
    # 0 and 1 are off by 0.25 each from a mean of 0.5: 1 - 1; the score has no lower bound.
    assert [r["score"] for r in run([[0.0], [1.0]], theta=None)] == [0.0, 0.0]
    scores = lim_scores(np.array([[0.0]] + [[1.0]] * 9))
    assert scores[0] == pytest.approx(1 - 0.81 / 0.01)


def test_the_official_fill_goes_back_one_place_only() -> None:
    given = np.array(
        [
            [NONE, 0.5, 1.0, 0.25],  # filled from the right
            [0.5, NONE, NONE, 0.25],  # only the last of a run
            [0.5, 0.5, 0.5, NONE],  # never the final epoch
            [NONE, NONE, NONE, NONE],
        ]
    )
    want = [
        [0.5, 0.5, 1.0, 0.25],
        [0.5, NONE, 0.25, 0.25],
        [0.5, 0.5, 0.5, NONE],
        [NONE, NONE, NONE, NONE],
    ]
    np.testing.assert_array_equal(fill_missing(given, "official"), want)
    np.testing.assert_array_equal(fill_missing(given, "none"), given)
    assert np.isnan(given[0, 0]), "what was given is left alone"


def test_the_linear_fill_leaves_the_ends() -> None:
    given = np.array([[NONE, 0.0, NONE, NONE, 0.75, NONE]])
    want = [[NONE, 0.0, 0.25, 0.5, 0.75, NONE]]
    np.testing.assert_array_equal(fill_missing(given, "linear"), want)


def test_missing_epochs_are_minus_one_null_or_nan() -> None:
    found = run([[0.5, -1, 0.5], [0.5, None, 0.5], [0.5, NONE, 0.5], [0.5, 0.5, 0.5]], fill="none")
    assert [r["reason"] for r in found] == ["missing_epoch"] * 3 + ["selected"]
    assert [r["epochs_filled"] for r in found] == [0, 0, 0, 0]
    found = run([[0.5, -1, 0.5], [0.5, None, 0.5], [0.5, NONE, 0.5], [0.5, 0.5, 0.5]])
    assert [r["reason"] for r in found] == ["selected"] * 4
    assert [r["epochs_filled"] for r in found] == [1, 1, 1, 0]


def test_filling_looks_past_the_epochs_that_count() -> None:
    found = run([[0.5, None, 0.75], [0.5, 0.25, 0.0]], epochs=2)
    assert [r["reason"] for r in found] != ["missing_epoch"] * 2
    assert found[0]["score"] == pytest.approx(1 - 0.0625 / (0.25 + 0.25))


def test_a_row_that_does_not_qualify_is_no_part_of_the_mean() -> None:
    alone = run([[0.0, 0.5], [0.5, 1.0]])
    beside = run([[0.0, 0.5], [0.5, 1.0], [1.0, None]])
    assert [r["score"] for r in beside] == [*(r["score"] for r in alone), None]


def test_the_threshold_is_inclusive() -> None:
    # Means 0.5 and 0: below = 0.25 + 1 = 1.25; off 0.5 each: 1 - 0.25 / 1.25 = 0.8.
    found = run([[0.0, 0.0], [1.0, 0.0]], theta=0.8)
    assert [r["score"] for r in found] == [0.8, 0.8]
    assert [r["selected"] for r in found] == [True, True]
    found = run([[0.0, 0.0], [1.0, 0.0]], theta=0.80001)
    assert [r["reason"] for r in found] == ["below_theta"] * 2


@given(
    st.lists(st.lists(st.integers(0, 8), min_size=3, max_size=3), min_size=1, max_size=8),
    st.integers(0, 7),
)
@settings(deadline=None, max_examples=100)
def test_the_threshold_is_not_lost_to_rounding(rows: list[list[int]], at: int) -> None:
    """A score, computed exactly, is a threshold that its own row passes."""
    exact = [[Fraction(a, 8) for a in row] for row in rows]
    mean = [sum(row[k] for row in exact) / len(rows) for k in range(3)]
    room = sum((1 - m) ** 2 for m in mean)
    if room:
        scores = [1 - sum((a - m) ** 2 for a, m in zip(r, mean, strict=True)) / room for r in exact]
        theta = scores[at % len(rows)]
        found = run([[float(a) for a in row] for row in exact], theta=float(theta))
        assert [r["selected"] for r in found] == [score >= theta for score in scores]


def test_three_fifths_in_eighths() -> None:
    found = run([[0.0, 0.25], [1.0, 0.5], [0.25, 0.75]])
    assert found[0]["score"] < 0.6, "in float64; it is 3/5"
    assert found[0]["selected"]


def test_rounding_as_the_released_scores() -> None:
    # Mean 0.5: a score of 1 - 4 d^2, 0.5976 for d = 0.3171…
    d = math.sqrt((1 - 0.5976) / 4)
    rows = [[0.5 - d], [0.5 + d]]
    assert [r["selected"] for r in run(rows)] == [False, False]
    found = run(rows, decimals=2)
    assert [r["selected"] for r in found] == [True, True]
    assert found[0]["score"] == pytest.approx(0.5976)


def test_a_mean_of_one_is_a_score_of_one() -> None:
    found = run([[1.0, 1.0], [1.0, 1.0], [1.0, None]])
    assert [r["score"] for r in found] == [1.0, 1.0, None]
    assert [r["selected"] for r in found] == [True, True, False]
    assert [r["reason"] for r in found] == ["always_right", "always_right", "missing_epoch"]
    assert run([[1.0, 0.5]])[0]["reason"] == "selected"
    off = lim_scores(np.array([[2.0], [0.0]]))
    assert off.tolist() == [-math.inf, -math.inf]


def test_no_row_is_whole() -> None:
    found = run([[0.5, None], [None, None]])
    assert [r["reason"] for r in found] == ["missing_epoch"] * 2
    assert [r["score"] for r in found] == [None, None]
    assert len(lim_scores(np.zeros((0, 3)))) == 0


def test_rows_without_accuracies() -> None:
    found = run([[0.5], None, []])
    assert [r["reason"] for r in found] == ["selected", "no_accuracies", "no_accuracies"]
    assert [r["epochs_filled"] for r in found] == [0, None, None]
    with pytest.raises(UsageError, match="accuracies: no row has any"):
        run([None, []])


def test_without_a_threshold_the_budget_decides() -> None:
    rows = [[0.0], [0.0], [1.0], [0.5]]
    found = select("limr", table(rows), budget=1, theta=None).to_pylist()
    assert [r["selected"] for r in found] == [False, False, False, True]
    assert sorted(r["rank"] for r in found) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("rows", "parameters", "error"),
    [
        ([[0.5, 0.5], [0.5]], {}, "accuracies: row r1 has 1 values, row r0 has 2"),
        ([[0.5], [-0.5]], {}, "row r1, epoch 0: -0.5 is neither a share"),
        ([[0.5, 0.5], [0.5, 1.5]], {}, "row r1, epoch 1: 1.5 is neither"),
        ([[0.5], [math.inf]], {}, "row r1, epoch 0: inf is neither"),
        ([[0.5]], {"epochs": 2}, "epochs: 2, but accuracies has 1"),
        ([[0.5]], {"epochs": 0}, "epochs: "),
        ([[0.5]], {"fill": "forward"}, "fill: "),
    ],
)
def test_wrong_input_is_named(rows: list[Any], parameters: Any, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        run(rows, **parameters)
