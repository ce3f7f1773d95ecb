"""Pairs by correctness, by reward and by form."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.selectors.sets.made_up import ledger, signals
from winnow.pipeline.recipe import PreferenceSet
from winnow.pipeline.recipe_sections.set_base import Form
from winnow.selectors.sets.preference import preference

Pairs = list[tuple[str, str]]


def pairs(config: PreferenceSet, *args: Any, **more: Any) -> Pairs:
    rows = preference(config, signals(*args, **more)).rows.to_pylist()
    return sorted((r["chosen_rollout_id"], r["rejected_rollout_id"]) for r in rows)


def test_margins_are_of_reward_and_of_log_probability_per_token() -> None:
    given_ = signals(
        {"a": "cw"}, rewards={"a0": 0.75, "a1": 0.5}, logprobs={"a0": -1.0, "a1": -4.0}
    )
    (row,) = preference(PreferenceSet(iteration=2), given_).rows.to_pylist()
    assert (row["margin"], row["logprob_margin"]) == (0.25, 1.5)  # of 2 tokens each
    assert (row["contrast"], row["iteration"]) == ("correctness", 2)
    untold = signals({"a": "cw"}, logprobs={"a0": None})
    (row,) = preference(PreferenceSet(), untold).rows.to_pylist()
    assert (row["logprob_margin"], row["iteration"]) == (None, None)


REWARDS = {"a0": 0.9, "a1": 0.1, "a2": 0.5, "a3": 0.8}


@pytest.mark.parametrize(
    ("pairing", "number", "wanted"),
    [
        ("max_min", 1, [("a0", "a1")]),
        ("max_min", 2, [("a0", "a1"), ("a3", "a2")]),
        ("max_max", 1, [("a0", "a3")]),
        ("max_max", 2, [("a0", "a3"), ("a2", "a1")]),
        (None, 1, [("a0", "a1")]),
    ],
)
def test_pairs_by_reward_whatever_the_verdicts(pairing: Any, number: int, wanted: Pairs) -> None:
    config = PreferenceSet(contrast="reward", pairing=pairing, pairs_per_prompt=number)
    assert pairs(config, {"a": "cccc"}, rewards=REWARDS) == sorted(wanted)


def test_pairs_by_reward_keep_right_against_wrong_where_correctness_is_the_contrast() -> None:
    rewards = {"a0": 0.5, "a1": 0.9, "a2": 0.4, "a3": 0.2}
    config = PreferenceSet(pairing="max_min", pairs_per_prompt=2)
    assert pairs(config, {"a": "ccww"}, rewards=rewards) == [("a0", "a2"), ("a1", "a3")]
    config = PreferenceSet(pairing="max_max", pairs_per_prompt=1)
    assert pairs(config, {"a": "ccww"}, rewards=rewards) == [("a1", "a2")]


def test_what_is_drawn_depends_on_names_alone() -> None:
    config = PreferenceSet(contrast="reward", pairing="max_random")
    rewards = {f"a{i}": float(9 - i) for i in range(6)}
    drawn = pairs(config, {"a": "cccccc"}, rewards=rewards)
    assert drawn == pairs(config, {"a": "cccccc", "b": "cw"}, rewards=rewards | {"b0": 1.0})[:1]
    assert drawn[0][0] == "a0"
    others = {
        pairs(config, {t: "cccccc"}, rewards={f"{t}{i}": float(9 - i) for i in range(6)})[0][1][1:]
        for t in "abdefgh"
    }
    assert len(others) > 1, "every task draws the same place"
    seeds = {
        tuple(pairs(config.model_copy(update={"seed": s}), {"a": "cccccc"}, rewards=rewards))
        for s in range(6)
    }
    assert len(seeds) > 1


def test_equal_rewards_and_small_margins_make_no_pair() -> None:
    config = PreferenceSet(contrast="reward")
    found = preference(config, signals({"a": "cc", "b": "cw", "d": "c"}))
    assert ledger(found) == {
        "a": ("dropped", "equal_rewards"),
        "b": ("kept", "selected"),
        "d": ("dropped", "few_answers"),
    }
    near = signals({"a": "cw", "b": "cw"}, rewards={"a1": 0.75})
    found = preference(PreferenceSet(min_margin=0.5), near)
    assert ledger(found) == {"a": ("dropped", "min_margin"), "b": ("kept", "selected")}
    entry = next(r for r in found.ledger.to_pylist() if r["row_id"] == "a")
    assert (entry["value"], entry["threshold"]) == ("0.25", ">= 0.5")


FORMS = {"a0": {"format": 1.0}, "a1": {"format": 0.0}, "a2": {"format": 1.0}, "a3": {"format": 0.0}}


def test_form_pairs_differ_in_form_and_not_in_verdict() -> None:
    form = Form(part="format")
    config = PreferenceSet(contrast="form", form=form, pairs_per_prompt=2)
    assert pairs(config, {"a": "ccww"}, parts=FORMS) == [("a0", "a1")]
    config = PreferenceSet(contrast="form", form=form, among="equal", pairs_per_prompt=2)
    assert pairs(config, {"a": "ccww"}, parts=FORMS) == [("a0", "a1"), ("a2", "a3")]
    # One of the form that is wrong and one that is right without it differ in what they say.
    found = preference(config, signals({"a": "wc"}, parts=FORMS))
    assert ledger(found) == {"a": ("dropped", "one_sided")}


def test_form_is_read_from_the_text_where_the_recipe_says_which() -> None:
    texts = {"a0": "<think>x</think><answer>1</answer>", "a1": "1", "a2": "<answer>1</answer>"}
    config = PreferenceSet(contrast="form", form=Form(format={"tags": ["think", "answer"]}))
    (pair,) = pairs(config, {"a": "ccc"}, texts=texts)
    assert pair[0] == "a0"
    config = PreferenceSet(contrast="form", form=Form(format={"pattern": "<answer>.*</answer>"}))
    assert pairs(config, {"a": "ccc"}, texts=texts) == [("a2", "a0")]


def test_an_answer_whose_form_nobody_knows_is_on_no_side() -> None:
    config = PreferenceSet(contrast="form", form=Form(part="format"))
    found = preference(config, signals({"a": "ccc"}, parts={"a0": {"format": 1.0}}))
    assert ledger(found) == {"a": ("dropped", "one_sided")}


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"contrast": "form"}, "`form` goes with"),
        ({"form": Form(part="x")}, "`form` goes with"),
        ({"among": "equal"}, "`among` goes with"),
        ({"contrast": "reward", "pairing": "likeliest"}, "needs a pairing by reward"),
    ],
)
def test_settings_that_do_not_go_together(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PreferenceSet(**settings_)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({}, "give `part`"),
        ({"part": "x", "format": {"tags": ["a"]}}, "give `part`"),
        ({"format": {"tag": ["a"]}}, "tag"),
    ],
)
def test_a_form_that_says_nothing(form: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Form(**form)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("cw"), st.integers(0, 3)), min_size=2, max_size=7),
    st.sampled_from(["max_min", "max_max"]),
    st.integers(1, 4),
)
def test_pairs_by_reward_are_those_of_plain_sorting(
    answers: list[tuple[str, int]], pairing: Any, number: int
) -> None:
    """By hand: take the best, take the worst or next best of the rest, stop at equal rewards."""
    rewards = {f"a{i}": float(reward) for i, (_, reward) in enumerate(answers)}
    config = PreferenceSet(contrast="reward", pairing=pairing, pairs_per_prompt=number)
    # Answer i has log-probability -i: of equal rewards the lower index is the likelier.
    left = sorted(rewards, key=lambda name: (-rewards[name], int(name[1:])))
    wanted: Pairs = []
    while len(left) > 1 and len(wanted) < number:
        best, rest = left[0], left[1:]
        lowest = min(rewards[name] for name in rest)
        other = rest[0] if pairing == "max_max" else next(n for n in rest if rewards[n] == lowest)
        if rewards[best] == rewards[other]:
            break
        wanted.append((best, other))
        left = [name for name in rest if name != other]
    task = {"a": "".join(letter for letter, _ in answers)}
    assert pairs(config, task, rewards=rewards) == sorted(wanted)
