"""Small hand-made sets, a conversation with tools, and views of them."""

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from winnow.pipeline.publish.formats.base import convert, view_of
from winnow.pipeline.publish.formats.conversations import TOOL_MESSAGES, TOOLS
from winnow.pipeline.publish.formats.images import IMAGE
from winnow.pipeline.publish.formats.registry import get_format
from winnow.pipeline.publish.set_columns import ORIGIN
from winnow.pipeline.publish.set_schemas import PREFERENCE, RL, SFT
from winnow.pipeline.schema import STEPWISE, column

Row = dict[str, Any]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}


def said(*texts: str, system: str | None = None) -> list[Row]:
    """User and assistant in turn."""
    turns = [{"role": ("user", "assistant")[at % 2], "content": t} for at, t in enumerate(texts)]
    return turns if system is None else [{"role": "system", "content": system}, *turns]


def origin(n: int) -> Row:
    return {
        "prompt_id": f"prompt-{n}", "task_id": f"task-{n}", "source": "sums", "licence": "mit",
        "template_id": f"group-{n}", "policy": "model@1", "template": "t1", "sampler": "{}",
        "pass_rate": 0.5, "cluster": 0,
    }  # fmt: skip


def where(row_id: str, verifier: str = "math@1") -> Row:
    """Provenance columns of a row of `origin`."""
    return {"winnow_id": row_id, "policy": "model@1", "template": "t1", "sampler": "{}",
            "verifier": verifier}  # fmt: skip


def call(name: str, town: str) -> Row:
    arguments = json.dumps({"town": town}, ensure_ascii=False)
    return {"id": name, "type": "function", "function": {"name": "weather", "arguments": arguments}}


def with_tools() -> list[Row]:
    """A question that takes two calls at once, and a second one."""
    return [
        {"role": "system", "content": "Use the tools."},
        {"role": "user", "content": "Rain in Köln or Bonn?"},
        {"role": "assistant", "content": None, "reasoning_content": "Ask for both.",
         "tool_calls": [call("call_1", "Köln"), call("call_2", "Bonn")]},
        {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
        {"role": "tool", "content": "sun", "tool_call_id": "call_2"},
        {"role": "assistant", "content": "In Köln."},
        {"role": "user", "content": "And in Ulm?"},
        {"role": "assistant", "content": None, "tool_calls": [call("call_3", "Ulm")]},
        {"role": "tool", "content": "fog", "tool_call_id": "call_3"},
        {"role": "assistant", "content": "Fog."},
    ]  # fmt: skip


def png(colour: tuple[int, int, int]) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(data, "PNG")
    return data.getvalue()


def sft(*conversations: list[Row]) -> pa.Table:
    rows = [
        {"id": f"sft-{n}", "messages": messages, "weight": 1.0, "rollout_id": f"rollout-{n}",
         "verdict": "correct", "verifier": "math@1", "score": None, **origin(n)}
        for n, messages in enumerate(conversations)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, SFT)


def tool_set(*conversations: list[Row], **columns: pa.Array) -> pa.Table:
    """An sft set whose messages can hold calls, with a column `tools`."""
    fields = [
        column("id", pa.string(), "Name of the row."),
        column("messages", TOOL_MESSAGES, "The conversation."),
        TOOLS,
        column("verifier", pa.string(), "Verifier."),
        *ORIGIN,
    ]
    rows = [
        {"id": f"tools-{n}", "messages": messages, "tools": json.dumps([WEATHER]),
         "verifier": "tool_call@1", **origin(n)}
        for n, messages in enumerate(conversations)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, pa.schema(fields))
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def image_set() -> pa.Table:
    """Two rows of an sft set, with one picture and with two."""
    table = sft(said("What is <image>?", "Red."), said("And <image> or <image>?", "Blue."))
    red, blue = ({"bytes": png(c), "path": None} for c in ((255, 0, 0), (0, 0, 255)))
    return table.append_column("images", pa.array([[red], [blue, red]], pa.list_(IMAGE)))


@pytest.fixture
def made() -> dict[str, Callable[..., Any]]:
    """Makers: said, with_tools, where, sft, tool_set, image_set, png."""
    return {"said": said, "with_tools": with_tools, "where": where, "sft": sft,
            "tool_set": tool_set, "image_set": image_set, "png": png}  # fmt: skip


@pytest.fixture
def tables() -> dict[str, pa.Table]:
    """A table of each kind: sft, rl, preference, steps, tools."""
    rl = [
        {"id": "rl-0", "prompt": said("2 + 2?"), "answer": "4", "verifier": "math",
         "verifier_args": "{}", "n_judged": 4, **origin(0)},
        {"id": "rl-1", "prompt": said("Hi", "Hello", "3 + 3?", system="Be brief."), "answer": None,
         "verifier": "judge", "verifier_args": '{"k":1}', "n_judged": 4, **origin(1)},
    ]  # fmt: skip
    preference = [
        {"id": "pair-0", "prompt": said("2 + 2?"), "chosen": said("", "4")[1:],
         "rejected": said("", "5")[1:], "chosen_rollout_id": "r", "rejected_rollout_id": "w",
         "verifier": "math@1", **origin(0)},
        {"id": "pair-1", "prompt": said("3 + 3?", system="Be brief."), "chosen": said("", "6")[1:],
         "rejected": said("", "7")[1:], "chosen_rollout_id": "r", "rejected_rollout_id": "w",
         "verifier": "math@1", **origin(1)},
    ]  # fmt: skip
    steps = [
        {"task_id": "task-0", "prompt": "2 + 2 + 2?", "completions": ["4 + 2", "6"],
         "labels": [True, True], "values": [0.5, 1.0], "correct": True},
        {"task_id": "task-0", "prompt": "2 + 2 + 2?", "completions": ["5 + 2"], "labels": [False],
         "values": None, "correct": False},
    ]  # fmt: skip
    return {
        "sft": sft(said("2 + 2?", "4"), said("Hi", "Hello", "3 + 3?", "6", system="Be brief.")),
        "rl": pa.Table.from_pylist(rl, RL),
        "preference": pa.Table.from_pylist(preference, PREFERENCE),
        "steps": pa.Table.from_pylist(steps, STEPWISE),
        "tools": tool_set(with_tools()),
    }


View = Callable[..., list[Row]]


@pytest.fixture
def view() -> View:
    """view(format, table, style=..., provenance=..., split="train"): the view's rows."""

    def call(name: str, table: pa.Table, split: str = "train", **options: Any) -> list[Row]:
        made = view_of(get_format(name), table.schema, **options)
        return [
            row for rows, _ in convert(made, table.to_batches(), split) for row in rows.to_pylist()
        ]

    return call
