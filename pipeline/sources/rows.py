"""One source row into the parts of a prompt, or the reason why it is none.

The values come from strangers: any type can stand in any column. Nothing here changes a text; the
recipe's template and system message are put around it.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, TypeGuard

from winnow.pipeline.clean.normalise import is_blank
from winnow.pipeline.images import MARKER
from winnow.pipeline.names import canonical_json
from winnow.pipeline.recipe import Columns, Prompting

ROLES = ("system", "user", "assistant")

Conversation = list[dict[str, str]]


class Drop(Exception):
    """This row is no prompt: the rule that says so, what it looked at, and more for people."""

    def __init__(
        self, rule: str, detail: str, *, value: str | None = None, threshold: str | None = None
    ) -> None:
        super().__init__(rule)
        self.rule, self.detail, self.value, self.threshold = rule, detail, value, threshold


def conversation(value: Any, prompting: Prompting) -> Conversation:
    """What the model sees: `value` is text, or a list of {role, content} that ends with `user`.

    `prompting.template` goes around the text, or around the last message; `prompting.system` stands
    first unless the conversation has a system message of its own. Raises Drop.
    """
    if _is_missing(value):
        raise Drop("missing_prompt", "no value")
    if isinstance(value, str):
        messages = [{"role": "user", "content": _content(value, "prompt")}]
    elif is_list(value):
        if len(value) == 1 and is_list(value[0]):  # a list of turns, of which there is one (BFCL)
            value = value[0]
        messages = [_message(item, at) for at, item in enumerate(value)]
        if not messages:
            raise Drop("empty_prompt", "a conversation without messages")
        if messages[-1]["role"] != "user":
            raise Drop(
                "wrong_type", f"the last message is the {messages[-1]['role']}'s, not the user's"
            )
    else:
        raise Drop(
            "wrong_type", "a prompt is text or a list of messages", value=type(value).__name__
        )
    # A plain replacement: the text may hold braces of its own, and `{prompt}` too.
    last = messages[-1]
    last["content"] = prompting.template.replace("{prompt}", last["content"])
    if prompting.system is not None and all(m["role"] != "system" for m in messages):
        messages.insert(0, {"role": "system", "content": prompting.system})
    return messages


def joined(values: Mapping[str, Any], columns: Sequence[str]) -> str | None:
    """The text of several columns, with blank lines between; None where all are missing or empty. A
    list of texts counts as its lines.

    Raises Drop where one holds something else.
    """
    parts = []
    for column in columns:
        value = values.get(column)
        if _is_missing(value):
            continue
        if is_list(value) and all(isinstance(item, str) for item in value):
            value = "\n".join(value)
        if not isinstance(value, str):
            raise Drop("wrong_type", f"{column} is no text", value=type(value).__name__)
        if not is_blank(value):
            parts.append(value)
    return "\n\n".join(parts) or None


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether `value` is a list of whatever, and no text."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _message(item: Any, at: int) -> dict[str, str]:
    if not isinstance(item, Mapping):
        raise Drop("wrong_type", f"message {at} is no {{role, content}}", value=type(item).__name__)
    role = item.get("role")
    if role not in ROLES:
        raise Drop("wrong_type", f"message {at}: role {short(role)} is none of {', '.join(ROLES)}")
    content = item.get("content")
    if is_list(content):
        content = text_of(content, at)
    if not isinstance(content, str):
        raise Drop("wrong_type", f"message {at}: content is no text", value=type(content).__name__)
    return {"role": str(role), "content": _content(content, f"message {at}")}


def shows_images(messages: Any) -> bool:
    """Whether a message of a conversation has a part of type image."""
    contents = [
        message.get("content")
        for message in (messages if is_list(messages) else [])
        if isinstance(message, Mapping)
    ]
    parts = [part for content in contents if is_list(content) for part in content]
    return any(isinstance(part, Mapping) and part.get("type") == "image" for part in parts)


def text_of(parts: Sequence[Any], at: int) -> str:
    """The text of a message in parts ({type: text, text} and {type: image}), the `at`th of its
    conversation; a picture is a mark. Raises Drop."""
    said = []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "image":
            said.append(MARKER)
        elif kind == "text" and isinstance(part.get("text"), str):
            said.append(part["text"])
        else:
            raise Drop(
                "wrong_type",
                f"message {at}: a part that is neither text nor image",
                value=short(kind),
            )
    return "".join(said)


def _content(text: str, where: str) -> str:
    valid(text, where)
    if is_blank(text):
        raise Drop("empty_prompt", f"{where}: nothing that can be seen")
    return str(text)


def answer(value: Any, *, needed: bool) -> str | None:
    """The reference answer as text; numbers are written out without loss. Raises Drop."""
    if _is_missing(value):
        if needed:
            raise Drop("missing_answer", "no value")
        return None
    if isinstance(value, str):
        valid(value, "answer")
        if needed and is_blank(value):
            raise Drop("empty_answer", "nothing that can be seen")
        return str(value)
    text = _number(value)
    if text is None:
        raise Drop("wrong_type", "an answer is text or a number", value=type(value).__name__)
    return text


def _number(value: Any) -> str | None:
    """Digits of a finite number, never with an exponent: `5`, `5.0`, `0.0000001`."""
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, Integral):
            return str(int(value))
        if isinstance(value, Decimal):
            # Written out, 1E+999999999 would fill the memory.
            sane = value.is_finite() and abs(value.adjusted()) <= 4300
            return format(value, "f") if sane else None
        if isinstance(value, Real) and math.isfinite(value):
            return format(Decimal(repr(float(value))), "f")
    except (ValueError, OverflowError):  # Python writes out no integer above 4,300 digits
        pass
    return None


def _is_missing(value: Any) -> bool:
    """None, or the not-a-number that stands for it in tables made with pandas."""
    if value is None:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float) and math.isnan(value)


def arguments(
    values: Mapping[str, Any], columns: Columns, given: Mapping[str, Any]
) -> dict[str, Any]:
    """A row's arguments of its verifier: `given`, then its JSON column, then single columns (a null
    gives none). Raises Drop."""
    found = dict(given)
    if columns.verifier_args is not None:
        found |= own_arguments(values.get(columns.verifier_args), columns.verifier_args)
    for name, column in columns.arguments.items():
        if not _is_missing(values.get(column)):
            found[name] = _argument(values[column], column, columns.files.get(name))
    try:
        valid(canonical_json(plain(found)), "arguments")
    except (RecursionError, ValueError):
        raise Drop("bad_arguments", "nested too deeply or too large a number") from None
    return {name: plain(item) for name, item in found.items()}


def _argument(value: Any, column: str, pattern: str | None) -> Any:
    """A single argument; with a `pattern`, the file that the row names. Raises Drop: a row must not
    lead out of the recipe's folder."""
    if pattern is None:
        return value
    if not isinstance(value, str) or not value or value[0] == "." or set(value) & set("/\\\0"):
        raise Drop("bad_arguments", f"{column}: {short(value)} is no name of a file")
    return pattern.replace("{}", value)


