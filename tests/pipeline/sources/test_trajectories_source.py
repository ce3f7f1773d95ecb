"""Trajectories from files: three kinds of rows, what the chain sees of them, and rows that are none."""

import contextlib
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

from tests.pipeline.publish.formats.test_adp import VALID, conversations
from winnow.pipeline import recipe as recipes
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import digest
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.formats.adp_schema import ApiAction, Trajectory, parse
from winnow.pipeline.publish.formats.base import Misfit, convert, view_of, without_nulls
from winnow.pipeline.publish.method_schemas import TRAJECTORIES
from winnow.pipeline.recipe import Recipe, TrajectoriesSource
from winnow.pipeline.sources import fingerprint, local_files, open_source
from winnow.pipeline.sources.ingest import Ingested, check_sources, ingest
from winnow.pipeline.sources.rows import Drop
from winnow.pipeline.sources.trajectories import taken_apart, trajectory_of
from winnow.pipeline.verify import verifier_names

Row = dict[str, Any]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
TEXT = """
dataset: d
sources:
  - {{type: trajectories, name: t, path: "{path}"{more}}}
engine: {{type: source}}
sets: {{trajectories: {{}}}}
"""


def asked(name: str, *, result: str = "2", **arguments: Any) -> list[Row]:
    """A call and its result."""
    function = {"name": "add", "arguments": json.dumps(arguments)}
    return [
        {"role": "assistant", "tool_calls": [{"id": name, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": name, "content": result},
    ]  # fmt: skip


def conversation(end: str = "It is 2.", question: str = "What is 1 + 1?") -> list[Row]:
    return [
        {"role": "system", "content": "Use the tool."},
        {"role": "user", "content": question},
        *asked("c1", a=1, b=1),
        *asked("c2", a=2, b=0),
        {"role": "assistant", "content": end},
    ]


def protocol(*items: Row, **more: Any) -> Row:
    return {"schema_version": "1.5.0", "id": "t", "content": list(items), **more}


def said(text: str, source: str = "user", **more: Any) -> Row:
    return {"class_": "text_observation", "content": text, "source": source, **more}


def write(path: Path, *lines: Any) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts), encoding="utf-8", errors="surrogateescape")
    return path


def recipe(path: Path, more: str = "") -> Recipe:
    return recipes.parse(TEXT.format(path=path, more=more))


def read(path: Path, more: str = "", limit: int | None = None) -> Ingested:
    return ingest(recipe(path, more), count_tokens=None, max_prompt_tokens=None, limit=limit)


def reasons(taken: Ingested) -> list[tuple[str, str]]:
    return [(row["rule"], row["detail"]) for row in taken.ledger.to_pylist()]


def kept(taken: Ingested) -> list[Row]:
    """The trajectories that came through."""
    return [json.loads(row["trajectory"]) for row in taken.completions.to_pylist()]


# Three kinds of rows.


def test_the_protocol_s_own_objects_come_through_as_they_are(tmp_path: Path) -> None:
    taken = read(write(tmp_path / "t.jsonl", VALID))
    assert kept(taken) == [VALID]
    (answer,) = taken.completions.to_pylist()
    (prompt,) = taken.prompts.to_pylist()
    assert prompt["messages"] == [{"role": "user", "content": "Buy a lamp."}]
    assert (answer["completion"], answer["source"]) == ("Done.", "t")
    assert (prompt["verifier"], prompt["answer"], prompt["licence"]) == ("none", None, None)


def test_items_of_a_table_have_the_keys_of_all_classes(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([VALID]), tmp_path / "t.parquet")
    (item, *_) = pq.read_table(tmp_path / "t.parquet").to_pylist()[0]["content"]
    assert set(item) > set(VALID["content"][0]), "what a struct adds"
    (found,) = kept(read(tmp_path / "t.parquet"))
    assert without_nulls(found["content"]) == without_nulls(VALID["content"])
    broken = {**VALID, "content": [{**item, "html": "<p>"}]}
    (told,) = reasons(read(write(tmp_path / "no.jsonl", broken)))
    assert told[0] == "unreadable" and "html: no such field" in told[1]


def test_a_view_of_parquet_and_json_gives_the_same(tmp_path: Path) -> None:
    schema = pa.schema([TRAJECTORIES.field(name) for name in ("messages", "trajectory")])
    row = {**adp.message_row(parse(VALID, "f")), "trajectory": json.dumps(VALID)}
    view = view_of(adp.FORMAT, schema, provenance=False)
    batches = pa.Table.from_pylist([row], schema).to_batches()
    table = pa.Table.from_batches([made for made, _ in convert(view, batches, "train")])
    pq.write_table(table, tmp_path / "view.parquet")
    assert kept(read(tmp_path / "view.parquet")) == [VALID]
    write(tmp_path / "view.jsonl", table.to_pylist()[0])
    assert kept(read(tmp_path / "view.jsonl")) == [VALID]
    write(tmp_path / "set.jsonl", row)
    assert kept(read(tmp_path / "set.jsonl")) == [VALID]
    write(tmp_path / "all.json", [VALID, {**VALID, "id": "other"}])
    assert [each["id"] for each in kept(read(tmp_path / "all.json"))] == ["t1", "other"]
    other = {"messages": conversation(), "trajectory": "[]"}
    assert kept(read(write(tmp_path / "no.jsonl", other)))[0]["details"] == {"trajectory": "[]"}
    assert len(kept(read(tmp_path / "view.*"))) == 1, "the same trajectory twice is one"


def test_a_conversation_says_its_marks_message_by_message(tmp_path: Path) -> None:
    row = {
        "id": 7, "messages": conversation(), "tools": json.dumps([TOOL]), "reward": 1,
        "loss_mask": [False] * 4 + [True, False, True], "branch_point": 4,
        "origin": [None, None, "expert", None, "student", None, "student"], "split": "hard",
    }  # fmt: skip
    (found,) = kept(read(write(tmp_path / "t.jsonl", row)))
    assert found["id"] == "7"
    assert found["available_custom_tools"] == ["add"]
    assert found["details"] == {
        "tools": [TOOL], "reward": 1, "split": "hard", "branch_point": 4,
        "loss_mask": [False] * 4 + [True, False, True],
        "origin": [None, None, "expert", None, "student", None, "student"],
    }  # fmt: skip
    back = adp.message_row(parse(found, "f"))
    assert [without_nulls(message) for message in back["messages"]] == conversation()
    assert json.loads(back["tools"]) == [TOOL]
    for name in ("loss_mask", "origin", "branch_point"):
        assert back[name] == row[name]


def test_the_weights_of_openai_s_files_are_a_mask() -> None:
    """What the format openai_chat writes is read so, too."""
    messages: list[Row] = conversation()
    messages[2] |= {"weight": 0}
    messages[6] |= {"weight": 1}
    made = trajectory_of({"messages": messages})
    assert adp.message_row(made)["loss_mask"] == [False] * 4 + [True, False, True]
    assert adp.to_messages(made) == messages
    own = trajectory_of({"messages": messages, "loss_mask": [False] * 6 + [True]})
    assert adp.message_row(own)["loss_mask"] == [False] * 6 + [True]
    for other in (0.5, "0", [0]):  # says something else
        messages[4] |= {"weight": other}
        assert "loss_mask" not in trajectory_of({"messages": messages}).details


def test_parts_of_text_are_their_text() -> None:
    plain = conversation()
    parts = [
        {**each, "content": [{"type": "text", "text": each["content"][:3]},
                             {"type": "text", "text": each["content"][3:], "cache_control": None}]}
        if "content" in each else {**each, "content": []}
        for each in plain
    ]  # fmt: skip
    made = trajectory_of({"messages": parts})
    assert [each.get("content") or "" for each in adp.to_messages(made)] == [
        each.get("content", "") for each in plain
    ]
    assert taken_apart(made)[0] == plain[:2]
    parts[1]["content"][0] = {"type": "image_url", "image_url": {"url": "data:,"}}
    with pytest.raises(ValueError, match="message 1: content"):
        trajectory_of({"messages": parts})


def test_a_conversation_can_be_a_row_of_a_table(tmp_path: Path) -> None:
    schema = pa.schema([
        ("id", pa.string()), ("messages", TRAJECTORIES.field("messages").type),
        ("tools", pa.string()), ("loss_mask", pa.list_(pa.bool_())), ("reward", pa.float64()),
        ("day", pa.date32()),
    ])  # fmt: skip
    rows = [{"messages": conversation(), "day": 3}, {"messages": conversation("2"), "reward": 0.5}]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "t.parquet")
    first, second = kept(read(tmp_path / "t.parquet"))
    assert first["details"] == {"day": "1970-01-04"}
    assert second["details"] == {"reward": 0.5}
    assert first["id"] != second["id"], "a name by what is said"
    again = kept(read(tmp_path / "t.parquet"))
    assert [each["id"] for each in again] == [first["id"], second["id"]]


