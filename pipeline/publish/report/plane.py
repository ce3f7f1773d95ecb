"""The map: prompts on the plane of their embeddings, which sets kept them, and what a click shows.

`data` of the block is a table in columns, one entry per point, which `parts/map.js` reads:

    id, text, x, y, source, cluster, rate       what the point is; `source` numbers into `sources`
    sets      per set: its name, its `rules`, and `fate`, a number into them per point; -1 where the
              ledger has no decision
    rows      per point the whole row: messages, images, reference, answers with verdicts, decisions;
              null where the page has no room for it

A prompt's fate in a set of answers: `kept` where one of its answers was, else the rule that took most of
them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.page import one_line, visible
from winnow.pipeline.publish.report.blocks import Map, Note, Section
from winnow.pipeline.publish.report.page import embedded
from winnow.pipeline.publish.report.prompts import Prompts
from winnow.pipeline.publish.report.signals import SEED, Signals
from winnow.pipeline.publish.report.thumbnails import SIDE

TITLE = "Map of the prompts"
TEXT = 240  # characters of a prompt that hover and search see
LONG = 1_500  # of a message, an answer or a reference that a click shows
ROWS = 4_000  # whole rows that are read at most
ANSWERS = 16  # of a prompt that a click shows
KEPT = "kept"


@dataclass(frozen=True)
class Points:
    """The points of the map: `found` as they were drawn, `data` the columns of the page."""

    found: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]
    of: int  # prompts that there are

    def section(self, rows: Sequence[Any] = (), images: int = 0) -> Section:
        """The map with the whole rows of its first points, whose prompts show so many images."""
        padded = [*rows, *[None] * (len(self.found) - len(rows))]
        data = {**self.data, "rows": padded, "textLimit": TEXT, "longLimit": LONG}
        said = [Note(self._said(len(rows)))]
        if images:
            shown = sum(each is not None for row in rows for each in row.get("images", ()))
            said.append(
                Note(
                    f"Of {images:,} images that these prompts show, {shown:,} are on this page, scaled "
                    f"down to {SIDE} pixels at most."
                )
            )
        return Section(TITLE, [*said, Map(data, _CAPTION)])

    def _said(self, rows: int) -> str:
        shown = len(self.found)
        if shown == self.of:
            said = f"All {shown:,} prompts."
        else:
            kept = sum(row["kept"] for row in self.found)
            said = f"A sample of {shown:,} of {self.of:,} prompts, drawn with a fixed seed."
            if 0 < kept < shown:
                said += (
                    f" {kept:,} are prompts that a set uses and {shown - kept:,} that none does, up to "
                    "half of each: the shares on the map are not those of the data."
                )
        if rows < shown:
            said += f" Whole rows are on this page for {rows:,} of them."
        return f"{said} Hover and search see the first {TEXT} characters of a prompt."


def points(signals: Signals, prompts: Prompts, most: int) -> Points | Section:
    """At most `most` points; where there is nothing to draw, the section that says so."""
    if not (prompts.complete and signals.has("clusters")):
        why = "The stage table that holds the clusters is gone, so there is no map."
        return Section.empty(TITLE, why)
    if not most:
        return Section.empty(TITLE, "The page has no room for the map.")
    found = sample(signals, most)
    if not found:
        return Section.empty(TITLE, "No prompt was clustered.")
    return Points(found, columns(signals, found), prompts.n)


_CAPTION = (
    "First two principal components of the prompts' embeddings. Click a point to read the row; a click "
    "on the legend hides a group."
)


def sample(signals: Signals, most: int) -> list[dict[str, Any]]:
    """Prompts with a place on the plane: all where there are no more than `most`, else as many, up to
    half of them kept by some set. In an order that is random and always the same."""
    rows = signals.dicts(
        """
        SELECT * FROM (
            SELECT prompt_id, c.x, c.y, f.source, f.cluster, f.pass_rate,
                   prompt_id IN (SELECT prompt_id FROM kept) AS kept,
                   md5(concat(?::VARCHAR, prompt_id)) AS draw
            FROM clusters AS c JOIN facts AS f USING (prompt_id)
        ) QUALIFY row_number() OVER (PARTITION BY kept ORDER BY draw, prompt_id) <= ?
        ORDER BY draw, prompt_id
        """,
        SEED,
        most,
    )
    sides = {side: [row for row in rows if row["kept"] is side] for side in (True, False)}
    half = most // 2
    room = {side: max(half, most - len(sides[not side])) for side in sides}
    chosen = {row["prompt_id"] for side, of in sides.items() for row in of[: room[side]]}
    return [row for row in rows if row["prompt_id"] in chosen]


def columns(signals: Signals, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The points in columns; every text visible and short."""
    ids = [row["prompt_id"] for row in found]
    signals.db.execute("CREATE OR REPLACE TEMP TABLE shown (prompt_id VARCHAR)")
    signals.db.execute("INSERT INTO shown SELECT unnest(?::VARCHAR[])", [ids])
    texts = dict(
        signals.rows(
            f"SELECT prompt_id, min(left(messages[-1].content, {4 * TEXT})) FROM prompts "
            "SEMI JOIN shown USING (prompt_id) GROUP BY prompt_id"
        )
    )
    sources = sorted({str(row["source"]) for row in found})
    number = {name: at for at, name in enumerate(sources)}
    return {
        "id": ids,
        "text": [one_line(texts.get(each) or "", TEXT) for each in ids],
        "x": [round(row["x"], 5) for row in found],
        "y": [round(row["y"], 5) for row in found],
        "sources": [one_line(name, 80) for name in sources],
        "source": [number[str(row["source"])] for row in found],
        "cluster": [row["cluster"] for row in found],
        "rate": [None if row["pass_rate"] is None else round(row["pass_rate"], 4) for row in found],
        "sets": _fates(signals, ids),
    }


