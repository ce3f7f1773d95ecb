"""The arguments that a verifier takes: checked, and documented by the models that check them."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError


class BadArguments(Exception):
    """`verifier_args` is not what the verifier takes. The message names the key and the problem."""


class Arguments(BaseModel):
    """Base of a verifier's arguments. Each field's `description` says what it means, with its unit;
    `winnow verifiers NAME` prints them. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, args: Mapping[str, Any]) -> Self:
        """The checked arguments. Raises BadArguments, which leaves a row unjudged."""
        try:
            return cls.model_validate(dict(args))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "verifier_args"
            raise BadArguments(f"{key}: {first['msg']}") from None


class NoArguments(Arguments):
    """This verifier takes no arguments."""
