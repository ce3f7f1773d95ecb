"""What a page is made of: sections of blocks, with nothing of how they look.

Strings are plain text throughout, whoever wrote them; the page escapes them. Strings inside a chart
are the exception: plotly reads a little markup there, so they go through `charts.literal`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Chart:
    """A plotly figure as JSON can hold it (`data`, `layout`), with what it shows in one sentence. A
    `wide` one is scrolled where the window is too narrow for its labels."""

    figure: Mapping[str, Any]
    caption: str
    title: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Grid:
    """Small charts side by side, as many in a row as the window has room for."""

    title: str
    charts: Sequence[Chart]
    text: str = ""


@dataclass(frozen=True)
class Rows:
    """A table. None is an empty cell; numbers stand right; `marked` names cells, as (row, column),
    that stand out."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    marked: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def filled(cls, head: Sequence[str], rows: Sequence[Sequence[object]]) -> "Rows":
        """The table without the columns that hold nothing."""
        empty = (None, "")
        used = [at for at in range(len(head)) if any(row[at] not in empty for row in rows)]
        return cls([head[at] for at in used], [[row[at] for at in used] for row in rows])


@dataclass(frozen=True)
class Code:
    """Text to copy, line for line."""

    text: str
    title: str = ""


@dataclass(frozen=True)
class Fold:
    """Blocks that open at a click."""

    title: str
    blocks: "Sequence[Block]"
    opened: bool = False


@dataclass(frozen=True)
class Map:
    """A plane of points that can be searched; `data` is what map.js reads, see `plane`."""

    data: Mapping[str, Any]
    caption: str


Block = Note | Chart | Grid | Rows | Code | Fold | Map


@dataclass(frozen=True)
class Section:
    """One heading, and what stands under it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)

    @classmethod
    def empty(cls, title: str, why: str) -> "Section":
        """A section that has nothing to show, and says so."""
        return cls(title, (Note(why),))
