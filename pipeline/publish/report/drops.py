"""Some rows that each rule dropped, with what it saw and what it asked for."""

from collections.abc import Sequence
from typing import Any

from winnow.pipeline.page import one_line
from winnow.pipeline.publish.manifest import stage_order
from winnow.pipeline.publish.report.blocks import Block, Fold, Note, Rows, Section
from winnow.pipeline.publish.report.signals import SEED, Signals

TITLE = "What was dropped, rule by rule"
EXAMPLES = 4  # rows per rule
RULES = 60
_WIDTH = 220


def section(signals: Signals) -> Section:
    """One fold per stage and rule."""
    found = signals.dicts(
        f"""
        SELECT stage, decision, rule, count(*) AS n,
               arg_min({{'row_id': row_id, 'value': value, 'threshold': threshold, 'detail': detail}},
                       concat(md5(concat(?::VARCHAR, row_id)), row_id), {EXAMPLES}) AS examples
        FROM ledger WHERE decision <> 'kept' GROUP BY stage, decision, rule
        """,
        SEED,
    )
    if not found:
        return Section.empty(TITLE, "Nothing was dropped.")
    found.sort(key=lambda each: (*stage_order(each["stage"]), -each["n"], each["rule"]))
    shown = found[:RULES]
    texts = _texts(signals, [row["row_id"] for each in shown for row in each["examples"]])
    blocks: list[Block] = [Note(_said(signals, len(found)))]
    for each in shown:
        rows = [
            (row["row_id"][:12], row["value"], row["threshold"], row["detail"],
             texts.get(row["row_id"]))
            for row in each["examples"]
        ]  # fmt: skip
        title = f"{each['stage']}: {each['rule']}, {each['n']:,} {each['decision']}"
        blocks.append(Fold(title, [_table(rows)], opened=len(blocks) == 1))
    return Section(TITLE, blocks)


def _said(signals: Signals, rules: int) -> str:
    said = f"Up to {EXAMPLES} rows of each, drawn with a fixed seed; texts are cut at {_WIDTH} characters."
    if rules > RULES:
        said += f" The first {RULES} of {rules:,} rules."
    if not signals.has("prompts"):
        said += " The texts went with the stage tables."
    return f"{said} `winnow why` followed by a row's name tells the rest of its story."


def _table(rows: Sequence[tuple[Any, ...]]) -> Rows:
    cells = [[_cut(value) for value in row] for row in rows]
    return Rows.filled(("row", "value", "asked for", "detail", "text"), cells)


def _cut(value: object) -> str | None:
    return None if value is None else one_line(str(value), _WIDTH)


def _texts(signals: Signals, names: list[str]) -> dict[str, str]:
    """The prompt of a task, or the answer of a rollout."""
    found: dict[str, str] = {}
    for stage, key, text in (
        ("prompts", "task_id", "messages[-1].content"),
        ("rollouts", "rollout_id", "coalesce(error, completion)"),
    ):
        if signals.has(stage):
            found |= dict(
                signals.rows(
                    f"SELECT {key}, left({text}, {4 * _WIDTH}) FROM {stage} "
                    f"WHERE {key} IN (SELECT unnest(?::VARCHAR[]))",
                    names,
                )
            )
    return found
