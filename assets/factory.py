"""Recipes in; assets, checks and jobs out."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import dagster as dg

import winnow
from winnow.assets import checks, graph, metadata, published, version_reports, watch
from winnow.assets.listen import LogProgress
from winnow.assets.markup import plain
from winnow.assets.snapshot import RecipeFile
from winnow.assets.versions import code_versions, set_code_version
from winnow.pipeline import recipe as recipes
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish.parquet import sha256
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.workspace import Workspace
from winnow.stages import chain
from winnow.stages.base import Context

BROKEN = "recipe"  # the one asset of a recipe that cannot be read
BROKEN_CHECK = "is_valid"


def build(files: Iterable[RecipeFile], home: Path) -> dg.Definitions:
    """The definitions of some recipes of a home folder."""
    parts = (recipe_definitions(file, home.absolute()) for file in files)
    return dg.Definitions.merge(dg.Definitions(), *parts)


def recipe_definitions(file: RecipeFile, home: Path) -> dg.Definitions:
    """The asset graph of a recipe, the job that makes all of it, and the reports on its versions.

    A recipe that cannot be read becomes one asset whose check fails with the reason.
    """
    try:
        recipe = file.parse()
        versions = code_versions(recipe)
    except Exception as error:  # noqa: BLE001  one recipe must not hide the others
        return _broken(file, reason(error))
    assets = [_table(file, recipe, home, node, versions[node.stage]) for node in graph.TABLES]
    assets.append(_published(file, recipe, home, versions[graph.VERSION]))
    said = f" {plain(recipe.description)}" if recipe.description else ""
    job = dg.define_asset_job(
        f"{graph.identifier(file.stem)}_all",
        selection=dg.AssetSelection.assets(*assets),
        description=f"Makes whatever {plain(file.stem)} still lacks, and publishes it.{said}",
    )
    watcher = watch.sensor(file, recipe, job.name)
    return dg.Definitions(
        assets=[*assets, _report(file, recipe, home)],
        jobs=[job],
        sensors=[watcher] if watcher else [],
    )


def reason(error: Exception) -> str:
    """Why a recipe cannot be read, in one line."""
    return str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"


def _table(
    file: RecipeFile, recipe: Recipe, home: Path, node: graph.Node, code_version: str
) -> dg.AssetsDefinition:
    """A stage's table."""
    prefix, name = graph.prefix(file.stem), graph.identifier(file.stem)
    key = node.key(prefix)

    @dg.multi_asset(
        name=f"{name}__{node.stage}",
        specs=[_spec(file, recipe, node, code_version)],
        check_specs=checks.specs(node.stage, key),
        pool=graph.MODEL_POOL if node.model_pass else None,
    )
    # Dagster looks for the bare class here; with a type argument it would expect one value per check.
    def materialise(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        ctx = _context(context, file, recipe, home)
        with _failures():
            result = chain.STAGES[node.stage](ctx)
        return dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(result.data_version),
            metadata=metadata.describe(recipe, ctx.workspace, result),
            check_results=checks.run(key, ctx, result),
        )

    return materialise


