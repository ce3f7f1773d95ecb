"""The page of a diff: what came, what went, why, which settings changed, and rows side by side."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import pyarrow.dataset as ds

from winnow.pipeline.page import visible
from winnow.pipeline.publish.diff import (
    Changes,
    Diff,
    KeyChange,
    RowChange,
    SetDiff,
    Unseen,
    Why,
    told,
)
from winnow.pipeline.publish.report.blocks import Block, Chart, Fold, Note, Rows, Section
from winnow.pipeline.publish.report.charts import DROPPED, KEPT, PENDING, figure, names_axis
from winnow.pipeline.publish.version import Version

LONG = 900  # characters of a cell
_KINDS = (("came", "added", KEPT), ("went", "removed", DROPPED), ("changed", "changed", PENDING))
Row = Mapping[str, Any]


def sections(found: Diff) -> list[Section]:
    """Settings first, then each set: counts with reasons, and the rows that `diff` listed."""
    return [_settings(found), *(_set(found, each) for each in found.sets)]


def _settings(found: Diff) -> Section:
    blocks: list[Block] = []
    for title, changes in (("Recipe", found.recipe), ("Made with", found.made_with)):
        if changes:
            blocks.append(_key_changes(title, changes))
    return Section("What was changed", blocks or [Note("No setting differs, and nothing else.")])


def _key_changes(title: str, changes: Sequence[KeyChange]) -> Rows:
    rows = [(change.key, _cell(change.before), _cell(change.after)) for change in changes]
    return Rows((title, "before", "after"), rows)


def _set(found: Diff, each: SetDiff) -> Section:
    said = f"{each.rows_before:,} rows before, {each.rows_after:,} after."
    if each.same:
        return Section(each.name, [Note(f"{said} The same rows.")])
    blocks: list[Block] = [Note(said), _reasons(each)]
    if each.columns:
        blocks.append(_key_changes("Column", each.columns))
    for title, kind, _ in _KINDS:
        changes: Changes = getattr(each, kind)
        blocks += _rows(found, each.name, title, changes)
    return Section(each.name, blocks)


def _reasons(each: SetDiff) -> Chart:
    """Rows that came, went and changed, by the rule that the ledger names."""
    names: dict[Why, None] = {}
    for _, kind, _ in _KINDS:
        names |= dict.fromkeys(getattr(each, kind).why)
    rules = sorted(names, key=lambda why: (isinstance(why, tuple), told(why)), reverse=True)
    traces = []
    for title, kind, colour in _KINDS:
        changes: Changes = getattr(each, kind)
        counts = [changes.why.get(rule, 0) for rule in rules]
        if changes.count:
            traces.append(
                go.Bar(
                    x=counts,
                    y=list(range(len(rules))),
                    orientation="h",
                    name=f"{title} {changes.count:,}",
                    marker={"color": colour},
                    text=[f"{count:,}" if count else "" for count in counts],
                    textposition="auto",
                    hoverinfo="skip",
                )
            )
    labels = [told(rule) for rule in rules]
    plot = figure(
        traces,
        height=110 + 20 * max(len(rules), 1) * max(len(traces), 1),
        margin={"t": 40},
        showlegend=True,
        yaxis=names_axis(labels, 48),
        xaxis={"title": {"text": "rows"}, "rangemode": "tozero"},
    )
    said = (
        "Came: the rule that had kept the row out before. Went: the rule that keeps it out now. "
        "Changed: what the set now says of it. B is the version after."
    )
    return Chart(plot, said, "Why")


def _rows(found: Diff, name: str, title: str, changes: Changes) -> list[Block]:
    if not changes.rows:
        return []
    ids = [row.id for row in changes.rows]
    before, after = values(found.before, name, ids), values(found.after, name, ids)
    blocks: list[Block] = [
        Fold(_row_title(row), [_side_by_side(row, before.get(row.id), after.get(row.id))])
        for row in changes.rows
    ]
    listed = f", the first {len(ids):,}" if len(ids) < changes.count else ""
    return [Fold(f"{changes.count:,} rows {title}{listed}", blocks, opened=changes.count <= 3)]


def _row_title(row: RowChange) -> str:
    said = row.id
    if row.before and row.after and row.before != row.after:
        said += f", {row.before} to {row.after}"
    if isinstance(row.reason, Unseen):
        said += f": {row.reason}"
    elif row.reason:
        r = row.reason
        said += f": {r.decision} by {r.rule}" + (f", {_short(r.value)}" if r.value else "")
        said += f" (asked for: {_short(r.threshold)})" if r.threshold else ""
    return said


def _side_by_side(row: RowChange, before: Row | None, after: Row | None) -> Rows:
    """Column by column; the columns that differ stand first and are marked."""
    columns = list(dict.fromkeys([*row.columns, *(after or {}), *(before or {})]))
    sides = [("before", before), ("after", after)]
    shown = [(side, values) for side, values in sides if values is not None]
    cells = [[column, *(_cell(values.get(column)) for _, values in shown)] for column in columns]
    marked = {
        (at, 1 + side)
        for at, column in enumerate(columns)
        if column in row.columns
        for side in range(len(shown))
    }
    return Rows(("column", *(side for side, _ in shown)), cells, marked=frozenset(marked))


def values(version: Version, name: str, ids: Sequence[str]) -> dict[str, Row]:
    """The rows of a set by their ids, whichever split they stand in."""
    entry = version.manifest()["sets"].get(name)
    found: dict[str, Row] = {}
    for split in entry["splits"] if entry else ():
        table = ds.dataset(version.table_path(name, split), format="parquet")
        rows = table.to_table(filter=ds.field("id").isin(list(ids))).to_pylist()
        found |= {row["id"]: row for row in rows}
    return found


def _cell(value: Any) -> str | None:
    """A value as text: conversations as lines, other nested values as JSON; None stays."""
    if value is None:
        return None
    if isinstance(value, list) and value and all(_is_message(each) for each in value):
        text = "\n".join(map(_said, value))
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return visible(text[:LONG].expandtabs(4)) + ("…" if len(text) > LONG else "")


def _said(message: Mapping[str, Any]) -> str:
    """A message as one line or more; what it holds beside its text, such as calls, is JSON."""
    beside = {key: each for key, each in message.items() if key not in ("role", "content") and each}
    more = [json.dumps(beside, ensure_ascii=False, default=str)] if beside else []
    said = [message["content"]] if message["content"] is not None else []
    return f"{message['role']}: {' '.join([*said, *more])}"


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and {"role", "content"} <= set(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
