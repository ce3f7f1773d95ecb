"""What is wrong with a recipe, in one line: file, line, key, and what would be right."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import yaml
from pydantic import BaseModel, ValidationError

Model = type[BaseModel]
Typed = Mapping[str, Model]


def explain(
    error: ValidationError, origin: str, node: yaml.Node | None, root: Model, typed: Typed
) -> str:
    """One line for the first error, and how many more there are.

    `node` is the YAML that was validated as `root`; `typed` gives the model of each section whose
    place pydantic names by its type.
    """
    errors = error.errors(include_url=False)
    # A misspelt key also shows as a missing one; the misspelling is what the reader must see.
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    # Inside a tagged union pydantic puts the tag into the location; the file has no such key.
    path, line = _locate(list(first["loc"]), node, missing=first["type"] == "missing")
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        path, line, message = _named_inside(message, node) or (path, line, message)
    key = ".".join(path) or "recipe"
    if first["type"] == "extra_forbidden":
        message = "unknown key" + _suggestion(path, _keys_at(first["loc"][:-1], root, typed))
    elif first["type"] == "missing":
        message = "is missing"
    elif first["type"].startswith("union_tag"):
        context = first.get("ctx", {})
        expected = context.get("expected_tags")
        message = f"`type` must be one of {expected}" if expected else "`type` is missing"
    elif first["type"] != "value_error" and not isinstance(first["input"], Mapping | list):
        # Our own checks say enough, and what they refuse can be a secret.
        message = f"{message} (it is {first['input']!r})"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{origin}:{line}: {key}: {message}{more}"


def _named_inside(message: str, node: yaml.Node | None) -> tuple[list[str], int, str] | None:
    """(keys, line, rest) of what the recipe as a whole says of one of its sections with a name,
    `formats.NAME: ...`; None for other messages."""
    place, colon, said = message.partition(": ")
    keys = place.split(".", 1)  # names can hold dots
    path, line = _locate(keys, node, missing=False)
    return (path, line, said) if colon and len(path) == 2 else None


def locate(loc: Sequence[int | str], node: yaml.Node | None) -> tuple[str, int]:
    """The key at `loc` in words, and its line, from 1."""
    path, line = _locate(loc, node, missing=False)
    return ".".join(path), line


def _locate(
    loc: Sequence[int | str], node: yaml.Node | None, *, missing: bool
) -> tuple[list[str], int]:
    """The keys of `loc` that stand in the file, and the line of the deepest one, from 1. `missing`: the
    last one is a key that should."""
    path: list[str] = []
    line = node.start_mark.line + 1 if node else 1
    for at, part in enumerate(loc):
        last = at == len(loc) - 1
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    path.append(str(part))
                    node, line = value, key.start_mark.line + 1
                    break
            else:
                if last and missing:
                    path.append(str(part))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part < len(node.value):
                path.append(str(part))
                node = node.value[part]
                line = node.start_mark.line + 1
    return path, line


def _suggestion(path: list[str], known: list[str]) -> str:
    close = difflib.get_close_matches(path[-1] if path else "", known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known here: {', '.join(sorted(known))}" if known else ""


def _keys_at(loc: tuple[int | str, ...], root: Model, typed: Typed) -> list[str]:
    """Keys that the model at `loc` knows."""
    if not loc:
        return list(root.model_fields)
    last = str(loc[-1])
    for name in (f"{loc[0]}.{last}", last):  # two sections of one type stand in two places
        if name in typed:
            return list(typed[name].model_fields)
    field = root.model_fields.get(last)
    annotation = field.annotation if field else None
    if len(loc) > 1 and (parent := root.model_fields.get(str(loc[-2]))):  # sections by free names
        annotation = next(reversed(get_args(parent.annotation)), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    return []


def duplicates(node: yaml.Node | None, path: str = "") -> Iterator[tuple[str, int]]:
    """(key path, line) of every key that stands twice in one mapping; PyYAML keeps the last."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = f"{path}{key.value}"
            if key.value in seen:
                yield name, key.start_mark.line + 1
            seen.add(key.value)
            yield from duplicates(value, f"{name}.")
    elif isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            yield from duplicates(item, f"{path}{at}.")
