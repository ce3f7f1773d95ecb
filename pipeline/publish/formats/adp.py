"""The Agent Data Protocol, out and in: conversations with tools as trajectories of actions and
observations (`adp_schema` has the rules, `adp_messages` the translation).

A view has a trajectory twice: `content` as columns, for queries, and `content_json`, for a round trip
without loss, since arguments of calls have no common type. An export writes the protocol's own JSON
Lines. `loss_mask` says, item by item, which actions to train on (EEF: exploring expert failures): all
of them, unless the set has a column `loss_mask` (one value a message), or `branch_point` (the number of
the first message that the student wrote instead of the expert), from which on actions count.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import canonical_json
from winnow.pipeline.publish.formats.adp_messages import (
    from_messages,
    messages_of_items,
    to_messages,
)
from winnow.pipeline.publish.formats.adp_schema import Trajectory, parse
from winnow.pipeline.publish.formats.base import (
    Format,
    Misfit,
    Place,
    Row,
    View,
    is_flags,
    is_texts,
)
from winnow.pipeline.publish.formats.conversations import TOOL_MESSAGES, tools_of
from winnow.pipeline.row_files import RowFile
from winnow.pipeline.schema import column

__all__ = ["FORMAT", "from_messages", "message_rows", "read_trajectories", "to_messages"]

_TEXTS = ("class_", "function", "kwargs", "language", "content", "description", "reasoning_content",
          "source", "name", "tool_call_id", "html", "axtree", "url", "image_observation",
          "annotations")  # fmt: skip
_LISTS = ("available_custom_tools", "available_code_languages")
_AS_JSON = ("kwargs", "image_observation", "annotations")
# One struct for all six classes: what a class does not have is null.
ITEM = pa.struct(
    [
        *(pa.field(name, pa.string()) for name in _TEXTS),
        pa.field("viewport_size", pa.list_(pa.int64())),
        pa.field("reward", pa.float64()),
    ]
)
_MASK = column(
    "loss_mask", pa.list_(pa.bool_()), "Of each item: whether to train on it; only actions."
)
_ORIGIN = column("origin", pa.list_(pa.string()), "Of each item: expert or student; null for "
                 "observations.", null="not known")  # fmt: skip
_BRANCH = column("branch_point", pa.int32(), "First item that the student wrote instead of the expert, "
                 "from 0.", null="there is none")  # fmt: skip
_EEF = {"origin": _ORIGIN, "branch_point": _BRANCH}

MESSAGE_ROWS = pa.schema(
    [
        column("id", pa.string(), "Name of the trajectory."),
        column("messages", TOOL_MESSAGES, "The trajectory as a conversation."),
        column("tools", pa.string(), "Functions that the agent could call, JSON: a list of schemas, of "
               "which only the names are known.", null="none are listed"),
        column("loss_mask", pa.list_(pa.bool_()), "Of each message: whether to train on it."),
        column("origin", pa.list_(pa.string()), "Of each message: expert or student.",
               null="not known"),
        column("branch_point", pa.int32(), "First message that the student wrote.",
               null="there is none"),
        column("trajectory", pa.string(), "All of the trajectory, JSON."),
    ]
)  # fmt: skip


def _columns(view: View) -> list[pa.Field]:
    return [
        column("schema_version", pa.string(), "Version of the protocol."),
        column("id", pa.string(), "Name of the trajectory."),
        column("content", pa.list_(ITEM), "Actions and observations in order; kwargs, annotations and "
               "image_observation are JSON."),
        column("content_json", pa.string(), "The same, JSON, without loss."),
        column("available_custom_tools", pa.list_(pa.string()), "Tools that the agent could call.",
               null="none are listed"),
        column("available_code_languages", pa.list_(pa.string()), "Languages of its code.",
               null="it wrote none"),
        column("details", pa.string(), "Further facts, JSON."),
        _MASK,
        *(field for name, field in _EEF.items() if name in _told(view)),
    ]  # fmt: skip


def _rows(row: Row, view: View, place: Place) -> list[Row]:
    name = row.get("id") or f"{place.split}-{place.index}"
    details = {key: value for key, value in view.origin(row).items() if value is not None}
    made = from_messages(row["messages"], name, tools=tools_of(row), details=details)
    owner = messages_of_items(made)
    told = {key: row[key] for key in _told(view) if row[key] is not None}
    eef = _eef(told, len(row["messages"]), owner, made)
    details = {**made.details, **(eef if told else {})}  # without, the mask is that of any reader
    plain = made.plain()
    return [
        {
            "schema_version": made.schema_version,
            "id": name,
            "content": [_item(each) for each in plain["content"]],
            "content_json": canonical_json(plain["content"]),
            "available_custom_tools": made.available_custom_tools,
            "available_code_languages": made.available_code_languages,
            "details": canonical_json(details),
            **eef,
        }
    ]


def _told(view: View) -> list[str]:
    """Which of mask, origin and branch point the set has, message by message."""
    of = {name: view.source.field(name).type for name in view.source.names}
    tests = {"loss_mask": is_flags, "origin": is_texts, "branch_point": pa.types.is_integer}
    return [name for name, test in tests.items() if name in of and test(of[name])]


def _eef(told: Row, messages: int, owner: list[int], made: Trajectory) -> Row:
    """Mask, origin and branch point item by item, from what the set tells of its `messages` messages;
    `owner` gives each item's message."""
    for name in ("loss_mask", "origin"):
        if name in told and len(told[name]) != messages:
            raise Misfit(f"{name} has {len(told[name])} values for {messages} messages")
    acts = [item.class_.endswith("_action") for item in made.content]
    branch, mask, origin = (told.get(key) for key in ("branch_point", "loss_mask", "origin"))
    if mask is None:
        mask = [branch is None or at >= branch for at in range(messages)]
    found: Row = {
        "loss_mask": [act and bool(mask[at]) for act, at in zip(acts, owner, strict=True)]
    }
    if origin is not None:
        found["origin"] = [origin[at] if act else None for act, at in zip(acts, owner, strict=True)]
    if branch is not None:
        found["branch_point"] = next(
            (item for item, at in enumerate(owner) if at >= branch), len(owner)
        )
    return found


