"""The funnel: what became of every source row on its way into each set, as Sankey diagrams.

Rows, prompts, answers and pairs are counted in different units, so a band's height is a share of the
source rows: where a prompt has n answers, each counts as one n-th of it. The labels count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import plotly.graph_objects as go

from winnow.pipeline.publish.report.blocks import Block, Chart, Note, Section
from winnow.pipeline.publish.report.charts import (
    ALL,
    DROPPED,
    FAINT,
    KEPT,
    PENDING,
    figure,
    literal,
)
from winnow.pipeline.publish.report.signals import PublishedSet, Signals
from winnow.pipeline.publish.set_schemas import OF_ANSWERS

TITLE = "The funnel"
INGESTION = "prompts"
_JUDGED = ("correct", "wrong", "unjudged")
_COLOURS = {"kept": KEPT, "dropped": DROPPED, "pending": PENDING}


@dataclass
class Flow:
    """One diagram as it grows: nodes, and links that carry a share of the source rows."""

    labels: list[str] = field(default_factory=list)
    colours: list[str] = field(default_factory=list)
    links: list[tuple[int, int, float, str]] = field(default_factory=list)

    def node(self, name: str, rows: int, colour: str = ALL) -> int:
        self.labels.append(f"{literal(name, 40)} {rows:,}")
        self.colours.append(colour)
        return len(self.labels) - 1

    def link(self, source: int, target: int, share: float, said: str) -> None:
        if share > 0:
            self.links.append((source, target, share, literal(said, 120)))

    def end(
        self, source: int, decision: str, rule: str, rows: int, share: float, unit: str
    ) -> None:
        """A link that ends: rows that `rule` took out."""
        target = self.node(rule, rows, _COLOURS.get(decision, FAINT))
        self.link(source, target, share, f"{rows:,} {unit} {decision} by {rule}")


def section(signals: Signals) -> Section:
    blocks: list[Block] = [
        Note(
            "Left to right, what became of the source rows on their way into each set. A band's height "
            "is a share of the source rows (of a prompt with n answers, each answer is one n-th); the "
            "labels count rows. Orange ends are what a rule dropped, blue ones may still change."
        )
    ]
    for each in signals.sets:
        flow = flow_into(signals, each)
        if flow.links:
            blocks.append(_chart(each.name, flow))
        else:
            blocks.append(Note(f"{each.name}: the ledger holds no decision about it."))
    if not signals.sets:
        return Section.empty(TITLE, "The version holds no set.")
    return Section(TITLE, blocks)


def flow_into(signals: Signals, each: PublishedSet) -> Flow:
    """The way of the source rows into one set."""
    flow = Flow()
    into = signals.decided(each.stage)
    came = sum(into.values())
    if not came:
        return flow
    at, share, known = _prompts(signals, flow)
    if each.type not in OF_ANSWERS:
        tasks = max(came, known)
        at = at if at is not None else flow.node("considered", came)
        _rest(flow, at, tasks - came, share / tasks, "tasks")
        _decisions(flow, {at: into}, share / tasks, each, "tasks")
        return flow
    answers = max(signals.counted("answers") or 0, came)
    scale = share / answers
    node = flow.node("answers", answers)
    if at is not None:
        flow.link(at, node, share, f"{answers:,} answers")
    _rest(flow, node, answers - came, scale, "answers")
    if not signals.has("verdicts"):
        _decisions(flow, {node: into}, scale, each, "answers")
        return flow
    judged: dict[int, Mapping[tuple[str, str], int]] = {}
    for verdict, decisions in _by_verdict(signals, each).items():
        rows = sum(decisions.values())
        target = flow.node(verdict, rows)
        flow.link(node, target, rows * scale, f"{rows:,} answers {verdict}")
        judged[target] = decisions
    _decisions(flow, judged, scale, each, "answers")
    return flow


def _prompts(signals: Signals, flow: Flow) -> tuple[int | None, float, int]:
    """(node of the prompts or None, the share of the source rows that they are, their number)."""
    ingested = signals.decided(INGESTION)
    total, kept = sum(ingested.values()), sum(n for (d, _), n in ingested.items() if d == "kept")
    if not kept:
        return None, 1.0, 0
    rows = flow.node("source rows", total)
    prompts = flow.node("prompts", kept)
    flow.link(rows, prompts, kept / total, f"{kept:,} of {total:,} source rows became prompts")
    for (decision, rule), n in ingested.items():
        if decision != "kept":
            flow.end(rows, decision, rule, n, n / total, "source rows")
    return prompts, kept / total, kept


def _rest(flow: Flow, node: int, rows: int, scale: float, unit: str) -> None:
    """What the set's ledger says nothing about, such as answers that are errors."""
    if rows:
        flow.end(node, "pending", "not considered", rows, rows * scale, unit)