def test_arguments_that_are_no_text_become_it() -> None:
    messages = conversation()
    messages[2]["tool_calls"][0]["function"]["arguments"] = {"a": None, "b": [1]}
    found = trajectory_of({"messages": messages})
    assert trajectory_of({"messages": json.dumps(messages), "id": found.id}) == found
    item = found.content[2]
    assert isinstance(item, ApiAction) and item.kwargs == {"a": None, "b": [1]}


@settings(deadline=None)
@given(conversations())
def test_any_conversation_of_the_protocol_comes_back(messages: list[Row]) -> None:
    found = trajectory_of({"messages": messages, "id": "t"})
    assert [without_nulls(each) for each in adp.to_messages(found)] == messages


# What the chain sees.


def parts(*items: Row) -> tuple[list[Row], str]:
    prompt, answer = taken_apart(parse(protocol(*items), "f"))
    return prompt, answer.text


CALL = {"class_": "api_action", "function": "f", "kwargs": {"a": [1]}}
CODE = {"class_": "code_action", "language": "python", "content": "1"}
SAID = {"class_": "message_action", "content": "Well."}


def test_the_prompt_ends_at_the_first_action() -> None:
    prompt, answer = parts(
        said("Hi."), said("Be brief.", "environment", name="developer"), said("page", "environment"),
        said("other", "agent"), said(" "), said("More."), SAID, said("And now?"), SAID,
    )  # fmt: skip
    assert prompt == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "user", "content": "More."},
    ]
    assert answer == "Well."


