"""Pass rates and lengths, of everything before and of each set after: overlaid histograms.

The bins are counted over all rows, however many there are; only the counts go into the page.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from winnow.pipeline.histogram import bins
from winnow.pipeline.publish.report.blocks import Block, Chart, Note, Section
from winnow.pipeline.publish.report.charts import ALL, colour, figure, literal, ratio_axis
from winnow.pipeline.publish.report.prompts import Prompts
from winnow.pipeline.publish.report.signals import PublishedSet, Signals

TITLE = "Pass rates and lengths, before and after"
Values = NDArray[np.float64]
_DASHES = ("solid", "dash", "dot")


def section(signals: Signals, prompts: Prompts) -> Section:
    blocks: list[Block] = []
    for made in (
        _pass_rates(signals, prompts),
        _answers(signals),
        _prompt_lengths(signals, prompts),
    ):
        blocks += made
    if not blocks:
        return Section.empty(TITLE, "The version records neither pass rates nor lengths.")
    said = "Grey: everything before the choice; lines: what each set holds. Each adds up to 100 %."
    return Section(TITLE, [Note(said), *blocks])


def _pass_rates(signals: Signals, prompts: Prompts) -> list[Block]:
    after = {
        at: signals.numbers(f"SELECT pass_rate FROM {each.view}")
        for at, each in enumerate(signals.sets)
        if "pass_rate" in each.columns
    }
    if prompts.complete and signals.has("difficulty"):
        before = signals.numbers("SELECT pass_rate FROM facts")
        unjudged = int(np.isnan(before).sum())
        said = f"; {unjudged:,} prompts without a judged answer are left out" if unjudged else ""
        chart = overlaid(signals, "pass rate", before, "all prompts", after, bounds=(0.0, 1.0))
        return [_captioned(chart, f"Pass rates of all prompts and of each set's rows{said}.")]
    chart = overlaid(signals, "pass rate", None, "", after, bounds=(0.0, 1.0))
    bands = {str(each["band"]): int(each["tasks"]) for each in signals.manifest["pass_rates"]}
    blocks: list[Block] = []
    if sum(bands.values()):
        blocks.append(_bands(bands))
    if chart:
        blocks.append(_captioned(chart, "Pass rates of each set's rows."))
    return blocks


def _bands(bands: Mapping[str, int]) -> Chart:
    """What the manifest alone tells of the tasks before the choice."""
    total = sum(bands.values())
    trace = go.Bar(
        x=[literal(name) for name in bands],
        y=[count / total for count in bands.values()],
        marker={"color": ALL},
        hovertext=[f"{count:,} tasks" for count in bands.values()],
        hoverinfo="text",
    )
    plot = figure(
        [trace], height=260, xaxis={"type": "category", "title": {"text": "pass rate, all tasks"}},
        yaxis={"tickformat": ".0%"},
    )  # fmt: skip
    return Chart(plot, f"Pass rates of all {total:,} tasks, in the bands that the manifest keeps.")


def _answers(signals: Signals) -> list[Block]:
    if signals.has("rollouts"):
        before = signals.numbers("SELECT n_tokens FROM rollouts WHERE error IS NULL")
        after = {}
        for at, each in enumerate(signals.sets):
            if names := each.answer_names:
                query = f"FROM rollouts JOIN ({' UNION ALL '.join(names)}) USING (rollout_id)"
                after[at] = signals.numbers(f"SELECT n_tokens {query}")
        chart = overlaid(signals, "answer length in tokens", before, "all answers", after)
        return [_captioned(chart, "Lengths of all answers and of those in each set.")]
    after = {
        at: signals.numbers(f"SELECT {text} FROM {each.view}")
        for at, each in enumerate(signals.sets)
        if (text := _answer_characters(each))
    }
    chart = overlaid(signals, "answer length in characters", None, "", after)
    return [_captioned(chart, "Lengths of the answers in each set.")]


def _answer_characters(each: PublishedSet) -> str | None:
    if "chosen" in each.columns:
        return "length(chosen[-1].content)"
    if "rollout_id" in each.columns and "messages" in each.columns:
        return "length(messages[-1].content)"
    return "length(completion[-1].content)" if "completion" in each.columns else None


def _prompt_lengths(signals: Signals, prompts: Prompts) -> list[Block]:
    if prompts.length_unit is None:
        return []
    before = signals.numbers("SELECT length FROM facts")
    after = {
        at: signals.numbers(
            f"SELECT length FROM facts JOIN kept USING (prompt_id) WHERE number = {at}"
        )
        for at in range(len(signals.sets))
    }
    title = f"prompt length in {prompts.length_unit}"
    chart = overlaid(signals, title, before, "all prompts", after)
    return [_captioned(chart, "Lengths of all prompts and of those that each set uses.")]


def _captioned(chart: dict[str, Any] | None, caption: str) -> Any:
    return Chart(chart, caption) if chart else Note(f"{caption} There are none.")


def overlaid(
    signals: Signals,
    title: str,
    before: Values | None,
    name: str,
    after: Mapping[int, Values],
    bounds: tuple[float, float] | None = None,
    *,
    height: int = 300,
    legend: bool = True,
) -> dict[str, Any] | None:
    """One histogram of shares in common bins: bars for `before`, a line for each set of `after`, by the
    set's number. NaN is left out. None where there is no value at all."""
    groups = [values for values in (before, *after.values()) if values is not None]
    groups = [values[np.isfinite(values)] for values in groups]
    if not sum(len(values) for values in groups):
        return None
    edges, by_ratio = bins(np.concatenate(groups), bounds)
    traces: list[Any] = []
    if before is not None:
        traces.append(_area(edges, shares(before, edges), f"{name} ({_known(before):,})"))
    for at, values in after.items():
        label = f"{literal(signals.sets[at].name)} ({_known(values):,})"
        traces.append(_steps(edges, shares(values, edges), label, at, dashed=legend))
    axis: dict[str, Any] = {"title": {"text": title}}
    if by_ratio:
        axis |= ratio_axis(float(edges[0]), float(edges[-1]))
    return figure(
        traces,
        height=height,
        xaxis=axis,
        yaxis={"tickformat": ".0%", "rangemode": "tozero", "nticks": 6},
        margin={"t": 40 if legend else 12},
        showlegend=legend,
    )