def _keys(signals: Signals) -> str:
    """A query for the names of all rows that belong to the shown prompts: (row_id, prompt_id)."""
    parts = [
        "SELECT task_id AS row_id, prompt_id FROM prompts SEMI JOIN shown USING (prompt_id)",
        "SELECT prompt_id, prompt_id FROM shown",
    ]
    if signals.has("rollouts"):
        parts.append("SELECT rollout_id, prompt_id FROM rollouts SEMI JOIN shown USING (prompt_id)")
    return " UNION ALL ".join(parts)


def _fates(signals: Signals, ids: Sequence[str]) -> list[dict[str, Any]]:
    signals.db.execute(f"CREATE OR REPLACE TEMP TABLE keys AS {_keys(signals)}")
    rows = signals.rows(
        """
        SELECT stage, prompt_id, CASE WHEN decision = 'kept' THEN NULL ELSE rule END AS rule,
               count(*) AS n
        FROM ledger JOIN keys USING (row_id) WHERE starts_with(stage, 'training_set/')
        GROUP BY ALL ORDER BY rule NULLS FIRST, n DESC
        """
    )
    votes: dict[str, dict[str, dict[str | None, int]]] = defaultdict(lambda: defaultdict(dict))
    for stage, prompt, rule, n in rows:
        votes[stage][prompt][rule] = n
    found = []
    for each in signals.sets:
        fates = {prompt: _fate(rules) for prompt, rules in votes[each.stage].items()}
        rules = sorted({fate for fate in fates.values() if fate is not None})
        number: dict[str | None, int] = {None: 0} | {rule: at for at, rule in enumerate(rules, 1)}
        found.append(
            {
                "name": each.name,
                "rules": [KEPT, *(one_line(rule, 60) for rule in rules)],
                "fate": [number[fates[each]] if each in fates else -1 for each in ids],
            }
        )
    return found


def _fate(rules: Mapping[str | None, int]) -> str | None:
    """None for kept, else the rule with the most rows, of equal ones the first by name."""
    if None in rules:
        return None
    return min(rules, key=lambda rule: (-rules[rule], str(rule)))


