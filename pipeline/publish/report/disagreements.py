"""Answers that several verifiers judged differently, and references that the answers agree against."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from winnow.pipeline.page import one_line
from winnow.pipeline.publish.report.blocks import Block, Chart, Note, Rows, Section
from winnow.pipeline.publish.report.charts import DROPPED, KEPT, figure, names_axis
from winnow.pipeline.publish.report.signals import SEED, Signals

TITLE = "Verifiers and references in doubt"
EXAMPLES, SUSPECTS, VOTES_SHOWN = 12, 24, 16
_WIDTH = 140  # characters of a text in a table


def section(signals: Signals) -> Section:
    blocks = [*_between_verifiers(signals), *_in_ensembles(signals), *_suspects(signals)]
    return Section(TITLE, blocks)


def _between_verifiers(signals: Signals) -> list[Block]:
    if not signals.has("verdicts"):
        return [Note("The verdicts are gone, so nothing can be told of disagreements.")]
    none = Note("No answer was judged by more than one verifier.")
    if signals.rows("SELECT count(DISTINCT verifier) FROM verdicts")[0][0] < 2:
        return [none]  # without joining millions of verdicts with themselves
    pairs = signals.rows(
        """
        SELECT a.verifier, b.verifier, count(*) AS n, count(*) FILTER (a.verdict <> b.verdict) AS differ,
               count(*) FILTER (a.verdict = 'correct' AND b.verdict = 'wrong'),
               count(*) FILTER (a.verdict = 'wrong' AND b.verdict = 'correct'),
               count(*) FILTER ((a.verdict = 'unjudged') <> (b.verdict = 'unjudged'))
        FROM verdicts AS a JOIN verdicts AS b USING (rollout_id) WHERE a.verifier < b.verifier
        GROUP BY ALL ORDER BY differ DESC, n DESC, 1, 2 LIMIT 20
        """
    )
    if not pairs:
        return [none]
    head = ("first", "second", "answers that both judged", "they differ", "only the first accepts",
            "only the second accepts", "only one judges")  # fmt: skip
    blocks: list[Block] = [Rows(head, pairs, "Answers that two verifiers judged, pair by pair.")]
    rows = signals.rows(
        f"""
        SELECT rollout_id, list({{'by': verifier, 'verdict': verdict, 'read': extracted}}
               ORDER BY verifier, task_id) AS votes
        FROM verdicts GROUP BY rollout_id
        HAVING count(DISTINCT verifier) > 1 AND count(DISTINCT verdict) > 1
        ORDER BY md5(concat(?::VARCHAR, rollout_id)), rollout_id LIMIT {EXAMPLES}
        """,
        SEED,
    )
    if rows:
        texts = _answers(signals, [row[0] for row in rows])
        blocks.append(
            Rows(
                ("answer", "prompt", "text", "votes"),
                [(name[:12], *texts.get(name, ("", "")), _votes(votes)) for name, votes in rows],
                "Some of the answers that they differ about.",
            )
        )
    return blocks


def _votes(votes: list[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{vote['by']}: {vote['verdict']}"
        + (f" (read {one_line(vote['read'], 40)})" if vote["read"] else "")
        for vote in votes
    )


def _answers(signals: Signals, names: list[str]) -> dict[str, tuple[str, str]]:
    """(prompt, answer) by the answer's name, each on one line."""
    if not signals.has("rollouts", "prompts"):
        return {}
    rows = signals.rows(
        f"SELECT rollout_id, min(left(messages[-1].content, {_WIDTH + 1})), "
        f"min(left(completion, {_WIDTH + 1})) FROM rollouts JOIN prompts USING (prompt_id) "
        "WHERE rollout_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY rollout_id",
        names,
    )
    return {name: (one_line(a, _WIDTH), one_line(b, _WIDTH)) for name, a, b in rows}


