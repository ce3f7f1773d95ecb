"""Answers one by one: with a label, and with a class and its weight."""

from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.selectors.sets.made_up import ledger, signals
from winnow.pipeline import schema
from winnow.pipeline.recipe import CRlftSet, UnpairedSet
from winnow.selectors.sets.single_answers import c_rlft, unpaired


def test_every_judged_answer_has_its_label() -> None:
    found = unpaired(UnpairedSet(), signals({"a": "cwut"}))
    labels = {r["rollout_id"]: r["label"] for r in found.rows.to_pylist()}
    assert labels == {"a0": True, "a1": False}
    assert ledger(found)["a2"] == ledger(found)["a3"] == ("dropped", "verdict")
    row = next(r for r in found.rows.to_pylist() if r["label"])
    assert row["prompt"] == [{"role": "user", "content": "question a"}]
    assert row["completion"] == [{"role": "assistant", "content": "answer a0"}]
    assert (row["reward"], row["verifier"]) == (1.0, "math@1")


def test_each_side_of_a_prompt_has_its_own_cap() -> None:
    found = unpaired(UnpairedSet(per_label=1), signals({"a": "wwcc", "b": "c"}))
    assert sorted(found.rows["rollout_id"].to_pylist()) == ["a0", "a2", "b0"]  # the likeliest
    assert ledger(found)["a1"] == ledger(found)["a3"] == ("dropped", "per_label")


def test_equal_texts_of_a_prompt_stand_once() -> None:
    found = unpaired(UnpairedSet(), signals({"a": "ccw"}, texts={"a0": "x", "a1": "x"}))
    assert sorted(found.rows["rollout_id"].to_pylist()) == ["a0", "a2"]
    assert ledger(found)["a1"] == ("dropped", "duplicate_answer")


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abd"), st.text("cwu", max_size=6), min_size=1),
    st.integers(1, 3),
)
def test_caps_are_those_of_plain_counting(tasks: dict[str, str], most: int) -> None:
    found = unpaired(UnpairedSet(per_label=most, min_judged=0), signals(tasks))
    counts = Counter((r["task_id"], r["label"]) for r in found.rows.to_pylist())
    for task, answers in tasks.items():
        for letter in "cw":
            assert counts[task, letter == "c"] == min(answers.count(letter), most)


def test_a_class_has_its_weight_on_the_answer_alone() -> None:
    given_ = signals({"a": "cwut"})
    prompts = given_.prompts.to_pylist()
    prompts[0]["messages"] = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "which?"},
        {"role": "user", "content": "that"},
    ]
    given_ = replace(given_, prompts=pa.Table.from_pylist(prompts, schema=schema.PROMPTS))
    found = c_rlft(CRlftSet(), given_)
    rows = {r["rollout_id"]: r for r in found.rows.to_pylist()}
    assert {name: (r["condition"], r["weight"]) for name, r in rows.items()} == {
        "a0": ("expert", 1.0),
        "a1": ("sub_optimal", 0.1),
    }
    assert rows["a1"]["system"] == "be brief"
    assert [(m["role"], m["weight"]) for m in rows["a1"]["items"]] == [
        ("user", 0.0), ("assistant", 0.0), ("user", 0.0), ("assistant", 0.1),
    ]  # fmt: skip
    assert rows["a1"]["items"][-1]["content"] == "answer a1"
    assert ledger(found)["a2"] == ledger(found)["a3"] == ("dropped", "verdict")


def test_classes_can_be_those_of_sources() -> None:
    config = CRlftSet(by="source", classes={"s": "gold"}, weights={"gold": 0.7}, min_judged=0)
    found = c_rlft(config, signals({"a": "cut"}))
    assert {r["rollout_id"]: r["weight"] for r in found.rows.to_pylist()} == {"a0": 0.7, "a1": 0.7}
    assert ledger(found)["a2"] == ("dropped", "unfinished")
    other = c_rlft(config.model_copy(update={"classes": {"t": "gold"}}), signals({"a": "c"}))
    assert ledger(other) == {"a0": ("dropped", "no_class")}


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"correct": "best"}, "the class 'best' has no weight"),
        ({"unjudged": "expert"}, "'unjudged' is no verdict"),
    ],
)
def test_a_class_without_a_weight_is_an_error(classes: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        CRlftSet(classes=classes)
