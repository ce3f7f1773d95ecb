"""New files start a run: one sensor per recipe that reads files of this machine.

The sensor is off until somebody switches it on in the UI. It looks at names, sizes and times of the
files that the recipe's sources match (a folder, a pattern, a file), never into them. The first look
only notes what is there. A file that is still being written is waited for.
"""

import contextlib
import time
from pathlib import Path

import dagster as dg

from winnow.assets import graph
from winnow.assets.snapshot import RecipeFile
from winnow.pipeline.names import digest
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.sources import local_files

SECONDS = 30
QUIET_SECONDS = 5.0  # a file that was changed later than this may still be growing


def sensor(file: RecipeFile, recipe: Recipe, job: str) -> dg.SensorDefinition | None:
    """The sensor that launches `job`; None where no source of the recipe is on this machine."""
    if _files(recipe) is None:
        return None

    @dg.sensor(
        name=f"{graph.identifier(file.stem)}_new_files",
        job_name=job,
        minimum_interval_seconds=SECONDS,
        description="Runs the recipe when a file of its sources comes, goes or changes.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        found = _files(recipe) or []
        young = [path for path, _, changed in found if time.time() - changed / 1e9 < QUIET_SECONDS]
        if young:
            return dg.SkipReason(f"{Path(young[0]).name} is being written")
        state = digest("watched/1", found)
        if context.cursor == state:
            return dg.SkipReason(f"{len(found)} files, as before")
        if context.cursor is None:
            context.update_cursor(state)
            return dg.SkipReason(f"{len(found)} files are there; the next change starts a run")
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=state)

    return look


def _files(recipe: Recipe) -> list[tuple[str, int, int]] | None:
    """(path, bytes, nanoseconds) of every file of the sources; None where none is on this machine."""
    folders = [found for source in recipe.sources if (found := local_files(source)) is not None]
    if not folders:
        return None
    facts = []
    for path in sorted({path for paths in folders for path in paths}):
        with contextlib.suppress(OSError):  # gone since it was listed
            status = path.stat()
            facts.append((str(path), status.st_size, status.st_mtime_ns))
    return facts