def shares(values: Values, edges: Values) -> Values:
    """Share of the known values in each bin; values beyond the edges count in the outer bins."""
    known = values[np.isfinite(values)]
    counts = np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0]
    return np.asarray(counts / max(len(known), 1), dtype=np.float64)


def _known(values: Values) -> int:
    return int(np.isfinite(values).sum())


def _area(edges: Values, heights: Values, name: str) -> Any:
    """No bars: on a logarithmic axis a bar has no width of its own."""
    x, y = _outline(edges, heights)
    return go.Scatter(x=x, y=y, name=name, mode="lines", fill="tozeroy", line={"width": 0},
                      fillcolor=ALL, hoverinfo="skip")  # fmt: skip


def _steps(edges: Values, heights: Values, name: str, at: int, *, dashed: bool) -> Any:
    """Dashes, which differ, let sets that hold the same be seen."""
    x, y = _outline(edges, heights)
    span = [
        f"{a:.3g} to {b:.3g}: {h:.1%}" for a, b, h in zip(edges, edges[1:], heights, strict=False)
    ]
    text = [line for each in span for line in (each, each)]
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        mode="lines",
        line={
            "width": 2,
            "color": colour(at),
            "dash": _DASHES[at % len(_DASHES)] if dashed else "solid",
        },
        text=text,
        hoverinfo="text+name",
    )


def _outline(edges: Values, heights: Values) -> tuple[list[float], list[float]]:
    """The corners of the bins' tops, from left to right."""
    x = [float(edge) for pair in itertools.pairwise(edges) for edge in pair]
    y = [float(height) for height in heights for _ in range(2)]
    return x, y
