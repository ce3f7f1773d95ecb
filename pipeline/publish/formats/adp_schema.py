"""Trajectories of the Agent Data Protocol (github.com/neulab/agent-data-protocol), checked.

A trajectory is an ordered list of actions (a call of an API, code, a message) and observations (text,
a web page, an image). A call that is followed by an observation carries a `tool_call_id`, and so does
the one later observation that answers it.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import canonical_json

SCHEMA_VERSION = "1.5.0"  # of what is written here
DEEPEST = 100  # levels of lists and objects
_SEMVER = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"


_Pixels = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # what a column of numbers holds


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Item(_Part):
    tool_call_id: str | None = None
    reward: float | None = None


class _Action(_Item):
    description: str | None = None
    reasoning_content: str | None = None


class ApiAction(_Action):
    """A call of a function."""

    class_: Literal["api_action"]
    function: str
    kwargs: dict[str, Any]


class CodeAction(_Action):
    """Code that the agent runs."""

    class_: Literal["code_action"]
    language: str
    content: str


class MessageAction(_Action):
    """What the agent says."""

    class_: Literal["message_action"]
    content: str


class TextObservation(_Item):
    """Text that the agent sees."""

    class_: Literal["text_observation"]
    content: str
    source: Literal["user", "agent", "environment"]
    name: str | None = None


class ImageObservation(_Item):
    """An image that the agent sees; `content` is a path."""

    class_: Literal["image_observation"]
    content: str
    source: Literal["user", "agent", "environment"]
    annotations: list[dict[str, Any]] | None = None


class WebObservation(_Item):
    """A page that the agent sees."""

    class_: Literal["web_observation"]
    html: str | None
    axtree: str | None
    url: str | None
    image_observation: ImageObservation | None
    viewport_size: Annotated[list[_Pixels], Field(min_length=2, max_length=2)] | None


Action = ApiAction | CodeAction | MessageAction
Observation = TextObservation | ImageObservation | WebObservation
Item = Annotated[Action | Observation, Field(discriminator="class_")]


class Trajectory(_Part):
    """One episode. The message of an error names the item, from 0."""

    schema_version: str = Field(pattern=_SEMVER)
    id: str
    content: list[Item]
    available_custom_tools: list[str] | None = None
    available_code_languages: list[str] | None = None
    details: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "Trajectory":
        check_links(self.content)
        listed = self.available_code_languages
        used = sorted({item.language for item in self.content if isinstance(item, CodeAction)})
        if listed is not None and sorted(set(listed)) != used:
            raise ValueError(
                f"available_code_languages: {', '.join(listed) or 'none'} are listed, but "
                f"{', '.join(used) or 'none'} are used"
            )
        return self

    def plain(self) -> dict[str, Any]:
        """As JSON values; keys that were not given are left out."""
        return self.model_dump(mode="json", exclude_unset=True)


def check_links(content: Sequence[Action | Observation]) -> None:
    """ValueError, which names the item, where calls and observations do not belong together."""
    called: dict[str, int] = {}
    answered: dict[str, int] = {}
    for at, item in enumerate(content):
        name = item.tool_call_id
        if isinstance(item, MessageAction):
            if name is not None:
                raise ValueError(f"item {at}: a message_action has a tool_call_id, but is no call")
        elif isinstance(item, ApiAction | CodeAction):
            after = content[at + 1] if at + 1 < len(content) else None
            if name is None:
                if isinstance(after, Observation):
                    raise ValueError(
                        f"item {at}: an observation follows this call, so it needs a tool_call_id"
                    )
            elif name in called:
                raise ValueError(
                    f"item {at}: tool_call_id {name!r} is also that of item {called[name]}"
                )
            else:
                called[name] = at
        elif name is not None:
            if name not in called:
                raise ValueError(f"item {at}: tool_call_id {name!r} is that of no call before it")
            if name in answered:
                raise ValueError(
                    f"item {at}: the call {name!r} has an observation already, item {answered[name]}"
                )
            answered[name] = at
    for name, at in called.items():
        if name not in answered:
            raise ValueError(f"item {at}: no later observation has its tool_call_id {name!r}")


def is_deep(value: Any, most: int = DEEPEST) -> bool:
    """Whether lists and objects stand in each other more than `most` levels deep: what is not can be
    read and written wherever that is called from."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


def build(value: Any) -> Trajectory:
    """The trajectory that `value` (JSON values) is; ValueError, which names the item, where it breaks a
    rule.
    """
    if is_deep(value):
        raise ValueError(f"nested more than {DEEPEST} levels deep")
    try:
        return Trajectory.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(_place(first["loc"]) + _said(first)) from None


def parse(value: Any, where: str) -> Trajectory:
    """As `build`; the error is a UsageError that begins with `where` and names the trajectory."""
    name = value.get("id") if isinstance(value, dict) else None
    called = f"{where}: trajectory {name!r}" if isinstance(name, str) else where
    try:
        made = build(value)
        canonical_json(value)  # NaN and the like are no JSON
    except ValueError as error:
        raise UsageError(f"{called}: {error}") from None
    return made


def _place(loc: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in loc]
    if len(loc) > 1 and loc[0] == "content" and isinstance(loc[1], int):
        # Behind the item's number stands the class that the union was read as.
        inner = ".".join(parts[3:])
        return f"item {loc[1]}: " + (f"{inner}: " if inner else "")
    return f"{'.'.join(parts)}: " if parts else ""


def _said(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return "no such field in the protocol"
    return re.sub(r"\s+", " ", message)
