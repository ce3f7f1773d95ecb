"""The posterior that each kind of evidence gives, and the two ways to choose among the draws."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.difficulty.outcome import Outcome, outcome
from winnow.pipeline.errors import UsageError


def posterior(found: Outcome) -> list[tuple[float, float]]:
    return list(zip(found.column("posterior_alpha"), found.column("posterior_beta"), strict=True))


def test_the_posterior_after_two_rounds() -> None:
    """The vectors: prior (1, 1), discount 0.5, 2 then 4 of 8 right."""
    columns = {"round_correct": [[2], [2, 4], [], None], "round_wrong": [[6], [6, 4], [], None]}
    found = outcome("mopps", columns, budget=4)
    assert posterior(found) == [(3, 7), (6, 8), (1, 1), (1, 1)]
    assert found.column("posterior_mean") == pytest.approx([0.3, 6 / 14, 0.5, 0.5])
    assert posterior(outcome("mopps", columns, budget=4, discount=1.0))[1] == (7, 11)


@pytest.mark.parametrize(("right", "wanted"), [(1, (2, 1)), (0, (1, 2))])
def test_one_answer_a_round(right: int, wanted: tuple[float, float]) -> None:
    columns = {"round_correct": [[right]], "round_wrong": [[1 - right]]}
    assert posterior(outcome("mopps", columns, budget=1)) == [wanted]


ROUNDS = st.lists(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=4), min_size=1, max_size=8
)


@given(ROUNDS, st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.booleans())
@settings(deadline=None)
def test_rounds_against_the_recurrence(
    rows: list[list[tuple[int, int]]], discount: float, older: bool
) -> None:
    columns: dict[str, Any] = {
        "round_correct": [[s for s, _ in row] for row in rows],
        "round_wrong": [[w for _, w in row] for row in rows],
    }
    if older:
        columns |= {"prior_correct": [2] * len(rows), "prior_wrong": [1] * len(rows)}
    found = outcome("mopps", columns, budget=1, discount=discount)
    for row, got in zip(rows, posterior(found), strict=True):
        a0, b0 = (1 + 3 * 2, 1 + 3 * 1) if older else (1, 1)
        a, b = float(a0), float(b0)
        for s, w in row:
            a = discount * a + (1 - discount) * a0 + s
            b = discount * b + (1 - discount) * b0 + w
        assert list(got) == pytest.approx([a, b])


def test_which_evidence_counts() -> None:
    posteriors = {"alpha": [4.0, None], "beta": [2.0, None]}
    rounds = {"round_correct": [[1], [2]], "round_wrong": [[0], [0]]}
    counts = {"n_correct": [5, None], "n_wrong": [6, None]}
    older = {"prior_correct": [1, None], "prior_wrong": [0, None]}

    def of(columns: dict[str, Any], **parameters: Any) -> list[tuple[float, float]]:
        return posterior(outcome("mopps", columns, budget=1, **parameters))

    assert of({**posteriors, **rounds, **counts}) == [(4, 2), (3, 1)]
    assert of({**rounds, **counts}) == [(2, 1), (3, 1)]
    several = {
        "alpha": [4.0, None, None, None, None],
        "beta": [2.0, None, None, None, None],
        "round_correct": [[1], [2, 4], [], None, []],
        "round_wrong": [[0], [6, 4], [], None, []],
        "n_correct": [5, 5, 5, None, None],
        "n_wrong": [6, 6, 6, None, None],
        "prior_correct": [1, None, 1, 1, None],
        "prior_wrong": [0, None, 0, 0, None],
    }
    assert of(several) == [(4, 2), (6, 8), (9, 7), (4, 1), (1, 1)], "each row by the best it has"
    assert of({**posteriors, "n_correct": [-1, 5], "n_wrong": [6, 6]}) == [(4, 2), (6, 7)]
    assert of(counts) == [(6, 7), (1, 1)]
    assert of(counts, prior=[2.0, 0.5]) == [(7, 6.5), (2, 0.5)]
    assert of({**counts, **older}) == [(9, 7), (1, 1)]
    assert of(older) == [(4, 1), (1, 1)]
    assert of(older, prior_weight=0.5) == [(1.5, 1), (1, 1)]
    assert of({**posteriors, **older})[1] == (1, 1)
    with pytest.raises(UsageError, match="mopps needs alpha and beta"):
        of({"alpha": [1.0]})


def test_the_draws_are_of_the_posterior() -> None:
    """Mean and variance of Beta(3, 7) over many prompts."""
    found = outcome("mopps", {"alpha": [3.0] * 20_000, "beta": [7.0] * 20_000}, budget=1)
    draws = np.array(found.column("draw"))
    assert draws.mean() == pytest.approx(0.3, abs=0.005)
    assert draws.var() == pytest.approx(21 / 1100, rel=0.05)
    again = outcome("mopps", {"alpha": [3.0] * 20_000, "beta": [7.0] * 20_000}, budget=1, seed=1)
    assert again.column("draw") != found.column("draw")


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 99), st.sampled_from([0.5, 0.2]))
@settings(deadline=None)
def test_topk_takes_the_nearest(n: int, budget: int, seed: int, target: float) -> None:
    found = outcome("mopps", {"alpha": [2.0] * n, "beta": [2.0] * n}, budget, seed, target=target)
    draws = found.column("draw")
    best = sorted(range(n), key=lambda at: ((draws[at] - target) ** 2, at))
    assert found.order == best and found.selected == best[:budget]
    assert found.column("score") == pytest.approx([-((g - target) ** 2) for g in draws])


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 99))
@settings(deadline=None)
def test_threshold_tops_up_with_the_nearest(n: int, budget: int, seed: int) -> None:
    columns = {"alpha": [1.0] * n, "beta": [1.0] * n}
    found = outcome("mopps", columns, budget, seed, rule="threshold")
    draws = found.column("draw")
    inside = {at for at in range(n) if 0.3 <= draws[at] <= 0.7}
    if budget <= len(inside):
        assert set(found.selected) <= inside
    else:
        outside = sorted(set(range(n)) - inside, key=lambda at: ((draws[at] - 0.5) ** 2, at))
        assert set(found.selected) == inside | set(outside[: budget - len(inside)])


def test_candidates() -> None:
    """8 per row of the budget, chosen at random; the rest stands behind them."""
    n, budget = 400, 10
    columns = {"alpha": [1.0] * n, "beta": [1.0] * n}
    found = outcome("mopps", columns, budget, candidates=8)
    draws = found.column("draw")
    everywhere = outcome("mopps", columns, budget)
    assert everywhere.column("draw") == draws, "the same draws"
    first, rest = found.order[:80], found.order[80:]
    for part in (first, rest):
        assert part == sorted(part, key=lambda at: ((draws[at] - 0.5) ** 2, at))
    assert sorted(found.order) == list(range(n))
    assert set(first) != set(everywhere.order[:80])
    assert outcome("mopps", columns, 100, candidates=8).order == everywhere.order


@pytest.mark.parametrize(
    ("columns", "parameters", "message"),
    [
        ({"alpha": [1.0, 0.0], "beta": [1.0, 1.0]}, {}, "row r001: alpha"),
        ({"alpha": [1.0, 1.0], "beta": [1.0, -1.0]}, {}, "row r001: beta"),
        ({"alpha": [1.0, 1.0], "beta": [1.0, None]}, {}, "row r001: alpha"),
        ({"n_correct": [1, -1], "n_wrong": [1, 1]}, {}, "row r001: n_correct"),
        ({"n_correct": [1, None], "n_wrong": [1, 1]}, {}, "row r001: n_correct"),
        ({"round_correct": [[], [1]], "round_wrong": [[], [1, 2]]}, {}, "row r001: .*lengths"),
        ({"round_correct": [[1], [1, -1]], "round_wrong": [[1], [1, 1]]}, {}, "row r001: round_c"),
        ({"round_correct": [[], [1.0]], "round_wrong": [[], [None]]}, {}, "row r001: round_w"),
        ({"alpha": [1.0], "beta": [1.0]}, {"band": [0.3, 0.7]}, "rule=threshold"),
        ({"alpha": [1.0], "beta": [1.0]}, {"rule": "threshold", "band": [0.7, 0.3]}, "band"),
        ({"alpha": [1.0], "beta": [1.0]}, {"prior": [0.0, 1.0]}, "prior"),
    ],
)
def test_what_makes_no_sense(
    columns: dict[str, Any], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        outcome("mopps", columns, 1, **parameters)


def test_it_needs_a_budget() -> None:
    with pytest.raises(UsageError, match="needs a budget"):
        outcome("mopps", {"alpha": [1.0], "beta": [1.0]})
