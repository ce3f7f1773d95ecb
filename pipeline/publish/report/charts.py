"""How charts look here, and names in them that are names and no markup."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from winnow.pipeline.page import one_line

# Okabe and Ito's colours, which hold for colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255",
           "#999933")  # fmt: skip
ALL = "#B7BDC7"  # everything, behind what was chosen
INK, FAINT, GRID = "#22262E", "#5C636E", "#E4E6EA"
KEPT, DROPPED, PENDING = "#009E73", "#D55E00", "#56B4E9"  # green, orange, blue
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def literal(text: object, width: int = 48) -> str:
    """`text` on one line, for a label or a hover of plotly, which reads tags and entities there."""
    return escape(one_line(str(text), width), quote=False)


def colour(at: int) -> str:
    """The colour of the set number `at`, the same in every chart."""
    return COLOURS[at % len(COLOURS)]


def figure(
    traces: Sequence[Any],
    *,
    height: int,
    margin: Mapping[str, int] | None = None,
    axes: bool = True,
    **layout: Any,
) -> dict[str, Any]:
    """A figure as plain dictionaries. `layout`: plotly's, over the common look; `height` in pixels."""
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": True}
    common: dict[str, Any] = {
        "template": "none",
        "height": height,
        "autosize": True,
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 48, "r": 12, "t": 12, "b": 40, **(margin or {})},
        "hoverlabel": {
            "align": "left",
            "font": {"family": FONT, "size": 13, "color": INK},
            "bgcolor": "#ffffff",
            "bordercolor": FAINT,
        },
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    }
    if axes:
        common |= {name: {**axis, **layout.pop(name, {})} for name in ("xaxis", "yaxis")}
    plain: dict[str, Any] = go.Figure(data=list(traces), layout={**common, **layout}).to_dict()
    return plain


def ratio_axis(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with 1, 2 and 5 of each power of ten, written out."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**power for power in powers for m in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    if len(shown) > 8:
        shown = [10.0**power for power in powers if low <= 10.0**power <= high]
    labels = [f"{tick:,.10g}" for tick in shown]
    return {"type": "log", "tickmode": "array", "tickvals": shown, "ticktext": labels}


def names_axis(names: Sequence[object], width: int = 28) -> dict[str, Any]:
    """An axis with a name at 0, 1, 2 ...: two names that are alike when cut stay two."""
    labels = [literal(name, width) for name in names]
    return {
        "tickmode": "array",
        "tickvals": list(range(len(labels))),
        "ticktext": labels,
        "range": [-0.6, len(labels) - 0.4],
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
    }