@pytest.mark.parametrize(
    ("items", "answer"),
    [
        ([SAID, {**CALL, "description": "Look."}], "Look."),
        ([SAID, CALL], "Well."),
        ([CALL, {**SAID, "content": "\n"}], '{"name": "f", "arguments": {"a": [1]}}'),
        ([CALL, CODE], '{"name": "execute_python", "arguments": {"code": "1"}}'),
    ],
)
def test_the_answer_is_the_last_that_the_agent_says(items: list[Row], answer: str) -> None:
    assert parts(said("Q"), *items)[1] == answer


@pytest.mark.parametrize(
    ("items", "rule"),
    [
        ([], "missing_prompt"),
        ([said("go", "environment", name="system"), SAID, said("late")], "missing_prompt"),
        ([said("Q"), said("R")], "missing_completion"),
        ([said("Q"), {**SAID, "content": " "}], "missing_completion"),
    ],
)
def test_what_has_no_prompt_or_no_answer_says_so(items: list[Row], rule: str) -> None:
    with pytest.raises(Drop, match=rule):
        parts(*items)


def test_a_blank_question_is_an_empty_prompt(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", protocol(said(" "), SAID), protocol(SAID))
    assert [rule for rule, _ in reasons(read(path))] == ["empty_prompt", "missing_prompt"]


def test_two_trajectories_that_end_alike_are_two_answers(tmp_path: Path) -> None:
    longer = [*conversation()[:2], *asked("c0", a=0), *conversation()[2:]]
    path = write(
        tmp_path / "t.jsonl", {"messages": conversation()}, {"messages": longer},
        {"messages": conversation()},
    )  # fmt: skip
    taken = read(path)
    answers = taken.completions.to_pylist()
    assert len({row["rollout_id"] for row in answers}) == 2
    assert {row["completion"] for row in answers} == {"It is 2."}
    assert [rule for rule, _ in reasons(taken)] == ["ingested", "duplicate", "duplicate"]
    assert reasons(taken)[1][1].endswith("its answer is one more to that prompt")
    assert reasons(taken)[2][1].endswith("so is its answer")
    for row in answers:
        whole = [row["prompt_id"], "t", row["completion"], row["trajectory"]]
        assert row["rollout_id"] == digest("source_answer/1", whole)


def test_the_recipe_s_prompting_is_not_put_around_a_trajectory(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"messages": conversation()[1:]})
    found = recipe(path).model_copy(
        update={"prompting": recipes.Prompting(system="S", template="Q: {prompt}")}
    )
    taken = ingest(found, count_tokens=None, max_prompt_tokens=None)
    assert taken.prompts["messages"].to_pylist() == [[conversation()[1]]]


