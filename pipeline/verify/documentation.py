"""What a verifier says about itself, read from its code."""

import inspect
import sys
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticUndefined

from winnow.pipeline.contracts import Verifier
from winnow.pipeline.verify.arguments import Arguments, NoArguments


@dataclass(frozen=True)
class Documentation:
    """`arguments` are (name, type, default, meaning); `notes` what this machine adds."""

    summary: str
    text: str
    version: str
    arguments: tuple[tuple[str, str, str, str], ...]
    needs_answer: bool
    notes: tuple[str, ...] = ()


def document(verifier: Verifier) -> Documentation:
    """The documentation of `verifier`: its module's and class's docstrings and its `Arguments`.

    A verifier with a method `notes()` adds lines about this machine (the sandbox, say).
    """
    own = inspect.getdoc(type(verifier)) or ""
    module = inspect.getdoc(sys.modules[type(verifier).__module__]) or ""
    arguments: type[Arguments] = getattr(verifier, "Arguments", NoArguments)
    notes = getattr(verifier, "notes", None)
    return Documentation(
        summary=(own or module).partition("\n")[0],
        text=module or own,
        version=verifier.version,
        arguments=tuple(_argument(name, f) for name, f in arguments.model_fields.items()),
        needs_answer=getattr(verifier, "needs_answer", True),
        notes=tuple(notes()) if notes is not None else (),
    )


def _argument(name: str, field: Any) -> tuple[str, str, str, str]:
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
    return str(annotation).replace("typing.", "").replace("NoneType", "None")
