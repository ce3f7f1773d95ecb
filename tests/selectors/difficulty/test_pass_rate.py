"""Every rule against its definition in exact fractions, edges and published bands first."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from tests.selectors.difficulty.outcome import outcome
from winnow.pipeline.errors import UsageError

COUNTS = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), min_size=1, max_size=20)
SHARES = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 0.375, 0.4, 0.5, 0.6, 0.625, 0.7, 0.9, 1.0])


def table(pairs: list[tuple[int, int]]) -> dict[str, Any]:
    return {"n_correct": [c for c, _ in pairs], "n_wrong": [w for _, w in pairs]}


def of(n: int) -> dict[str, Any]:
    """All outcomes of n judged answers: 0 to n right."""
    return table([(c, n - c) for c in range(n + 1)])


def kept(columns: dict[str, Any], **parameters: Any) -> list[int]:
    return sorted(outcome("pass_rate", columns, **parameters).selected)


def test_the_published_bands() -> None:
    assert kept(of(8), rule="qwen") == [2, 3, 4, 5]
    assert kept(of(16), rule="acereason") == list(range(7))
    assert kept(of(5), rule="miromind") == [1, 2, 3, 4], "4 of 5, 0.8, stays"
    assert kept(of(8), rule="rif") == list(range(1, 9)), "all right stays"
    assert kept(of(8)) == list(range(9)), "open-instruct's default is no filter"


def test_the_published_bands_from_rates() -> None:
    """Also from a column in single precision."""
    for kind in (pa.float64(), pa.float32()):
        rates = {
            n: {"pass_rate": pa.array([c / n for c in range(n + 1)], kind)} for n in (5, 8, 16)
        }
        assert kept(rates[8], rule="qwen") == [2, 3, 4, 5]
        assert kept(rates[16], rule="acereason") == list(range(7))
        assert kept(rates[5], rule="miromind") == [1, 2, 3, 4]
        assert kept(rates[8], rule="rif") == list(range(1, 9))


def test_another_number_of_answers_is_held_to_the_share() -> None:
    pairs = [(1, 3), (1, 4), (5, 3), (5, 2), (10, 6), (11, 5)]
    assert kept(table(pairs), rule="qwen") == [0, 2, 4]


@pytest.mark.parametrize("n", [3, 5, 7, 8, 10, 12, 16, 48])
def test_both_edges_of_a_band_are_in_it(n: int) -> None:
    for c in range(n + 1):
        found = outcome("pass_rate", of(n), low=c / n, high=c / n)
        assert found.selected == [c]
        assert set(found.column("reason")[:c]) <= {"below_band"}
        assert set(found.column("reason")[c + 1 :]) <= {"above_band"}
        for kind in (pa.float64(), pa.float32()):
            rates = {"pass_rate": pa.array([i / n for i in range(n + 1)], kind)}
            assert kept(rates, low=c / n, high=c / n) == [c]


@given(COUNTS, SHARES, SHARES)
@settings(deadline=None)
def test_band_and_order_in_exact_fractions(
    pairs: list[tuple[int, int]], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    wanted = []
    for at, (c, w) in enumerate(pairs):
        if c + w:
            p = Fraction(c, c + w)
            if Fraction(str(low)) <= p <= Fraction(str(high)):
                wanted.append((-p * (1 - p), at))
    found = outcome("pass_rate", table(pairs), low=low, high=high)
    assert found.order == [at for _, at in sorted(wanted)]
    for (c, w), row in zip(pairs, found.rows, strict=True):
        n = c + w
        assert row["n_judged"] == n
        assert row["rate"] == (c / n if n else None)
        assert row["score"] == (pytest.approx(c * w / n**2, abs=1e-12) if n else None)
        assert n or row["reason"] == "too_few_judged"


@given(COUNTS, st.sampled_from(["hard", "easy"]))
@settings(deadline=None)
def test_other_preferences(pairs: list[tuple[int, int]], prefer: str) -> None:
    judged = [(Fraction(c, c + w), at) for at, (c, w) in enumerate(pairs) if c + w]
    found = outcome("pass_rate", table(pairs), prefer=prefer)
    assert found.order == [
        at for _, at in sorted((p if prefer == "hard" else -p, at) for p, at in judged)
    ]


@given(
    COUNTS,
    st.sampled_from(["wilson", "beta"]),
    st.sampled_from(["inside", "overlap"]),
    st.sampled_from([0.8, 0.95]),
)
@settings(deadline=None, max_examples=50)
def test_intervals(
    pairs: list[tuple[int, int]], rule: str, interval: str, confidence: float
) -> None:
    low, high = 0.25, 0.625
    own: dict[str, Any] = {"prior": [0.5, 2.0]} if rule == "beta" else {}
    found = outcome(
        "pass_rate", table(pairs), rule=rule, interval=interval, confidence=confidence,
        low=low, high=high, **own,
    )  # fmt: skip
    for (c, w), row in zip(pairs, found.rows, strict=True):
        if c + w == 0:
            assert row["reason"] == "too_few_judged"
            continue
        if rule == "wilson":
            bounds = binomtest(c, c + w).proportion_ci(confidence, method="wilson")
            a, b = bounds.low, bounds.high
        else:
            tail = (1 - confidence) / 2
            a, b = beta(0.5 + c, 2.0 + w).ppf([tail, 1 - tail])
        assert (row["rate_low"], row["rate_high"]) == (pytest.approx(a), pytest.approx(b))
        if b < low:
            reason = "below_band"
        elif a > high:
            reason = "above_band"
        elif interval == "overlap" or low <= a <= b <= high:
            reason = "selected"
        elif a < low and b > high:
            reason = "straddles_both"
        else:
            reason = "straddles_low" if a < low else "straddles_high"
        assert row["reason"] == reason
        assert row["selected"] == (reason == "selected")


def test_an_interval_weighs_evidence() -> None:
    """Half right of 4 and of 400: only the second surely lies in the band."""
    pairs = table([(2, 2), (200, 200)])
    assert kept(pairs, rule="wilson", low=0.25, high=0.75) == [1]
    assert kept(pairs, rule="wilson", low=0.25, high=0.75, interval="overlap") == [0, 1]


REWARDS = st.lists(
    st.lists(st.integers(0, 10).map(lambda i: i / 10), min_size=1, max_size=8),
    min_size=1,
    max_size=15,
)


@given(REWARDS, st.sampled_from([0.1, 0.25, 0.4, 0.5]), SHARES, SHARES)
@settings(deadline=None)
def test_variance_aware(rewards: list[list[float]], v_min: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    wanted = []
    found = outcome(
        "pass_rate", {"rewards": rewards}, rule="variance", v_min=v_min, low=low, high=high
    )
    for at, drawn in enumerate(rewards):
        exact = [Fraction(round(10 * r), 10) for r in drawn]
        mean = sum(exact, Fraction(0)) / len(exact)
        variance = sum(((r - mean) ** 2 for r in exact), Fraction(0)) / len(exact)
        row = found.rows[at]
        assert row["score"] == pytest.approx(math.sqrt(variance), abs=1e-12)
        assert (row["rate"], row["n_judged"]) == (pytest.approx(float(mean)), len(drawn))
        if Fraction(str(low)) <= mean <= Fraction(str(high)):
            if variance >= Fraction(str(v_min)) ** 2:
                wanted.append((-variance, at))
            else:
                assert row["reason"] == "low_variance"
    assert found.order == [at for _, at in sorted(wanted)]


def test_variance_vectors() -> None:
    """Right-or-wrong rewards vary most at one half, by 0.5; equal ones do not vary, 0.1 included."""
    rewards = [[0.0, 1.0], [0.1, 0.1, 0.1], [1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.4]]
    found = outcome("pass_rate", {"rewards": rewards}, rule="variance")
    assert found.order == [0, 3]
    assert found.rows[0]["score"] == 0.5
    assert found.rows[3]["score"] == pytest.approx(math.sqrt(3) / 4), "the population form"
    assert kept({"rewards": rewards}, rule="variance", v_min=0.0) == [0, 1, 2, 3, 4]
    assert kept({"rewards": rewards}, rule="variance", v_min=0.5) == [0], "the edge is in"


def test_variance_of_rewards_of_any_scale() -> None:
    """No band unless one is given; rewards that are equal do not vary, however large they are."""
    rewards = [[-3.0, -1.0], [1e8 + 0.1] * 7, [5e8, 6e8], [], [0.3] * 3, [-2.0, -2.0]]
    found = outcome("pass_rate", {"rewards": rewards}, rule="variance")
    assert found.order == [2, 0]
    assert [found.rows[at]["score"] for at in (1, 2, 4, 5)] == [0.0, 5e7, 0.0, 0.0]
    assert kept({"rewards": rewards}, rule="variance", low=-2.0) == [0, 2], "the edge is in"
    assert kept({"rewards": rewards}, rule="variance", high=-1.0) == [0]
    assert kept({"rewards": rewards}, use="rewards") == [0, 1, 2, 4, 5]


def test_rif_by_the_largest_reward() -> None:
    rewards = [[0.0, 0.0], [0.0, 1.0], [0.9, 0.2], [1.0, 1.0]]
    assert kept({"rewards": rewards}, rule="rif", use="rewards") == [1, 3]
    assert kept({"rewards": rewards}, rule="rif", use="rewards", tau=0.9) == [1, 2, 3]
    found = outcome("pass_rate", {"rewards": rewards}, rule="rif", use="rewards")
    assert found.rows[0]["reason"] == "no_success"


def test_rif_drops_hopeless_looking_prompts_as_often_as_it_says() -> None:
    """0.9^8 of the prompts that are solved one time in ten show no success in 8 answers."""
    hopeless = (1 - 0.1) ** 8
    assert round(hopeless, 2) == 0.43
    right = np.random.default_rng(0).binomial(8, 0.1, 20_000)
    found = outcome("pass_rate", {"n_correct": right, "n_wrong": 8 - right}, rule="rif")
    dropped = found.column("reason").count("no_success") / 20_000
    assert dropped == pytest.approx(hopeless, abs=0.02)


def test_a_band_over_rewards_takes_their_mean() -> None:
    rewards = [[0.2, 0.4], [0.1, 0.2], [], [1.0, 0.4]]
    found = outcome("pass_rate", {"rewards": rewards}, use="rewards", low=0.3, high=0.7)
    assert sorted(found.selected) == [0, 3]
    assert found.rows[2]["reason"] == "too_few_judged", "no answers are no pass rate of 0"


def test_fewest_judged() -> None:
    pairs = table([(1, 1), (2, 2), (0, 0)])
    found = outcome("pass_rate", pairs, min_judged=4)
    assert found.selected == [1]
    assert found.column("reason") == ["too_few_judged", "selected", "too_few_judged"]
    assert found.rows[0]["score"] is None


def test_counts_come_before_the_rate_unless_told_otherwise() -> None:
    both = {"n_correct": [1, 3], "n_wrong": [3, 1], "pass_rate": [0.9, 0.1]}
    assert outcome("pass_rate", both, low=0.5).selected == [1]
    assert outcome("pass_rate", both, low=0.5, use="rate").selected == [0]
    assert outcome("pass_rate", both, low=0.5, use="rate").rows[0]["n_judged"] is None
    rate_alone = {"pass_rate": [0.9, 0.1], "n_correct": [1, 3]}
    assert outcome("pass_rate", rate_alone, low=0.5).selected == [0]


def test_rows_that_lack_what_is_read() -> None:
    pairs = {"n_correct": [1, None, 2], "n_wrong": [1, 1, None]}
    assert outcome("pass_rate", pairs).column("reason") == [
        "selected",
        "no_n_correct",
        "no_n_wrong",
    ]
    rates = {"pass_rate": [0.5, None, float("nan")]}
    found = outcome("pass_rate", rates)
    assert found.column("reason") == ["selected", "no_pass_rate", "no_pass_rate"]
    assert found.column("score")[1:] == [None, None]


def test_sources_keep_their_shares() -> None:
    columns = {
        "n_correct": [1] * 8 + [4] * 4,
        "n_wrong": [7] * 8 + [4] * 4,
        "source": ["a"] * 8 + ["b"] * 4,
    }
    best = outcome("pass_rate", columns, budget=6).column("selected")
    assert sum(best[8:]) == 4, "by score alone the second source goes first"
    mixed = outcome("pass_rate", columns, budget=6, stratify=True).column("selected")
    assert (sum(mixed[:8]), sum(mixed[8:])) == (4, 2)


@pytest.mark.parametrize(
    ("columns", "parameters", "message"),
    [
        ({"n_correct": [1, -1], "n_wrong": [0, 0]}, {}, "row r001: n_correct"),
        ({"n_correct": [1, 1], "n_wrong": [0, -2]}, {}, "row r001: n_wrong"),
        ({"pass_rate": [0.5, 1.2]}, {}, "row r001: pass_rate"),
        ({"other": [1]}, {}, "n_correct and n_wrong, or pass_rate"),
        ({"pass_rate": [0.5]}, {"rule": "wilson"}, "no column 'n_correct'"),
        ({"pass_rate": [0.5]}, {"rule": "wilson", "use": "rate"}, "needs counts"),
        ({"pass_rate": [0.5]}, {"rule": "variance", "use": "rate"}, "reads rewards"),
        ({"pass_rate": [0.5]}, {"use": "rate", "min_judged": 2}, "needs counts"),
        ({"pass_rate": [0.5]}, {"min_judged": 2}, "needs counts"),
        ({"pass_rate": [0.5]}, {"rule": "qwen", "low": 0.2}, "low is no parameter of the rule qwen"),
        ({"pass_rate": [0.5]}, {"low": 0.7, "high": 0.6}, "above high"),
        ({"pass_rate": [0.5]}, {"v_min": 0.1}, "v_min is no parameter"),
        ({"pass_rate": [0.5]}, {"rule": "rif", "tau": 0.1}, "tau needs use=rewards"),
        ({"pass_rate": [0.5]}, {"rule": "beta", "prior": [0, 1]}, "prior"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(
    columns: dict[str, Any], parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        outcome("pass_rate", columns, **parameters)
