"""Calls written as JSON.

One call is `{"name": ..., "arguments": {...}}` (also `parameters`; the arguments perhaps as JSON
text), OpenAI's `{"type": "function", "function": {...}}` or BFCL's `{"f": {...}}`; several stand in
a list, in `tool_calls`, or one after the other. They are looked for in the first of these that is
there: `<tool_call>` tags (Hermes, Qwen), the text as a whole, and anywhere in it, fenced or not.
Every call that stands there counts: none is picked out. What is meant as a call and cannot be read
makes the whole answer unreadable.
"""

import re
from collections.abc import Mapping
from typing import Any

from winnow.pipeline.verify.literals import (
    NoLiteral,
    json_values,
    segments,
    strict_json,
    tag_blocks,
    unfenced,
)
from winnow.pipeline.verify.tool_calls.calls import Call, UnreadableCall
from winnow.pipeline.verify.tool_calls.functions import Functions

_START = re.compile(r"(?=\{\s*[\"'}]|\[\s*[\[{])")
_ATTEMPT = re.compile(
    r"[\[{\s]*[\"'](?:name|function|tool_calls|arguments|parameters)[\"']\s*:", re.IGNORECASE
)
_ARGUMENTS = ("arguments", "parameters", "args")


def read(text: str, functions: Functions) -> list[Call]:
    """The calls that `text` makes, in their order. Raises UnreadableCall."""
    if (tagged := read_tagged(text, functions)) is not None:
        return tagged
    whole = unfenced(text)
    if whole[:1] in ("{", "["):
        try:
            values = json_values(whole)
        except NoLiteral:
            pass
        else:
            return [call for value in values for call in calls_in(value, functions) or []]
    return _scattered(text, functions)


def read_tagged(text: str, functions: Functions) -> list[Call] | None:
    """The calls in `<tool_call>` tags; None where there is no tag. Raises UnreadableCall."""
    found: list[Call] = []
    blocks = [
        block
        for block, is_closed in tag_blocks(text, "tool_call")
        if is_closed or _is_cut_off(block)
    ]
    for block in blocks:
        try:
            values = json_values(unfenced(block))
        except NoLiteral as error:
            raise UnreadableCall(str(error)) from None
        for value in values:
            calls = calls_in(value, functions, certain=True)
            if calls is None:
                raise UnreadableCall("no call inside of a tag")
            found += calls
    return found if blocks else None


def _is_cut_off(block: str) -> bool:
    """Whether an open tag lacks only what its stop string cut off. Before anything but JSON, it is
    a mention."""
    return unfenced(block)[:1] in ("{", "[")


def calls_in(value: Any, functions: Functions, *, certain: bool = False) -> list[Call] | None:
    """The calls that a JSON value writes; None where it is none.

    `certain`: it stands where only calls do, so that a function that nobody offers is a call too.
    Raises UnreadableCall where it is meant as a call.
    """
    if isinstance(value, list):
        found = [calls_in(item, functions, certain=True) for item in value]
        if all(found):
            return [call for calls in found for call in calls or []]
        if any(found):
            raise UnreadableCall("a list of calls holds something else")
        return None
    if not isinstance(value, Mapping) or _is_description(value):
        return None
    if (inner := _wrapped(value)) is not None:
        return calls_in(inner, functions, certain=True)
    name = value.get("name", value.get("function"))
    if isinstance(name, str):
        return _named(name, value, functions)
    return _keyed(value, functions, certain)


def _wrapped(value: Mapping[str, Any]) -> Any | None:
    """What OpenAI's messages and tool calls have around a call."""
    if isinstance(calls := value.get("tool_calls"), list):
        return calls
    return inner if isinstance(inner := value.get("function"), Mapping) else None


def _keyed(value: Mapping[str, Any], functions: Functions, certain: bool) -> list[Call] | None:
    """BFCL's form: the function is the key of its arguments."""
    if not value or not all(isinstance(arguments, Mapping) for arguments in value.values()):
        return None
    if all(key in functions for key in value) or (certain and len(value) == 1):
        return [Call(str(key), dict(arguments)) for key, arguments in value.items()]
    return None


def _named(name: str, value: Mapping[str, Any], functions: Functions) -> list[Call] | None:
    given = [key for key in _ARGUMENTS if key in value]
    if not given:
        return [Call(name, {})] if name in functions and len(value) == 1 else None
    if _is_ambiguous(given):
        raise UnreadableCall(f"both {given[0]} and {given[1]}")
    return [Call(name, _object(value[given[0]]))]


def _is_description(value: Mapping[str, Any]) -> bool:
    """A function that is described, with its parameters, and not called."""
    return "description" in value


def _is_ambiguous(given: list[str]) -> bool:
    return len(given) > 1


def _object(arguments: Any) -> dict[str, Any]:
    if isinstance(arguments, str):
        arguments = _from_text(arguments)
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        raise UnreadableCall("arguments are no object")
    return dict(arguments)


def _from_text(arguments: str) -> Any:
    """OpenAI's arguments are JSON in a string."""
    try:
        return strict_json(arguments) if arguments.strip() else {}
    except NoLiteral as error:
        raise UnreadableCall(str(error)) from None


def _scattered(text: str, functions: Functions) -> list[Call]:
    found: list[Call] = []
    try:
        for start, segment in segments(text, _START):
            try:
                value = strict_json(segment or "")
            except NoLiteral:
                if _is_attempt(text, start.start(), functions):
                    raise UnreadableCall("JSON that does not parse") from None
            else:
                found += calls_in(value, functions) or []
    except NoLiteral as error:
        raise UnreadableCall(str(error)) from None
    return found


def _is_attempt(text: str, start: int, functions: Functions) -> bool:
    if _ATTEMPT.match(text, start):
        return True
    key = re.compile(r"[\[{\s]*[\"']([^\"'\n]{1,200})[\"']\s*:").match(text, start)
    return key is not None and key[1] in functions