def _item(plain: Row) -> Row:
    return {
        name: canonical_json(value) if name in _AS_JSON and value is not None else value
        for name, value in plain.items()
    }


def _record(row: Row) -> Any:
    """The protocol's own object; what it has no field for stands in `details`."""
    return {
        "schema_version": row["schema_version"],
        "id": row["id"],
        "content": json.loads(row["content_json"]),
        **{name: row[name] for name in _LISTS if row[name] is not None},
        "details": json.loads(row["details"]),
    }


def read_trajectories(path: Path) -> Iterator[Trajectory]:
    """The trajectories of a file: the protocol's JSON Lines, or a view's Parquet.

    Raises UsageError, which names the file, the trajectory and the item, at the first that breaks a
    rule of the protocol.
    """
    file = RowFile(path)
    if file.is_parquet:
        for name in ("schema_version", "id", "content_json", "details", *_LISTS):
            file.require(name, "of a view of the format adp")
    for batch in file.batches():
        rows = batch.rows.to_pylist() if isinstance(batch.rows, pa.RecordBatch) else batch.rows
        for at, row in enumerate(rows, batch.start):
            where = f"{path}, row {at}"
            try:
                value = _record(row) if file.is_parquet else row
            except (ValueError, TypeError) as error:
                raise UsageError(f"{where}: content_json and details: not JSON: {error}") from None
            yield parse(value, where)


def message_rows(path: Path) -> pa.Table:
    """The trajectories of a file as rows with `messages`, of the schema MESSAGE_ROWS.

    Each row keeps the whole trajectory as JSON, so that nothing that a conversation has no place for
    (rewards, pages, annotations) is lost. Raises as `read_trajectories`.
    """
    rows = [_message_row(each) for each in read_trajectories(path)]
    return pa.Table.from_pylist(rows, schema=MESSAGE_ROWS)


def _message_row(trajectory: Trajectory) -> Row:
    messages, owner = to_messages(trajectory), messages_of_items(trajectory)
    listed = trajectory.available_custom_tools
    details = trajectory.details
    mask, origin, branch = (details.get(key) for key in ("loss_mask", "origin", "branch_point"))
    acts = [item.class_.endswith("_action") for item in trajectory.content]
    if not isinstance(mask, list) or len(mask) != len(owner):
        mask = acts
    trained = {at for at, yes in zip(owner, mask, strict=True) if yes}
    by_message: list[str | None] | None = None
    if isinstance(origin, list) and len(origin) == len(owner):
        by_message = [None] * len(messages)
        for at, who in zip(owner, origin, strict=True):
            by_message[at] = by_message[at] or who
    first = owner[branch] if isinstance(branch, int) and 0 <= branch < len(owner) else None
    return {
        "id": trajectory.id,
        "messages": messages,
        "tools": None if listed is None else canonical_json([_schema(name) for name in listed]),
        "loss_mask": [at in trained for at in range(len(messages))],
        "origin": by_message,
        "branch_point": first,
        "trajectory": canonical_json(trajectory.plain()),
    }


def _schema(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


FORMAT = Format(
    name="adp",
    meaning="trajectories of actions and observations, with a loss mask",
    consumer="Agent Data Protocol",
    reads=({"messages": "messages"},),
    columns=_columns,
    rows=_rows,
    layout="jsonl",
    places_provenance=True,
    record=_record,
)
