"""The whole life of one row: where it came from, what was drawn and judged, who decided what."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.set_schemas import LEDGER_KEYS
from winnow.pipeline.publish.version import Version, list_versions
from winnow.pipeline.workspace import Workspace

_SHORTEST = 6  # fewer hex digits of a name would mean too many rows


@dataclass(frozen=True)
class Life:
    """Everything recorded about one row in one recipe's last run, as rows of the stage tables.

    `sampled` is how a stop rule ended the prompt, None where there was none; `answers` are rollouts
    with their verdicts and scores; `decisions` are ledger rows in stage order; `published` says in
    which versions and sets it stands.
    """

    recipe: str
    row_id: str
    kind: str
    prompt: dict[str, Any] | None
    sampled: dict[str, Any] | None
    difficulty: dict[str, Any] | None
    cluster: dict[str, Any] | None
    answers: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    published: list[str]


def life(home: Path, row_id: str) -> list[Life]:
    """The life of `row_id` (a task, prompt, rollout, published row or source row, or the beginning of
    such a name) in every recipe that has run in `home`; raises UsageError where none knows it.

    A prompt with several references has one life per task.
    """
    if len(row_id) < _SHORTEST:
        raise UsageError(f"{row_id}: give at least {_SHORTEST} characters of the row's id")
    stages = home / ".stages"
    names = sorted(p.name for p in stages.iterdir() if p.is_dir()) if stages.is_dir() else []
    found = [each for name in names for each in _in_recipe(home, name, row_id)]
    if not found:
        where = (
            f"{len(names)} recipes that ran in {home}" if names else f"{home}: no recipe ran there"
        )
        raise UsageError(f"{row_id}: no row with this id in {where}")
    return found


def _in_recipe(home: Path, name: str, wanted: str) -> list[Life]:
    tables = _Tables(Workspace(home, name))
    versions = _versions(home, tables)
    row = _resolve(tables, versions, wanted)
    if row is None:
        return []
    kind, full, prompt_id = row
    prompts = tables.where("prompts", "prompt_id", [prompt_id]) if prompt_id else []
    if kind == "task":
        prompts = [prompt for prompt in prompts if prompt["task_id"] == full]
    tasks: list[dict[str, Any] | None] = [*prompts] or [None]
    return [_of_task(tables, versions, name, row, task) for task in tasks]


def _of_task(
    tables: "_Tables",
    versions: list[Version],
    name: str,
    row: tuple[str, str, str | None],
    prompt: dict[str, Any] | None,
) -> Life:
    """The life of a row as far as one task of its prompt goes."""
    kind, full, prompt_id = row
    task = [prompt["task_id"]] if prompt else []
    prompt_ids = [prompt_id] if prompt_id else []
    rollouts = tables.where("rollouts", "prompt_id", prompt_ids)
    if kind == "rollout":
        rollouts = [r for r in rollouts if r["rollout_id"] == full]
    ids = [r["rollout_id"] for r in rollouts]
    judged = tables.where("verdicts", "rollout_id", ids)
    verdicts = {v["rollout_id"]: v for v in judged if v["task_id"] in task}
    scores = {s["rollout_id"]: s for s in tables.where("scores", "rollout_id", ids)}
    answers = [
        {**r, "verdict": verdicts.get(r["rollout_id"]), "score": scores.get(r["rollout_id"])}
        for r in sorted(rollouts, key=lambda r: (r["index"], r["attempt"]))
    ]
    keys = {full, *task, *ids} | ({prompt_id} if prompt_id else set())
    decisions = tables.where("ledger", "row_id", keys)
    seen = {(d["row_id"], d["stage"]) for d in decisions}
    for entry in tables.where("prompts_ledger", "row_id", keys):
        if (entry["row_id"], entry["stage"]) not in seen:
            decisions.insert(0, entry)
    clusters = tables.where("clusters", "prompt_id", prompt_ids)
    return Life(
        recipe=name,
        row_id=full,
        kind=kind,
        prompt=prompt,
        sampled=next(iter(tables.where("sampled", "prompt_id", prompt_ids)), None),
        difficulty=next(iter(tables.where("difficulty", "task_id", task)), None),
        cluster=next(iter(clusters), None),
        answers=answers,
        decisions=decisions,
        published=_published(versions, keys),
    )


class _Tables:
    """Stage tables of one recipe; one that has not been made yet has no rows."""

    def __init__(self, work: Workspace) -> None:
        self._work = work

    def scan(self, stage: str) -> pl.LazyFrame | None:
        path = self._work.table_path(stage)
        return pl.scan_parquet(path) if path.is_file() else None

    def where(self, stage: str, column: str, values: Iterable[str]) -> list[dict[str, Any]]:
        frame = self.scan(stage)
        wanted = list(values)
        if frame is None or not wanted:
            return []
        return frame.filter(pl.col(column).is_in(wanted)).collect().to_dicts()

    def beginning(self, stage: str, column: str, start: str) -> list[dict[str, Any]]:
        frame = self.scan(stage)
        if frame is None:
            return []
        found = frame.filter(pl.col(column).str.starts_with(start)).unique(column)
        return found.head(2).collect().to_dicts()


def _resolve(
    tables: _Tables, versions: list[Version], wanted: str
) -> tuple[str, str, str | None] | None:
    """(kind, whole id, prompt id) of the one row that `wanted` means."""
    places = (("task", "prompts", "task_id"), ("prompt", "prompts", "prompt_id"),
              ("rollout", "rollouts", "rollout_id"), ("source row", "prompts_ledger", "row_id"))  # fmt: skip
    for kind, stage, column in places:
        rows = tables.beginning(stage, column, wanted)
        if len(rows) > 1:
            raise UsageError(f"{wanted}: more than one {kind} begins so; give more characters")
        if rows:
            return kind, rows[0][column], rows[0].get("prompt_id")
    for version in reversed(versions):
        for name, split in _splits(version):
            frame = pl.scan_parquet(version.table_path(name, split))
            rows = frame.filter(pl.col("id").str.starts_with(wanted)).head(2).collect().to_dicts()
            if len(rows) > 1:
                raise UsageError(f"{wanted}: more than one row begins so; give more characters")
            if rows and "rollout_id" in rows[0]:
                return "rollout", rows[0]["rollout_id"], rows[0]["prompt_id"]
            if rows:
                return "task", rows[0]["task_id"], rows[0]["prompt_id"]
    return None


def _versions(home: Path, tables: _Tables) -> list[Version]:
    """Whole versions of the dataset that this recipe publishes."""
    frame = tables.scan("published")
    if frame is None:
        return []
    ids = set(frame.select("version").collect()["version"].to_list())
    folders = [p for p in home.iterdir() if p.is_dir() and not p.name.startswith(".")]
    for folder in folders:
        versions = [v for v in list_versions(folder) if not v.problem]
        if ids & {v.id for v in versions}:
            return versions
    return []


def _splits(version: Version) -> list[tuple[str, str]]:
    return [(name, split) for name, splits in version.rows.items() for split in splits]


def _published(versions: list[Version], keys: set[str]) -> list[str]:
    """`dataset@version set/split` wherever one of these rows stands."""
    places = []
    for version in versions:
        for name, split in _splits(version):
            frame = pl.scan_parquet(version.table_path(name, split))
            columns = [c for c in LEDGER_KEYS if c in frame.collect_schema().names()]
            # A prompt's other answers share its task: only the most specific name counts.
            own = next((c for c in columns if c.endswith("rollout_id")), "task_id")
            hit = frame.filter(pl.col(own).is_in(list(keys))).select("id").collect()["id"].to_list()
            places += [f"{version.ref} {name}/{split} as {row}" for row in sorted(hit)]
    return places
