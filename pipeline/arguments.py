"""The arguments that a verifier or a selector takes: checked, and documented by the models that
check them.
"""

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticUndefined


class BadArguments(Exception):
    """`verifier_args` is not what the verifier takes. The message names the key and the problem."""


class Arguments(BaseModel):
    """Base of what a verifier or a selector takes. Each field's `description` says what it means,
    with its unit; `winnow verifiers NAME` and `winnow selectors NAME` print them. An unknown key is
    an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, args: Mapping[str, Any]) -> Self:
        """The checked arguments. Raises BadArguments, which leaves a row unjudged."""
        try:
            return cls.model_validate(dict(args))
        except ValidationError as error:
            raise BadArguments(first_error(error, "verifier_args")) from None


class NoArguments(Arguments):
    """This verifier takes no arguments."""


def first_error(error: ValidationError, whole: str) -> str:
    """The first problem in words: its key (`whole` where it is no single one's) and what is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or whole
    return f"{key}: {first['msg']}"


def describe(arguments: type[BaseModel]) -> tuple[tuple[str, str, str, str], ...]:
    """(name, type, default, meaning) of every argument."""
    return tuple(_describe(name, field) for name, field in arguments.model_fields.items())


def _describe(name: str, field: Any) -> tuple[str, str, str, str]:
    if field.default is not PydanticUndefined:
        default = repr(field.default)
    elif field.default_factory is not None:
        default = repr(field.default_factory())
    else:
        default = "required"
    return name, _type(field.annotation), default, field.description or ""


def _type(annotation: Any) -> str:
    if isinstance(annotation, type) and not getattr(annotation, "__args__", None):
        return annotation.__name__
    # Without the modules that classes are from.
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(annotation)).replace("NoneType", "None")