def own_arguments(value: Any, column: str) -> dict[str, Any]:
    """Arguments in one column: an object, or its JSON text. Nulls are keys that are not there (a
    table's struct has them all). Raises Drop."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise Drop("bad_arguments", f"{column} is not JSON: {error}") from None
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    if not isinstance(value, Mapping):
        raise Drop(
            "bad_arguments", f"{column} is no object of arguments but {type(value).__name__}"
        )
    return {str(key): item for key, item in value.items() if item is not None}


def label(value: Any, column: str) -> str | None:
    """A subject's name; what is no text becomes its JSON text. Raises Drop."""
    if _is_missing(value):
        return None
    return valid(value if isinstance(value, str) else _json(value, column), column)


def meta(values: Mapping[str, Any], keep: Sequence[str]) -> str:
    """Canonical JSON of the columns to keep. Raises Drop."""
    if not keep:
        return "{}"
    return valid(_json({name: values.get(name) for name in keep}, "kept columns"), "kept columns")


def _json(value: Any, where: str) -> str:
    try:
        return canonical_json(plain(value))
    except (RecursionError, ValueError):
        raise Drop("wrong_type", f"{where}: nested too deeply or too large a number") from None


def plain(value: Any) -> Any:
    """JSON value for any value of a table.

    Times become ISO 8601 text, durations seconds, decimals their digits, bytes base64; a float that
    is no finite number becomes null.
    """
    match value:
        case None | bool() | str():
            return value
        case Integral():
            return int(value)
        case Decimal():
            return str(value)
        case Real():
            return float(value) if math.isfinite(value) else None
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case Sequence() | set() | frozenset():
            return [plain(item) for item in value]
        case _:
            return str(value)


def valid(text: str, where: str) -> str:
    """`text` itself; raises Drop if it is not Unicode text (lone surrogates, bytes not UTF-8)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Drop("invalid_text", f"{where}: no Unicode character at {error.start}") from None
    return text


def short(value: Any, width: int = 60) -> str:
    """`value` for a message to people: one line of ASCII or printable text, cut at `width`."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."
