"""What the search for a verifier gives, and how it looks at the sample's rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.sources import rows
from winnow.pipeline.sources.rows import Drop

ENOUGH = 0.8  # share of the references that a verifier must read


@dataclass(frozen=True)
class Judged:
    """A verifier with all it needs. `why` says what the guess rests on, `beware` what the user should
    know besides; `prompt` are columns that the prompt needs beyond its own."""

    verifier: str
    why: str
    answer: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    prompt: tuple[str, ...] = ()
    beware: str = ""


def most(values: Sequence[Any], holds: Callable[[Any], bool]) -> bool:
    """Whether something holds of nearly all values, and there are some."""
    return bool(values) and sum(map(holds, values)) >= 0.9 * len(values)


def rows_with(look: Look, *names: str) -> list[Mapping[str, Any]]:
    """The sample's rows that have a value in each of these columns."""
    return [row for row in look.rows if all(row.get(name) not in (None, "", []) for name in names)]


def filled(row: Mapping[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """A row's arguments, of their columns; those that it lacks are left out."""
    return {
        name: rows.plain(row[column])
        for name, column in arguments.items()
        if row.get(column) is not None
    }


def asked(row: Mapping[str, Any], roles: Roles) -> str:
    """All that the prompt's columns say, for looking at."""
    return "\n".join(str(row.get(name) or "") for name in roles.prompt)


def references(look: Look, name: str) -> list[str]:
    """The references of a column, as verifiers get them."""
    found = [reference(row[name]) for row in rows_with(look, name)]
    return [text for text in found if text]


def reference(value: Any) -> str | None:
    """A value as a reference, None where it is neither text nor number."""
    try:
        return rows.answer(value, needed=False)
    except Drop:
        return None
