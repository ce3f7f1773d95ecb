"""What a verifier says about itself, read from its code."""

import inspect
import sys
from dataclasses import dataclass

from winnow.pipeline.arguments import Arguments, NoArguments, describe
from winnow.pipeline.contracts import Verifier


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
        arguments=describe(arguments),
        needs_answer=getattr(verifier, "needs_answer", True),
        notes=tuple(notes()) if notes is not None else (),
    )
