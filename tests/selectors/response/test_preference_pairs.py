"""Preference pairs against a literal reading of their definition."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.response.answers import Row, choose, column, prompt_turns, selected, table
from winnow.pipeline.errors import UsageError

ROWS = st.fixed_dictionaries(
    {
        "prompt_id": st.sampled_from("pqr"),
        "reward": st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
        "completion": st.sampled_from(["x", " x ", "a longer text", "y"]),
        "verdict": st.sampled_from(["correct", "wrong", "unjudged"]),
    }
)
PARAMETERS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["max_min", "max_max", "max_min_p"]),
        "min_margin": st.sampled_from([0.0, 0.25, 0.75]),
        "min_answers": st.integers(2, 4),
        "pairs": st.integers(1, 3),
        "different_text": st.booleans(),
        "correctness": st.booleans(),
    }
)


def pairs(rows: list[Row], **parameters: Any) -> dict[str, Row]:
    """With two answers enough, unless something else is said."""
    return choose("preference_pairs", rows, **({"min_answers": 2} | parameters))


def literal(rows: list[Row], p: dict[str, Any]) -> dict[str, list[tuple[str, str, float]]]:
    """Pairs (chosen, rejected, margin) of each prompt."""
    named = list(zip(table(rows)["row_id"].to_pylist(), rows, strict=True))

    def value(row: Row) -> float:
        penalty = p.get("length_penalty", 0.0) * len(row["completion"])
        return float(row["reward"]) - penalty

    found: dict[str, list[tuple[str, str, float]]] = {}
    for prompt in sorted({r["prompt_id"] for r in rows}):
        left = [(n, r) for n, r in named if r["prompt_id"] == prompt]
        found[prompt] = []
        if len(left) < p["min_answers"]:
            continue
        for _ in range(p["pairs"]):
            winners = [o for o in left if not p["correctness"] or o[1]["verdict"] == "correct"]
            if not winners:
                break
            best = max(winners, key=lambda one: value(one[1]))
            losers = [
                one
                for one in left
                if one is not best and (not p["correctness"] or one[1]["verdict"] == "wrong")
            ]
            if not losers:
                break
            pick = max if p["mode"] == "max_max" else min
            worst = pick(losers, key=lambda one: value(one[1]))
            margin = value(best[1]) - value(worst[1])
            if margin < p["min_margin"] or (margin <= 0 and not p["correctness"]):
                if p["min_margin"] > 0 or not p["correctness"]:
                    break
            if (
                p["different_text"]
                and best[1]["completion"].split() == worst[1]["completion"].split()
            ):
                break
            found[prompt].append((best[0], worst[0], margin))
            left = [one for one in left if one is not best and one is not worst]
    return found


@given(st.lists(ROWS, min_size=1, max_size=18), PARAMETERS, st.integers(0, 9))
@settings(deadline=None, max_examples=100)
def test_the_definition(rows: list[Row], parameters: dict[str, Any], seed: int) -> None:
    if parameters["mode"] == "max_min_p":
        parameters = parameters | {"length_penalty": 0.125}
    found = pairs(rows, seed=seed, **parameters)
    wanted = literal(rows, parameters)
    turns = prompt_turns(seed, len(wanted))
    ordered = sorted(
        (turn, turns[at], pair)
        for at, pairs in enumerate(wanted.values())
        for turn, pair in enumerate(pairs)
    )
    assert selected(found) == [name for _, _, pair in ordered for name in pair[:2]]
    for _, _, (one, other, margin) in ordered:
        assert [found[n]["role"] for n in (one, other)] == ["chosen", "rejected"]
        assert {found[n]["pair_id"] for n in (one, other)} == {one}
        assert [found[n]["margin"] for n in (one, other)] == pytest.approx([margin] * 2, rel=1e-12)
    for row in found.values():
        if not row["selected"]:
            assert row["pair_id"] is row["role"] is row["margin"] is None


def answers(*rewards: float, **more: Any) -> list[Row]:
    return [{"reward": r, "completion": f"text {i}"} | more for i, r in enumerate(rewards)]


def test_modes() -> None:
    rows = answers(0.5, 3.0, 1.0, 2.0)
    assert selected(pairs(rows)) == ["b", "a"]
    assert selected(pairs(rows, mode="max_max")) == ["b", "d"]
    assert column(pairs(rows), "margin") == [2.5, 2.5, None, None]


def test_a_random_answer_is_drawn_and_not_the_first() -> None:
    rows = answers(0.5, 3.0, 1.0, 2.0)
    picks = [selected(pairs(rows, mode="max_random", seed=s)) for s in range(60)]
    assert {pick[0] for pick in picks} == {"b"}
    counts = [sum(pick[1] == name for pick in picks) for name in "acd"]
    assert all(count > 8 for count in counts), counts
    first = selected(pairs(rows, mode="max_random", seed=1))
    assert first == selected(pairs(rows, mode="max_random", seed=1))


def test_the_penalised_rewards_decide_the_order_too() -> None:
    # Raw: b above a. With 0.01 a character: a = 1.0 - 0.01 against b = 1.5 - 1.0.
    rows = [{"reward": 1.0, "completion": "x"}, {"reward": 1.5, "completion": "y" * 100}]
    assert selected(pairs(rows)) == ["b", "a"]
    found = pairs(rows, mode="max_min_p", length_penalty=0.01)
    assert selected(found) == ["a", "b"]
    assert found["a"]["margin"] == pytest.approx(0.49)
    assert column(found, "score") == pytest.approx([0.99, 0.5])


def test_equal_rewards_make_no_pair() -> None:
    found = pairs(answers(1.0, 1.0, 1.0))
    assert column(found, "reason") == ["equal_rewards"] * 3
    # the best two are equal, whatever comes after
    found = pairs(answers(1.0, 1.0, 0.0), mode="max_max")
    assert column(found, "reason") == ["equal_rewards"] * 3


def test_a_margin_is_met_from_its_value_on() -> None:
    rows = answers(1.0, 0.5)
    assert selected(pairs(rows, min_margin=0.5)) == ["a", "b"]
    found = pairs(rows, min_margin=0.51)
    assert column(found, "reason") == ["small_margin"] * 2


def test_one_text_makes_no_pair() -> None:
    rows = [{"reward": 1.0, "completion": "yes "}, {"reward": 0.0, "completion": " yes"}]
    assert column(pairs(rows), "reason") == ["same_text"] * 2
    assert selected(pairs(rows, different_text=False)) == ["a", "b"]


def test_too_few_answers() -> None:
    rows = [*answers(1.0, 0.0, 0.5), *answers(1.0, prompt_id="q")]
    found = pairs(rows)
    assert column(found, "reason") == ["selected", "selected", "not_paired", "few_answers"]
    assert column(pairs(rows, min_answers=4), "reason") == ["few_answers"] * 4
    # the authors' K
    assert column(choose("preference_pairs", rows), "reason") == ["few_answers"] * 4
    assert selected(choose("preference_pairs", answers(1.0, 0.0, 0.5, 0.2))) == ["a", "b"]


def test_verdicts_stand_above_rewards() -> None:
    rows = answers(3.0, 1.0, 0.5, 2.0)
    for row, verdict in zip(rows, ("wrong", "correct", "correct", "unjudged"), strict=True):
        row["verdict"] = verdict
    found = pairs(rows, correctness=True)
    assert selected(found) == ["b", "a"] and found["a"]["margin"] == -2.0
    assert column(found, "reason") == ["selected", "selected", "not_paired", "unjudged"]
    found = pairs(rows, correctness=True, min_margin=0.1)
    assert column(found, "reason") == ["small_margin"] * 3 + ["unjudged"]
    rows[0]["verdict"] = "unjudged"
    found = pairs(rows, correctness=True)
    assert column(found, "reason") == ["unjudged", "no_wrong", "no_wrong", "unjudged"]
    for row in rows:
        row["verdict"] = "wrong"
    assert set(column(pairs(rows, correctness=True), "reason")) == {"no_correct"}


def test_what_is_wrong_with_a_row_goes_before_what_is_wrong_with_its_prompt() -> None:
    rows = answers(1.0, 0.0, 0.5)
    for row, verdict in zip(rows, ("wrong", "unjudged", None), strict=True):
        row["verdict"] = verdict
    found = pairs(rows, correctness=True)
    assert column(found, "reason") == ["no_correct", "unjudged", "no_verdict"]
    found = pairs(rows, correctness=True, min_answers=4)
    assert column(found, "reason") == ["few_answers", "unjudged", "no_verdict"]


def test_further_pairs_are_made_of_what_is_left() -> None:
    rows = answers(1.0, 2.0, 3.0, 4.0, 5.0)
    found = pairs(rows, pairs=9)
    assert selected(found) == ["e", "a", "d", "b"]
    assert found["c"]["reason"] == "not_paired"
    assert column(found, "pair_id") == ["e", "d", None, "d", "e"]


def test_a_prompt_that_gave_no_pair_is_not_drawn_for_again() -> None:
    rows = answers(1.0, 1.0, 0.0)
    for seed in range(12):
        once = selected(pairs(rows, mode="max_random", seed=seed))
        again = selected(pairs(rows, mode="max_random", seed=seed, pairs=9))
        assert once == again


def test_a_budget_takes_both_sides_or_none() -> None:
    rows = [r for i in range(10) for r in answers(i, -i - 1.0, prompt_id=f"p{i}")]
    found = pairs(rows, budget=5)
    taken = selected(found)
    assert len(taken) == 4
    assert taken[0] == found[taken[1]]["pair_id"] and taken[2] == found[taken[3]]["pair_id"]
    picks = {tuple(selected(pairs(rows, budget=6, seed=s))) for s in range(5)}
    assert len(picks) == 5
    widest = pairs(rows, budget=6, prefer="margin")
    assert [widest[r]["margin"] for r in selected(widest)] == [19.0, 19.0, 17.0, 17.0, 15.0, 15.0]


@pytest.mark.parametrize(
    "parameters", [{"mode": "max_min_p"}, {"mode": "max_min", "length_penalty": 0.1}]
)
def test_a_penalty_that_would_not_be_used_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="length_penalty"):
        pairs(answers(1.0, 0.0), **parameters)