def whole_rows(
    signals: Signals,
    ids: Sequence[str],
    room: int,
    images: Mapping[str, Sequence[str | None]] | None = None,
) -> list[dict[str, Any]]:
    """The whole rows of the first of these prompts with their `images`, until their JSON fills `room`
    bytes."""
    wanted = list(ids[:ROWS])
    signals.db.execute("CREATE OR REPLACE TEMP TABLE shown (prompt_id VARCHAR)")
    signals.db.execute("INSERT INTO shown SELECT unnest(?::VARCHAR[])", [wanted])
    tasks = _grouped(
        signals.dicts(
            "SELECT prompt_id, task_id, messages, answer, verifier, source_index, domain, licence "
            "FROM prompts SEMI JOIN shown USING (prompt_id) ORDER BY task_id"
        )
    )
    answers = _answers(signals)
    signals.db.execute(f"CREATE OR REPLACE TEMP TABLE keys AS {_keys(signals)}")
    decisions = _grouped(
        signals.dicts(
            "SELECT prompt_id, stage, decision, rule, value, threshold, detail, count(*) AS n "
            "FROM ledger JOIN keys USING (row_id) GROUP BY ALL "
            "ORDER BY stage, n DESC, decision, rule, value, threshold, detail"
        )
    )
    found: list[dict[str, Any]] = []
    for each in wanted:
        row = _row(tasks[each], answers[each], decisions[each])
        if images and each in images:
            row["images"] = list(images[each])
        room -= len(embedded(row).encode()) + 1
        if room < 0:
            break
        found.append(row)
    return found


def _answers(signals: Signals) -> dict[str, list[dict[str, Any]]]:
    if not signals.has("rollouts"):
        return defaultdict(list)
    signals.progress.note("report: reading answers for the map")
    signals.db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE drawn AS
        SELECT prompt_id, rollout_id, index, n_tokens AS tokens, finish_reason AS ended,
               left(coalesce(error, completion), {LONG + 1}) AS text
        FROM rollouts SEMI JOIN shown USING (prompt_id)
        QUALIFY row_number() OVER (PARTITION BY prompt_id ORDER BY index, rollout_id) <= {ANSWERS}
        """
    )
    verdicts, joined = "NULL AS verdicts", ""
    if signals.has("verdicts"):
        verdicts = "verdicts"
        joined = """
            LEFT JOIN (
                SELECT rollout_id, list({'verdict': verdict, 'read': left(extracted, 200),
                       'why': left(detail, 200), 'by': verifier} ORDER BY verifier, task_id) AS verdicts
                FROM verdicts SEMI JOIN drawn USING (rollout_id) GROUP BY rollout_id
            ) USING (rollout_id)
        """
    return _grouped(
        signals.dicts(
            f"SELECT prompt_id, index, tokens, ended, text, {verdicts} FROM drawn {joined} "
            "ORDER BY prompt_id, index, rollout_id"
        )
    )


def _grouped(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row.pop("prompt_id")].append(row)
    return found


def _row(
    tasks: Sequence[Mapping[str, Any]],
    answers: Sequence[Mapping[str, Any]],
    decisions: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    first = tasks[0]
    return {
        "messages": [[shown(m["role"]), shown(m["content"])] for m in first["messages"]],
        "tasks": [
            {"id": task["task_id"], "reference": shown(task["answer"]),
             "verifier": shown(task["verifier"])}
            for task in tasks
        ],
        "facts": {
            "source row": first["source_index"],
            "domain": shown(first["domain"]),
            "licence": shown(first["licence"]),
        },
        "answers": [
            {
                **answer,
                "text": shown(answer["text"]),
                "verdicts": [
                    {key: shown(value) for key, value in verdict.items()}
                    for verdict in answer["verdicts"] or ()
                ],
            }
            for answer in answers
        ],
        "decisions": [
            {key: value if key == "n" else shown(value) for key, value in decision.items()}
            for decision in decisions
        ],
    }  # fmt: skip


def shown(text: str | None) -> str | None:
    """A text as the page holds it: visible, tabs as spaces, cut at `LONG` characters."""
    if text is None:
        return None
    cut = text if len(text) <= LONG else f"{text[:LONG]}…"
    return visible(cut.expandtabs(4).replace("\r\n", "\n"))