def test_a_reference_can_stand_in_the_row_or_its_details(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl",
        {"messages": conversation(), "gold": 2},
        protocol(said("Q"), SAID, details={"gold": "Well."}),
        protocol(said("R"), SAID),
    )
    taken = read(path, ", verifier: exact, answer: gold")
    assert taken.prompts["answer"].to_pylist() == ["2", "Well."]
    assert reasons(taken)[2][0] == "missing_answer"
    with pytest.raises(UsageError, match="source 't': answer: no column 'golden'.*'gold'"):
        read(path, ", verifier: exact, answer: golden")
    with pytest.raises(UsageError, match="source 't': answer: the verifier exact compares"):
        check_sources(recipe(path, ", verifier: exact"), verifier_names())


def test_the_source_is_named_by_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", VALID)
    config = recipe(path).sources[0]
    assert isinstance(config, TrajectoriesSource)
    before = fingerprint(config)
    assert local_files(config) == [path]
    assert len(list(open_source(config).rows(1))) == 1
    write(path, VALID, VALID)
    assert fingerprint(config) != before
    with pytest.raises(UsageError, match="source 't': path: no such file"):
        open_source(config.model_copy(update={"path": str(tmp_path / "x.jsonl")}))


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("engine: {type: source}", "engine: {type: replay, policy: p}",
         ["source 't' brings whole trajectories", "`engine: {type: source}`", "it is replay"]),
        ("engine: {type: source}", "", ["source 't' brings", "`engine: {type: source}`"]),
        ("type: trajectories, name: t", "type: dataset, columns: {completion: c}, name: t",
         ["sets.trajectories: takes trajectories", "`type: trajectories`"]),
        ("name: t,", "name: t, licens: mit,", ["sources.0.licens", "did you mean 'licence'?"]),
        ("trajectories: {}", "trajectories: {max_action: 3}", ["'max_actions'?"]),
        ("trajectories: {}", "trajectories: {train_on: experts}", ["sets.trajectories.train_on"]),
        ("sets:", "sampling: {stop: [{type: majority}]}\nsets:", ["leave out sampling.stop"]),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_says_what_to_write(old: str, new: str, parts: list[str]) -> None:
    text = TEXT.format(path="t.jsonl", more="")
    recipes.parse(text)
    with pytest.raises(UsageError) as error:
        recipes.parse(text.replace(old, new), "r.yaml")
    message = str(error.value)
    assert "\n" not in message and message.startswith("r.yaml:")
    for part in parts:
        assert part in message


# Hostile rows.


