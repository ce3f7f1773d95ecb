"""Small tables of a stage's rows, for people.

Texts come from sources and models: whatever they hold, they are shown as text (`markup`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from winnow.assets.markup import plain, table
from winnow.pipeline.publish.manifest import TRAINING_SET
from winnow.pipeline.publish.version import Version
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.workspace import Workspace

ROWS = 8


def prompts(work: Workspace) -> str:
    """The first rows, and what dropped the others."""
    rows = head(
        work.table_path("prompts"), ROWS, ["source", "domain", "messages", "answer", "n_tokens"]
    )
    shown = table(
        ("source", "domain", "prompt", "reference", "tokens"),
        ((r["source"], r["domain"], _asked(r), r["answer"], r["n_tokens"]) for r in rows),
    )
    drops = _counted(work, "prompts_ledger")
    return f"{shown}\n\nDropped at ingestion:\n\n{drops}" if drops else shown


def rollouts(work: Workspace) -> str:
    rows = head(work.table_path("rollouts"), ROWS, ["prompt_id", "index", "finish_reason", "n_tokens",
                                     "completion", "error"])  # fmt: skip
    return table(
        ("prompt", "answer", "ended by", "tokens", "text"),
        (
            (r["prompt_id"][:8], r["index"], r["finish_reason"], r["n_tokens"],
             r["error"] or r["completion"])
            for r in rows
        ),
    )  # fmt: skip


def verdicts(work: Workspace) -> str:
    """Some of each kind of verdict."""
    import pyarrow.compute as pc

    columns = ["rollout_id", "verdict", "reward", "extracted", "detail", "verifier"]
    found = work.read("verdicts", columns)
    rows = [
        row
        for verdict in ("correct", "wrong", "unjudged")
        for row in found.filter(pc.field("verdict") == verdict).slice(0, 3).to_pylist()
    ]
    return table(
        ("answer", "verdict", "reward", "read as", "why", "verifier"),
        ((r["rollout_id"][:8], *(r[name] for name in columns[1:])) for r in rows),
    )


def audit(work: Workspace) -> str:
    """Suspect references, the most agreed on first."""
    columns = ["task_id", "reference", "majority_answer", "n_majority", "n_judged", "reason"]
    found = work.read("audit", [*columns, "suspect"])
    rows = found.filter(found["suspect"]).sort_by([("n_majority", "descending"),
                                                   ("task_id", "ascending")])  # fmt: skip
    return table(
        ("task", "reference", "answers agree on", "votes", "judged", "why"),
        (
            (r["task_id"][:8], *(r[name] for name in columns[1:]))
            for r in rows.slice(0, ROWS).to_pylist()
        ),
    )


def difficulty(work: Workspace) -> str:
    """Tasks between hopeless and solved first, those nearest to one half on top."""
    columns = ["task_id", "pass_rate", "n_correct", "n_wrong", "n_unjudged", "interval_low",
               "interval_high"]  # fmt: skip
    rows = work.read("difficulty", columns).to_pylist()
    rows.sort(key=lambda r: (9.0 if r["pass_rate"] is None else abs(r["pass_rate"] - 0.5),
                             r["task_id"]))  # fmt: skip
    asked = _texts(work, "task_id", [r["task_id"] for r in rows[:ROWS]])
    return table(
        ("pass rate", "right", "wrong", "unjudged", "90 % interval", "task"),
        (
            (r["pass_rate"], r["n_correct"], r["n_wrong"], r["n_unjudged"],
             f"{r['interval_low']:.2f} to {r['interval_high']:.2f}", asked.get(r["task_id"]))
            for r in rows[:ROWS]
        ),
    )  # fmt: skip


def clusters(work: Workspace) -> str:
    """The largest clusters, each with the prompt nearest to its centroid."""
    rows = work.read("clusters", ["prompt_id", "cluster", "centroid_distance"]).to_pylist()
    nearest: dict[int, dict[str, Any]] = {}
    sizes: dict[int, int] = {}
    for row in rows:
        number = row["cluster"]
        sizes[number] = sizes.get(number, 0) + 1
        best = nearest.setdefault(number, row)
        if row["centroid_distance"] < best["centroid_distance"]:
            nearest[number] = row
    largest = sorted(sizes, key=lambda number: (-sizes[number], number))[: 2 * ROWS]
    asked = _texts(work, "prompt_id", [nearest[number]["prompt_id"] for number in largest])
    return table(
        ("cluster", "prompts", "its most central prompt"),
        ((n, sizes[n], asked.get(nearest[n]["prompt_id"])) for n in largest),
    )


def scores(work: Workspace) -> str:
    """The answers with the highest scores."""
    columns = ["rollout_id", "score", "utility", "diversity", "selected"]
    ordered = work.read("scores", columns).sort_by(
        [("score", "descending"), ("rollout_id", "ascending")]
    )
    rows = ordered.slice(0, ROWS).to_pylist()
    texts = _where(work, "rollouts", "rollout_id", "completion", [r["rollout_id"] for r in rows])
    return table(
        ("score", "utility", "diversity", "selected", "answer"),
        ((*(r[name] for name in columns[1:]), texts.get(r["rollout_id"])) for r in rows),
    )


def decisions(manifest: Mapping[str, Any], name: str | None = None) -> str:
    """Rows per stage, decision and rule, from a version's manifest; those about the set `name` only,
    where it is given."""
    return table(
        ("stage", "decision", "rule", "rows"),
        (
            (d["stage"], d["decision"], d["rule"], d["rows"])
            for d in manifest["decisions"]
            if name is None or d["stage"] == f"{TRAINING_SET}/{name}"
        ),
    )


def published(recipe: Recipe, version: Version, names: Collection[str] | None = None) -> str:
    """The first training rows of every set, or of those in `names`."""
    parts = []
    for name in sorted(version.rows if names is None else names):
        kind = recipe.sets[name].type if name in recipe.sets else ""
        rows = head(version.table_path(name, "train"), 3)
        parts += [f"**{plain(name)}**", _PUBLISHED.get(kind, _plain)(rows)]
    return "\n\n".join(parts)


def _sft(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(
        ("id", "asked", "answered", "weight"),
        ((r["id"][:8], _asked(r), r["messages"][-1]["content"], r["weight"]) for r in rows),
    )


def _rl(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(
        ("id", "prompt", "answer", "verifier", "pass rate"),
        ((r["id"][:8], _asked(r), r["answer"], r["verifier"], r["pass_rate"]) for r in rows),
    )


def _preference(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(
        ("id", "prompt", "chosen", "rejected"),
        (
            (r["id"][:8], _asked(r), r["chosen"][-1]["content"], r["rejected"][-1]["content"])
            for r in rows
        ),
    )


def _plain(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(("id",), ((r["id"],) for r in rows))


_PUBLISHED = {"sft": _sft, "rl": _rl, "preference": _preference}


def head(path: Path, count: int, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The first rows of a Parquet file; the rest of it is not read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=count, columns=list(columns) if columns else None)
        batch = next(batches, None)
    return list(batch.to_pylist()) if batch is not None else []


def _texts(work: Workspace, key: str, wanted: Iterable[str]) -> dict[str, str]:
    """What was asked, by `key`, for the few rows that are shown."""
    found = _where(work, "prompts", key, "messages", wanted)
    return {row: _asked({"messages": messages}) for row, messages in found.items()}


def _where(
    work: Workspace, stage: str, key: str, column: str, wanted: Iterable[str]
) -> dict[str, Any]:
    """A column's values of the few rows that are shown, by `key`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = sorted(set(wanted))
    if not names:  # an empty set has no type that a column could be compared with
        return {}
    rows = pq.read_table(
        work.table_path(stage), columns=[key, column], filters=pc.field(key).isin(names)
    )
    return dict(zip(rows[key].to_pylist(), rows[column].to_pylist(), strict=True))


def _asked(row: Mapping[str, Any]) -> str:
    """The last thing that the user says."""
    messages = row.get("prompt") or row["messages"]
    said = [m["content"] for m in messages if m["role"] == "user"] or [messages[-1]["content"]]
    return str(said[-1])


def _counted(work: Workspace, ledger: str) -> str:
    import pyarrow.compute as pc

    dropped = work.read(ledger, ["decision", "rule"]).filter(pc.field("decision") != "kept")
    rows = dropped.group_by("rule").aggregate([([], "count_all")]).to_pylist()
    rows.sort(key=lambda row: (-row["count_all"], row["rule"]))
    if not rows:
        return ""
    return table(("rule", "rows"), ((r["rule"], r["count_all"]) for r in rows))
