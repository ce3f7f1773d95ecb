"""Conversations as trajectories of the Agent Data Protocol, and back, without loss.

user        text_observation of the user; of "agent" or "environment" where the message's name says so
system      text_observation of the environment, named after the role; `developer` likewise
assistant   message_action; with tool calls one api_action each, the first with the text as description
tool        text_observation of the environment with the call's tool_call_id

A call of `execute_LANGUAGE` with the argument `code` alone is a code_action. Where the way back would
give other messages (calls without a result, arguments that are no JSON object, further keys), `details`
keeps the messages themselves under `messages`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from winnow.pipeline.names import canonical_json
from winnow.pipeline.publish.formats.adp_schema import (
    DEEPEST,
    SCHEMA_VERSION,
    ApiAction,
    CodeAction,
    MessageAction,
    TextObservation,
    Trajectory,
    build,
    is_deep,
)
from winnow.pipeline.publish.formats.base import Misfit, without_nulls
from winnow.pipeline.publish.formats.conversations import Message

_CODE = "execute_"
ROLES_OF_TEXT = ("system", "developer")  # told apart by the observation's name
_SPEAKERS = ("agent", "environment")
_KEPT = "messages"


class _Function(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    name: str
    arguments: str


class _Call(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    id: str | None = None
    type: str | None = None
    function: _Function


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    role: str
    content: str | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


_MESSAGES = TypeAdapter(list[_Message])


def checked_messages(value: Any) -> list[Message]:
    """The messages that strangers call so, without nulls; arguments of a call that are an object become
    its JSON text, and content in parts that are all text becomes that text.

    Raises ValueError, which names the message and the key, where one is not as OpenAI has it.
    """
    messages = value
    if isinstance(value, list):
        messages = [without_nulls(_with_texts(each)) for each in value]
    try:
        _MESSAGES.validate_python(messages)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        number, key = first["loc"][:1], ".".join(map(str, first["loc"][1:]))
        place = f"message {number[0]}" if number else "messages"
        raise ValueError(": ".join(filter(None, (place, key, first["msg"])))) from None
    return list(messages)


def from_messages(
    messages: Sequence[Message],
    name: str,
    *,
    tools: Sequence[Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Trajectory:
    """The trajectory `name` of a conversation. `tools` are function schemas, `details` further facts.

    Raises Misfit where the protocol cannot say it: a result that nothing called, a call that is
    followed by something else than its result.
    """
    plain = [without_nulls(dict(message)) for message in messages]
    items = [item for _, item in _items(plain)]
    languages = sorted({i["language"] for i in items if i["class_"] == "code_action"})
    value: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "id": name,
        "content": items,
        **({"available_custom_tools": [_name(t) for t in tools]} if tools is not None else {}),
        **({"available_code_languages": languages} if languages else {}),
        "details": dict(details or {}),
    }
    try:
        made = build(value)
        if [without_nulls(message) for message in to_messages(made)] != plain:
            value["details"][_KEPT] = plain
            made = build(value)
    except ValueError as error:
        raise Misfit(f"trajectory {name}: {error}") from None
    return made


def to_messages(trajectory: Trajectory) -> list[Message]:
    """The conversation that a trajectory is. Rewards, and the parts of pages and images, have no place
    in it but as JSON text.
    """
    kept = _kept(trajectory)
    return kept if kept is not None else [message for message, _ in _grouped(trajectory)]


def messages_of_items(trajectory: Trajectory) -> list[int]:
    """For each item of `content` the number of its message in `to_messages(trajectory)`."""
    kept = _kept(trajectory)
    if kept is not None:
        return [at for at, _ in _items(kept)]
    return [at for at, (_, items) in enumerate(_grouped(trajectory)) for _ in range(items)]


def _kept(trajectory: Trajectory) -> list[Message] | None:
    """The messages in `details`, where they are those of `content`."""
    found = trajectory.details.get(_KEPT)
    if not isinstance(found, list):
        return None
    try:
        _MESSAGES.validate_python(found)
        items = [item for _, item in _items(found)]
    except (ValidationError, Misfit):
        return None
    return found if items == trajectory.plain()["content"] else None


class _Links:
    """Names of calls, made unique, and which of them have no result yet."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self.waiting: list[tuple[str | None, str]] = []

    def call(self, given: str | None) -> str:
        name = given
        number = len(self._used)
        while name is None or name in self._used:
            number += 1
            name = f"call_{number}"
        self._used.add(name)
        self.waiting.append((given, name))
        return name

    def result(self, given: str | None) -> str:
        """The call that a result belongs to: the one of that name, the first one without a name."""
        for at, (original, name) in enumerate(self.waiting):
            if given is None or original == given:
                del self.waiting[at]
                return name
        raise Misfit(f"a result of the call {given!r}, which no message before it makes")


def _items(messages: Sequence[Message]) -> list[tuple[int, dict[str, Any]]]:
    """(number of the message, item) for all items."""
    links = _Links()
    found: list[tuple[int, dict[str, Any]]] = []
    for at, message in enumerate(messages):
        found += [(at, item) for item in _of_message(message, links)]
    unanswered = {name for _, name in links.waiting}
    for _, item in found:
        if item.get("tool_call_id") in unanswered:
            del item["tool_call_id"]
    return found


