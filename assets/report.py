"""What `winnow run` tells Dagster, so that the UI shows what the command line made.

A run leaves a note of its results beside its tables (`<home>/.stages/<recipe>/results.json`). Where
the home has a Dagster home (`<home>/.dagster`, made by `winnow ui`), they are reported at once as
materialisations without a run; else the first start of the UI reports them from the notes.

Nothing here imports Dagster before it is known to be wanted.
"""

import importlib.util
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from winnow.assets.versions import code_versions
from winnow.pipeline.workspace import Workspace
from winnow.stages.base import Context, StageResult

NOTES = "results.json"


def dagster_home(home: Path) -> Path:
    """Where Dagster keeps its history of this home."""
    return home.absolute() / ".dagster"


def report_run(home: Path, ctx: Context, results: Iterable[StageResult]) -> None:
    """Note the results of a run and, where there is a Dagster home, report them to it.

    A stage that Dagster knows in this very state already is not reported again, nor is a recipe from
    outside `<home>/recipes`, which the UI does not show. A Dagster home that cannot be written costs
    a line in the log, never the run.
    """
    notes = _read(ctx.workspace)
    versions = code_versions(ctx.recipe, ctx.limit)
    for result in results:
        old = notes.get(result.stage, {})
        cost = {} if result.skipped else dict(result.cost)
        if result.skipped and old.get("data_version") == result.data_version:
            cost = old["cost"]  # what it took when it was made
        notes[result.stage] = {
            "code_version": versions[result.stage],
            "data_version": result.data_version,
            "counts": dict(result.counts),
            "cost": cost,
            "time": time.time(),
        }
    _write(ctx.workspace, notes)
    shown = (home / "recipes" / f"{ctx.workspace.name}.yaml").is_file()
    there = dagster_home(home).is_dir() and importlib.util.find_spec("dagster") is not None
    if not (shown and there):
        return
    from winnow.assets.runless import report

    try:
        report(dagster_home(home), ctx)
    except Exception as error:  # noqa: BLE001  the set is published, whatever Dagster's home is like
        ctx.progress.note(f"Dagster could not be told: {type(error).__name__}: {error}")


def noted(work: Workspace) -> dict[str, Any]:
    """The notes, by stage, that describe the tables as they are on disk now.

    A note holds `code_version`, `data_version`, `counts` and `cost` of what the run found or made,
    and the `time` (seconds since 1970) at which it did.
    """
    return {
        stage: note
        for stage, note in _read(work).items()
        if note["data_version"] == _on_disk(work, stage)
    }


def _on_disk(work: Workspace, stage: str) -> str:
    if stage != "training_set":
        return work.data_version(stage)
    if not work.table_path("published").is_file():
        return "missing"
    return str(work.read("published", ["version"])["version"][0].as_py())


def _read(work: Workspace) -> dict[str, Any]:
    path = work.table_path("prompts").with_name(NOTES)
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):  # none yet, or not whole: the next run writes it anew
        return {}
    return found if isinstance(found, dict) else {}


def _write(work: Workspace, notes: Mapping[str, Any]) -> None:
    path = work.table_path("prompts").with_name(NOTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(notes, indent=1, sort_keys=True))
    temporary.replace(path)
