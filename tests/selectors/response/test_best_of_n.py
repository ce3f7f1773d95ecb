"""Best of n against a literal reading of each of its rules."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.selectors.response.answers import Row, choose, column, prompt_turns, selected, table
from winnow.pipeline.errors import UsageError
from winnow.selectors.response.best_of_n import final_answer

REWARD = st.sampled_from([0.0, 0.25, 0.5, 1.0])
ROWS = st.fixed_dictionaries(
    {
        "prompt_id": st.sampled_from("pqrs"),
        "completion": st.sampled_from(["x", "y", "z"]),
        "reward": REWARD,
        "scores": st.lists(REWARD, min_size=3, max_size=3),
        "verdict": st.sampled_from(["correct", "wrong", "unjudged"]),
        "extracted": st.sampled_from(["1", " 1.0 ", "2", "two", "", None]),
        "origin": st.sampled_from(["model", "model", "model", "gold", None]),
    }
)


def candidates(rows: list[Row], parameters: dict[str, Any]) -> dict[str, list[tuple[str, Row]]]:
    """Of each prompt what competes, the reference first."""
    prompts: dict[str, list[tuple[str, Row]]] = {}
    for name, row in zip(table(rows)["row_id"].to_pylist(), rows, strict=True):
        prompts.setdefault(row["prompt_id"], []).append((name, row))
    left: dict[str, list[tuple[str, Row]]] = {}
    for prompt, mine in prompts.items():
        drawn = [(n, r) for n, r in mine if r["origin"] != "gold"]
        texts = [r["completion"] for _, r in drawn]
        identical = len(texts) > 1 and len(set(texts)) == 1
        if len(drawn) < parameters["min_candidates"] or (identical and parameters["drops"]):
            left[prompt] = []
        elif parameters["reference"] == "excluded":
            left[prompt] = drawn
        else:
            left[prompt] = [(n, r) for n, r in mine if r["origin"] == "gold"] + drawn
    return left


def kept(found: dict[str, Row], rows: list[Row], prompt: str) -> list[str]:
    """Selected names of one prompt, by place."""
    where = dict(zip(found, rows, strict=True))
    return [name for name in selected(found) if where[name]["prompt_id"] == prompt]


PARAMETERS = st.fixed_dictionaries(
    {
        "top_k": st.integers(1, 3),
        "min_candidates": st.integers(1, 3),
        "reference": st.sampled_from(["candidate", "excluded"]),
    }
)


@given(st.lists(ROWS, min_size=1, max_size=20), PARAMETERS, st.sampled_from(["highest", "lowest"]))
@settings(deadline=None, max_examples=80)
def test_argmax(rows: list[Row], parameters: dict[str, Any], prefer: str) -> None:
    found = choose("best_of_n", rows, prefer=prefer, **parameters)
    sign = -1 if prefer == "highest" else 1
    for prompt, mine in candidates(rows, parameters | {"drops": True}).items():
        mine.sort(key=lambda one: sign * one[1]["reward"])
        assert kept(found, rows, prompt) == [n for n, _ in mine[: parameters["top_k"]]]


@given(st.lists(ROWS, min_size=1, max_size=20), PARAMETERS)
@settings(deadline=None, max_examples=80)
def test_correct_top_k(rows: list[Row], parameters: dict[str, Any]) -> None:
    found = choose("best_of_n", rows, rule="correct_top_k", **parameters)
    for prompt, mine in candidates(rows, parameters | {"drops": False}).items():
        right = [one for one in mine if one[1]["verdict"] == "correct"]
        right.sort(key=lambda one: -one[1]["reward"])
        assert kept(found, rows, prompt) == [n for n, _ in right[: parameters["top_k"]]]


@given(st.lists(ROWS, min_size=1, max_size=20), PARAMETERS, st.sampled_from(["highest", "lowest"]))
@settings(deadline=None, max_examples=80)
def test_vote(rows: list[Row], parameters: dict[str, Any], prefer: str) -> None:
    parameters = parameters | {"top_k": 1}
    found = choose("best_of_n", rows, rule="vote", prefer=prefer, **parameters)
    again = {
        tuple(selected(choose("best_of_n", rows, rule="vote", prefer=prefer, seed=s, **parameters)))
        for s in range(3)
    }
    free = False
    for prompt, mine in candidates(rows, parameters | {"drops": True}).items():
        pick = max if prefer == "highest" else min  # the first of equals
        votes = (
            [pick(mine, key=lambda one: one[1]["scores"][j])[0] for j in range(3)] if mine else []
        )
        got = kept(found, rows, prompt)
        if len(set(votes)) == 3:
            free = True
            assert len(got) == 1 and got[0] in votes
        else:
            assert got == [name for name, _ in Counter(votes).most_common(1)]  # ties: first seen
        for name, _ in mine:
            assert found[name]["score"] == votes.count(name)
    assert free or len({tuple(sorted(names)) for names in again}) == 1


@given(st.lists(ROWS, min_size=1, max_size=20), PARAMETERS, st.sampled_from(["reward", "sigmoid"]))
@settings(deadline=None, max_examples=80)
def test_weighted_majority(rows: list[Row], parameters: dict[str, Any], weight: str) -> None:
    found = choose("best_of_n", rows, rule="weighted_majority", vote_weight=weight, **parameters)
    values = {"1": 1.0, " 1.0 ": 1.0, "2": 2.0, "two": "two"}
    for prompt, mine in candidates(rows, parameters | {"drops": False}).items():
        groups: dict[Any, list[tuple[str, float]]] = {}
        for name, row in mine:
            if row["extracted"]:
                groups.setdefault(values[row["extracted"]], []).append((name, row["reward"]))
        if not groups:
            assert kept(found, rows, prompt) == []
            continue
        totals = {
            answer: math.fsum(r if weight == "reward" else 1 / (1 + math.exp(-r)) for _, r in group)
            for answer, group in groups.items()
        }
        # sums of sigmoids that are equal but for rounding are a tie
        best = max(groups, key=lambda a: (round(totals[a], 9), max(r for _, r in groups[a])))
        ranked = sorted(groups[best], key=lambda one: -one[1])[: parameters["top_k"]]
        assert kept(found, rows, prompt) == [name for name, _ in ranked]


def drawn(*rewards: float, **more: Any) -> list[Row]:
    return [{"reward": r, "completion": f"text {i}"} | more for i, r in enumerate(rewards)]


def test_two_votes_against_two_go_to_the_first_seen() -> None:
    # Scorers 1 and 4 like b, 2 and 3 like a: b is named first.
    scores = [[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    rows = [{"scores": s, "completion": str(s)} for s in scores]
    found = choose("best_of_n", rows, rule="vote")
    assert selected(found) == ["b"] and column(found, "score") == [2.0, 2.0]
    drawn_ = {
        tuple(selected(choose("best_of_n", rows, rule="vote", ties="seeded", seed=s)))
        for s in range(20)
    }
    assert drawn_ == {("a",), ("b",)}


def test_a_majority_is_not_drawn() -> None:
    scores = [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.5]]
    rows = [{"scores": s, "completion": str(s)} for s in scores]
    for seed in range(5):
        for ties in ("first_seen", "seeded"):
            assert selected(choose("best_of_n", rows, rule="vote", ties=ties, seed=seed)) == ["a"]


def test_where_all_scorers_disagree_one_vote_is_drawn_with_the_seed() -> None:
    scores = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.5]]
    rows = [{"scores": s, "completion": str(s)} for s in scores]
    picks = [tuple(selected(choose("best_of_n", rows, rule="vote", seed=s))) for s in range(40)]
    assert set(picks) == {("a",), ("b",), ("c",)}
    assert picks == [
        tuple(selected(choose("best_of_n", rows, rule="vote", seed=s))) for s in range(40)
    ]


def test_one_scorer_decides_alone() -> None:
    rows = [{"scores": [s], "completion": str(s)} for s in (0.1, 0.9, 0.9)]
    assert {selected(choose("best_of_n", rows, rule="vote", seed=s))[0] for s in range(9)} == {"b"}


def test_the_number_of_scorers_must_not_change() -> None:
    rows = [{"scores": s, "completion": str(s)} for s in ([1.0, 2.0], [1.0])]
    with pytest.raises(UsageError, match="row b: scores holds 1 numbers.*row a: 2"):
        choose("best_of_n", rows, rule="vote")


def test_one_answer_is_not_identical() -> None:
    assert selected(choose("best_of_n", drawn(0.5))) == ["a"]
    same = [{"reward": 0.5, "completion": "x"}, {"reward": 0.7, "completion": "x"}]
    assert column(choose("best_of_n", same), "reason") == ["identical"] * 2
    assert selected(choose("best_of_n", same, drop_identical=False)) == ["b"]
    found = choose("best_of_n", drawn(0.5), min_candidates=2)
    assert column(found, "reason") == ["few_candidates"]
    for row in same:
        row["verdict"] = "correct"
    assert selected(choose("best_of_n", same, rule="correct_top_k")) == ["b"]


def test_the_reference_is_the_first_candidate() -> None:
    rows = [*drawn(0.5, 0.9), {"reward": 0.9, "completion": "reference", "origin": "gold"}]
    assert selected(choose("best_of_n", rows)) == ["c"]
    found = choose("best_of_n", rows, reference="excluded")
    assert selected(found) == ["b"] and found["c"]["reason"] == "reference"
    assert found["a"]["n_candidates"] == 2
    # Whether the answers are all alike is asked before it enters.
    rows = [
        {"reward": 0.1, "completion": "x"},
        {"reward": 0.2, "completion": "x"},
        {"reward": 0.3, "completion": "y", "origin": "gold"},
    ]
    assert column(choose("best_of_n", rows), "reason") == ["identical"] * 3


def test_rewards_stand_above_counts() -> None:
    rows = drawn(0.4, 0.4, 0.9)
    for row, answer in zip(rows, ("7", "7.0", "8"), strict=True):
        row["extracted"] = answer
    found = choose("best_of_n", rows, rule="weighted_majority", top_k=2)
    assert column(found, "reason") == ["minority", "minority", "selected"]
    rows[1]["reward"] = 0.6
    found = choose("best_of_n", rows, rule="weighted_majority", top_k=2)
    assert selected(found) == ["b", "a"]
    rows[1]["extracted"] = None
    assert choose("best_of_n", rows, rule="weighted_majority")["b"]["reason"] == "no_answer"


def test_an_answer_that_shows_nothing_wins_no_vote() -> None:
    rows = drawn(0.9, 0.9, 0.9, 0.9, 0.1)
    for row, answer in zip(rows, ("", " \n", "\u200b", "$$", "0"), strict=True):
        row["extracted"] = answer
    found = choose("best_of_n", rows, rule="weighted_majority")
    assert column(found, "reason") == ["no_answer"] * 4 + ["selected"]


def test_what_is_the_same_final_answer() -> None:
    for one, other in ((" 1,000.0", "1000."), ("(a)", "A"), ("x  +\u200b 1", "x + 1")):
        assert final_answer(one) == final_answer(other)
    for one, other in (("ab", "AB"), ("1", "-1"), ("y" * 3000 + "1", "y" * 3000 + "2")):
        assert final_answer(one) != final_answer(other)


def test_a_missing_score_is_no_vote() -> None:
    # The second scorer gave a no score; what it likes least is b.
    scores = [[0.9, -1.0], [0.1, 0.2], [0.2, 0.5]]
    rows = [{"scores": s, "completion": str(s)} for s in scores]
    found = choose("best_of_n", rows, rule="vote", prefer="lowest", missing_score=-1)
    assert selected(found) == ["b"] and column(found, "score") == [0, 2, 0]
    found = choose("best_of_n", rows, rule="vote", prefer="lowest")
    assert column(found, "score") == [1, 1, 0]
    # A scorer that says nothing of a prompt has no vote in it, a row without scores gets none.
    scores = [[-1.0, -1.0], [-1.0, 0.2], [-1.0, 0.5]]
    rows = [{"scores": s, "completion": str(s)} for s in scores]
    found = choose("best_of_n", rows, rule="vote", missing_score=-1)
    assert column(found, "reason") == ["no_score", "not_best", "selected"]
    assert column(found, "score") == [None, 0, 1]


def test_rewards_below_nothing_cannot_be_added_up() -> None:
    rows = [r | {"extracted": "1"} for r in drawn(0.4, -0.1)]
    with pytest.raises(UsageError, match="row b: reward is -0.1.*vote_weight=sigmoid"):
        choose("best_of_n", rows, rule="weighted_majority")
    assert selected(choose("best_of_n", rows, rule="weighted_majority", vote_weight="sigmoid"))


def test_reasons_of_correct_top_k() -> None:
    rows = drawn(0.1, 0.2, 0.3, 0.4)
    for row, verdict in zip(rows, ("correct", "correct", "wrong", "unjudged"), strict=True):
        row["verdict"] = verdict
    found = choose("best_of_n", rows, rule="correct_top_k")
    assert column(found, "reason") == ["not_best", "selected", "wrong", "unjudged"]
    found = choose("best_of_n", rows, rule="correct_top_k", min_candidates=5)
    assert column(found, "reason") == ["few_candidates"] * 2 + ["wrong", "unjudged"]
    for row in rows:
        row["completion"] = "x"
    found = choose("best_of_n", rows, rule="correct_top_k", drop_identical=True)
    assert column(found, "reason") == ["identical"] * 2 + ["wrong", "unjudged"]


def test_a_budget_does_not_prefer_prompts_that_score_high() -> None:
    rows = [
        {"prompt_id": f"p{i:02}", "completion": f"{i} {j}", "reward": i + j / 10}
        for i in range(20)
        for j in range(2)
    ]
    found = choose("best_of_n", rows, budget=8, seed=3, top_k=2)
    names = table(rows)["row_id"].to_pylist()
    turns = prompt_turns(3, 20)
    wanted = sorted(range(20), key=lambda i: turns[i])[:8]
    assert selected(found) == [names[2 * i + 1] for i in wanted]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rule": "vote", "top_k": 2}, "top_k must be 1"),
        ({"rule": "weighted_majority", "prefer": "lowest"}, "prefer: lowest makes no sense"),
    ],
)
def test_parameters_that_contradict_each_other(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose("best_of_n", drawn(0.1), **parameters)
