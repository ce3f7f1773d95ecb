"""The Agent Data Protocol: every rule, out, in, and both ways without loss."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.formats.adp_messages import (
    from_messages,
    messages_of_items,
    to_messages,
)
from winnow.pipeline.publish.formats.adp_schema import parse
from winnow.pipeline.publish.formats.base import Misfit, convert, view_of, without_nulls
from winnow.pipeline.publish.formats.registry import get_format

Row = dict[str, Any]
View = Callable[..., list[Row]]
Made = dict[str, Callable[..., Any]]

VALID: Row = {
    "schema_version": "1.5.0",
    "id": "t1",
    "content": [
        {"class_": "text_observation", "content": "Buy a lamp.", "source": "user"},
        {"class_": "api_action", "function": "search", "kwargs": {"q": "lamp", "n": 2},
         "description": "Look.", "reasoning_content": "Hm.", "tool_call_id": "a", "reward": 0.5},
        {"class_": "code_action", "language": "python", "content": "1/0", "tool_call_id": "b"},
        {"class_": "web_observation", "html": "<p>", "axtree": None, "url": "http://x",
         "image_observation": {"class_": "image_observation", "content": "x.png",
                               "source": "environment"},
         "viewport_size": [800, 600], "tool_call_id": "a"},
        {"class_": "text_observation", "content": "error", "source": "environment",
         "name": "shell", "tool_call_id": "b", "reward": -1.0},
        {"class_": "image_observation", "content": "y.png", "source": "user",
         "annotations": [{"text": "lamp"}]},
        {"class_": "message_action", "content": "Done.", "description": "so"},
    ],
    "available_custom_tools": ["search"],
    "available_code_languages": ["python"],
    "details": {"task": "shop"},
}  # fmt: skip


def changed(change: Callable[[Row], Any]) -> Row:
    value = copy.deepcopy(VALID)
    change(value)
    return value


def test_what_keeps_the_rules_is_taken_as_it_is() -> None:
    assert parse(VALID, "f").plain() == VALID


RULES: dict[str, tuple[Callable[[Row], Any], str]] = {
    "a field that is not the protocol's": (
        lambda t: t.update(score=1), "score: no such field"),
    "a field of an item": (
        lambda t: t["content"][1].update(score=1), "item 1: score: no such field"),
    "no id": (lambda t: t.pop("id"), "id: Field required"),
    "a version that is none": (
        lambda t: t.update(schema_version="new"), "schema_version: "),
    "an unknown class": (
        lambda t: t["content"][0].update(class_="thought"), "item 0: .*class_"),
    "no class": (lambda t: t["content"][0].pop("class_"), "item 0: .*class_"),
    "a source that is none": (
        lambda t: t["content"][0].update(source="god"), "item 0: source: "),
    "arguments that are no object": (
        lambda t: t["content"][1].update(kwargs=["lamp"]), "item 1: kwargs: "),
    "a page without its parts": (
        lambda t: t["content"][3].pop("axtree"), "item 3: axtree: "),
    "a reward that is no number": (
        lambda t: t["content"][1].update(reward="good"), "item 1: reward: "),
    "a call with a result and no link": (
        lambda t: t["content"][2].pop("tool_call_id"),
        "item 2: an observation follows this call"),
    "two calls of one name": (
        lambda t: t["content"][2].update(tool_call_id="a"), "item 2: .*also that of item 1"),
    "no result": (
        lambda t: t["content"].pop(3), "item 1: no later observation"),
    "two results": (
        lambda t: t["content"][4].update(tool_call_id="a"),
        "item 4: the call 'a' has an observation already, item 3"),
    "a result before its call": (
        lambda t: t["content"].insert(1, t["content"].pop(3)),
        "item 1: tool_call_id 'a' is that of no call before it"),
    "a message with a link": (
        lambda t: t["content"][6].update(tool_call_id="c"), "item 6: a message_action"),
    "a language that is not used": (
        lambda t: t["available_code_languages"].append("bash"), "python, bash are listed"),
    "a language that is not listed": (
        lambda t: t.update(available_code_languages=[]), "none are listed, but python"),
    "NaN": (lambda t: t["content"][1]["kwargs"].update(n=float("nan")), "not JSON compliant"),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_names_the_trajectory_and_the_item(rule: str) -> None:
    change, match = RULES[rule]
    with pytest.raises(UsageError, match=match) as error:
        parse(changed(change), "file.jsonl, row 7")
    assert str(error.value).startswith("file.jsonl, row 7: ")
    assert rule == "no id" or "trajectory 't1'" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(UsageError, match="f: "):
        parse([1], "f")


def test_as_a_conversation() -> None:
    messages = to_messages(parse(VALID, "f"))
    assert [m["role"] for m in messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "user",
        "assistant",
    ]
    assert messages[1]["content"] == "Look."
    assert messages[1]["reasoning_content"] == "Hm."
    assert [c["function"]["name"] for c in messages[1]["tool_calls"]] == [
        "search",
        "execute_python",
    ]
    assert [m["tool_call_id"] for m in messages[2:4]] == ["a", "b"]
    assert json.loads(messages[2]["content"])["viewport_size"] == [800, 600]
    assert messages[3]["name"] == "shell"
    assert messages[5] == {"role": "assistant", "content": "Done.", "reasoning_content": "so"}
    assert messages_of_items(parse(VALID, "f")) == [0, 1, 1, 2, 3, 4, 5]


def test_a_conversation_with_tools_out_and_in(made: Made) -> None:
    messages = [without_nulls(m) for m in made["with_tools"]()]
    trajectory = from_messages(messages, "t", tools=[{"function": {"name": "weather"}}])
    assert [item.class_ for item in trajectory.content] == [
        "text_observation", "text_observation", "api_action", "api_action", "text_observation",
        "text_observation", "message_action", "text_observation", "api_action", "text_observation",
        "message_action",
    ]  # fmt: skip
    assert trajectory.available_custom_tools == ["weather"]
    assert trajectory.details == {}
    assert without_nulls(to_messages(trajectory)) == messages


TEXTS = st.text(max_size=12)
OPTIONAL = st.none() | TEXTS
JSON_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
).map(json.dumps)
FUNCTIONS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["search", "execute_python", "execute_", "x"]),
        "arguments": JSON_TEXT | TEXTS | TEXTS.map(lambda code: json.dumps({"code": code})),
    }
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Row]:
    """Any roles, names, thoughts; calls with doubled or without names, the last ones unanswered."""
    messages: list[Row] = []
    for _ in range(draw(st.integers(0, 4))):
        role = draw(st.sampled_from(["system", "developer", "user", "assistant", "call"]))
        if role != "call":
            message: Row = {"role": role, "content": draw(OPTIONAL), "name": draw(OPTIONAL)}
            if role == "assistant":
                message["reasoning_content"] = draw(OPTIONAL)
            messages.append(message)
            continue
        calls = [
            {"id": draw(st.none() | st.sampled_from(["call_1", "call_2", "z"])), "type": "function",
             "function": draw(FUNCTIONS)}
            for _ in range(draw(st.integers(1, 3)))
        ]  # fmt: skip
        messages.append({"role": "assistant", "content": draw(OPTIONAL), "tool_calls": calls,
                         "reasoning_content": draw(OPTIONAL)})  # fmt: skip
        messages += [
            {"role": "tool", "content": draw(TEXTS), "tool_call_id": each["id"], "name": draw(OPTIONAL)}
            for each in calls
        ]  # fmt: skip
    if draw(st.booleans()):
        messages.append({"role": "assistant", "content": None, "tool_calls": [
            {"id": "last", "type": "function", "function": draw(FUNCTIONS)}]})  # fmt: skip
    return [without_nulls(message) for message in messages]


@settings(deadline=None)
@given(conversations())
def test_no_conversation_loses_anything(messages: list[Row]) -> None:
    trajectory = from_messages(messages, "t")
    again = parse(json.loads(json.dumps(trajectory.plain())), "f")
    assert [without_nulls(m) for m in to_messages(again)] == messages
    owner = messages_of_items(again)
    assert owner == sorted(owner)
    assert set(owner) == set(range(len(messages)))


ITEMS = st.one_of(
    st.fixed_dictionaries({"class_": st.just("message_action"), "content": TEXTS},
                          optional={"description": TEXTS, "reasoning_content": TEXTS}),
    st.fixed_dictionaries({"class_": st.just("text_observation"), "content": TEXTS,
                           "source": st.sampled_from(["user", "agent", "environment"])},
                          optional={"name": TEXTS, "reward": st.floats(-1, 1)}),
    st.fixed_dictionaries({"class_": st.just("image_observation"), "content": TEXTS,
                           "source": st.just("user")}),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(ITEMS, max_size=4), st.lists(FUNCTIONS, max_size=3))
def test_no_trajectory_loses_anything(
    tmp_path_factory: pytest.TempPathFactory, items: list[Row], functions: list[Row]
) -> None:
    calls, results = [], []
    for at, function in enumerate(functions):
        calls.append({"class_": "api_action", "function": function["name"],
                      "kwargs": {"a": function["arguments"]}, "tool_call_id": f"c{at}"})  # fmt: skip
        results.append({"class_": "text_observation", "content": "r", "source": "environment",
                        "tool_call_id": f"c{at}"})  # fmt: skip
    value = {"schema_version": "1.5.0", "id": "t", "content": [*items, *calls, *results],
             "details": {"k": [1, None]}}  # fmt: skip
    path = tmp_path_factory.mktemp("adp") / "t.jsonl"
    path.write_text(json.dumps(value) + "\n")
    [trajectory] = adp.read_trajectories(path)
    assert trajectory.plain() == value
    [row] = adp.message_rows(path).to_pylist()
    assert json.loads(row["trajectory"]) == value
    assert len(row["loss_mask"]) == len(row["messages"])


def export(view_rows: list[Row], path: Path) -> Path:
    record = get_format("adp").record
    assert record is not None
    path.write_text("".join(json.dumps(record(row)) + "\n" for row in view_rows))
    return path


def test_a_view_holds_the_trajectory_twice_and_comes_back(
    view: View, tables: dict[str, pa.Table], made: Made, tmp_path: Path
) -> None:
    rows = view("adp", tables["tools"])
    [row] = rows
    assert row["id"] == "tools-0"
    assert json.loads(row["details"]) == made["where"]("tools-0", "tool_call@1")
    assert row["loss_mask"] == [each["class_"].endswith("_action") for each in row["content"]]
    call = row["content"][2]
    assert json.loads(call["kwargs"]) == {"town": "Köln"}
    assert {key for key, value in call.items() if value is not None} == {
        "class_", "function", "kwargs", "reasoning_content", "tool_call_id"
    }  # fmt: skip
    assert row["available_custom_tools"] == ["weather"]

    format_view = view_of(get_format("adp"), tables["tools"].schema)
    batches = [part for part, _ in convert(format_view, tables["tools"].to_batches(), "train")]
    pq.write_table(pa.Table.from_batches(batches), tmp_path / "view.parquet")
    for path in (tmp_path / "view.parquet", export(rows, tmp_path / "native.jsonl")):
        [back] = adp.message_rows(path).to_pylist()
        assert [without_nulls(m) for m in back["messages"]] == [
            without_nulls(m) for m in made["with_tools"]()
        ]
        assert json.loads(back["trajectory"])["content"] == json.loads(row["content_json"])


def test_a_branch_of_the_student_is_what_is_trained_on(
    view: View, made: Made, tmp_path: Path
) -> None:
    who = [None, None, "expert", None, None, "expert", None, "student", None, "student"]
    table = made["tool_set"](
        made["with_tools"](), branch_point=pa.array([7], pa.int32()),
        origin=pa.array([who], pa.list_(pa.string())),
    )  # fmt: skip
    [row] = view("adp", table)
    kinds = [(c["class_"], o, m) for c, o, m in
             zip(row["content"], row["origin"], row["loss_mask"], strict=True) if o]  # fmt: skip
    assert kinds == [
        ("api_action", "expert", False), ("api_action", "expert", False),
        ("message_action", "expert", False), ("api_action", "student", True),
        ("message_action", "student", True),
    ]  # fmt: skip
    assert row["branch_point"] == 8  # the item; the question took two calls
    [back] = adp.message_rows(export([row], tmp_path / "t.jsonl")).to_pylist()
    assert back["origin"] == who
    assert back["branch_point"] == 7
    assert [at for at, yes in enumerate(back["loss_mask"]) if yes] == [7, 9]


def test_a_mask_of_ones_own(view: View, made: Made) -> None:
    mask = [True] * 6 + [False] * 4  # beneficial actions of the expert
    table = made["tool_set"](made["with_tools"](), loss_mask=pa.array([mask]))
    [row] = view("adp", table)
    trained = [c["class_"] for c, m in zip(row["content"], row["loss_mask"], strict=True) if m]
    assert trained == ["api_action", "api_action", "message_action"]


def test_columns_that_say_something_else_are_left_alone(view: View, made: Made) -> None:
    table = made["tool_set"](made["with_tools"](), origin=pa.array(["elsewhere"]))
    [row] = view("adp", table)
    assert "origin" not in row
    short = made["tool_set"](made["with_tools"](), loss_mask=pa.array([[True]]))
    with pytest.raises(UsageError, match="row tools-0: loss_mask has 1 values for 10 messages"):
        view("adp", short)


def test_a_result_that_nothing_called_is_refused() -> None:
    with pytest.raises(Misfit, match="a result of the call 'x', which no message before it makes"):
        from_messages([{"role": "tool", "content": "r", "tool_call_id": "x"}], "t")


def test_a_call_that_something_else_answers_is_refused(view: View, made: Made) -> None:
    messages = made["with_tools"]()[:3] + [{"role": "user", "content": "Never mind."}]
    with pytest.raises(UsageError, match="row tools-0: trajectory tools-0: item 3: an observation"):
        view("adp", made["tool_set"](messages))


def test_messages_in_details_that_are_not_the_trajectorys_are_not_believed() -> None:
    value = changed(lambda t: t["details"].update(messages=[{"role": "user", "content": "lie"}]))
    assert to_messages(parse(value, "f")) == to_messages(parse(VALID, "f"))
    value = changed(lambda t: t["details"].update(messages=[{"role": "tool", "tool_calls": 3}]))
    assert to_messages(parse(value, "f")) == to_messages(parse(VALID, "f"))


def test_a_file_that_is_no_view_says_so(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="no column 'schema_version'"):
        list(adp.read_trajectories(tmp_path / "x.parquet"))
    torn = {"schema_version": ["1.5.0"], "id": ["t"], "content_json": ["[{"], "details": ["{}"],
            "available_custom_tools": [None], "available_code_languages": [None]}  # fmt: skip
    pq.write_table(pa.table(torn), tmp_path / "torn.parquet")
    with pytest.raises(UsageError, match="torn.parquet, row 0: content_json and details: not JSON"):
        list(adp.read_trajectories(tmp_path / "torn.parquet"))
    (tmp_path / "x.jsonl").write_text(json.dumps(VALID) + "\n" + json.dumps({**VALID, "x": 1}))
    with pytest.raises(UsageError, match=r"x.jsonl, row 1: trajectory 't1': x: no such field"):
        list(adp.read_trajectories(tmp_path / "x.jsonl"))
