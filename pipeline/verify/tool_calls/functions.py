"""The functions that a task offers, as far as judging calls needs them.

Read are the forms that data sets use: BFCL's and OpenAI's (`parameters` is a JSON schema, perhaps
inside of `function`), Anthropic's and MCP's (`input_schema`, `inputSchema`), ToolRL's and xLAM's
(`parameters` maps names to descriptions). A description that is none of these offers a function of
which nothing but the name is known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from winnow.pipeline.verify.tool_calls.calls import Call, UnreadableCall

_SCHEMA_KEYS = ("parameters", "arguments", "input_schema", "inputSchema")


@dataclass(frozen=True)
class Function:
    """A function's parameters in their order (name: JSON schema) and those it requires."""

    name: str
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required: frozenset[str] = frozenset()


class Functions:
    """Functions by name."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self._by_name = {function.name: function for function in functions}
        self._by_spelling: dict[str, list[str]] = {}
        for name in self._by_name:
            self._by_spelling.setdefault(name.replace(".", "_"), []).append(name)

    @classmethod
    def read(cls, descriptions: Sequence[Mapping[str, Any]], names: Iterable[str] = ()) -> Self:
        """The functions of `descriptions`, and `names` that a reference calls besides."""
        described = [f for d in descriptions if (f := _function(d)) is not None]
        return cls([*(Function(name) for name in names), *described])

    def __contains__(self, name: str) -> bool:
        return self.known(name) in self._by_name

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    def get(self, name: str) -> Function:
        """The function `name`; one of which nothing is known where there is none."""
        return self._by_name.get(name, Function(name))

    def known(self, name: str) -> str:
        """The function that is called as `name`.

        Chat APIs allow no dots in names, so that `math_gcd` may call `math.gcd`, as in BFCL: where
        no function has that very name and no other one has that spelling.
        """
        spelled = self._by_spelling.get(name, [])
        return spelled[0] if name not in self._by_name and len(spelled) == 1 else name

    def named(self, call: Call) -> Call:
        """`call` with its function's own name and a name for every argument.

        Raises UnreadableCall where an argument without a name has no place, or has it twice.
        """
        name = self.known(call.name)
        if not call.positional:
            return Call(name, call.arguments)
        places = list(self.get(name).parameters)
        if len(call.positional) > len(places):
            raise UnreadableCall(f"{len(call.positional)} arguments without a name")
        arguments = dict(zip(places, call.positional, strict=False))
        if twice := arguments.keys() & call.arguments.keys():
            raise UnreadableCall(f"argument {min(twice)!r} is given twice")
        return Call(name, {**arguments, **call.arguments})


def _function(description: Mapping[str, Any]) -> Function | None:
    inner = description.get("function")
    if isinstance(inner, Mapping):
        description = inner
    name = description.get("name")
    if not isinstance(name, str):
        return None
    schema = next((s for k in _SCHEMA_KEYS if isinstance(s := description.get(k), Mapping)), {})
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, Mapping):
        # No JSON schema: the parameters themselves, each with its description.
        is_schema = schema.get("type") in ("object", "dict")
        properties, required = ({} if is_schema else schema), None
    return Function(
        name,
        # Rows that share one column type have nulls for the parameters of other rows.
        {
            str(name): schema if isinstance(schema, Mapping) else {}
            for name, schema in properties.items()
            if schema is not None
        },
        frozenset(map(str, required if isinstance(required, list) else [])),
    )
