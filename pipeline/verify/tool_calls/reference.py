"""What a task's `answer` says the right calls are.

Two forms give calls, and are told apart by their keys:

- exact values: `{"name": "f", "parameters": {"a": 1}}` (also `arguments`, OpenAI's `function`), in a
  list, one a line, or in the `<tool_call>` block of a whole ToolRL target; calls as Python text
  (`["f(a=1)"]`, BFCL's executable categories);
- accepted values: `{"f": {"a": [1, 2], "b": ["x", ""]}}`, BFCL's ground truth. `""` among the values
  says that the argument may be left out.

`null`, `[]`, an empty text, or a ToolRL target without calls say that no call is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.verify.literals import NoLiteral, json_values, spoken, strict_json
from winnow.pipeline.verify.tool_calls import python_calls, tagged
from winnow.pipeline.verify.tool_calls.calls import Call, UnreadableCall
from winnow.pipeline.verify.tool_calls.functions import Functions
from winnow.pipeline.verify.tool_calls.tagged import Blocks
from winnow.pipeline.verify.tool_calls.values import OMITTED

_NO_FUNCTIONS = Functions([])


class BadReference(ValueError):
    """The reference cannot be read, or no call could ever match it."""


@dataclass(frozen=True)
class WantedCall:
    """One call of a reference: for each argument its accepted values, in `exact` form one."""

    name: str
    options: Mapping[str, list[Any]]
    exact: bool

    def may_omit(self, argument: str) -> bool:
        return not self.exact and OMITTED in self.options[argument]


@dataclass(frozen=True)
class Reference:
    """The calls that are right (none: no call is) and the blocks of a ToolRL answer."""

    calls: tuple[WantedCall, ...]
    blocks: Blocks


def read(answer: str | None) -> Reference:
    """The reference that `answer` writes. Raises BadReference."""
    if answer is None or not answer.strip():
        return Reference((), Blocks(calls=False, response=True))
    if "<tool_call>" in spoken(answer) or "<response>" in spoken(answer):
        calls = _target(spoken(answer))
        return Reference(tuple(calls), Blocks.of(answer))
    calls = [call for item in _items(answer) for call in _wanted(item)]
    return Reference(tuple(calls), Blocks(calls=bool(calls), response=not calls))


def check(reference: Reference, functions: Functions) -> None:
    """Raises BadReference where a list of accepted values leaves out what its function requires,
    so that every answer would be wrong."""
    for call in reference.calls:
        lacking = functions.get(call.name).required - call.options.keys()
        if lacking and not call.exact:
            raise BadReference(f"{call.name} requires {min(lacking)!r}")


def _target(said: str) -> list[WantedCall]:
    try:
        return [_exact(call) for call in tagged.read(said, _NO_FUNCTIONS)]
    except UnreadableCall as error:
        raise BadReference(str(error)) from None


def _items(answer: str) -> list[Any]:
    """The calls that are written one after the other, or in one list."""
    try:
        values = json_values(answer)
    except NoLiteral:
        return [answer]  # perhaps Python
    if len(values) == 1:
        if values[0] is None:
            return []
        return values[0] if isinstance(values[0], list) else values
    return values


def _wanted(item: Any) -> list[WantedCall]:
    if isinstance(item, str):
        return _python(item)
    if not isinstance(item, Mapping) or not item:
        raise BadReference("not a call")
    inner = item.get("function")
    if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
        item = inner
    name = item.get("name")
    if isinstance(name, str):
        return [_exact(Call(name, _arguments(item)))]
    # Rows that share one column type have nulls for the functions and arguments of other rows.
    given = {name: arguments for name, arguments in item.items() if arguments is not None}
    if not given:
        raise BadReference("not a call")
    return [_accepted(str(name), arguments) for name, arguments in given.items()]


def _arguments(item: Mapping[str, Any]) -> dict[str, Any]:
    given = [item[key] for key in ("parameters", "arguments") if key in item]
    if len(given) != 1:
        raise BadReference("a call needs either parameters or arguments")
    arguments = given[0]
    if isinstance(arguments, str):
        try:
            arguments = strict_json(arguments)
        except NoLiteral as error:
            raise BadReference(str(error)) from None
    if not isinstance(arguments, dict):
        raise BadReference("arguments are no object")
    return arguments


def _accepted(name: str, arguments: Any) -> WantedCall:
    if not isinstance(arguments, dict):
        raise BadReference(f"{name} has no arguments")
    arguments = {key: values for key, values in arguments.items() if values is not None}
    for argument, values in arguments.items():
        if not isinstance(values, list) or not values:
            raise BadReference(f"{name}.{argument} has no list of accepted values")
    return WantedCall(name, arguments, exact=False)


def _exact(call: Call) -> WantedCall:
    return WantedCall(call.name, {k: [v] for k, v in call.arguments.items()}, exact=True)


def _python(text: str) -> list[WantedCall]:
    try:
        calls = python_calls.read_all(text)
    except UnreadableCall as error:
        raise BadReference(str(error)) from None
    if not calls or any(call.positional for call in calls):
        raise BadReference("not a call with named arguments")
    return [_exact(call) for call in calls]
