"""What the runs that led to the version spent: seconds, tokens and money per stage, from run.json."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from winnow.pipeline.progress import figure as in_words
from winnow.pipeline.publish.manifest import stage_order
from winnow.pipeline.publish.report.blocks import Block, Chart, Note, Rows, Section
from winnow.pipeline.publish.report.charts import figure, names_axis
from winnow.pipeline.publish.report.signals import Signals

TITLE = "Tokens, time and cost"
_TOKENS = "tokens_drawn"


def section(signals: Signals) -> Section:
    costs = _costs(signals.run)
    if not costs:
        why = "run.json holds no costs: every stage was up to date, or the file did not come along."
        return Section.empty(TITLE, why)
    head = ("stage", "seconds", "tokens drawn", "tokens read", "cost", "more")
    rows = [
        (stage, _round(cost.get("seconds")), _whole(cost.get(_TOKENS)), _whole(cost.get("tokens_read")),
         _round(cost.get("cost")), _more(cost))
        for stage, cost in costs.items()
    ]  # fmt: skip
    total = sum(cost.get("seconds", 0.0) for cost in costs.values())
    said = (
        f"{total:,.0f} seconds in the stages that had something to do since the version before, over all "
        "runs; what was up to date took none. Cost is in the unit of the recipe's price."
    )
    blocks: list[Block] = [Note(said), _bars(costs), Rows.filled(head, rows)]
    return Section(TITLE, blocks)


def _costs(run: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Numbers by stage, in running order; whatever else the file holds is left aside."""
    given = run.get("costs")
    if not isinstance(given, Mapping):
        return {}
    found = {
        str(stage): {str(k): float(v) for k, v in cost.items() if isinstance(v, int | float)}
        for stage, cost in given.items()
        if isinstance(cost, Mapping)
    }
    return {stage: found[stage] for stage in sorted(found, key=stage_order) if found[stage]}


def _bars(costs: Mapping[str, Mapping[str, float]]) -> Chart:
    stages = [stage for stage, cost in costs.items() if "seconds" in cost][::-1]  # the first on top
    seconds = [costs[stage]["seconds"] for stage in stages]
    bar = go.Bar(
        x=seconds,
        y=list(range(len(stages))),
        orientation="h",
        marker={"color": "#0072B2"},
        width=0.6,
        text=[f"{value:,.1f} s" for value in seconds],
        textposition="outside",
        cliponaxis=False,
        hoverinfo="skip",
    )
    plot = figure(
        [bar], height=70 + 28 * max(len(stages), 1), yaxis=names_axis(stages),
        xaxis={"title": {"text": "seconds"}, "rangemode": "tozero"},
    )  # fmt: skip
    return Chart(plot, "Seconds per stage.")


def _more(cost: Mapping[str, float]) -> str:
    told = ("seconds", _TOKENS, "tokens_read", "cost")
    return ", ".join(in_words(name, value) for name, value in cost.items() if name not in told)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
