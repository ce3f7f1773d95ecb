"""Sets of whole trajectories: which are taken, what of them is trained on, and that none loses anything."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.publish.formats.test_adp import FUNCTIONS, ITEMS, VALID
from tests.selectors.sets.made_up import ledger, signals
from winnow.pipeline import schema
from winnow.pipeline.names import canonical_json
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.formats.adp_marks import final_reward
from winnow.pipeline.publish.formats.adp_messages import from_messages
from winnow.pipeline.publish.formats.adp_schema import build
from winnow.pipeline.publish.formats.base import convert, view_of, without_nulls
from winnow.pipeline.publish.formats.registry import get_format
from winnow.pipeline.recipe import TrajectoriesSet
from winnow.selectors.sets.signals import Chosen, Signals
from winnow.selectors.sets.trajectories import trajectories

Row = dict[str, Any]


def attempt(name: str, *, calls: int = 1, end: str = "Done.", **details: Any) -> Row:
    """A question, so many calls with their results, and an answer: 2 * calls + 2 items."""
    content: list[Row] = [{"class_": "text_observation", "content": "Q", "source": "user"}]
    for at in range(calls):
        content += [
            {"class_": "api_action", "function": "f", "kwargs": {"n": at}, "tool_call_id": f"c{at}"},
            {"class_": "text_observation", "content": "r", "source": "environment",
             "tool_call_id": f"c{at}"},
        ]  # fmt: skip
    content.append({"class_": "message_action", "content": end})
    return {"schema_version": "1.5.0", "id": name, "content": content, "details": details}


def brought(values: Mapping[str, Row | None], tasks: Mapping[str, str] | None = None) -> Signals:
    """A run whose answers, called by task and number, end these trajectories."""
    letters: dict[str, str] = {}
    for name in values:
        letters[name[0]] = letters.get(name[0], "") + "u"
    rows = [
        {"rollout_id": name, "prompt_id": f"p-{name[0]}", "source": "s", "completion": "Done.",
         "trajectory": None if value is None else canonical_json(value)}
        for name, value in values.items()
    ]  # fmt: skip
    completions = pa.Table.from_pylist(rows, schema.COMPLETIONS)
    return signals(tasks or letters, verifier="none", completions=completions)


def rows(chosen: Chosen) -> dict[str, Row]:
    return {row["rollout_id"]: row for row in chosen.rows.to_pylist()}


def taken(values: Mapping[str, Row | None], **config: Any) -> dict[str, str]:
    """The rule that decided, by answer."""
    chosen = trajectories(TrajectoriesSet(**config), brought(values))
    return {name: rule for name, (_, rule) in ledger(chosen).items()}


def seen(name: str, chosen: Chosen, **options: Any) -> list[Row]:
    """The rows of a view of the set."""
    view = view_of(get_format(name), chosen.rows.schema, **options)
    return [
        row
        for made, _ in convert(view, chosen.rows.to_batches(), "train")
        for row in made.to_pylist()
    ]


def test_a_row_is_the_trajectory_as_a_conversation() -> None:
    chosen = trajectories(TrajectoriesSet(), brought({"a0": VALID}))
    (row,) = chosen.rows.to_pylist()
    assert [m["role"] for m in row["messages"]] == [
        "user", "assistant", "tool", "tool", "user", "assistant",
    ]  # fmt: skip
    assert row["loss_mask"] == [False, True, False, False, False, True]
    assert json.loads(row["tools"]) == [{"type": "function", "function": {"name": "search"}}]
    assert json.loads(row["trajectory"]) == VALID
    assert (row["n_actions"], row["reward"]) == (3, -1.0)
    assert (row["verdict"], row["verifier"], row["policy"]) == ("unjudged", "none@1", "m@1")
    assert (row["origin"], row["branch_point"]) == (None, None)
    assert ledger(chosen) == {"a0": ("kept", "selected")}


def test_each_rule_says_what_it_saw() -> None:
    values: dict[str, Row | None] = {
        "a0": attempt("good", reward=1),
        "a1": attempt("bad", end="Hm.", reward=0.2),
        "a2": attempt("silent", end="So."),
        "a3": attempt("long", calls=5, reward=1.0),
        "a4": attempt("masked", end="No.", reward=1, loss_mask=[False] * 4),
        "a5": attempt("again", reward=0.9),  # the same actions as a0
        "b0": None,
    }
    config = TrajectoriesSet(min_reward=0.5, max_actions=5)
    found = trajectories(config, brought(values))
    assert {name: rule for name, (_, rule) in ledger(found).items()} == {
        "a0": "selected", "a1": "min_reward", "a2": "min_reward", "a3": "max_actions",
        "a4": "nothing_to_train", "a5": "duplicate_trajectory", "b0": "no_trajectory",
    }  # fmt: skip
    told = {r["row_id"]: (r["value"], r["threshold"]) for r in found.ledger.to_pylist()}
    assert told["a1"] == ("0.2", ">= 0.5")
    assert told["a2"] == (None, ">= 0.5")
    assert told["a3"] == ("6", "<= 5")
    assert told["a4"] == ("0", "> 0 actions, of marked")
    assert told["b0"] == ("s", "a source of type trajectories")


def test_verdicts_are_those_of_sft() -> None:
    values = {f"a{at}": attempt(str(at), end=str(at)) for at in range(3)}
    letters = {"a": "cwu"}
    for verdicts, names in (
        ("correct", {"a0"}), ("not_wrong", {"a0", "a2"}), ("any", {"a0", "a1", "a2"}),
    ):  # fmt: skip
        config = TrajectoriesSet.model_validate({"verdicts": verdicts})
        assert set(rows(trajectories(config, brought(values, letters)))) == names
    assert set(rows(trajectories(TrajectoriesSet(), brought(values, letters)))) == {"a0", "a2"}


def test_of_a_prompt_those_of_most_reward_are_taken() -> None:
    rewards = {"a0": None, "a1": 0.5, "a2": 1.0, "a3": 0.5, "b0": None}
    values = {name: attempt(name, end=name, reward=reward) for name, reward in rewards.items()}
    assert taken(values, per_prompt=2) == {
        "a0": "per_prompt", "a1": "selected", "a2": "selected", "a3": "per_prompt", "b0": "selected",
    }  # fmt: skip
    assert taken(values, budget=1)["a2"] == "selected"
    assert sorted(taken(values, per_cluster=1).values()).count("selected") == 2


@pytest.mark.parametrize(
    ("details", "marked", "student"),
    [
        ({}, [1, 3, 5], None),
        ({"branch_point": 3}, [3, 5], [3, 5]),
        ({"branch_point": 4}, [5], [5]),
        ({"origin": [None, "expert", None, "student", None, "expert"]}, [3], [3]),
        ({"origin": [None, "expert", None, "expert", None, "expert"]}, [1, 3, 5], None),
        ({"origin": [None, "student", None, "expert", None, "student"], "branch_point": 5},
         [1, 5], [1, 5]),
        ({"loss_mask": [True, True, True, False, False, False], "branch_point": 3}, [1], [3, 5]),
        ({"loss_mask": [0, 1, 0, 0, 0, 1]}, [1, 5], None),
        ({"loss_mask": "no mask", "origin": "elsewhere", "branch_point": 2.5}, [1, 3, 5], None),
    ],
)  # fmt: skip
def test_what_is_trained_on(details: Row, marked: list[int], student: list[int] | None) -> None:
    signals_ = brought({"a0": attempt("t", calls=2, **details)})
    for train_on, wanted in (
        ("marked", marked), ("student", student), ("all_actions", [1, 3, 5]),
    ):  # fmt: skip
        config = TrajectoriesSet.model_validate({"train_on": train_on})
        chosen = trajectories(config, signals_)
        if wanted is None:
            assert ledger(chosen) == {"a0": ("dropped", "nothing_to_train")}
            continue
        (row,) = chosen.rows.to_pylist()
        assert [at for at, yes in enumerate(row["loss_mask"]) if yes] == wanted
        (view,) = seen("adp", chosen)
        assert [at for at, yes in enumerate(view["loss_mask"]) if yes] == wanted
        # Whoever reads the view again, by what it says itself, trains on the same.
        again = build(adp.record(view))
        assert adp.message_row(again)["loss_mask"] == row["loss_mask"]
        told = json.loads(view["details"])
        assert {k: v for k, v in told.items() if k in details and k != "loss_mask"} == {
            k: v for k, v in details.items() if k != "loss_mask"
        }


def test_actions_of_one_message_are_told_apart_in_the_protocol_s_own_form() -> None:
    value = copy.deepcopy(VALID)
    value["details"]["loss_mask"] = [False, False, True, False, False, False, True]
    chosen = trajectories(TrajectoriesSet(), brought({"a0": value}))
    (row,) = chosen.rows.to_pylist()
    assert row["loss_mask"] == [False, True, False, False, False, True], "one message, two calls"
    (view,) = seen("adp", chosen)
    assert view["loss_mask"] == value["details"]["loss_mask"]
    assert adp.record(view)["details"]["loss_mask"] == value["details"]["loss_mask"]
    other = trajectories(TrajectoriesSet(train_on="all_actions"), brought({"a0": value}))
    (view,) = seen("adp", other)
    assert view["loss_mask"] == [False, True, True, False, False, False, True]


def test_details_that_a_trajectory_has_already_keep_their_names() -> None:
    value = attempt("t", policy="gpt", winnow_id="old", task=3)
    (view,) = seen("adp", trajectories(TrajectoriesSet(), brought({"a0": value})))
    told = json.loads(view["details"])
    assert (told["policy"], told["winnow_policy"], told["task"]) == ("gpt", "m@1", 3)
    assert told["winnow_id"] != "old" and told["verifier"] == "none@1"
    (bare,) = seen("adp", trajectories(TrajectoriesSet(), brought({"a0": value})), provenance=False)
    assert adp.record(bare) == value


def test_openai_s_form_has_the_mask_as_weights() -> None:
    value = attempt("t", calls=2, branch_point=3)
    (row,) = seen("openai_chat", trajectories(TrajectoriesSet(), brought({"a0": value})))
    assert [m["weight"] for m in row["messages"]] == [None, 0, None, None, None, None]
    record = get_format("openai_chat").record
    assert record is not None
    sent = record(row)["messages"]
    assert [m.get("weight") for m in sent] == [None, 0, None, None, None, None]
    (row,) = seen("openai_chat", trajectories(TrajectoriesSet(), brought({"a0": attempt("t")})))
    assert not any("weight" in m for m in record(row)["messages"])


def test_other_forms_take_messages_and_tools(made_conversation: Row) -> None:
    chosen = trajectories(TrajectoriesSet(), brought({"a0": made_conversation}))
    (row,) = seen("trl_language_modeling", chosen)
    assert [m["role"] for m in row["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(row["tools"]) == made_conversation["details"]["tools"]
    (turns,) = seen("sharegpt", chosen)
    assert [turn["from"] for turn in turns["conversations"]] == [
        "human", "function_call", "observation", "gpt",
    ]  # fmt: skip


@pytest.fixture
def made_conversation() -> Row:
    tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}
    messages: list[Row] = [
        {"role": "user", "content": "Q"},
        {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
        {"role": "assistant", "content": "A"},
    ]  # fmt: skip
    return from_messages(messages, "t", tools=[tool], details={"tools": [tool]}).plain()


@pytest.mark.parametrize(
    ("details", "last", "reward"),
    [
        ({}, None, None), ({"reward": 1}, 0.5, 1.0), ({}, 0.5, 0.5), ({"reward": True}, None, None),
        ({"reward": 10**400}, None, None), ({"reward": "much"}, 0.0, 0.0),
    ],
)  # fmt: skip
def test_the_final_reward(details: Row, last: float | None, reward: float | None) -> None:
    value = attempt("t", **details)
    value["content"][1]["reward"] = 0.25 if last is not None else None
    if last is not None:
        value["content"][-1]["reward"] = last
    assert final_reward(build(value)) == reward


SEEN: list[Row] = [
    {"class_": "text_observation", "content": "r", "source": "environment"},
    {"class_": "web_observation", "html": None, "axtree": "x", "url": None,
     "image_observation": None, "viewport_size": [1, 2], "reward": 0.5},
]  # fmt: skip
ORIGINS = st.sampled_from([None, "expert", "student"])


@st.composite
def whole(draw: st.DrawFn) -> Row:
    """Any trajectory with an action, with any marks, pages, rewards and details."""
    items = draw(st.lists(ITEMS, max_size=3))
    calls: list[Row] = []
    results: list[Row] = []
    for at, function in enumerate(draw(st.lists(FUNCTIONS, max_size=3))):
        calls.append({"class_": "api_action", "function": function["name"],
                      "kwargs": {"a": function["arguments"]}, "tool_call_id": f"c{at}",
                      **draw(st.fixed_dictionaries({}, optional={"description": st.text(max_size=3)})),
                      })  # fmt: skip
        results.append({**draw(st.sampled_from(SEEN)), "tool_call_id": f"c{at}"})
    content = [*items, *calls, *results, {"class_": "message_action", "content": "end"}]
    size = len(content)
    marks = draw(st.fixed_dictionaries({}, optional={
        "loss_mask": st.lists(st.booleans(), min_size=size, max_size=size),
        "origin": st.lists(ORIGINS, min_size=size, max_size=size),
        "branch_point": st.integers(0, size - 1),
        "reward": st.floats(-1, 1), "note": st.text(max_size=3),
    }))  # fmt: skip
    return {"schema_version": "1.5.0", "id": draw(st.text(max_size=5)), "content": content,
            "details": marks}  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(whole(), min_size=1, max_size=3), st.sampled_from(["marked", "student", "all_actions"])
)
def test_in_and_out_again_nothing_is_lost(values: list[Row], train_on: Any) -> None:
    given_ = {f"a{at}": value for at, value in enumerate(values)}
    chosen = trajectories(TrajectoriesSet(train_on=train_on), brought(given_))
    own = {name: given_[name] for name in rows(chosen)}
    by_row = {row["id"]: row["rollout_id"] for row in rows(chosen).values()}
    for view, row in zip(seen("adp", chosen), chosen.rows.to_pylist(), strict=True):
        source = own[by_row[row["id"]]]
        record = adp.record(view)
        told = record.pop("details")
        assert {**record, "details": {}} == {**source, "details": {}}
        masked = train_on != "marked" and "loss_mask" in told
        for name, value in source["details"].items():
            assert told[name] == value or (masked and name == "loss_mask")
        mask = view["loss_mask"]
        acts = [each["class_"].endswith("_action") for each in source["content"]]
        assert all(act or not yes for act, yes in zip(acts, mask, strict=True))
        again = adp.message_row(build(adp.record(view)))
        for name in ("loss_mask", "origin", "branch_point"):
            assert again[name] == row[name]
        assert [without_nulls(m) for m in again["messages"]] == [
            without_nulls(m) for m in row["messages"]
        ]
