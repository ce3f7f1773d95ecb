"""What each set preferred: the prompts that it uses against all of them, trait by trait."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from winnow.pipeline.page import one_line
from winnow.pipeline.publish.report.blocks import Block, Chart, Grid, Note, Section
from winnow.pipeline.publish.report.charts import ALL, colour, figure, literal, names_axis
from winnow.pipeline.publish.report.distributions import overlaid
from winnow.pipeline.publish.report.prompts import Prompts
from winnow.pipeline.publish.report.signals import Signals

TITLE = "What each set preferred"
VALUES = 10  # of a named trait, the most frequent ones
OTHERS = "others"
_SETS = 12


def section(signals: Signals, prompts: Prompts) -> Section:
    if not prompts.n:
        return Section.empty(TITLE, "The sets' rows do not name their prompts.")
    blocks: list[Block] = [
        Note(
            f"Shares of each set's prompts (colour) beside those of {prompts.whose} (grey): where colour "
            "is longer, the set prefers it. A prompt counts once, however many rows a set has of it."
        )
    ]
    for at, each in enumerate(signals.sets[:_SETS]):
        if not signals.count(f"kept WHERE number = {at}"):
            blocks.append(Note(f"{each.name}: holds no prompt."))
            continue
        charts, said = [], []
        for trait in ("source", "domain", "cluster"):
            if made := _named(signals, at, trait):
                charts.append(made[0])
                said.append(made[1])
        unit = prompts.length_unit
        for trait, title, bounds in (
            ("length", f"prompt length in {unit}", None),
            ("pass_rate", "pass rate", (0.0, 1.0)),
        ):
            if chart := _numeric(signals, at, trait, title, bounds):
                charts.append(chart)
        blocks.append(Grid(each.name, charts, " ".join(filter(None, said))))
    if len(signals.sets) > _SETS:
        blocks.append(Note(f"The first {_SETS} of {len(signals.sets):,} sets are shown."))
    return Section(TITLE, blocks)


def _named(signals: Signals, at: int, trait: str) -> tuple[Chart, str] | None:
    """A bar per value of a trait; None where the trait has fewer than two values."""
    everything = _counts(signals, f"SELECT {trait} AS v FROM facts")
    if len(everything) < 2:
        return None
    own = _counts(
        signals, f"SELECT {trait} AS v FROM facts JOIN kept USING (prompt_id) WHERE number = {at}"
    )
    shown = list(everything)[:VALUES]
    total, ours = sum(everything.values()), sum(own.values())
    before = {value: everything[value] / total for value in shown}
    after = {value: own.get(value, 0) / max(ours, 1) for value in shown}
    if len(everything) > len(shown):
        before[OTHERS] = 1 - sum(before.values())
        after[OTHERS] = 1 - sum(after.values()) if ours else 0.0
    names = list(before)[::-1]  # the first on top
    places = list(range(len(names)))
    traces = [
        _bars([before[name] for name in names], places, "all", ALL),
        _bars([after[name] for name in names], places, signals.sets[at].name, colour(at)),
    ]
    plot = figure(
        traces,
        height=76 + 30 * len(names),
        barmode="overlay",
        xaxis={"tickformat": ".0%", "rangemode": "tozero", "nticks": 5},
        yaxis=names_axis([_value_name(trait, name) for name in names], 22),
        showlegend=False,
    )
    caption = f"Share by {trait}: {signals.sets[at].name} against all prompts."
    return Chart(plot, caption, f"by {trait}"), _preference(trait, before, after)


def _bars(widths: list[float], places: list[int], name: str, fill: str) -> Any:
    """All wide and behind, a set's own narrow and in front."""
    return go.Bar(
        x=widths,
        y=places,
        orientation="h",
        width=0.8 if fill == ALL else 0.4,
        marker={"color": fill},
        hovertext=[f"{literal(name)}: {width:.1%}" for width in widths],
        hoverinfo="text",
    )


def _preference(trait: str, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """The value whose share grew most, in words; "" where none grew by two percentage points."""
    gain, value = max(((after[v] - before[v], v) for v in before if v != OTHERS), default=(0.0, ""))
    if gain < 0.02:
        return ""
    name = one_line(_value_name(trait, value), 40)
    return f"Prefers {trait} {name}: {after[value]:.0%} against {before[value]:.0%}."


def _value_name(trait: str, value: str) -> str:
    return value if trait != "cluster" or value in (OTHERS, "none") else f"no. {value}"


def _counts(signals: Signals, query: str) -> dict[str, int]:
    """How often each value stands in column `v` of a query, the most frequent first."""
    rows = signals.rows(
        f"SELECT coalesce(CAST(v AS VARCHAR), 'none') AS name, count(*) AS n FROM ({query}) "
        "GROUP BY name ORDER BY n DESC, name"
    )
    return {str(name): int(n) for name, n in rows}


def _numeric(
    signals: Signals, at: int, trait: str, title: str, bounds: tuple[float, float] | None
) -> Chart | None:
    """Two histograms in common bins; None where the trait is not known or the same throughout."""
    everything = signals.numbers(f"SELECT {trait} FROM facts")
    own = signals.numbers(
        f"SELECT {trait} FROM facts JOIN kept USING (prompt_id) WHERE number = {at}"
    )
    if len(np.unique(everything[np.isfinite(everything)])) < 2:
        return None
    plot = overlaid(signals, title, everything, "all", {at: own}, bounds, height=240, legend=False)
    caption = f"{title}: {signals.sets[at].name} against all prompts."
    return Chart(plot, caption, f"by {title}") if plot else None
