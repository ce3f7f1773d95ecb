"""What the runs since the last published version have spent, beside the recipe's tables.

A run that was stopped and started again finds its first stages up to date: what they took was spent in
the run before, and belongs to the version all the same. What a stage spent that was killed in the
middle of its work is in no result, and not counted.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from winnow.stages.base import Context, StageResult

Costs = dict[str, dict[str, float]]

# What adds up over runs; of the rest the last run's value counts.
_SUMMED = ("seconds", "answers_drawn", "tokens_drawn", "tokens_read", "cost", "sampling_seconds",
           "judged_here", "computed_here")  # fmt: skip
RUNS = "runs"


def spent(ctx: Context) -> Costs:
    """By stage, the sum over the runs since the last version; `runs` where there was more than one."""
    try:
        found: Costs = json.loads(_path(ctx).read_text("utf-8"))
    except (OSError, ValueError):  # nothing yet, or a file that a full disk has cut
        return {}
    return found


def add(ctx: Context, result: StageResult) -> None:
    """Count what a stage has spent, where it had something to do."""
    if result.skipped:
        return
    found = spent(ctx)
    found[result.stage] = _summed(found.get(result.stage, {}), result.cost)
    path = _path(ctx)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(found), "utf-8")
    temporary.replace(path)


def clear(ctx: Context) -> None:
    """Begin anew: a version holds what was spent."""
    _path(ctx).unlink(missing_ok=True)


def _path(ctx: Context) -> Path:
    return ctx.workspace.table_path("costs").with_suffix(".json")


def _summed(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    if not before:
        return dict(now)
    found = {**before, **now}
    for name in _SUMMED:
        if name in before or name in now:
            found[name] = before.get(name, 0.0) + now.get(name, 0.0)
    found[RUNS] = before.get(RUNS, 1) + 1
    if "tokens_per_second" in found:
        found["tokens_per_second"] = found["tokens_drawn"] / max(found["sampling_seconds"], 1e-9)
    return found
