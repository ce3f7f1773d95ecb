"""Trajectories of agents: what a row says becomes one of the Agent Data Protocol, or the reason why not.

A row is the protocol's own object (`content`), a row of a published view `adp` (`content_json`) or set
of type trajectories (`trajectory`), or a conversation (`messages`). What a conversation says of its messages, and its further keys, go to
`details`: `tools` whole, `reward`, and the marks item by item (see `adp_marks`). Where it has no
`loss_mask` but messages with OpenAI's `weight` (0 or 1), that is the mask.

The rows come from strangers: any value can stand under any key, and none stops the others.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from winnow.pipeline.clean.normalise import is_blank
from winnow.pipeline.contracts import SourceRow
from winnow.pipeline.names import canonical_json, digest
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.formats.adp_marks import (
    BRANCH,
    MASK,
    ORIGIN,
    actions,
    is_mark,
    marks,
    of_items,
    with_details,
)
from winnow.pipeline.publish.formats.adp_messages import (
    ROLES_OF_TEXT,
    as_call,
    checked_messages,
    from_messages,
)
from winnow.pipeline.publish.formats.adp_schema import (
    DEEPEST,
    Action,
    MessageAction,
    Observation,
    TextObservation,
    Trajectory,
    build,
    is_deep,
)
from winnow.pipeline.recipe import TrajectoriesSource
from winnow.pipeline.sources import rows
from winnow.pipeline.sources.brought import Brought
from winnow.pipeline.sources.hf_dataset import HFDataset
from winnow.pipeline.sources.rows import Drop

WHOLE = "trajectory"  # column of a source row
_MARKS = (MASK, ORIGIN, BRANCH)
_OWN = frozenset(("id", "messages", "tools", "reward", *_MARKS))  # of a conversation
_LONGEST = 500  # characters of a reason
_KEYS = {
    get_args(model.model_fields["class_"].annotation)[0]: frozenset(model.model_fields)
    for model in (*get_args(Action), *get_args(Observation))
}


class Trajectories:
    """One split of a dataset whose rows are trajectories: each has one under `trajectory`, and its
    details beside it."""

    def __init__(self, config: TrajectoriesSource) -> None:
        """Raises UsageError if `path` is a local file or folder that is not there."""
        self._rows = HFDataset(config.dataset, whole=True)

    def rows(self, limit: int | None = None) -> Iterator[SourceRow]:
        """Every row in order, or the first `limit`; a row that breaks a rule of the protocol has an
        error that names the item and the key.

        Raises UsageError when the source as a whole cannot be opened or read.
        """
        for row in self._rows.rows(limit):
            if row.error is not None:
                yield row
                continue
            try:
                found = trajectory_of(row.values)
            except (ValueError, RecursionError) as error:
                yield SourceRow(row.index, {}, " ".join(str(error).split())[:_LONGEST])
            else:
                yield SourceRow(row.index, {**found.details, WHOLE: found})

    def fingerprint(self) -> str:
        """Name of the content: the files' bytes here, the files' revisions on a hub."""
        return self._rows.fingerprint()


def trajectory_of(row: Mapping[str, Any]) -> Trajectory:
    """The trajectory that a row is. Raises ValueError, which names it, the item and the key."""
    if is_deep(dict(row)):
        raise ValueError(f"nested more than {DEEPEST} levels deep")
    if row.get("content_json") is not None:
        return _checked(_of_view(row))
    if (whole := _of_set(row)) is not None:
        return _checked(whole)
    if row.get("messages") is not None:
        return _checked(_of_conversation(row))
    if "content" not in row:
        keys = rows.short([str(key) for key in row], 200)
        raise ValueError(
            f"no trajectory: it has none of content, content_json and messages, but {keys}"
        )
    return _checked(_of_protocol(row))


def taken_apart(trajectory: Trajectory) -> tuple[list[dict[str, str]], Brought]:
    """The prompt of a trajectory and its answer. Raises Drop.

    The prompt is what system (or developer) and user say before the first action, the system first;
    what is blank is left out, and so is what else stands there, such as pages. The answer is the last
    text of the agent that is not blank; of an agent that only calls, its last call as JSON {name,
    arguments}.
    """
    content = trajectory.content
    first = next((at for at, act in enumerate(actions(trajectory)) if act), len(content))
    told = [each for each in content[:first] if isinstance(each, TextObservation)]
    asked = [each.content for each in told if each.source == "user"]
    if not asked:
        raise Drop("missing_prompt", "no message of the user before the first action")
    ruled = [
        each.content
        for each in told
        if each.source == "environment"
        and each.name in ROLES_OF_TEXT
        and not is_blank(each.content)
    ]
    said = [text for text in asked if not is_blank(text)] or asked[-1:]
    prompt = [{"role": "system", "content": text} for text in ruled]
    prompt += [{"role": "user", "content": text} for text in said]
    return prompt, Brought(_answer(trajectory), canonical_json(trajectory.plain()))


def _answer(trajectory: Trajectory) -> str:
    acts = [item for item in reversed(trajectory.content) if isinstance(item, Action)]
    for each in acts:
        text = each.content if isinstance(each, MessageAction) else each.description
        if text is not None and not is_blank(text):
            return text
    for each in acts:
        if not isinstance(each, MessageAction):
            return json.dumps(as_call(each), ensure_ascii=False)
    raise Drop("missing_completion", "the agent says nothing and calls nothing")


def _of_protocol(row: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol's own object. In a table each item has the keys of all classes, and those of other
    classes than its own are null: they go. Nulls inside `kwargs` stay, as they can be meant."""
    found, content = dict(row), row["content"]
    if isinstance(content, list):
        found["content"] = [_own_keys(item) if isinstance(item, dict) else item for item in content]
    return found


