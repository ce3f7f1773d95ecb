"""The Agent Data Protocol, out and in: conversations with tools as trajectories of actions and
observations (`adp_schema` has the rules, `adp_messages` the translation).

A view has a trajectory twice: `content` as columns, for queries, and `content_json`, for a round trip
without loss, since arguments of calls have no common type. An export writes the protocol's own JSON
Lines. `loss_mask` says, item by item, which actions to train on (EEF: exploring expert failures): all
of them, unless the set has a column `loss_mask` (one value a message), or `branch_point` (the number of
the first message that the student wrote instead of the expert), from which on actions count.

A set that has the trajectories themselves, in a column `trajectory` (JSON), gives them back as they
were, with all that a conversation has no place for; only `details` says more.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import canonical_json
from winnow.pipeline.publish.formats.adp_marks import (
    BRANCH,
    MASK,
    ORIGIN,
    marks,
    of_items,
    of_messages,
    trained,
)
from winnow.pipeline.publish.formats.adp_messages import (
    from_messages,
    to_messages,
)
from winnow.pipeline.publish.formats.adp_schema import Trajectory, build, parse
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

__all__ = [
    "FORMAT",
    "from_messages",
    "message_row",
    "message_rows",
    "read_trajectories",
    "record",
    "to_messages",
]

_WHOLE = "trajectory"  # column of a set that holds all of it

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
    origin = {key: value for key, value in view.origin(row).items() if value is not None}
    told = {key: row[key] for key in _told(view) if row[key] is not None}
    if _is_whole(view) and row[_WHOLE] is not None:
        made = _whole(row[_WHOLE])
        name, eef, changed = made.id, *_eef_of_whole(made, told, len(row["messages"]))
        # What the trajectory itself says under these names stays.
        origin = {_free(key, made.details): value for key, value in origin.items()}
        details = {**made.details, **origin, **changed}
    else:
        name = row.get("id") or f"{place.split}-{place.index}"
        made = from_messages(row["messages"], name, tools=tools_of(row), details=origin)
        eef = _eef(told, len(row["messages"]), made)
        details = {**made.details, **(eef if told else {})}  # without, the mask is any reader's
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


def _is_whole(view: View) -> bool:
    return view.has(_WHOLE) and pa.types.is_string(view.source.field(_WHOLE).type)


def _told(view: View) -> list[str]:
    """Which of mask, origin and branch point the set has, message by message."""
    of = {name: view.source.field(name).type for name in view.source.names}
    tests = {MASK: is_flags, ORIGIN: is_texts, BRANCH: pa.types.is_integer}
    return [name for name, test in tests.items() if name in of and test(of[name])]


def _eef(told: Row, messages: int, made: Trajectory) -> Row:
    """Mask, origin and branch point item by item, from what the set tells of its `messages` messages."""
    branch = told.get(BRANCH)
    mask = [branch is None or at >= branch for at in range(messages)]
    return _placed(made, {MASK: mask, **told}, messages)


def _eef_of_whole(made: Trajectory, told: Row, messages: int) -> tuple[Row, Row]:
    """The same of a trajectory with marks of its own, and what of it its `details` do not say yet.

    The set's mask goes before; where it says the same of every message, the trajectory's own stands,
    which can tell the actions of one message apart.
    """
    try:
        own, eef = trained(made), marks(made)
        same = MASK not in told or told[MASK] == of_messages(made, own, messages)[MASK]
    except ValueError as error:
        raise Misfit(str(error)) from None
    eef[MASK] = own if same else _placed(made, {MASK: told[MASK]}, messages)[MASK]
    return eef, {} if same else {MASK: eef[MASK]}


def _placed(made: Trajectory, told: Row, messages: int) -> Row:
    try:
        return of_items(made, told, messages)
    except ValueError as error:
        raise Misfit(str(error)) from None


def _whole(text: str) -> Trajectory:
    try:
        return build(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise Misfit(f"{_WHOLE}: {error}") from None


def _free(key: str, taken: Row) -> str:
    return key if key not in taken or key.startswith("winnow_") else f"winnow_{key}"


def _item(plain: Row) -> Row:
    return {
        name: canonical_json(value) if name in _AS_JSON and value is not None else value
        for name, value in plain.items()
    }


def record(row: Row) -> Any:
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
                value = record(row) if file.is_parquet else row
            except (ValueError, TypeError) as error:
                raise UsageError(f"{where}: content_json and details: not JSON: {error}") from None
            yield parse(value, where)


def message_rows(path: Path) -> pa.Table:
    """The trajectories of a file as rows with `messages`, of the schema MESSAGE_ROWS.

    Each row keeps the whole trajectory as JSON, so that nothing that a conversation has no place for
    (rewards, pages, annotations) is lost. Raises as `read_trajectories`.
    """
    rows = []
    for trajectory in read_trajectories(path):
        try:
            rows.append(message_row(trajectory))
        except ValueError as error:
            raise UsageError(f"{path}: trajectory {trajectory.id!r}: {error}") from None
    return pa.Table.from_pylist(rows, schema=MESSAGE_ROWS)


def message_row(trajectory: Trajectory) -> Row:
    """A trajectory as a row of the schema MESSAGE_ROWS. Raises ValueError where its marks are of other
    items."""
    messages = to_messages(trajectory)
    tools = _tools(trajectory)
    mask = trained(trajectory)
    return {
        "id": trajectory.id,
        "messages": messages,
        "tools": None if tools is None else canonical_json(tools),
        **of_messages(trajectory, mask, len(messages)),
        "trajectory": canonical_json(trajectory.plain()),
    }


def _tools(trajectory: Trajectory) -> list[Any] | None:
    """The schemas that `details` keeps, where they are of the functions listed; else the names."""
    listed, kept = trajectory.available_custom_tools, trajectory.details.get("tools")
    if listed is None:
        return None
    if isinstance(kept, list) and [_name_of(each) for each in kept] == listed:
        return kept
    return [_schema(name) for name in listed]


def _name_of(schema: Any) -> Any:
    function = schema.get("function", schema) if isinstance(schema, dict) else None
    return function.get("name") if isinstance(function, dict) else None


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
    record=record,
)
