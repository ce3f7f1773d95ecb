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

from winnow.assets import checks, factory, graph, metadata, snapshot
from winnow.assets.dead_runs import close_dead_runs
from winnow.assets.markup import plain
from winnow.assets.report import dagster_home, noted
from winnow.assets.versions import code_versions
from winnow.pipeline.workspace import Workspace, default_home
from winnow.stages.base import Context, StageResult

# Tags by which Dagster knows the state of a materialisation, as its own runs write them.
_CODE = "dagster/code_version"
_DATA = "dagster/data_version"
_DATA_IS_OURS = "dagster/data_version_is_user_provided"
_INPUT_DATA = "dagster/input_data_version/"
_INPUT_EVENT = "dagster/input_event_pointer/"


def report(folder: Path, ctx: Context) -> None:
    """Report the noted results of a recipe's last run to the Dagster home `folder`."""
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        _report_noted(instance, ctx)


def report_all(home: Path) -> None:
    """Report what every recipe of a home has made, and which recipes cannot be read.

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
    notes = noted(ctx.workspace)
    for node in graph.NODES:
        if node.stage in notes:
            _report(instance, ctx, node, notes[node.stage])


def _report(
    instance: dg.DagsterInstance, ctx: Context, node: graph.Node, note: Mapping[str, Any]
) -> None:
    prefix = graph.prefix(ctx.workspace.name)
    key = node.key(prefix)
    state, pointers = _state(instance, prefix, node, note)
    if known := _latest(instance, key):
        record, tags = known
        if record.timestamp > note["time"]:
            return
        if state.items() <= tags.items() and not _failed_since(instance, key, record):
            return
    result = StageResult(node.stage, note["data_version"], False, note["counts"], note["cost"])
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            key,
            description="made by winnow run",
            metadata=metadata.describe(ctx.recipe, ctx.workspace, result),
            tags={**state, **pointers, _DATA_IS_OURS: "true"},
        )
    )
    for found in checks.run(key, ctx, result):
        assert found.check_name is not None
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=found.check_name,
                passed=found.passed,
                metadata=found.metadata,
                description=found.description,
                blocking=True,
            )
        )


def _state(
    instance: dg.DagsterInstance, prefix: str, node: graph.Node, note: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """What names the state of a result, and the events that its inputs come from, as tags."""
    state = {_CODE: note["code_version"], _DATA: note["data_version"]}
    pointers: dict[str, str] = {}
    for stage in node.reads:
        key = dg.AssetKey([prefix, stage])
        if found := _latest(instance, key):
            record, tags = found
            state[_INPUT_DATA + key.to_user_string()] = tags.get(_DATA, "")
            pointers[_INPUT_EVENT + key.to_user_string()] = str(record.storage_id)
    return state, pointers


def _latest(
    instance: dg.DagsterInstance, key: dg.AssetKey
) -> tuple[dg.EventLogRecord, Mapping[str, str]] | None:
    """The asset's latest materialisation and its tags."""
    records = instance.fetch_materializations(key, limit=1).records
    if not records or records[0].asset_materialization is None:
        return None
    return records[0], records[0].asset_materialization.tags or {}


def _failed_since(
    instance: dg.DagsterInstance, key: dg.AssetKey, record: dg.EventLogRecord
) -> bool:
    """Whether a run meant to make the asset after its latest materialisation, and did not."""
    [asset] = instance.get_asset_records([key])
    last = asset.asset_entry.last_run_id
    return bool(last) and last != record.run_id


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
