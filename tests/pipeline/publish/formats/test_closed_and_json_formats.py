"""open-instruct, verl's rows, OpenAI chat, ShareGPT, Alpaca and OpenChat: exact rows, and the schemas
that their documentation states."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.formats.base import (
    Misfit,
    convert,
    json_record,
    view_of,
    without_nulls,
)
from winnow.pipeline.publish.formats.registry import get_format
from winnow.pipeline.publish.formats.sharegpt import from_turns, to_turns
from winnow.pipeline.publish.method_schemas import C_RLFT

View = Callable[..., list[dict[str, Any]]]
Tables = dict[str, pa.Table]
Made = dict[str, Callable[..., Any]]

_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties,
            "additionalProperties": False}  # fmt: skip


# OpenAI's guide to fine-tuning: messages by role; a call's arguments are JSON text; a result names its
# call; functions are JSON schemas.
_CALL = _object(["id", "type", "function"], id=_TEXT, type={"const": "function"},
                function=_object(["name", "arguments"], name=_TEXT, arguments=_TEXT))  # fmt: skip
OPENAI = _object(
    ["messages"],
    messages={
        "type": "array",
        "minItems": 1,
        "items": {
            "oneOf": [
                _object(["role", "content"], role={"enum": ["system", "developer", "user"]},
                        content=_TEXT, name=_TEXT),
                {
                    **_object(["role"], role={"const": "assistant"}, content=_TEXT, name=_TEXT,
                              tool_calls={"type": "array", "minItems": 1, "items": _CALL}),
                    "anyOf": [{"required": ["content"]}, {"required": ["tool_calls"]}],
                },
                _object(["role", "content", "tool_call_id"], role={"const": "tool"}, content=_TEXT,
                        tool_call_id=_TEXT, name=_TEXT),
            ]
        },
    },
    tools={
        "type": "array",
        "items": _object(["type", "function"], type={"const": "function"},
                         function={"type": "object", "required": ["name"]}),
    },
)  # fmt: skip

# LLaMA-Factory's data/README.md.
_TURN = _object(["from", "value"], value=_TEXT,
                **{"from": {"enum": ["human", "gpt", "observation", "function_call"]}})  # fmt: skip
SHAREGPT = _object(
    ["conversations"],
    conversations={"type": "array", "minItems": 1, "items": _TURN},
    system=_MAYBE, tools=_MAYBE, chosen=_TURN, rejected=_TURN,
)  # fmt: skip
_ROUND = {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}
ALPACA = {
    **_object(
        ["instruction"], instruction=_TEXT, input=_TEXT, output=_TEXT, system=_MAYBE, chosen=_TEXT,
        rejected=_TEXT, history={"type": "array", "items": _ROUND},
    ),
    "oneOf": [{"required": ["output"]}, {"required": ["chosen", "rejected"]}],
}  # fmt: skip

# open-instruct: messages, and what its verifiers take; verl: the five fields of its guide.
_MESSAGE = _object(["role", "content"], role=_TEXT, content=_TEXT)
_MESSAGES = {"type": "array", "items": _MESSAGE, "minItems": 1}
OPEN_INSTRUCT = _object(
    ["messages", "ground_truth", "dataset"], messages=_MESSAGES, ground_truth=_TEXT, dataset=_TEXT
)
VERL = _object(
    ["data_source", "prompt", "ability", "reward_model", "extra_info"],
    data_source=_TEXT, prompt=_MESSAGES, ability=_TEXT,
    reward_model=_object(["style", "ground_truth"], style={"enum": ["rule", "model"]},
                         ground_truth={"type": ["string", "null"]}),
    extra_info={"type": "object", "required": ["split", "index"],
                "properties": {"split": _TEXT, "index": {"type": "integer"}}},
)  # fmt: skip


def records(name: str, table: pa.Table, **options: Any) -> list[Any]:
    """What an export writes for each row."""
    format = get_format(name)
    record = format.record or json_record
    view = view_of(format, table.schema, **options)
    return [record(row) for rows, _ in convert(view, table.to_batches(), "train")
            for row in rows.to_pylist()]  # fmt: skip


def test_verl(view: View, tables: Tables, made: Made) -> None:
    rows = view("verl", tables["rl"], split="holdout")
    assert rows[0] == {
        "data_source": "sums",
        "prompt": made["said"]("2 + 2?"),
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {
            "split": "holdout",
            "index": 0,
            "verifier_args": "{}",
            "pass_rate": 0.5,
            **made["where"]("rl-0", "math"),
        },
    }
    assert rows[1]["reward_model"] == {"style": "model", "ground_truth": None}
    for row in (*rows, *view("verl", tables["rl"], provenance=False)):
        jsonschema.validate(row, VERL)
    bare = view("verl", tables["rl"], provenance=False)[1]["extra_info"]
    assert bare == {"split": "train", "index": 1, "verifier": "judge", "verifier_args": '{"k":1}',
                    "pass_rate": 0.5}  # fmt: skip


def test_open_instruct(view: View, tables: Tables, made: Made) -> None:
    rows = view("open_instruct", tables["rl"])
    assert rows[0] == {"messages": made["said"]("2 + 2?"), "ground_truth": "4", "dataset": "math",
                       **made["where"]("rl-0", "math")}  # fmt: skip
    assert (rows[1]["ground_truth"], rows[1]["dataset"]) == (None, "judge")
    jsonschema.validate(records("open_instruct", tables["rl"], provenance=False)[0], OPEN_INSTRUCT)


def test_openai_chat(tables: Tables, made: Made) -> None:
    for table in (tables["sft"], tables["tools"]):
        for record in records("openai_chat", table):
            jsonschema.validate(record, OPENAI)
    assert records("openai_chat", tables["sft"]) == [
        {"messages": made["said"]("2 + 2?", "4")},
        {"messages": made["said"]("Hi", "Hello", "3 + 3?", "6", system="Be brief.")},
    ]
    [record] = records("openai_chat", tables["tools"])
    assert record["messages"][2]["content"] == "<think>\nAsk for both.\n</think>\n\n"
    assert record["messages"][7] == without_nulls(made["with_tools"]()[7])


def test_openai_chat_has_its_provenance_beside(tables: Tables, made: Made) -> None:
    view = view_of(get_format("openai_chat"), tables["sft"].schema)
    assert view.schema.names == ["messages"]
    [(rows, beside)] = convert(view, tables["sft"].to_batches(), "train")
    assert beside is not None
    assert rows.num_rows == beside.num_rows == 2
    assert beside.to_pylist()[1] == {"verdict": "correct", **made["where"]("sft-1")}
    bare = view_of(get_format("openai_chat"), tables["sft"].schema, provenance=False)
    assert [extra for _, extra in convert(bare, tables["sft"].to_batches(), "train")] == [None]


def test_sharegpt(tables: Tables) -> None:
    assert records("sharegpt", tables["sft"], provenance=False)[1] == {
        "conversations": [
            {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"},
            {"from": "human", "value": "3 + 3?"}, {"from": "gpt", "value": "6"},
        ],
        "system": "Be brief.",
    }  # fmt: skip
    both = [{"name": "weather", "arguments": {"town": town}} for town in ("Köln", "Bonn")]
    [record] = records("sharegpt", tables["tools"], provenance=False)
    assert [(t["from"], t["value"]) for t in record["conversations"]] == [
        ("human", "Rain in Köln or Bonn?"),
        ("function_call", f"<think>\nAsk for both.\n</think>\n\n{json.dumps(both, ensure_ascii=False)}"),
        ("observation", '["rain", "sun"]'),
        ("gpt", "In Köln."),
        ("human", "And in Ulm?"),
        ("function_call", '{"name": "weather", "arguments": {"town": "Ulm"}}'),
        ("observation", "fog"),
        ("gpt", "Fog."),
    ]  # fmt: skip
    assert json.loads(record["tools"])[0]["function"]["name"] == "weather"
    assert records("sharegpt", tables["preference"], provenance=False)[0] == {
        "conversations": [{"from": "human", "value": "2 + 2?"}],
        "chosen": {"from": "gpt", "value": "4"},
        "rejected": {"from": "gpt", "value": "5"},
        "system": None,
    }
    for table in (tables["sft"], tables["tools"], tables["preference"]):
        for record in records("sharegpt", table, provenance=False):
            jsonschema.validate(record, SHAREGPT)
            kinds = [turn["from"] for turn in record["conversations"]]
            assert set(kinds[::2]) <= {"human", "observation"}
            assert set(kinds[1::2]) <= {"gpt", "function_call"}


def test_alpaca(tables: Tables) -> None:
    assert records("alpaca", tables["sft"], provenance=False) == [
        {"instruction": "2 + 2?", "input": "", "output": "4", "system": None, "history": []},
        {"instruction": "3 + 3?", "input": "", "output": "6", "system": "Be brief.",
         "history": [["Hi", "Hello"]]},
    ]  # fmt: skip
    assert records("alpaca", tables["preference"], provenance=False)[1] == {
        "instruction": "3 + 3?", "input": "", "chosen": "6", "rejected": "7", "history": [],
        "system": "Be brief.",
    }  # fmt: skip
    for table in (tables["sft"], tables["preference"]):
        for record in records("alpaca", table, provenance=False):
            jsonschema.validate(record, ALPACA)


def test_openchat(view: View) -> None:
    filled = {f.name: "" if pa.types.is_string(f.type) else None for f in C_RLFT}
    items = [{"role": "user", "content": "Q", "weight": 0.0},
             {"role": "assistant", "content": "A", "weight": 0.1}]  # fmt: skip
    row = {**filled, "items": items, "condition": "sub", "system": None}
    table = pa.Table.from_pylist([row], C_RLFT)
    assert view("openchat", table, provenance=False) == [
        {"items": items, "condition": "sub", "system": None}
    ]
    items[1]["weight"] = None
    with pytest.raises(UsageError, match="item 1 has no weight"):
        view("openchat", pa.Table.from_pylist([row], C_RLFT))


@pytest.mark.parametrize(
    ("format", "turns", "match"),
    [
        ("alpaca", ["user", "user", "assistant"], "a message of user where one of assistant"),
        ("alpaca", ["assistant", "assistant"], "a message of assistant where one of user"),
        ("sharegpt", ["user", "user", "assistant"], "turn 2 is one of human"),
        ("sharegpt", ["user", "judge", "assistant"], "a message of judge has no place"),
        ("openai_chat", ["user", "judge", "assistant"], "a message of judge, which is none of"),
        ("adp", ["judge", "assistant"], "a message of judge, which the protocol does not know"),
    ],
)
def test_what_a_format_cannot_say_is_refused(
    view: View, made: Made, format: str, turns: list[str], match: str
) -> None:
    table = made["sft"]([{"role": role, "content": "x"} for role in turns])
    with pytest.raises(UsageError, match=f"row sft-0: .*{match}"):
        view(format, table)


def test_text_beside_a_call_has_no_place_in_sharegpt(view: View, made: Made) -> None:
    messages = made["with_tools"]()
    messages[2]["content"] = "I will look."
    with pytest.raises(UsageError, match="text beside a call"):
        view("sharegpt", made["tool_set"](messages))


TEXTS = st.text(max_size=20)
NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.integers() | TEXTS | st.lists(TEXTS, max_size=2),
    max_size=3,
)  # fmt: skip


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Turns of user and assistant; calls are named call_1, call_2, ... and all have results."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(TEXTS)})
    made = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(TEXTS)})
        for count in draw(st.lists(st.integers(1, 3), max_size=2)):
            names = [f"call_{made + at + 1}" for at in range(count)]
            made += count
            messages.append({"role": "assistant", "content": None, "tool_calls": [
                {"id": name, "type": "function",
                 "function": {"name": draw(NAMES), "arguments": json.dumps(draw(ARGUMENTS), ensure_ascii=False)}}
                for name in names
            ]})  # fmt: skip
            messages += [{"role": "tool", "content": draw(TEXTS), "tool_call_id": name}
                         for name in names]  # fmt: skip
        messages.append({"role": "assistant", "content": draw(TEXTS)})
    return messages


@settings(deadline=None)
@given(conversations())
def test_sharegpt_and_back(messages: list[dict[str, Any]]) -> None:
    system, turns = to_turns(messages)
    for turn in turns:
        jsonschema.validate(turn, _TURN)
    assert without_nulls(from_turns(system, turns)) == without_nulls(messages)


@settings(deadline=None)
@given(conversations())
def test_openai_chat_and_back(messages: list[dict[str, Any]]) -> None:
    from winnow.pipeline.publish.formats.conversations import TOOL_MESSAGES

    table = pa.table({"messages": pa.array([messages], TOOL_MESSAGES)})
    [record] = records("openai_chat", table)
    line = json.loads(json.dumps(record, ensure_ascii=False))
    jsonschema.validate(line, OPENAI)
    assert line["messages"] == without_nulls(messages)


def test_turns_that_are_not_sharegpts_are_refused() -> None:
    with pytest.raises(Misfit, match="a turn of narrator"):
        from_turns(None, [{"from": "narrator", "value": "x"}])
    with pytest.raises(Misfit, match="function_call: is not JSON"):
        from_turns(None, [{"from": "function_call", "value": "weather()"}])
    with pytest.raises(Misfit, match="is no {name, arguments}"):
        from_turns(None, [{"from": "function_call", "value": "[1]"}])
