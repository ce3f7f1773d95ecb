"""Rows whose answers are function calls: ToolRL's tagged blocks, BFCL's and OpenAI's JSON."""

from collections.abc import Mapping
from typing import Any

from winnow.pipeline.first_contact.judged import ENOUGH, Judged, most, reference, rows_with
from winnow.pipeline.first_contact.look import Column, Look
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.first_contact.trials import Bench, Case
from winnow.pipeline.sources import rows
from winnow.pipeline.sources.brought import with_json
from winnow.pipeline.sources.rows import Drop

_FUNCTIONS = ("functions", "tools", "available_functions", "available_tools")


async def tool_call(look: Look, roles: Roles, bench: Bench) -> Judged | None:
    """A column of calls that the verifier can read, with the functions that the rows offer."""
    columns = look.columns
    offers = next(
        (n for n in columns if n.lower() in _FUNCTIONS and columns[n].kind == "objects"), None
    )
    arguments = {"functions": offers} if offers else {}
    own = [roles.completion] if roles.completion and roles.completion not in roles.prompt else []
    for name in dict.fromkeys((*roles.answers, *own)):
        column = columns[name]
        tagged = column.kind == "text" and most(column.values, _is_tagged)
        if not tagged and not (column.is_json and most(column.values, _are_calls)):
            continue
        args = {"syntax": "toolrl"} if tagged else {}
        cases = []
        for row in rows_with(look, name, *arguments.values()):
            offered = {"functions": _written(row[offers], columns[offers])} if offers else {}
            cases.append(Case("", reference(row[name]), {**args, **offered}))
        tried = await bench.attempt("tool_call", cases)
        if tried.readable < ENOUGH:
            continue
        form = "ToolRL's tagged blocks" if tagged else "calls as JSON"
        beware = (
            "the prompts may not say which functions there are, nor how a call is written: the model "
            "must be told, in `prompting.system` or in a column of the prompt"
        )
        return Judged(
            "tool_call",
            f"the references are {form}; {tried.readable:.0%} of {len(cases)} can be read",
            name,
            args,
            arguments,
            beware="" if tagged else beware,
        )
    return None


def _is_tagged(value: Any) -> bool:
    return "<tool_call>" in value or ("<response>" in value and "</think>" in value)


def _are_calls(value: Any) -> bool:
    """Calls with names and arguments, or names with accepted values."""
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(
        isinstance(item, Mapping)
        and bool(item)
        and ("name" in item or all(isinstance(inner, Mapping) for inner in item.values()))
        for item in items
    )


def _written(value: Any, column: Column) -> Any:
    try:
        return with_json({"": value}, [""])[""] if column.is_json else rows.plain(value)
    except Drop:
        return []