def _of_message(message: Message, links: _Links) -> list[dict[str, Any]]:
    role, text, name = message["role"], message.get("content"), message.get("name")
    if role == "assistant":
        thought = _given(reasoning_content=message.get("reasoning_content"))
        calls = message.get("tool_calls")
        if not calls:
            return [{"class_": "message_action", "content": text or "", **thought}]
        items = [{**_action(each["function"]), "tool_call_id": links.call(each.get("id"))}
                 for each in calls]  # fmt: skip
        items[0] |= {**_given(description=text), **thought}
        return items
    told: dict[str, Any] = {"class_": "text_observation", "content": text or ""}
    if role == "tool":
        link = links.result(message.get("tool_call_id"))
        return [{**told, "source": "environment", **_given(name=name), "tool_call_id": link}]
    if role in ROLES_OF_TEXT:
        return [{**told, "source": "environment", "name": role}]
    if role != "user":
        raise Misfit(f"a message of {role}, which the protocol does not know")
    if name in _SPEAKERS:
        return [{**told, "source": name}]
    return [{**told, "source": "user", **_given(name=name)}]


def _action(function: Message) -> dict[str, Any]:
    name, arguments = function["name"], _object(function["arguments"])
    language = name.removeprefix(_CODE)
    if name.startswith(_CODE) and language and list(arguments) == ["code"]:
        if isinstance(arguments["code"], str):
            return {"class_": "code_action", "language": language, "content": arguments["code"]}
    return {"class_": "api_action", "function": name, "kwargs": arguments}


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if isinstance(found, dict) and not is_deep(found, DEEPEST // 2):
            canonical_json(found)  # NaN is no JSON
            return found
    except (ValueError, RecursionError):
        pass
    return {"arguments": text}


def _grouped(trajectory: Trajectory) -> list[tuple[Message, int]]:
    """(message, how many items it is made of) in order."""
    found: list[tuple[Message, int]] = []
    calls: list[Any] | None = None  # of the message that further calls would belong to
    for at, item in enumerate(trajectory.content):
        if isinstance(item, ApiAction | CodeAction):
            call = _call(item, item.tool_call_id or f"call_{at + 1}")
            if calls is not None and item.description is None and item.reasoning_content is None:
                calls.append(call)
                found[-1] = (found[-1][0], found[-1][1] + 1)
                continue
            calls = [call]
            found.append(
                (
                    {
                        "role": "assistant",
                        "content": item.description,
                        **_given(reasoning_content=item.reasoning_content),
                        "tool_calls": calls,
                    },
                    1,
                )
            )
            continue
        calls = None
        found.append((_said(item), 1))
    return found


def _said(item: Any) -> Message:
    """The message of an item that is no call."""
    if isinstance(item, MessageAction):
        thoughts = [each for each in (item.reasoning_content, item.description) if each is not None]
        thought = "\n\n".join(thoughts) if thoughts else None
        return {"role": "assistant", "content": item.content, **_given(reasoning_content=thought)}
    if not isinstance(item, TextObservation):
        outside = {"class_", "tool_call_id", "reward"}
        seen = item.model_dump(mode="json", exclude_unset=True, exclude=outside)
        item = TextObservation(
            class_="text_observation",
            content=canonical_json(seen),
            source="environment",
            tool_call_id=item.tool_call_id,
        )
    if item.tool_call_id is not None:
        return {"role": "tool", "content": item.content, "tool_call_id": item.tool_call_id,
                **_given(name=item.name)}  # fmt: skip
    if item.source == "environment" and item.name in ROLES_OF_TEXT:
        return {"role": item.name, "content": item.content}
    name = item.name if item.source == "user" else item.source
    return {"role": "user", "content": item.content, **_given(name=name)}


def as_call(item: ApiAction | CodeAction) -> dict[str, Any]:
    """{name, arguments} of a call; code is the argument `code` of a function `execute_LANGUAGE`."""
    if isinstance(item, CodeAction):
        return {"name": f"{_CODE}{item.language}", "arguments": {"code": item.content}}
    return {"name": item.function, "arguments": item.kwargs}


def _call(item: ApiAction | CodeAction, name: str) -> Message:
    call = as_call(item)
    text = json.dumps(call["arguments"], ensure_ascii=False)
    return {"id": name, "type": "function", "function": {**call, "arguments": text}}


def _with_texts(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    made, content, calls = dict(message), message.get("content"), message.get("tool_calls")
    if isinstance(content, list) and all(map(_is_text_part, content)):
        made["content"] = "".join(part["text"] for part in content)
    if isinstance(calls, list):
        made["tool_calls"] = [_with_text(call) for call in calls]
    return made


def _is_text_part(part: Any) -> bool:
    is_text = isinstance(part, dict) and part.get("type") == "text"
    return is_text and isinstance(part.get("text"), str)


def _with_text(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict):
        return call
    text = json.dumps(function["arguments"], ensure_ascii=False)
    return {**call, "function": {**function, "arguments": text}}


def _name(tool: Any) -> str:
    schema = tool.get("function", tool) if isinstance(tool, dict) else None
    name = schema.get("name") if isinstance(schema, dict) else None
    if not isinstance(name, str):
        raise Misfit("tools: a function without a name")
    return name


def _given(**values: str | None) -> dict[str, str]:
    return {key: value for key, value in values.items() if value is not None}
