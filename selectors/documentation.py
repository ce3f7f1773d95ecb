"""What a selector says about itself, read from its code."""

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.arguments import describe
from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import describe as describe_schema
from winnow.selectors.base import Column, Selector


@dataclass(frozen=True)
class Documentation:
    """`parameters` are (name, type, default, meaning), `own` columns (name, type, meaning); `inputs`
    are those of the default parameters, null where they depend on parameters without a default."""

    summary: str
    text: str
    paper: str
    inputs: Sequence[Column] | None
    parameters: tuple[tuple[str, str, str, str], ...]
    own: list[tuple[str, str, str]]
    needs_budget: bool


def document(selector: Selector[Any]) -> Documentation:
    """The documentation of `selector`: its module's and class's docstrings, and what it declares."""
    own = inspect.getdoc(type(selector)) or ""
    module = inspect.getdoc(sys.modules[type(selector).__module__]) or ""
    inputs: Sequence[Column] | None
    try:
        inputs = selector.inputs(selector.parameters.read({}))
    except UsageError:
        inputs = None
    return Documentation(
        summary=own.partition("\n")[0],
        text=f"{own}\n\n{module}".strip(),
        paper=selector.paper,
        inputs=inputs,
        parameters=describe(selector.parameters),
        own=describe_schema(selector.own),
        needs_budget=selector.needs_budget,
    )
