"""Markdown from text that nobody vouches for.

Names, licences and reasons in a card come from sources and models. `inline` turns them into text
that no renderer reads as markup: no HTML, link, image, table border or mention.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

# Characters that can act as markup where they stand. As character references they never do.
_ACTIVE = re.compile(
    r"[#$&*<>@\[\\\]^`{|}~]"
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # emphasis
    r"|(?<=www)\.|:(?=/)"  # bare links
    r"|^[-+=]",  # lists, underlined headings
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^[0-9]+(?=[.)](?: |$))")


def inline(value: object, limit: int = 300) -> str:
    """`value` on one line, as text; what is longer than `limit` characters ends in an ellipsis.

    White space becomes single spaces; control, format (bidirectional) and surrogate characters go.
    """
    text = "".join(
        c for c in str(value) if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf", "Cs")
    )
    text = " ".join(text.split())
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    text = _ACTIVE.sub(lambda found: _reference(found[0]), text)
    return _LIST_NUMBER.sub(lambda found: _reference(found[0][0]) + found[0][1:], text)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A GitHub table; numbers are grouped by thousands and stand right, None is an empty cell."""
    body = [list(row) for row in rows]
    right = [
        bool(body) and all(isinstance(row[at], int) for row in body) for at in range(len(head))
    ]
    rule = ["---:" if is_right else "---" for is_right in right]
    lines = [[inline(name) for name in head], rule, *([_cell(v) for v in row] for row in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(text: str, language: str = "") -> str:
    """A code block that nothing in `text` can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _reference(character: str) -> str:
    return f"&#{ord(character)};"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else inline(value)
