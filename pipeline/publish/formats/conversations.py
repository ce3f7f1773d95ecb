"""Conversations as formats need them: split before the answer, as plain text, with thoughts and tools.

A message is {role, content} and, where a set has them, `name`, `reasoning_content`, `tool_calls`
(id, type, function {name, arguments as JSON text}) and `tool_call_id`. A row's `tools` is JSON text: a
list of function schemas.
"""

import json
from typing import Any

import pyarrow as pa

from winnow.pipeline.publish.formats.base import Misfit, Row, View
from winnow.pipeline.schema import column
from winnow.pipeline.verify.judge_prompt import conversation

Message = dict[str, Any]

TOOL_CALLS = pa.list_(
    pa.struct(
        [
            pa.field("id", pa.string()),
            pa.field("type", pa.string()),
            pa.field(
                "function",
                pa.struct([pa.field("name", pa.string()), pa.field("arguments", pa.string())]),
            ),
        ]
    )
)
# Conversations with tools, the form that `adp` reads and writes.
TOOL_MESSAGES = pa.list_(
    pa.struct(
        [
            pa.field("role", pa.string()),
            pa.field("content", pa.string()),
            pa.field("name", pa.string()),
            pa.field("reasoning_content", pa.string()),
            pa.field("tool_calls", TOOL_CALLS),
            pa.field("tool_call_id", pa.string()),
        ]
    )
)
TOOLS = column("tools", pa.string(), "Functions that the model could call, JSON: a list of schemas.",
               null="there were none")  # fmt: skip
_GAP = "\n\n"
_CUE = "\n[assistant]\n"  # as `conversation` names a turn


def kept(view: View, name: str, as_: str | None = None, meaning: str | None = None) -> pa.Field:
    """The set's own column `name`, under another name and meaning where given."""
    field = view.source.field(name)
    if meaning is not None:
        field = column(as_ or name, field.type, meaning)
    return field if as_ is None else field.with_name(as_)


def present(message: Message) -> Message:
    """A message without the keys that say nothing."""
    return {key: value for key, value in message.items() if value is not None}


def before_and_answer(messages: list[Message]) -> tuple[list[Message], Message]:
    """What stands before the answer, and the answer: the last message, the assistant's."""
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise Misfit("the conversation does not end with an answer of the assistant")
    return messages[:-1], messages[-1]


def said(message: Message) -> str:
    """A message's text; what the model thought stands before it, between think marks."""
    text = message["content"] or ""
    thought = message.get("reasoning_content")
    return text if thought is None else f"<think>\n{thought}\n</think>\n\n{text}"


def plain_prompt(messages: list[Message]) -> str:
    """A prompt as plain text.

    A single message of the user is its text itself. Several messages stand each under its role
    ("[user]", then its text), and a last line "[assistant]" asks for the answer.
    """
    spoken(messages)
    if _alone(messages):
        return said(messages[0])
    return conversation([{**m, "content": said(m)} for m in messages]) + _CUE


def plain_answer(prompt: list[Message], answer: Message) -> str:
    """An answer as the plain text that continues `plain_prompt(prompt)`: trainers join the two as they
    are, so after a single message an empty line comes first."""
    spoken([answer])
    return (_GAP if _alone(prompt) else "") + said(answer)


def spoken(messages: list[Message]) -> None:
    """Misfit where a message holds more than text."""
    for message in messages:
        if message.get("tool_calls") or message["role"] == "tool":
            raise Misfit("a call of a tool has no plain form")


def alternating(messages: list[Message]) -> tuple[str | None, list[tuple[str, str]], str | None]:
    """(system text, past rounds of question and answer, last question without an answer).

    Misfit where user and assistant do not take turns, or a tool is called.
    """
    spoken(messages)
    system = None
    if messages and messages[0]["role"] == "system":
        system, messages = said(messages[0]), messages[1:]
    roles = ("user", "assistant")
    for at, message in enumerate(messages):
        if message["role"] != roles[at % 2]:
            raise Misfit(f"a message of {message['role']} where one of {roles[at % 2]} must stand")
    texts = [said(message) for message in messages]
    rounds = list(zip(texts[::2], texts[1::2], strict=False))
    return system, rounds, texts[-1] if len(texts) % 2 else None


def tools_of(row: Row) -> list[Any] | None:
    """The functions of a row, None without any; Misfit where they are no JSON list."""
    text = row.get("tools")
    if text is None:
        return None
    found = json_value(text, "tools")
    if not isinstance(found, list):
        raise Misfit("tools: is no list of function schemas")
    return found


def json_value(text: str, what: str) -> Any:
    """What JSON text says; Misfit where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Misfit(f"{what}: is not JSON") from None


def _alone(messages: list[Message]) -> bool:
    return len(messages) == 1 and messages[0]["role"] == "user"
