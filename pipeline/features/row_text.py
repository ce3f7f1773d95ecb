"""What a row's prompt and response are, whatever its columns are called.

A row is a conversation that ends where the answer begins, and the answer:

- `messages` (a list of {role, content}): if the row has no response of its own, the last assistant
  turn is the response and what stands before it the conversation;
- else the first of `PROMPTS` that the table has is the user's message; to `instruction` belongs
  `input`, after a blank line. The column may hold a list of messages as well;
- the response is the first of `RESPONSES` that the table has; of a list of messages, the last one's
  content.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.errors import UsageError

MESSAGES = "messages"
PROMPTS = ("prompt", "instruction", "question", "problem", "text")
RESPONSES = ("completion", "response", "output", "solution", "answer")
_INPUT = {"instruction": "input"}  # what belongs to a prompt column, after a blank line

Messages = tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class RowText:
    """One row. `messages` is empty where it has no prompt; `response` None where it has none."""

    messages: Messages
    response: str | None

    @property
    def prompt(self) -> str:
        """The conversation without its system message, which says nothing about this row."""
        return "\n\n".join(m["content"] for m in self.messages if m["role"] != "system")


@dataclass(frozen=True)
class RowColumns:
    """Where prompt and response stand: columns of a table, None where it has none."""

    prompt: str | None
    response: str | None

    @classmethod
    def of(
        cls,
        columns: Collection[str],
        *,
        prompt: str | None = None,
        response: str | None = None,
        reference: str | None = None,
    ) -> "RowColumns":
        """The columns of a table. `prompt`, `response`: chosen by name. `reference`: a column that
        is no response, though its name may say so.

        Raises UsageError where a named column is not there, and where there is neither a prompt nor
        a response.
        """
        for name, option in ((prompt, "--prompt-column"), (response, "--response-column")):
            if name is not None and name not in columns:
                raise UsageError(f"no column {name!r} ({option}); there are: {_some(columns)}")
        if prompt is None:
            known = (name for name in (MESSAGES, *PROMPTS) if name not in (response, reference))
            prompt = next((name for name in known if name in columns), None)
        if response is None:
            others = (name for name in RESPONSES if name not in (reference, prompt))
            response = next((name for name in others if name in columns), None)
        if prompt is None and response is None:
            raise UsageError(
                f"no column with a prompt ({', '.join((MESSAGES, *PROMPTS))}) or a response "
                f"({', '.join(RESPONSES)}); there are: {_some(columns)}. Name one with "
                "--prompt-column or --response-column"
            )
        return cls(prompt, response)

    def needed(self, columns: Collection[str]) -> list[str]:
        """Those that `read` looks at."""
        names = (self.prompt, self.response, _INPUT.get(self.prompt or ""))
        return [name for name in names if name is not None and name in columns]

    def read(self, row: Mapping[str, Any]) -> RowText:
        """The texts of a row; what is no text, or empty, counts as missing."""
        messages = _messages(row.get(self.prompt)) if self.prompt else ()
        extra = _text(row.get(_INPUT.get(self.prompt or "", "")))
        if messages and extra:
            last = {**messages[-1], "content": f"{messages[-1]['content']}\n\n{extra}"}
            messages = (*messages[:-1], last)
        response = _response(row.get(self.response)) if self.response else None
        if response is None and messages and messages[-1]["role"] == "assistant":
            response = messages[-1]["content"] or None
            messages = messages[:-1]
        return RowText(messages, response)


def _messages(value: Any) -> Messages:
    """Text, or a list of messages; empty where it is neither."""
    if isinstance(value, str):
        content = _text(value)
        return ({"role": "user", "content": content},) if content else ()
    if not isinstance(value, list) or not value:
        return ()
    found = []
    for item in value:
        if not (isinstance(item, Mapping) and isinstance(item.get("role"), str)):
            return ()
        content = item.get("content")
        if not isinstance(content, str):
            return ()
        found.append({"role": item["role"], "content": _clean(content)})
    return tuple(found)


def _response(value: Any) -> str | None:
    if isinstance(value, list):
        messages = _messages(value)
        return messages[-1]["content"] or None if messages else None
    return _text(value)


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    return _clean(value)


def _clean(text: str) -> str:
    # A lone surrogate stands in no UTF-8 text, and a tokenizer would refuse the whole batch.
    return text.encode("utf-8", "replace").decode()


def _some(columns: Collection[str]) -> str:
    return ", ".join(list(columns)[:30]) or "none (the table is empty)"
