"""The reports on a recipe's versions: one partition per version of the recipe's dataset.

Dagster keeps the list of partitions in its own home. `sync` makes it what the dataset's folder holds:
when a version is published, when `winnow run` is reported, and when `winnow ui` starts or a recipe
is edited.

A version is the one thing here that grows into many of a kind. Sources are no partitions of
`prompts`: of two equal prompts from two sources one is dropped, so no source's rows are made alone.
"""

from pathlib import Path

import dagster as dg

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish.version import Version, list_versions
from winnow.stages.base import Context

VERSION = "1"  # of how a report's asset is made


def partitions(dataset: str) -> dg.DynamicPartitionsDefinition:
    """The versions of a dataset, by id; recipes that publish to one dataset share them."""
    return dg.DynamicPartitionsDefinition(name=f"versions of {dataset}")


def sync(instance: dg.DagsterInstance, home: Path, dataset: str) -> None:
    """Make the partitions what stands in the dataset's folder, new ones oldest first."""
    name = partitions(dataset).name
    assert name is not None
    # Asked before the folder is read: what comes while this runs is then never taken for deleted.
    known = instance.get_dynamic_partitions(name)
    there = [version.id for version in list_versions(home / dataset)]
    if new := [id_ for id_ in there if id_ not in known]:
        instance.add_dynamic_partitions(name, new)
    for id_ in set(known) - set(there):
        instance.delete_dynamic_partition(name, id_)


def write(ctx: Context, id_: str) -> tuple[Version, Path]:
    """Write the report on the version `id_` of the recipe's dataset: that version, and the page.

    Raises UsageError where there is no such version, WinnowError where it is damaged and as
    `pipeline.publish.report.write` does.
    """
    from winnow.pipeline.publish.report import default_path, workspace_of
    from winnow.pipeline.publish.report import write as write_page

    home, dataset = ctx.workspace.home, ctx.recipe.dataset
    version = next((each for each in list_versions(home / dataset) if each.id == id_), None)
    if version is None:
        raise UsageError(
            f"{dataset}@{id_}: no such version in {home / dataset} (it was deleted, or its partition "
            "was added by hand); choose another partition, this one goes when `winnow ui` starts again"
        )
    if version.problem:
        raise WinnowError(version.problem)
    path = default_path(version, home)
    write_page(version, workspace_of(version, home), path, progress=ctx.progress)
    return version, path
