"""The templates, and what they can call. Whatever one prints is escaped, and made visible before."""

import functools
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from winnow.pipeline.page import visible
from winnow.pipeline.publish.browse import nested, show
from winnow.pipeline.publish.browse.asked import link
from winnow.pipeline.publish.browse.parts import Part, ViewPart

_PAGES = Path(__file__).with_name("templates")


@functools.cache
def environment() -> Environment:
    """The templates. A name that a template misspells is an error, not an empty place."""
    made = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "body": show.body,
        "line": show.line,
        "number": show.number,
        "count": show.count,
        "nested": nested.nested,
        "laid_out": nested.laid_out,
    }
    made.globals |= {
        "link": link,
        "passage": show.passage,
        "address": address,
        "row_address": row_address,
    }
    return made


def address(part: Part) -> str:
    """Where the list of a part's rows is."""
    kind = "views" if isinstance(part, ViewPart) else "sets"
    return f"/{kind}/{quote(part.set, safe='')}/{quote(part.split, safe='')}"


def row_address(part: Part, key: str | int, **parameters: object) -> str:
    """Where the page of a row is, by its id or its number."""
    if isinstance(part, ViewPart):
        return link(f"{address(part)}/{key}", **parameters)
    return link("/row", set=part.set, id=key, **parameters)


def _printed(value: Any) -> Any:
    """What stands for the value of an expression in a page, before it is escaped."""
    if hasattr(value, "__html__"):
        return value
    return "" if value is None else visible(str(value))