def changed(change: Callable[[Row], Any]) -> Row:
    row: Row = {"id": "x", "messages": conversation(), "tools": [copy.deepcopy(TOOL)]}
    change(row)
    return row


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "it has none of content, content_json and messages, but []"),
    "something else": ({"text": "x"}, "but ['text']"),
    "no list": ({"messages": {"role": "user"}}, "messages: dict, not a list"),
    "no JSON": ({"messages": "[{"}, "messages: not JSON"),
    "no messages": ({"messages": [1]}, "message 0: Input should be"),
    "a role that is none": (changed(lambda r: r["messages"][1].update(role=3)), "message 1: role: "),
    "an unknown role": (changed(lambda r: r["messages"][1].update(role="god")), "a message of god"),
    "content that is no text": (
        changed(lambda r: r["messages"][1].update(content=[{"type": "text"}])),
        "message 1: content: "),
    "calls that are none": (
        changed(lambda r: r["messages"][2].update(tool_calls="add(1)")), "message 2: tool_calls: "),
    "a call without a function": (
        changed(lambda r: r["messages"][2]["tool_calls"][0].pop("function")),
        "message 2: tool_calls.0.function: "),
    "a name that is none": (
        changed(lambda r: r["messages"][2]["tool_calls"][0]["function"].update(name=None)),
        "message 2: tool_calls.0.function.name: "),
    "a type that is none": (
        changed(lambda r: r["messages"][2]["tool_calls"][0].update(type=3)),
        "message 2: tool_calls.0.type: "),
    "a result of nothing": (
        changed(lambda r: r["messages"].pop(2)), "a result of the call 'c1'"),
    "a call that somebody talks into": (
        changed(lambda r: r["messages"].__setitem__(3, {"role": "user", "content": "wait"})),
        "trajectory x: item 2: an observation"),
    "tools without names": (changed(lambda r: r.update(tools=[{}])), "tools: a function without"),
    "tools that are no list": (changed(lambda r: r.update(tools=7)), "tools: int, not a list"),
    "a mask of another length": (
        changed(lambda r: r.update(loss_mask=[True])), "loss_mask has 1 values for 7 messages"),
    "a mask that is none": (
        changed(lambda r: r.update(loss_mask=["yes"] * 7)), "loss_mask: is no list of true and"),
    "a branch behind the end": (
        changed(lambda r: r.update(branch_point=7)), "branch_point is 7, and there are 7 messages"),
    "a branch that is none": (
        changed(lambda r: r.update(branch_point="4")), "branch_point: is no number of a message"),
    "a reward that is none": (changed(lambda r: r.update(reward="good")), "reward: is no finite"),
    "a huge reward": (changed(lambda r: r.update(reward=10**400)), "reward: is no finite number"),
    "a name of another type": (changed(lambda r: r.update(id=[1])), "id: list, not text"),
    "half a character": (
        changed(lambda r: r["messages"][1].update(content="\ud800")),
        "item 1: content: holds what is no Unicode character"),
    "half a character further on": (
        changed(lambda r: r.update(note={"a": ["\udcff"]})),
        "details: note: holds what is no Unicode character"),
    "deep": (changed(lambda r: r.update(note=nested(200))), "nested more than 100 levels deep"),
    "very deep": ('{"messages": ' + "[" * 100_000, "nested too deeply"),
    "no number": ('{"messages": [], "reward": NaN}', "reward: is no finite number"),
    "a number without an end": ('{"messages": [], "reward": ' + "9" * 5000 + "}", "not JSON"),
    "the protocol without an id": ({"content": [], "schema_version": "1.5.0"}, "id: Field required"),
    "content that is no list": (protocol() | {"content": "x"}, "trajectory 't': content: "),
    "items that are none": (protocol(said("Q")) | {"content": [3]}, "item 0: "),
    "not a number among arguments": (
        protocol(said("Q"), {**CALL, "kwargs": {"n": float("nan")}}), "item 1: kwargs: "),
    "a viewport that no column holds": (
        protocol({"class_": "web_observation", "html": None, "axtree": None, "url": None,
                  "image_observation": None, "viewport_size": [2**70, 1]}),
        "item 0: viewport_size.0: "),
    "a mask of other items": (
        protocol(said("Q"), SAID, details={"loss_mask": [True]}),
        "loss_mask has 1 values for 2 items"),
    "a view that is torn": ({"content_json": "[{", "details": "{}"}, "content_json and details"),
    "a view without its parts": ({"content_json": "[]", "details": None}, "details: not JSON"),
    "a view that holds something else": ({"content_json": "3", "id": "x"}, "schema_version: "),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_row_that_is_none_says_why_and_stops_nothing(name: str, tmp_path: Path) -> None:
    line, reason = HOSTILE[name]
    good = {"messages": conversation(question=f"What is {name}?")}
    taken = read(write(tmp_path / "t.jsonl", good, line, VALID))
    rules = reasons(taken)
    assert [rule for rule, _ in rules] == ["ingested", "unreadable", "ingested"]
    assert reason in rules[1][1] and "\n" not in rules[1][1] and len(rules[1][1]) < 600
    assert taken.completions.num_rows == 2


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4),
    st.sampled_from(["user", "assistant", "tool", "c1", "add", "{}", "\ud800", 10**400]),
)  # fmt: skip
KEYS = st.sampled_from([
    "role", "content", "tool_calls", "function", "name", "arguments", "id", "type", "tool_call_id",
    "reasoning_content", "class_", "source", "kwargs", "reward", "x",
])  # fmt: skip
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
ROWS = st.dictionaries(
    st.sampled_from([
        "messages", "content", "content_json", "details", "schema_version", "id", "tools", "reward",
        "loss_mask", "origin", "branch_point", "available_custom_tools",
        "available_code_languages", "extra",
    ]),
    ANYTHING | st.sampled_from(["1.5.0", "[]", "{}"]),
    max_size=6,
)  # fmt: skip


