"""Results that were made outside Dagster, as events without a run.

`python -m winnow.assets.runless` brings a Dagster home up to date with the notes that `winnow run`
left in $WINNOW_HOME, says which recipes cannot be read, and closes runs that a killed UI left open.
`winnow ui` runs it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from winnow.assets import (
    checks,
    factory,
    graph,
    metadata,
    published,
    snapshot,
    version_reports,
)
from winnow.assets.dead_runs import close_dead_runs
from winnow.assets.events import Made
from winnow.assets.markup import plain
from winnow.assets.report import dagster_home, noted
from winnow.assets.versions import code_versions
from winnow.pipeline.workspace import Workspace, default_home
from winnow.stages.base import Context, StageResult

_BY_HAND = "made by winnow run"


def report(folder: Path, ctx: Context) -> None:
    """Report the noted results of a recipe's last run to the Dagster home `folder`."""
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        _report_noted(instance, ctx)


def report_all(home: Path) -> None:
    """Report what every recipe of a home has made, its versions as partitions, and which recipes
    cannot be read.

    Runs that a killed UI left behind are closed first.
    A recipe whose results cannot be reported costs a line on standard error.
    """
    with dg.DagsterInstance.from_config(str(dagster_home(home))) as instance:
        close_dead_runs(instance)
        for file in snapshot.read_all(home):
            try:
                recipe = file.parse()
                code_versions(recipe)
            except Exception as error:  # noqa: BLE001  one recipe must not hide the others
                _report_broken(instance, file, factory.reason(error))
                continue
            ctx = Context(recipe, Workspace(home.absolute(), file.stem))
            try:
                _report_noted(instance, ctx)
            except Exception as error:  # noqa: BLE001  nor must its damaged tables
                print(f"{file.path}: not reported: {factory.reason(error)}", file=sys.stderr)


def _report_noted(instance: dg.DagsterInstance, ctx: Context) -> None:
    version_reports.sync(instance, ctx.workspace.home, ctx.recipe.dataset)
    notes = noted(ctx.workspace)
    prefix = graph.prefix(ctx.workspace.name)
    for node in graph.TABLES:
        if node.stage in notes:
            note = notes[node.stage]
            reads = tuple(dg.AssetKey([prefix, *path]) for path in node.reads)
            made = Made(node.key(prefix), reads, note["code_version"], note["data_version"])
            _report(instance, ctx, made, _result(node.stage, note), note["time"])
    if graph.VERSION in notes:
        note = notes[graph.VERSION]
        result = _result(graph.VERSION, note)
        version = published.version_of(ctx, result.data_version)
        for name, made in published.states(ctx, version, note["code_version"]).items():
            if not made.is_known(instance, since=note["time"]):
                made.report(instance, metadata.of_set(ctx.recipe, version, name), _BY_HAND)
        made = published.of_version(ctx, result, note["code_version"])
        _report(instance, ctx, made, result, note["time"])


def _result(stage: str, note: Mapping[str, Any]) -> StageResult:
    return StageResult(stage, note["data_version"], False, note["counts"], note["cost"])


def _report(
    instance: dg.DagsterInstance, ctx: Context, made: Made, result: StageResult, since: float
) -> None:
    if not made.is_known(instance, since):
        shown = metadata.describe(ctx.recipe, ctx.workspace, result)
        made.report(instance, shown, _BY_HAND, checks.run(made.key, ctx, result))
    elif failed := made.failed_checks(instance, checks.CHECKS[result.stage]):
        # A check may have failed over another stage's table, and that one was made anew since.
        again = checks.run(made.key, ctx, result)
        made.report_checks(instance, [c for c in again if c.passed and c.check_name in failed])


def _report_broken(instance: dg.DagsterInstance, file: snapshot.RecipeFile, why: str) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey([graph.prefix(file.stem), factory.BROKEN]),
            check_name=factory.BROKEN_CHECK,
            passed=False,
            description=plain(why),
            blocking=True,
        )
    )


if __name__ == "__main__":
    report_all(default_home())
