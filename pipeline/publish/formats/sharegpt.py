"""ShareGPT's form as LLaMA-Factory reads it: turns of {from, value}, `system` and `tools` beside.

human and observation turns stand at odd places, gpt and function_call turns at even ones. Calls are
JSON, {name, arguments}, a list where one message makes several; their results then are a JSON list of
texts, in the order of the calls. Thoughts stand before the text, or the call, between think marks.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from winnow.pipeline.publish.formats.base import Format, Misfit, Place, Row, View
from winnow.pipeline.publish.formats.conversations import (
    TOOLS,
    Message,
    before_and_answer,
    json_value,
    said,
    tools_of,
)
from winnow.pipeline.publish.formats.images import IMAGES, has_images
from winnow.pipeline.publish.formats.llama_factory import dataset_info
from winnow.pipeline.schema import column

_TURN = pa.struct([pa.field("from", pa.string()), pa.field("value", pa.string())])
_ODD, _EVEN = ("human", "observation"), ("gpt", "function_call")
_THOUGHT = re.compile(r"<think>\n(.*?)\n</think>\n\n", re.DOTALL)


def _pairs(view: View) -> bool:
    return "chosen" in view.group


def _columns(view: View) -> list[pa.Field]:
    turns = column("conversations", pa.list_(_TURN), "The conversation, turn by turn.")
    answers = [
        column("chosen", _TURN, "The better answer."),
        column("rejected", _TURN, "The worse answer."),
    ]
    return [
        turns,
        *(answers if _pairs(view) else []),
        column("system", pa.string(), "The system prompt.", null="there is none"),
        *([TOOLS] if view.has("tools") else []),
    ]


def _rows(row: Row, view: View, place: Place) -> list[Row]:
    tools_of(row)
    tools = row.get("tools")
    if not _pairs(view):
        before_and_answer(row["messages"])
        system, turns = to_turns(row["messages"])
        return [{"conversations": turns, "system": system, "tools": tools}]
    sides = {}
    for side in ("chosen", "rejected"):
        before_and_answer([*row["prompt"], *row[side]])
        system, turns = to_turns([*row["prompt"], *row[side]])
        *before, sides[side] = turns
        if before != to_turns(row["prompt"])[1]:
            raise Misfit(f"{side} is more than one message")
    return [{"conversations": before, "system": system, "tools": tools, **sides}]


def to_turns(messages: list[Message]) -> tuple[str | None, list[dict[str, str]]]:
    """(system prompt, turns) of a conversation. Misfit where this form cannot say it."""
    system = None
    if messages and messages[0]["role"] == "system":
        system, messages = said(messages[0]), messages[1:]
    turns = list(_turns(messages))
    for at, turn in enumerate(turns):
        if turn["from"] not in (_EVEN if at % 2 else _ODD):
            raise Misfit(
                f"turn {at + 1} is one of {turn['from']}: speaker and model must take turns"
            )
    return system, turns


def _turns(messages: list[Message]) -> Iterator[dict[str, str]]:
    asked: list[dict[str, Any]] = []  # calls that wait for their results
    results: list[str] = []
    for at, message in enumerate(messages):
        role, calls = message["role"], message.get("tool_calls") or []
        if role == "tool":
            results.append(message["content"] or "")
            if at + 1 < len(messages) and messages[at + 1]["role"] == "tool":
                continue
            if len(results) != len(asked):
                raise Misfit(f"{len(asked)} calls of tools have {len(results)} results")
            yield {"from": "observation", "value": _one_or_list(results, as_json=False)}
            asked, results = [], []
        elif role == "assistant" and calls:
            if message["content"]:
                raise Misfit("text beside a call of a tool has no place")
            asked = [_call(each) for each in calls]
            yield {"from": "function_call",
                   "value": said({**message, "content": _one_or_list(asked, as_json=True)})}  # fmt: skip
        elif role in ("user", "assistant"):
            yield {"from": "human" if role == "user" else "gpt", "value": said(message)}
        else:
            raise Misfit(f"a message of {role} has no place here")


def from_turns(system: str | None, turns: list[dict[str, str]]) -> list[Message]:
    """The messages that `to_turns` made the turns of; calls are named anew, call_1 and so on.

    Raises Misfit where a turn is of none of the four kinds, or a call is no JSON.
    """
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    open_calls: list[str] = []
    made = 0
    for turn in turns:
        match turn["from"]:
            case "human":
                messages.append({"role": "user", "content": turn["value"]})
            case "gpt":
                messages.append({"role": "assistant", **_thought_and_text(turn["value"])})
            case "function_call":
                told = _thought_and_text(turn["value"])
                found = json_value(told.pop("content"), "function_call")
                calls = found if isinstance(found, list) else [found]
                open_calls = [f"call_{made + at + 1}" for at in range(len(calls))]
                made += len(calls)
                messages.append({"role": "assistant", "content": None, **told, "tool_calls": [
                    {"id": name, "type": "function", "function": _function(call)}
                    for name, call in zip(open_calls, calls, strict=True)
                ]})  # fmt: skip
            case "observation":
                results = [turn["value"]]
                if len(open_calls) > 1:
                    results = json_value(turn["value"], "observation")
                messages += [
                    {"role": "tool", "tool_call_id": name, "content": text}
                    for name, text in zip(open_calls, results, strict=True)
                ]
            case other:
                raise Misfit(f"a turn of {other} has no place here")
    return messages


def _thought_and_text(value: str) -> dict[str, str]:
    found = _THOUGHT.match(value)
    if found is None:
        return {"content": value}
    return {"reasoning_content": found[1], "content": value[found.end() :]}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = json_value(function["arguments"], f"arguments of {function['name']}")
    return {"name": function["name"], "arguments": arguments}


def _function(call: Any) -> dict[str, str]:
    if not isinstance(call, dict) or not {"name", "arguments"} <= set(call):
        raise Misfit("function_call: is no {name, arguments}")
    return {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}


def _one_or_list(items: list[Any], *, as_json: bool) -> str:
    if len(items) == 1 and not as_json:
        return str(items[0])
    return json.dumps(items[0] if len(items) == 1 else items, ensure_ascii=False)


def _files(view: View, title: str, files: Mapping[str, str]) -> dict[str, Any]:
    columns = {"messages": "conversations", "system": "system"}
    if view.has("tools"):
        columns["tools"] = "tools"
    if _pairs(view):
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    if has_images(view.source):
        columns[IMAGES] = IMAGES
    ranking = {"ranking": True} if _pairs(view) else {}
    return dataset_info(title, files, {"formatting": "sharegpt", **ranking, "columns": columns})


FORMAT = Format(
    name="sharegpt",
    meaning="turns of {from, value}, with system prompt and tools beside",
    consumer="LLaMA-Factory, Axolotl",
    reads=(
        {"messages": "messages"},
        {"prompt": "messages", "chosen": "messages", "rejected": "messages"},
    ),
    columns=_columns,
    rows=_rows,
    layout="json",
    images=True,
    files=_files,
)
