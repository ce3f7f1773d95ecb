"""Every key of a recipe, read from the models that check it: what `winnow keys` prints and what
`docs/reference/recipe.md` is made of.

A section's meaning is its class's docstring. A key's meaning is its field's description, or the
comment at the end of its line in the class.
"""

import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from winnow.pipeline.arguments import describe
from winnow.pipeline.recipe import Recipe

_WORDS: dict[Any, str] = {
    str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null",
    typing.Any: "any",
}  # fmt: skip
_COMMENT = re.compile(r"^ {4}(?P<key>\w+): .*?  # (?P<said>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Key:
    """One key: its type and default in words (`required`, where there is none), and the place of its
    section, where it has one."""

    name: str
    type: str
    default: str
    meaning: str
    section: str | None = None


@dataclass(frozen=True)
class Section:
    """One section: `place` is the path to it (`sampling.stop`), `type` its `type` key's value where
    several kinds of section can stand there."""

    place: str
    type: str | None
    text: str
    keys: tuple[Key, ...]

    @property
    def title(self) -> str:
        head = self.place or "recipe"
        return f"{head} (type: {self.type})" if self.type else head


def sections() -> list[Section]:
    """All sections, each before those inside it. One that can stand at several places is told once."""
    return list(_walk(Recipe, "", {}))


def _walk(
    model: type[BaseModel], place: str, told: dict[type[BaseModel], str]
) -> Iterator[Section]:
    told[model] = place
    below: list[tuple[type[BaseModel], str]] = []
    comments = _comments(model)
    keys = []
    for name, _, default, meaning in describe(model):
        annotation = model.model_fields[name].annotation
        where = None
        if inside := list(_models(annotation)):
            where = told.get(inside[0], f"{place}.{name}".lstrip("."))
            new = [each for each in inside if each not in told]
            below += [(each, where) for each in new]
            told |= dict.fromkeys(new, where)
        said = meaning or comments.get(name, "")
        keys.append(Key(name, _type(annotation), _plain_default(default), said, where))
    yield Section(place, _kind(model), inspect.getdoc(model) or "", tuple(keys))
    for each, where in below:
        yield from _walk(each, where, told)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that can stand at a key."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for inner in get_args(annotation):
            yield from _models(inner)


def _kind(model: type[BaseModel]) -> str | None:
    """The value of the key `type` that chooses this section."""
    field = model.model_fields.get("type")
    values = get_args(field.annotation) if field is not None else ()
    return str(values[0]) if len(values) == 1 else None


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """Comments at the ends of lines, of a class and of those that it extends."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if each is not BaseModel and issubclass(each, BaseModel):
            found |= {m["key"]: m["said"] for m in _COMMENT.finditer(inspect.getsource(each))}
    return found


def _type(annotation: Any) -> str:
    """A type in words, without what only pydantic needs."""
    inner = get_args(annotation)
    match get_origin(annotation):
        case typing.Annotated:
            return _type(inner[0])
        case typing.Literal:
            return " or ".join(f"`{value}`" for value in inner)
        case typing.Union | types.UnionType:
            return " or ".join(dict.fromkeys(_type(each) for each in inner))
        case origin if origin is tuple and inner[-1] is not Ellipsis:
            return f"[{', '.join(_type(each) for each in inner)}]"
        case origin if origin in (tuple, list):
            return f"list of {_type(inner[0])}"
        case origin if origin in (dict, Mapping):
            return f"{_type(inner[1])} by name"
    if any(_models(annotation)):
        return "section"
    return _WORDS.get(annotation, getattr(annotation, "__name__", "any"))


def _plain_default(default: str) -> str:
    """A default as a recipe would write it; a section's own defaults stand with the section."""
    if default == "required":
        return default
    if re.match(r"[A-Z]\w+\(", default):
        return "its defaults"
    return {"None": "null", "True": "true", "False": "false", "()": "[]"}.get(default, default)