def _decisions(
    flow: Flow,
    before: Mapping[int, Mapping[tuple[str, str], int]],
    scale: float,
    each: PublishedSet,
    unit: str,
) -> None:
    """From the nodes of `before`, by (decision, rule): ends for what went, the set and its splits."""
    ends: dict[tuple[str, str], int] = {}
    totals: dict[tuple[str, str], int] = {}
    for decisions in before.values():
        for key, rows in decisions.items():
            totals[key] = totals.get(key, 0) + rows
    kept = sum(rows for (decision, _), rows in totals.items() if decision == "kept")
    chosen = flow.node(each.name, kept, KEPT)
    for source, decisions in before.items():
        for (decision, rule), rows in decisions.items():
            said = f"{rows:,} {unit} {decision} by {rule}"
            if decision == "kept":
                flow.link(source, chosen, rows * scale, said)
                continue
            key = (decision, rule)
            if key not in ends:
                ends[key] = flow.node(rule, totals[key], _COLOURS.get(decision, FAINT))
            flow.link(source, ends[key], rows * scale, said)
    for split, rows in each.rows.items():
        if rows and kept:
            target = flow.node(split, rows, KEPT)
            flow.link(
                chosen, target, kept * scale * rows / each.n_rows, f"{rows:,} rows of {split}"
            )


def _by_verdict(signals: Signals, each: PublishedSet) -> dict[str, dict[tuple[str, str], int]]:
    """Rows of the ledger by verdict, then by (decision, rule). An answer that several references judge
    counts as correct if it is right for one."""
    found: dict[str, dict[tuple[str, str], int]] = {name: {} for name in _JUDGED}
    query = """
        SELECT coalesce(verdict, 'unjudged'), decision, rule, count(*) AS n
        FROM (SELECT * FROM ledger WHERE stage = ?)
        LEFT JOIN (SELECT rollout_id, min(verdict) AS verdict FROM verdicts GROUP BY rollout_id)
        ON row_id = rollout_id GROUP BY ALL ORDER BY n DESC, 1, 2, 3
    """
    for verdict, decision, rule, n in signals.rows(query, each.stage):
        found.setdefault(verdict, {})[decision, rule] = n
    return {name: decisions for name, decisions in found.items() if decisions}


def _chart(name: str, flow: Flow) -> Chart:
    sources, targets, shares, said = zip(*flow.links, strict=True)
    grey = {ALL: "rgba(183,189,199,0.45)", KEPT: "rgba(0,158,115,0.35)",
            DROPPED: "rgba(213,94,0,0.30)", PENDING: "rgba(86,180,233,0.35)"}  # fmt: skip
    trace = go.Sankey(
        arrangement="snap",
        node={
            "label": flow.labels,
            "color": flow.colours,
            "align": "left",
            "pad": 16,
            "thickness": 14,
            "line": {"width": 0},
            "hovertemplate": "%{label}<extra></extra>",
        },
        link={
            "source": list(sources),
            "target": list(targets),
            "value": list(shares),
            "customdata": list(said),
            "color": [grey.get(flow.colours[target], grey[ALL]) for target in targets],
            "hovertemplate": "%{customdata}<extra></extra>",
        },
    )
    ends = sum(not any(s == n for s, *_ in flow.links) for n in range(len(flow.labels)))
    height = 150 + 26 * max(ends, 4)
    margin = {"l": 4, "r": 4, "t": 8, "b": 8}
    return Chart(
        figure([trace], height=height, margin=margin, axes=False),
        f"The way of the source rows into the set {name}, with what each rule dropped.",
        name,
        wide=True,
    )