def _in_ensembles(signals: Signals) -> list[Block]:
    """Members of an ensemble whose rewards differ, from the named rewards of its verdicts."""
    if not signals.has("verdicts"):
        return []
    rows = signals.rows(
        "SELECT parts, count(*) FROM verdicts WHERE starts_with(verifier, 'ensemble@') GROUP BY parts"
    )
    differ: Counter[str] = Counter()
    total = 0
    for parts, n in rows:
        total += n
        votes = {name: value for name, value in json.loads(parts).items() if "." not in name}
        if len(set(votes.values())) > 1:
            differ[", ".join(f"{name} {value:g}" for name, value in sorted(votes.items()))] += n
    if not total:
        return []
    said = f"Ensembles: in {differ.total():,} of {total:,} verdicts the members gave different rewards."
    blocks: list[Block] = [Note(said)]
    if differ:
        blocks.append(Rows(("the members' rewards", "verdicts"), differ.most_common(EXAMPLES)))
    return blocks


def _suspects(signals: Signals) -> list[Block]:
    if not signals.has("audit"):
        return [Note("The audit of the references is gone.")]
    rows = signals.dicts(
        f"""
        SELECT task_id, reference, majority_answer, n_majority, n_agree_reference, n_judged, reason,
               doubt, suspect
        FROM audit WHERE suspect OR doubt IS NOT NULL
        ORDER BY suspect DESC, share_low DESC, n_majority DESC, task_id LIMIT {SUSPECTS}
        """
    )
    found = signals.rows("SELECT count(*) FILTER (suspect), count(doubt), count(*) FROM audit")
    suspects, doubts, tasks = found[0]
    said = (
        f"Audit of the references: of {tasks:,} tasks, {suspects:,} have a suspect reference (the "
        f"answers agree, credibly, on another one) and {doubts:,} a reading that the verifier may miss."
    )
    if not rows:
        return [Note(said)]
    texts = _tasks(signals, [row["task_id"] for row in rows])
    shown = rows[:VOTES_SHOWN]
    table = Rows(
        ("task", "prompt", "reference", "answers say", "votes", "agree with the reference", "judged",
         "why"),
        [
            (row["task_id"][:12], texts.get(row["task_id"]), row["reference"], row["majority_answer"],
             row["n_majority"], row["n_agree_reference"], row["n_judged"],
             row["doubt"] or row["reason"])
            for row in rows
        ],
        "A suspect is a question, not a verdict: a policy can agree on a mistake.",
    )  # fmt: skip
    return [Note(said), _vote_bars(shown), table]


def _tasks(signals: Signals, names: list[str]) -> dict[str, str]:
    if not signals.has("prompts"):
        return {}
    rows = signals.rows(
        f"SELECT task_id, left(messages[-1].content, {_WIDTH + 1}) FROM prompts "
        "WHERE task_id IN (SELECT unnest(?::VARCHAR[]))",
        names,
    )
    return {name: one_line(text, _WIDTH) for name, text in rows}


def _vote_bars(rows: list[dict[str, Any]]) -> Chart:
    """Per task: answers for the majority, for the reference, and for neither."""
    rows = rows[::-1]  # the first on top
    places = list(range(len(rows)))
    counts = {
        "the answers' own answer": ([row["n_majority"] for row in rows], DROPPED),
        "the reference": ([row["n_agree_reference"] for row in rows], KEPT),
        "something else": (
            [
                max(row["n_judged"] - row["n_majority"] - row["n_agree_reference"], 0)
                for row in rows
            ],
            "#D5D8DE",
        ),
    }
    traces = [
        go.Bar(x=numbers, y=places, name=name, orientation="h", marker={"color": fill},
               hoverinfo="x+name")
        for name, (numbers, fill) in counts.items()
    ]  # fmt: skip
    names = [
        f"{one_line(str(row['reference'] or 'none'), 14)} / "
        f"{one_line(str(row['majority_answer'] or 'none'), 14)}"
        for row in rows
    ]
    plot = figure(
        traces,
        height=110 + 24 * len(rows),
        barmode="stack",
        margin={"t": 40},
        yaxis=names_axis(names, 34),
        xaxis={"title": {"text": "judged answers"}},
    )
    return Chart(plot, "How the answers voted: reference / what the answers say.", "Votes")
