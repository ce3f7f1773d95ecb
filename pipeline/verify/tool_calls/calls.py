"""What the readers of the three syntaxes hand on."""

import math
from dataclasses import dataclass, field
from typing import Any

from winnow.pipeline.names import canonical_json

MAX_BITS = 4_096  # of a whole number that is written in digits


class UnreadableCall(ValueError):
    """The text is meant as a call, and is none."""


class Expression(str):
    """The source of an argument that is no literal: a variable, a lambda, another call.

    It is never evaluated; where a reference holds the same source as a string, it matches.
    """

    __slots__ = ()


@dataclass(frozen=True)
class Call:
    """One call. Values are JSON values (tuples are lists), strings perhaps an `Expression`.

    `positional` are arguments without a name, which `Functions.named` gives one.
    """

    name: str
    arguments: dict[str, Any]
    positional: tuple[Any, ...] = field(default=())


@dataclass(frozen=True)
class Reading:
    """What a completion calls. `answered` is False where it says nothing at all."""

    calls: tuple[Call, ...] = ()
    answered: bool = True

    @property
    def text(self) -> str:
        """The calls as canonical JSON, for the `extracted` column."""
        return canonical_json(
            [{"name": call.name, "arguments": _writable(call.arguments)} for call in self.calls]
        )


def _writable(value: Any) -> Any:
    """`value` as JSON can hold it: 1e999 reads as infinity, and a hexadecimal number can have more
    digits than Python converts."""
    if isinstance(value, dict):
        return {str(key): _writable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_writable(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return hex(value)
    return value
