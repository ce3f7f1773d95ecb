"""From sections to one HTML file that opens without a network and runs nothing but its own script.

The template escapes every string (jinja2's autoescape) after making it visible; data for the script
stands in JSON blocks in which `<`, `>` and `&` are escapes. The content security policy names the
hashes of the page's own style and script, so nothing else could run even if a text got through.
"""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from winnow.pipeline.page import content_policy, source, visible
from winnow.pipeline.publish.report.blocks import Block, Section

_PARTS = Path(__file__).with_name("parts")
_SCRIPTS = ("figures.js", "map.js")
# Plotly draws a heat map as an image in a data address, and empties style attributes.
_FOR_PLOTLY = (f"style-src-attr 'unsafe-hashes' {source('')}", "img-src data:")


@dataclass
class _Figures:
    """The page's charts in the order in which the template meets them."""

    all: list[Any] = field(default_factory=list)

    def add(self, figure: Any) -> int:
        self.all.append(figure)
        return len(self.all) - 1


def render(
    sections: Sequence[Section],
    *,
    title: str,
    overline: str = "",
    subtitle: str = "",
    head: Sequence[Block] = (),
) -> str:
    """The page. `overline` stands above the title, `subtitle` and `head` below it."""
    style, script = _part("page.css"), "".join(_part(name) for name in _SCRIPTS)
    plotly = _plotly()
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            overline=overline,
            subtitle=subtitle,
            head=head,
            sections=sections,
            figures=_Figures(),
            plotly_styles=_plotly_styles(),
            policy=content_policy([style, ""], [plotly, script], _FOR_PLOTLY),
            style=Markup(style),
            plotly=Markup(plotly),
            script=Markup(script),
        )
    )


def write(page: str, path: Path) -> None:
    """Write the page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            file.write(page.encode())
            file.flush()
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def embedded(data: Any) -> Markup:
    """JSON that can stand in a script element: `</script>` and `<!--` cannot occur in it."""
    text: Markup = htmlsafe_json_dumps(
        data, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return text


def _finalize(value: Any) -> Any:
    """Every string that the template writes out is made visible, then escaped."""
    return visible(value) if type(value) is str else value


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else (f"{value:,.0f}" if isinstance(value, float) else str(value))
    )


def _cell_class(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "text"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_PARTS),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {
        "cell": _cell,
        "cell_class": _cell_class,
        "data": embedded,
        "kind_of": lambda block: type(block).__name__,
    }
    return made


@cache
def _plotly() -> str:
    """plotly.js as the package carries it. A browser turns CR LF into LF before it hashes."""
    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


@cache
def _plotly_styles() -> list[str]:
    """Ids of the style elements that plotly.js makes where the page has none. The page has them, empty:
    rules that plotly then puts into them are allowed, another style element would not be."""
    own = re.findall(r'getElementById\("([0-9a-f]{32,})"\)', _plotly())
    return ["plotly.js-style-global", *sorted(set(own))]


@cache
def _part(name: str) -> str:
    return (_PARTS / name).read_text("utf-8")
