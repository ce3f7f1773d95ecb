"""GRAPE against a literal reading of its definition."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.response.answers import Row, choose, column, prompt_turns, selected, table
from winnow.pipeline.errors import UsageError

LOGPROBS = st.lists(st.sampled_from([-2.0, -1.0, -0.5, -0.25]), max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> list[Row]:
    rows = []
    for _ in range(draw(st.integers(1, 20))):
        tokens = draw(LOGPROBS)
        rows.append(
            {
                "prompt_id": draw(st.sampled_from("pqrs")),
                "token_logprobs": tokens,
                "logprob_mean": math.fsum(tokens) / len(tokens) if tokens else -1.0,
                "completion": draw(st.sampled_from(["", " \n", "x", "yy", "zzz"])),
                "verdict": draw(st.sampled_from(["correct", "wrong", "unjudged"])),
            }
        )
    return rows


def literal(rows: list[Row], parameters: dict[str, Any]) -> dict[str, list[str]]:
    """Names kept of each prompt, best first."""
    candidates: dict[str, list[tuple[float, int, str]]] = {}
    for name, row in zip(table(rows)["row_id"].to_pylist(), rows, strict=True):
        candidates.setdefault(row["prompt_id"], [])
        tokens = row["token_logprobs"]
        by_sum = parameters["normalise"] == "sum"
        if not row["completion"].strip() or (by_sum and not tokens):
            continue
        if parameters["correct_only"] and row["verdict"] != "correct":
            continue
        score = math.fsum(tokens) if by_sum else row["logprob_mean"]
        length = len(tokens) if by_sum else len(row["completion"])
        sign = -1 if parameters["prefer"] == "highest" else 1
        candidates[row["prompt_id"]].append((sign * score, length, name))
    return {
        prompt: [name for _, _, name in sorted(rivals)][: parameters["top_m"]]
        if len(rivals) >= parameters["min_candidates"]
        else []
        for prompt, rivals in candidates.items()
    }


@given(
    answers(),
    st.fixed_dictionaries(
        {
            "normalise": st.sampled_from(["mean", "sum"]),
            "top_m": st.integers(1, 3),
            "min_candidates": st.integers(1, 3),
            "correct_only": st.booleans(),
            "prefer": st.sampled_from(["highest", "lowest"]),
        }
    ),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=100)
def test_the_definition(rows: list[Row], parameters: dict[str, Any], seed: int) -> None:
    found = choose("grape", rows, seed=seed, **parameters)
    wanted = literal(rows, parameters)
    prompts = sorted(wanted)
    turns = prompt_turns(seed, len(prompts))
    order = sorted(
        (place, turns[prompts.index(prompt)], name)
        for prompt, names in wanted.items()
        for place, name in enumerate(names)
    )
    assert selected(found) == [name for _, _, name in order]
    for place, _, name in order:
        assert found[name]["place"] == place
        row = rows[list(found).index(name)]
        by_sum = parameters["normalise"] == "sum"
        score = math.fsum(row["token_logprobs"]) if by_sum else row["logprob_mean"]
        assert found[name]["score"] == pytest.approx(score, rel=1e-12)


def two(*means: float, **columns: Any) -> list[Row]:
    return [{"logprob_mean": mean} | columns for mean in means]


def test_the_mean_and_the_sum_can_disagree() -> None:
    rows = [
        {"token_logprobs": [-1.0, -1.0, -1.0], "logprob_mean": -1.0},
        {"token_logprobs": [-2.0], "logprob_mean": -2.0},
    ]
    assert selected(choose("grape", rows)) == ["a"]
    assert selected(choose("grape", rows, normalise="sum")) == ["b"]
    assert column(choose("grape", rows, normalise="sum"), "score") == [-3.0, -2.0]


def test_the_published_defaults_keep_one_and_filter_nothing() -> None:
    rows = [
        {"logprob_mean": -0.5, "verdict": "wrong"},
        {"logprob_mean": -0.6, "verdict": "correct"},
        {"logprob_mean": -0.7, "verdict": "correct"},
    ]
    found = choose("grape", rows)
    assert selected(found) == ["a"]
    assert column(found, "reason") == ["selected", "not_best", "not_best"]
    assert column(found, "place") == [0, 1, 2]
    assert column(found, "n_candidates") == [3, 3, 3]
    correct = choose("grape", rows, correct_only=True)
    assert column(correct, "reason") == ["wrong", "selected", "not_best"]
    assert column(correct, "place") == [None, 0, 1]


def test_one_candidate_is_no_choice() -> None:
    rows = [*two(-1.0), {"prompt_id": "q", "logprob_mean": -1.0}]
    found = choose("grape", rows)
    assert column(found, "reason") == ["few_candidates"] * 2
    assert selected(choose("grape", rows, min_candidates=1)) != []
    dropped = [
        {"logprob_mean": -1.0, "verdict": "correct"},
        {"logprob_mean": -1.0, "verdict": "unjudged"},
    ]
    found = choose("grape", dropped, correct_only=True)
    assert column(found, "reason") == ["few_candidates", "unjudged"]


def test_an_empty_answer_is_rejected_however_likely_its_end_is() -> None:
    rows = [
        {"logprob_mean": -0.1, "completion": " \u200b\n"},
        {"logprob_mean": -1.0, "completion": "yes"},
        {"logprob_mean": -2.0, "completion": "no"},
    ]
    found = choose("grape", rows)
    assert selected(found) == ["b"]
    assert found["a"]["reason"] == "empty" and found["a"]["score"] is None
    assert found["b"]["n_candidates"] == 2
    # Without tokens there is nothing to add up, and 0 would be the highest sum.
    rows = [{"token_logprobs": []}, {"token_logprobs": [-1.0]}, {"token_logprobs": [-2.0]}]
    found = choose("grape", rows, normalise="sum")
    assert selected(found) == ["b"] and found["a"]["reason"] == "empty"


def test_ties_go_to_the_shorter_and_then_to_the_first() -> None:
    rows = [
        {"logprob_mean": -1.0, "completion": "long answer"},
        {"logprob_mean": -1.0, "completion": "short"},
        {"logprob_mean": -1.0, "completion": "other"},
    ]
    assert column(choose("grape", rows), "place") == [2, 0, 1]
    assert column(choose("grape", rows, prefer="lowest"), "place") == [2, 0, 1]


def test_the_control_takes_the_least_likely() -> None:
    assert selected(choose("grape", two(-1.0, -3.0, -2.0), prefer="lowest")) == ["b"]


def test_as_many_as_the_original_set_had() -> None:
    rows = two(-1.0, -2.0, -3.0, n_keep=2) + two(-5.0, -4.0, n_keep=0, prompt_id="q")
    found = choose("grape", rows, top_m=None)
    assert selected(found) == ["a", "b"]
    with pytest.raises(UsageError, match="row b: n_keep is 3.*row a: 2"):
        rows = [{"logprob_mean": -1.0, "n_keep": 2}, {"logprob_mean": -1.0, "n_keep": 3}]
        choose("grape", rows, top_m=None)


def test_a_budget_does_not_prefer_likely_prompts() -> None:
    rows = [
        {"prompt_id": f"p{i:02}", "logprob_mean": -float(i) - j / 10}
        for i in range(20)
        for j in range(3)
    ]
    picks = [selected(choose("grape", rows, budget=10, top_m=2, seed=seed)) for seed in range(4)]
    places = {row: i % 3 for i, row in enumerate(table(rows)["row_id"].to_pylist())}
    for pick in picks:
        assert len(pick) == 10
        assert {places[row] for row in pick} == {0}, "every prompt's best before any second"
    assert len({tuple(pick) for pick in picks}) == 4
    more = selected(choose("grape", rows, budget=30, top_m=2))
    assert [places[row] for row in more] == [0] * 20 + [1] * 10


def test_a_loss_in_place_of_a_log_probability_is_refused() -> None:
    with pytest.raises(UsageError, match="row b: logprob_mean holds 2"):
        choose("grape", two(-1.0, 2.0))
    with pytest.raises(UsageError, match="row c: token_logprobs holds 0.5"):
        rows = [{"token_logprobs": t} for t in ([-1.0, -2.0], [], [-1.0, 0.5])]
        choose("grape", rows, normalise="sum")


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(UsageError, match="row a: verdict is 'right'"):
        choose("grape", [{"logprob_mean": -1.0, "verdict": "right"}], correct_only=True)
