"""Columns that are read before a row is taken apart, and the answers that rows bring."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from winnow.pipeline.names import digest
from winnow.pipeline.schema import COMPLETIONS
from winnow.pipeline.sources import rows
from winnow.pipeline.sources.growing import Growing
from winnow.pipeline.sources.rows import Drop

_RULES = {"missing_answer": "missing_completion", "empty_answer": "missing_completion"}


@dataclass(frozen=True)
class Brought:
    """An answer that a row brings, with the trajectory that it ends (canonical JSON), where there is
    one."""

    text: str
    trajectory: str | None = None


def with_json(values: Mapping[str, Any], columns: Sequence[str]) -> Mapping[str, Any]:
    """The row with the texts of `columns` read as JSON; an empty one is missing. Raises Drop."""
    if not columns:
        return values
    found = dict(values)
    for column in columns:
        text = found.get(column)
        if isinstance(text, str):
            try:
                found[column] = json.loads(text) if text.strip() else None
            except (ValueError, RecursionError) as error:
                raise Drop("wrong_type", f"{column} is not JSON: {error}") from None
    return found


def completion(value: Any, column: str) -> str:
    """The answer that a row brings. Raises Drop."""
    try:
        text = rows.answer(value, needed=True)
    except Drop as drop:
        rule = _RULES.get(drop.rule, drop.rule)
        raise Drop(rule, f"{column}: {drop.detail}", value=drop.value) from None
    assert text is not None  # it was needed
    return text


def answered(value: Any, column: str) -> tuple[Sequence[Any], str]:
    """A conversation up to its last message, and that one's text, the assistant's. Raises Drop."""
    if not rows.is_list(value) or not value:
        raise Drop("missing_completion", f"{column} is no conversation", value=type(value).__name__)
    last = value[-1]
    if not isinstance(last, Mapping) or last.get("role") != "assistant":
        raise Drop("missing_completion", f"{column} does not end with a message of the assistant")
    content = last.get("content")
    if rows.shows_images([last]):
        raise Drop("wrong_type", f"{column}: an answer is text, and this one has an image")
    if rows.is_list(content):
        content = rows.text_of(content, len(value) - 1)
    return value[:-1], completion(content, column)


class Answers:
    """The answers that sources bring, each once. All answers to a prompt are of one source, the first
    that has one: a pass rate is one policy's."""

    def __init__(self) -> None:
        self._taken = Growing(COMPLETIONS)
        self._source: dict[str, str] = {}  # by prompt
        self._names: set[str] = set()

    def take(self, prompt: str, source: str, answer: Brought) -> str:
        """Take in an answer; what to say of it where its row is one more of the same prompt."""
        first = self._source.setdefault(prompt, source)
        if first != source:
            return f"; its answer is left out, as those to this prompt are from {first}"
        whole = [] if answer.trajectory is None else [answer.trajectory]
        name = digest("source_answer/1", [prompt, source, answer.text, *whole])
        if name in self._names:
            return "; so is its answer"
        self._names.add(name)
        self._taken.add({"rollout_id": name, "prompt_id": prompt, "source": source,
                         "completion": answer.text, "trajectory": answer.trajectory})  # fmt: skip
        return "; its answer is one more to that prompt"

    def table(self) -> pa.Table:
        """Schema COMPLETIONS, in the order in which they were taken in."""
        return self._taken.table()
