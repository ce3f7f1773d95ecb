"""The whole run, stage after stage."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from winnow.pipeline.publish.version import Version
from winnow.pipeline.store.store import locked
from winnow.stages import costs, training_set
from winnow.stages.base import Context, StageResult

Stage = Callable[[Context], StageResult]

# In running order; training_set comes last and gives a version.
STAGES: dict[str, Stage] = {name: stage.run for name, stage in training_set.BEFORE.items()}


@dataclass(frozen=True)
class Report:
    """What a run did, stage by stage, and the version that it ends with."""

    stages: list[StageResult]
    version: Version

    def stage(self, name: str) -> StageResult:
        return next(result for result in self.stages if result.stage == name)


def run(ctx: Context, on_stage: Callable[[StageResult], None] = lambda result: None) -> Report:
    """Materialise what is missing, and publish. One run of a recipe at a time: a second one waits."""
    with locked(ctx.workspace.run_lock, on_wait=ctx.waits):
        results: list[StageResult] = []
        for name, stage in STAGES.items():
            results.append(stage(ctx))
            costs.add(ctx, results[-1])
            on_stage(results[-1])
            if name == "prompts":  # what a set lacks that no stage makes shows before the spending
                training_set.check_searched(ctx)
        published, version = training_set.run(ctx, costs=costs.spent(ctx))
        if not published.skipped:
            costs.clear(ctx)
        results.append(published)
        on_stage(published)
        return Report(results, version)


def build(ctx: Context, only: Collection[str] | None = None) -> Report:
    """Publish anew from recorded signals; never samples, embeds or scores."""
    with locked(ctx.workspace.run_lock, on_wait=ctx.waits):
        published, version = training_set.run(ctx, only=only)
    return Report([published], version)
