"""What the pages say of a version's views, and which row of a set a view's row was made of."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.parts import ViewPart
from winnow.pipeline.publish.formats.base import ROW_ID


@dataclass(frozen=True)
class Listed:
    """A view on the first page: its splits, and whether its rows say where they come from."""

    name: str
    splits: tuple[ViewPart, ...]
    provenance: str

    @property
    def first(self) -> ViewPart:
        return self.splits[0]


def listed(catalogue: Catalogue) -> list[Listed]:
    """The views by name."""
    names = dict.fromkeys(part.set for part in catalogue.views)
    found = []
    for name in names:
        splits = tuple(part for part in catalogue.views if part.set == name)
        provenance = "none"
        if catalogue.manifest["views"][name].get("provenance", True):
            provenance = "in the file beside" if splits[0].beside else "in its rows"
        found.append(Listed(name, splits, provenance))
    return found


def row_made_of(row: Mapping[str, Any]) -> str | None:
    """Name of the set's row that a view's row was made of: its `winnow_id`, or that of a struct or of
    an object in JSON, where a format puts what it has no column for. None where it says none."""
    for value in (row, *_objects(row)):
        name = value.get(ROW_ID)
        if isinstance(name, str):
            return name
    return None


def _objects(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for value in row.values():
        if isinstance(value, str) and ROW_ID in value and value.startswith("{"):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                continue
        if isinstance(value, Mapping):
            yield value
