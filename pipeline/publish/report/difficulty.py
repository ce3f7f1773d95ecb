"""How hard the prompts are: pass rates by source, and by source and cluster."""

import plotly.graph_objects as go

from winnow.pipeline.page import one_line
from winnow.pipeline.publish.report.blocks import Block, Chart, Note, Section
from winnow.pipeline.publish.report.charts import figure, literal, names_axis
from winnow.pipeline.publish.report.prompts import Prompts
from winnow.pipeline.publish.report.signals import Signals

TITLE = "Difficulty"
SOURCES, CLUSTERS = 24, 40  # shown at most
_FIVE = "quantile_cont(pass_rate, [0.05, 0.25, 0.5, 0.75, 0.95])"


def section(signals: Signals, prompts: Prompts) -> Section:
    if not signals.count("facts WHERE pass_rate IS NOT NULL"):
        return Section.empty(TITLE, "No pass rate is recorded.")
    blocks: list[Block] = [Note(f"Pass rates of {prompts.whose}, by where they come from.")]
    blocks.append(_boxes(signals))
    if signals.count("facts WHERE cluster IS NOT NULL AND pass_rate IS NOT NULL"):
        blocks.append(_heat(signals))
    return Section(TITLE, blocks)


def _boxes(signals: Signals) -> Chart:
    """One box per source, the largest sources first."""
    rows = signals.rows(
        f"SELECT source, count(*) AS n, {_FIVE}, avg(pass_rate) FROM facts "
        "WHERE pass_rate IS NOT NULL GROUP BY source ORDER BY n DESC, source"
    )
    shown = rows[:SOURCES][::-1]  # the first on top
    fences = list(zip(*(five for _, _, five, _ in shown), strict=True))
    box = go.Box(
        y=list(range(len(shown))),
        lowerfence=list(fences[0]),
        q1=list(fences[1]),
        median=list(fences[2]),
        q3=list(fences[3]),
        upperfence=list(fences[4]),
        mean=[mean for *_, mean in shown],
        orientation="h",
        boxpoints=False,
        line={"color": "#0072B2", "width": 1.5},
        fillcolor="rgba(0,114,178,0.18)",
        hoverinfo="x",
        width=0.6,
    )
    names = [f"{one_line(str(source), 36)} ({n:,})" for source, n, *_ in shown]
    plot = figure(
        [box],
        height=90 + 30 * len(shown),
        yaxis=names_axis(names, 48),
        xaxis={"range": [-0.02, 1.02], "title": {"text": "pass rate"}},
        showlegend=False,
    )
    more = f" The {SOURCES} largest of {len(rows):,} sources." if len(rows) > SOURCES else ""
    said = "Boxes: quartiles and median, dashed: the mean; whiskers: 5 % and 95 % quantile."
    return Chart(plot, said + more, "By source")


def _heat(signals: Signals) -> Chart:
    """Mean pass rate by source and cluster."""
    sources = [
        row[0]
        for row in signals.rows(
            "SELECT source FROM facts GROUP BY source ORDER BY count(*) DESC, source"
        )
    ]
    clusters = [
        row[0]
        for row in signals.rows(
            "SELECT cluster FROM facts WHERE cluster IS NOT NULL GROUP BY cluster ORDER BY cluster"
        )
    ]
    central = _central(signals)
    rows = signals.rows(
        "SELECT source, cluster, count(*), avg(pass_rate) FROM facts "
        "WHERE pass_rate IS NOT NULL AND cluster < ? GROUP BY source, cluster",
        clusters[:CLUSTERS][-1] + 1,
    )
    cells = {(source, cluster): (n, rate) for source, cluster, n, rate in rows}
    ys, xs = sources[:SOURCES][::-1], clusters[:CLUSTERS]
    text: list[list[str]] = []
    rates: list[list[float | None]] = []
    for source in ys:
        found = [cells.get((source, cluster)) for cluster in xs]
        rates.append([cell[1] if cell else None for cell in found])
        text.append([_cell(source, c, cell, central) for c, cell in zip(xs, found, strict=True)])
    heat = go.Heatmap(
        x=list(range(len(xs))),
        y=list(range(len(ys))),
        z=rates,
        text=text,
        hoverinfo="text",
        hoverongaps=False,
        colorscale="Cividis",
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        colorbar={"title": {"text": "mean pass rate", "side": "right"}, "thickness": 12},
    )
    plot = figure(
        [heat],
        height=130 + 28 * len(ys),
        yaxis=names_axis(ys, 36),
        xaxis={**names_axis([str(c) for c in xs]), "title": {"text": "cluster, largest first"}},
    )
    return Chart(plot, _heat_caption(len(sources), len(clusters)), "By source and cluster")


def _cell(
    source: str, cluster: int, cell: tuple[int, float] | None, central: dict[int, str]
) -> str:
    if cell is None:
        return ""
    lines = [
        f"{literal(source)}, cluster {cluster}",
        f"{cell[0]:,} prompts, mean pass rate {cell[1]:.2f}",
    ]
    if cluster in central:
        lines.append(f"the cluster's centre: {literal(central[cluster], 90)}")
    return "<br>".join(lines)


def _central(signals: Signals) -> dict[int, str]:
    """The text of the prompt nearest to each cluster's centre."""
    if not signals.has("clusters", "prompts"):
        return {}
    rows = signals.rows(
        "SELECT cluster, messages[-1].content FROM prompts JOIN (SELECT cluster, "
        "arg_min(prompt_id, (centroid_distance, prompt_id)) AS prompt_id FROM clusters "
        f"WHERE cluster < {CLUSTERS} GROUP BY cluster) USING (prompt_id)"
    )
    return {cluster: str(text or "") for cluster, text in rows}


def _heat_caption(sources: int, clusters: int) -> str:
    parts = [
        f"the {most} largest of {there:,} {what}"
        for there, most, what in ((sources, SOURCES, "sources"), (clusters, CLUSTERS, "clusters"))
        if there > most
    ]
    said = (
        "Mean pass rate of a source's prompts in each cluster; a gap: nothing judged, or no prompt."
    )
    return f"{said} Shown: {' and '.join(parts)}." if parts else said
