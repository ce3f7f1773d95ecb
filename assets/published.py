"""The sets of a recipe and the version that holds them: assets of their own that one step makes.

A set that is made alone becomes part of a new version, which links the other sets as they were. So
whoever changes one set's settings makes that set anew, and sees the others stay.
"""

from collections.abc import Collection, Mapping
from typing import Any

import dagster as dg

from winnow.assets import checks, graph, metadata, version_reports
from winnow.assets.events import Made
from winnow.assets.versions import set_code_version
from winnow.pipeline.names import digest
from winnow.pipeline.publish.version import Version, open_version
from winnow.stages import training_set
from winnow.stages.base import Context, StageResult

_BESIDE = "made with the assets that were asked for"


def version_of(ctx: Context, id_: str) -> Version:
    """The version `id_` of the recipe's dataset."""
    return open_version((ctx.workspace.home / ctx.recipe.dataset / id_).absolute())


def states(ctx: Context, version: Version, code_version: str) -> dict[str, Made]:
    """Each set of a version that was made under the training set's `code_version`."""
    prefix = graph.prefix(ctx.workspace.name)
    manifest = version.manifest()
    nodes = {node.path[1]: node for node in graph.nodes(ctx.recipe) if len(node.path) == 2}
    return {
        name: Made(
            nodes[name].key(prefix),
            tuple(dg.AssetKey([prefix, *path]) for path in nodes[name].reads),
            set_code_version(entry["settings"], manifest["recipe"], code_version),
            digest("set_files/1", {s: facts["sha256"] for s, facts in entry["splits"].items()}),
        )
        for name, entry in manifest["sets"].items()
        if name in nodes
    }


def make(
    context: dg.AssetExecutionContext,
    ctx: Context,
    code_version: str,
    costs: Mapping[str, Any],
) -> list[dg.MaterializeResult[Any]]:
    """Publish what was selected: the results of those assets. What changed beside them is reported.

    Raises WinnowError as `training_set.run` does.
    """
    prefix = graph.prefix(ctx.workspace.name)
    last = graph.nodes(ctx.recipe)[-1]
    wanted = set(context.selected_asset_keys)
    result, version = training_set.run(ctx, _only(ctx, prefix, wanted), costs)
    version_reports.sync(context.instance, ctx.workspace.home, ctx.recipe.dataset)
    version_key = last.key(prefix)
    found = checks.run(version_key, ctx, result)
    results: list[dg.MaterializeResult[Any]] = []
    for name, made in states(ctx, version, code_version).items():
        shown = metadata.of_set(ctx.recipe, version, name)
        if made.key in wanted:
            results.append(dg.MaterializeResult(
                asset_key=made.key, data_version=dg.DataVersion(made.data_version), metadata=shown
            ))  # fmt: skip
        elif not made.is_known(context.instance):
            made.report(context.instance, shown, _BESIDE)
    shown = metadata.describe(ctx.recipe, ctx.workspace, result)
    if version_key in wanted:
        results.append(dg.MaterializeResult(
            asset_key=version_key, data_version=dg.DataVersion(version.id), metadata=shown,
            check_results=found,
        ))  # fmt: skip
    else:
        state = of_version(ctx, result, code_version)
        if not state.is_known(context.instance):
            state.report(context.instance, shown, _BESIDE, found)
    return results


def of_version(ctx: Context, result: StageResult, code_version: str) -> Made:
    """The version's state."""
    prefix = graph.prefix(ctx.workspace.name)
    last = graph.nodes(ctx.recipe)[-1]
    reads = tuple(dg.AssetKey([prefix, *path]) for path in last.reads)
    return Made(last.key(prefix), reads, code_version, result.data_version)


def _only(ctx: Context, prefix: str, wanted: Collection[dg.AssetKey]) -> list[str] | None:
    """The sets to choose anew: those that were selected; all of them where none was, or all were."""
    nodes = [node for node in graph.nodes(ctx.recipe) if len(node.path) == 2]
    chosen = [node.path[1] for node in nodes if node.key(prefix) in wanted]
    return chosen if 0 < len(chosen) < len(nodes) else None
