"""OpenAI's chat format for fine-tuning: one object with `messages` (and `tools`) a line.

The schema is closed, so provenance goes to a file beside. It has no place for thoughts: they stand
before the text, between think marks. Where a set has a column `loss_mask`, a message of the assistant
that is not to be trained on has the weight 0.
"""

from typing import Any

import pyarrow as pa

from winnow.pipeline.publish.formats.base import (
    Format,
    Misfit,
    Place,
    Row,
    View,
    is_flags,
    without_nulls,
)
from winnow.pipeline.publish.formats.conversations import (
    TOOL_CALLS,
    TOOLS,
    Message,
    present,
    said,
    tools_of,
)
from winnow.pipeline.schema import column

_FIELDS = {
    "role": pa.string(),
    "content": pa.string(),
    "name": pa.string(),
    "tool_calls": TOOL_CALLS,
    "tool_call_id": pa.string(),
}
_ROLES = ("system", "developer", "user", "assistant", "tool")


def _columns(view: View) -> list[pa.Field]:
    there = {field.name for field in view.source.field("messages").type.value_type}
    fields = [pa.field(name, type_) for name, type_ in _FIELDS.items() if name in there]
    if _masked(view):
        fields.append(pa.field("weight", pa.int8()))
    messages = column("messages", pa.list_(pa.struct(fields)), "The conversation.")
    return [messages, TOOLS] if view.has("tools") else [messages]


def _rows(row: Row, view: View, place: Place) -> list[Row]:
    tools_of(row)  # must be what the file will hold
    messages = [_message(m) for m in row["messages"]]
    mask = row["loss_mask"] if _masked(view) else None
    if mask is not None:
        if len(mask) != len(messages):
            raise Misfit(f"loss_mask has {len(mask)} values for {len(messages)} messages")
        for message, yes in zip(messages, mask, strict=True):
            if message["role"] == "assistant" and not yes:
                message["weight"] = 0
    return [{"messages": messages, "tools": row.get("tools")}]


def _masked(view: View) -> bool:
    return view.has("loss_mask") and is_flags(view.source.field("loss_mask").type)


def _message(message: Message) -> Message:
    if message["role"] not in _ROLES:
        raise Misfit(f"a message of {message['role']}, which is none of {', '.join(_ROLES)}")
    given = present(message)
    if "reasoning_content" in given:
        given["content"] = said(given | {"content": message["content"]})
    if given.get("content") is None and not given.get("tool_calls"):
        raise Misfit(f"a message of {message['role']} without text")
    return given


def _record(row: Row) -> Any:
    tools = tools_of(row)
    return without_nulls({"messages": row["messages"]}) | ({"tools": tools} if tools else {})


FORMAT = Format(
    name="openai_chat",
    meaning="chat messages, one object a line",
    consumer="OpenAI fine-tuning, and what reads its files",
    reads=({"messages": "messages"},),
    columns=_columns,
    rows=_rows,
    layout="jsonl",
    closed=True,
    record=_record,
)