def a_place(value: Any, chance: Any) -> tuple[Any, Any] | None:
    """Some list or object in a value, and one of its keys."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        each = todo.pop()
        if not isinstance(each, dict | list):
            continue
        for key, inner in each.items() if isinstance(each, dict) else enumerate(each):
            found.append((each, key))
            todo.append(inner)
    return chance.choice(found) if found else None


def written(trajectory: Trajectory) -> None:
    """All that a run makes of a trajectory can be written and read again."""
    row = adp.message_row(trajectory)
    table = pa.Table.from_pylist([row], adp.MESSAGE_ROWS)
    view = view_of(adp.FORMAT, table.schema, provenance=False)
    (made,) = [part for part, _ in convert(view, table.to_batches(), "train")]
    (record,) = made.to_pylist()
    again = parse(adp.record(record), "f")
    assert again.plain()["content"] == trajectory.plain()["content"]
    assert again.details == trajectory.details
    with contextlib.suppress(Drop):
        taken_apart(trajectory)


@settings(deadline=None, max_examples=300)
@given(ROWS)
def test_anything_is_a_trajectory_or_says_why_not(row: Row) -> None:
    try:
        found = trajectory_of(row)
    except ValueError:
        return
    written(found)


@settings(deadline=None, max_examples=300)
@given(st.booleans(), ANYTHING, st.randoms(use_true_random=False), st.integers(1, 3))
def test_nearly_right_rows_are_trajectories_or_say_why_not(
    own: bool, value: Any, chance: Any, times: int
) -> None:
    row: Row = copy.deepcopy(VALID) if own else changed(
        lambda r: r.update(loss_mask=[True] * 7, origin=["expert"] * 7, branch_point=2, reward=0.5)
    )  # fmt: skip
    for _ in range(times):
        place = a_place(row, chance)
        if place is not None:
            place[0][place[1]] = copy.deepcopy(value)
    try:
        found = trajectory_of(row)
    except (ValueError, Misfit):
        return
    written(found)