def _own_keys(item: dict[str, Any]) -> dict[str, Any]:
    kind = item.get("class_")
    own = _KEYS.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
    return {key: value for key, value in item.items() if value is not None or key in own}


def _of_view(row: Mapping[str, Any]) -> Any:
    try:
        return adp.record({"schema_version": None, "id": None, "details": "{}",
                           "available_custom_tools": None, "available_code_languages": None,
                           **row})  # fmt: skip
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"content_json and details: not JSON: {error}") from None


def _of_set(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a row of a published set of trajectories keeps whole; None for other rows."""
    text = row.get(WHOLE)
    if not isinstance(text, str) or "messages" not in row:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "schema_version" in found else None


def _of_conversation(row: Mapping[str, Any]) -> Any:
    messages = checked_messages(_list(row["messages"], "messages"))
    tools = None if row.get("tools") in (None, "") else _list(row["tools"], "tools")
    further = {
        str(key): rows.plain(value)
        for key, value in row.items()
        if value is not None and key not in _OWN
    }
    if tools is not None:
        further["tools"] = tools
    if row.get("reward") is not None:
        further["reward"] = _number(row["reward"])
    told: dict[str, Any] = {}
    for name in _MARKS:
        value = row.get(name)
        if is_mark(name, value):
            told[name] = value
        elif name == ORIGIN and value is not None:  # a word that many use otherwise
            further[name] = rows.plain(value)
        elif value is not None:
            raise ValueError(f"{name}: {_WANTED[name]}")
    weights = [message.get("weight", 1) for message in messages]
    if MASK not in told and 0 in weights and all(each in (0, 1) for each in weights):
        told[MASK] = [each == 1 for each in weights]
    made = from_messages(messages, _name(row), tools=tools, details=further)
    placed = of_items(made, told, len(messages))
    return with_details(made, {**made.details, **placed}).plain()


_WANTED = {
    MASK: "is no list of true and false, one for each message",
    BRANCH: "is no number of a message, from 0",
}


def _name(row: Mapping[str, Any]) -> str:
    """The row's own name; of one that has none, a name by what it holds."""
    name = row.get("id")
    if name is None:
        return digest("trajectory/1", rows.plain({key: row[key] for key in row if key != "id"}))
    if isinstance(name, str | int) and not isinstance(name, bool):
        return str(name)
    raise ValueError(f"id: {type(name).__name__}, not text")


def _list(value: Any, name: str) -> list[Any]:
    """A list, or the one that a text writes as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name}: not JSON: {error}") from None
    if isinstance(value, list):
        return value
    raise ValueError(f"{name}: {type(value).__name__}, not a list")


def _number(value: Any) -> float | int:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
    except OverflowError:
        pass
    raise ValueError("reward: is no finite number")


def _checked(value: Any) -> Trajectory:
    """The trajectory, once it is sure that all of it can be written."""
    name = value.get("id")
    try:
        for key, part in value.items():
            if key == "content" and isinstance(part, list):
                for at, item in enumerate(part):
                    _writable(item, f"item {at}")
            else:
                _writable(part, str(key))
        trajectory = build(value)
        marks(trajectory)
    except ValueError as error:
        raise ValueError(f"trajectory {rows.short(name)}: {error}") from None
    return trajectory


def _writable(value: Any, where: str) -> None:
    parts = value.items() if isinstance(value, dict) else [(None, value)]
    for key, part in parts:
        place = where if key is None else f"{where}: {rows.short(key)[1:-1]}"
        try:
            canonical_json({str(key): part}).encode()
        except UnicodeEncodeError:
            raise ValueError(f"{place}: holds what is no Unicode character") from None
        except (ValueError, TypeError) as error:
            raise ValueError(f"{place}: {error}") from None
