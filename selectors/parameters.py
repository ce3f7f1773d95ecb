"""The typed parameters of selectors."""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import ValidationError

from winnow.pipeline.arguments import Arguments, first_error
from winnow.pipeline.errors import UsageError


class Parameters(Arguments):
    """Base of a selector's parameters: each field's `description` says what it means, with its unit
    and the default's source; `winnow selectors NAME` prints them."""

    @classmethod
    def read(cls, args: Mapping[str, Any]) -> Self:
        """The checked parameters, lists as tuples where a tuple is wanted. Raises UsageError."""
        try:
            return cls.model_validate_json(json.dumps(dict(args)))
        except ValidationError as error:
            known = ", ".join(cls.model_fields) or "none"
            raise UsageError(f"{first_error(error, 'parameters')} (parameters: {known})") from None
        except (TypeError, ValueError) as error:
            raise UsageError(f"parameters: {error}") from None


class NoParameters(Parameters):
    """This selector has no parameters."""
