"""Text that nobody vouches for, in what Dagster's UI renders as markdown."""

import re
from collections.abc import Iterable, Sequence

from winnow.pipeline.publish import markdown

_WIDTH = 160  # characters of a text that a table shows


def plain(text: object, limit: int = 2000) -> str:
    """`text` on one line, shown as it is: no markup, no HTML, no link."""
    return _unlinked(markdown.inline(text, limit))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose texts are cut to 160 characters and shown as they are."""
    cells = [[_cell(value) for value in row] for row in rows]
    return _unlinked(markdown.table(head, cells)) if cells else "No rows."


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, str) and len(value) > _WIDTH:
        return value[: _WIDTH - 1] + "…"
    return value


def _unlinked(text: str) -> str:
    """The UI makes links of bare addresses after it has read the character references that
    `markdown.inline` writes for them, so an invisible space has to part them."""
    found = r"(?<=www)(?=&#46;)|(?<=&#58;)(?=//)|(?=&#64;)"
    return re.sub(found, "&#8203;", text, flags=re.IGNORECASE)
