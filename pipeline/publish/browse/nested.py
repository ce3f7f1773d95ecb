"""Nested values as people read them: keys with their values, lists in order, texts as they are."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from winnow.pipeline.publish.browse.show import LONGEST, body, count, structure

_DEEPEST = 12
_MOST = 200  # values of a list that are shown
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\],:]+|[{}\[\],:]')


def nested(value: Any, depth: int = 0) -> Markup:
    """A struct as its keys with their values (those without one are left out), a list of structs or
    lists as an ordered list, any other list on one line, and a text as it is."""
    if depth == _DEEPEST or not isinstance(value, Mapping | list):
        return _said(value if isinstance(value, str) else structure(value))
    if isinstance(value, Mapping):
        rows = [
            Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(body(key), nested(each, depth + 1))
            for key, each in value.items()
            if each is not None
        ]
        return Markup('<dl class="nested">{}</dl>').format(Markup("").join(rows))
    if any(isinstance(each, Mapping | list | str) for each in value):
        return _listed(value, depth)
    return _said(json.dumps(value, default=str))


def laid_out(text: str) -> str:
    """JSON of an object or a list with line ends and indents; any other text as it is."""
    if len(text) > LONGEST or text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return "".join(_lines(_TOKEN.findall(text)))


def _listed(values: Sequence[Any], depth: int) -> Markup:
    items = [Markup("<li>{}</li>").format(nested(each, depth + 1)) for each in values[:_MOST]]
    if len(values) > _MOST:
        rest = count(len(values) - _MOST, "more value")
        items.append(Markup('<li class="quiet">{}</li>').format(rest))
    return Markup('<ol class="nested">{}</ol>').format(Markup("").join(items))


def _said(text: str) -> Markup:
    return Markup('<span class="said">{}</span>').format(body(text))


def _lines(tokens: Sequence[str]) -> Iterator[str]:
    """The tokens of valid JSON: nothing is read, so that no number or repeated key changes."""
    depth = 0
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else ""
        if token in ("}", "]"):
            depth -= 1
        if (before in ("{", "[", ",") or token in ("}", "]")) and before + token not in (
            "{}",
            "[]",
        ):
            yield "\n" + "  " * min(depth, _DEEPEST)
        yield ": " if token == ":" else token
        if token in ("{", "["):
            depth += 1