def _published(
    file: RecipeFile, recipe: Recipe, home: Path, code_version: str
) -> dg.AssetsDefinition:
    """The sets and the version: one step, of which each set can be asked for alone."""
    prefix, name = graph.prefix(file.stem), graph.identifier(file.stem)
    nodes = [node for node in graph.nodes(recipe) if node.stage == graph.VERSION]
    whole = recipes.dump(recipe)
    codes = {
        node.path: set_code_version(whole["sets"][node.path[1]], whole, code_version)
        for node in nodes[:-1]
    }

    @dg.multi_asset(
        name=f"{name}__{graph.VERSION}",
        specs=[_spec(file, recipe, node, codes.get(node.path, code_version)) for node in nodes],
        check_specs=checks.specs(graph.VERSION, nodes[-1].key(prefix)),
        can_subset=True,
    )
    def publish(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        ctx = _context(context, file, recipe, home)
        with _failures():
            results = published.make(context, ctx, code_version, _costs(context, prefix))
        yield from results

    return publish


def _report(file: RecipeFile, recipe: Recipe, home: Path) -> dg.AssetsDefinition:
    """The report on each version: no part of the recipe's job, which has no partitions."""
    code_version = f"{winnow.__version__}/{version_reports.VERSION}"
    spec = _spec(file, recipe, graph.REPORT, code_version)

    @dg.multi_asset(
        name=f"{graph.identifier(file.stem)}__{graph.REPORT.path[0]}",
        specs=[spec.replace_attributes(group_name=graph.report_group(file.stem))],
        partitions_def=version_reports.partitions(recipe.dataset),
        pool=graph.REPORT_POOL,
    )
    def write(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        ctx = _context(context, file, recipe, home)
        with _failures():
            version, path = version_reports.write(ctx, context.partition_key)
        return dg.MaterializeResult(
            asset_key=spec.key,
            data_version=dg.DataVersion(sha256(path)),
            metadata=metadata.of_report(version, path),
        )

    return write


def _spec(file: RecipeFile, recipe: Recipe, node: graph.Node, code_version: str) -> dg.AssetSpec:
    prefix = graph.prefix(file.stem)
    return dg.AssetSpec(
        node.key(prefix),
        deps=[dg.AssetKey([prefix, *path]) for path in node.reads],
        description=node.meaning,
        group_name=graph.identifier(file.stem),
        code_version=code_version,
        kinds=graph.kinds(node, recipe),
        metadata={
            "recipe": dg.MetadataValue.path(file.path),
            **metadata.documented(node.path[0]),
        },
    )


def _context(
    context: dg.AssetExecutionContext, file: RecipeFile, recipe: Recipe, home: Path
) -> Context:
    """What a stage works on: the recipe as it was when its code location was loaded."""
    if file.edited():
        context.log.warning(
            f"{file.path} has changed since this code location was loaded; the run goes on "
            "with the recipe as it was then (reload the location to use the new one)"
        )
    return Context(recipe, Workspace(home, file.stem), progress=LogProgress(context.log.info))


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """What a stage says when it cannot go on is what the failed asset shows."""
    try:
        yield
    except WinnowError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _costs(context: dg.AssetExecutionContext, prefix: str) -> Mapping[str, Mapping[str, float]]:
    """What the other stages of this run spent, from their materialisations."""
    found: dict[str, dict[str, float]] = {}
    for stage in chain.STAGES:
        event = context.instance.get_latest_materialization_event(dg.AssetKey([prefix, stage]))
        made = event.asset_materialization if event and event.run_id == context.run_id else None
        if made and not made.metadata[metadata.UP_TO_DATE].value:
            values = {name: made.metadata[name].value for name in metadata.COSTS
                      if name in made.metadata}  # fmt: skip
            found[stage] = {name: v for name, v in values.items() if isinstance(v, float)}
    return found


def _broken(file: RecipeFile, why: str) -> dg.Definitions:
    name = graph.identifier(file.stem)
    key = dg.AssetKey([graph.prefix(file.stem), BROKEN])

    # `asset_check` would name its op by the key, in which "a-b" and "a_b" read the same.
    @dg.multi_asset_check(
        name=f"{name}__{BROKEN_CHECK}",
        specs=[
            dg.AssetCheckSpec(
                BROKEN_CHECK, asset=key, blocking=True, description="The recipe can be read."
            )
        ],
    )
    def is_valid() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(
            asset_key=key, check_name=BROKEN_CHECK, passed=False, description=plain(why)
        )

    spec = dg.AssetSpec(
        key,
        description=f"This recipe cannot be read:\n\n{plain(why)}",
        group_name=name,
        kinds={"yaml"},
        metadata={"recipe": dg.MetadataValue.path(file.path)},
    )
    return dg.Definitions(assets=[spec], asset_checks=[is_valid])
