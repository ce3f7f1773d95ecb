"""How values look on a page: texts, numbers and passages, escaped and made visible."""

import json
import re
from collections.abc import Sequence

from markupsafe import Markup, escape

from winnow.pipeline.page import one_line, visible

LONGEST = 200_000  # characters of one text on a page
_PASSAGE = 320


def body(text: object) -> Markup:
    """A text of any length as it is: line ends and tabs stay, other characters that one would not
    see are shown as escapes, set apart from text that only looks like one."""
    whole = "" if text is None else str(text)
    shown = whole[:LONGEST]
    if not shown.isprintable():
        runs = re.split(r"([^\x20-\x7e\n\t])", shown)
        made = Markup("").join(escape(run) if _harmless(run) else _mark(run) for run in runs)
    else:
        made = escape(shown)
    if len(whole) > LONGEST:
        made += Markup('<span class="ctl">… {} more characters</span>').format(
            f"{len(whole) - LONGEST:,}"
        )
    return made


def line(text: object, width: int = 160) -> str:
    """A text on one line, cut to `width` characters."""
    return "" if text is None else one_line(str(text), width)


def number(value: object) -> str:
    """A number, flag or text of a narrow column."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return line(value, 60)


def count(total: int, one: str, more: str | None = None) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{total:,} {one if total == 1 else more or one + 's'}"


def structure(value: object) -> str:
    """A nested value as JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=_outside_json)


def passage(text: str, marked: Sequence[str]) -> Markup:
    """Where a text holds the first of `marked`, with all of them marked."""
    wanted = [re.escape(each) for each in marked if each]
    pattern = re.compile("|".join(wanted) or r"(?!)", re.IGNORECASE)
    first = pattern.search(text)
    start = max(0, first.start() - _PASSAGE // 4) if first else 0
    cut = text[start : start + _PASSAGE]
    made, at = Markup("… " if start else ""), 0
    for hit in pattern.finditer(cut):
        made += _plain(cut[at : hit.start()])
        made += Markup("<mark>") + _plain(hit[0]) + Markup("</mark>")
        at = hit.end()
    made += _plain(cut[at:])
    return made + (" …" if start + _PASSAGE < len(text) else "")


def _plain(text: str) -> Markup:
    return escape(visible(re.sub(r"\s+", " ", text)))


def _harmless(run: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in run)


def _mark(run: str) -> Markup:
    return Markup('<span class="ctl">{}</span>').format(visible(run))


def _outside_json(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(bytes(value)):,} bytes)"
    return str(value)
