"""The reports on a recipe's versions, one partition each."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from tests.assets.conftest import Two
from tests.assets.runs import ask_for_another_set, instance_of
from winnow.assets import runless
from winnow.assets.factory import build
from winnow.assets.server import prepare
from winnow.assets.snapshot import read_all
from winnow.assets.version_reports import partitions
from winnow.cli.main import app
from winnow.pipeline.publish.version import list_versions

REPORT = dg.AssetKey(["tiny", "report"])


def known(instance: dg.DagsterInstance) -> list[str]:
    """The partitions that Dagster knows."""
    return list(partitions("tiny").get_partition_keys(dynamic_partitions_store=instance))


def write(home: Path, instance: dg.DagsterInstance, id_: str, **options: Any) -> Any:
    """Materialise one partition of the report as the UI does."""
    job = build(read_all(home), home).resolve_implicit_global_asset_job_def()
    chosen = job.get_subset(asset_selection={REPORT})
    return chosen.execute_in_process(instance=instance, partition_key=id_, **options)


def test_every_version_of_winnow_run_is_a_partition(two: Two) -> None:
    assert len(two.ids) == 2
    with instance_of(two.home) as instance:
        assert known(instance) == two.ids


def test_a_version_that_dagster_publishes_is_a_partition(made: Any) -> None:
    assert known(made.instance) == [version.id for version in list_versions(made.home / "tiny")]


def test_the_partitions_are_the_versions_that_stand_when_the_ui_starts(
    two: Two, tmp_path: Path
) -> None:
    home = tmp_path / "data"
    shutil.copytree(two.home, home, symlinks=True, ignore=shutil.ignore_patterns(".dagster"))
    prepare(home)
    runless.report_all(home)
    with instance_of(home) as instance:
        assert known(instance) == two.ids
    shutil.rmtree(home / "tiny" / two.ids[0])
    runless.report_all(home)
    with instance_of(home) as instance:
        assert known(instance) == two.ids[1:]


def test_each_partition_is_the_page_of_winnow_report(two: Two, tmp_path: Path) -> None:
    home = tmp_path / "data"
    shutil.copytree(two.home, home, symlinks=True)
    with instance_of(home) as instance:
        for version in list_versions(home / "tiny"):
            result = write(home, instance, version.id)
            [event] = result.get_asset_materialization_events()
            made = event.materialization
            assert (made.asset_key, made.partition) == (REPORT, version.id)
            page, beside = home / "reports" / f"tiny-{version.id}.html", tmp_path / "beside.html"
            told = ["report", version.ref, "--home", str(home), "--output", str(beside)]
            assert CliRunner().invoke(app, told).exit_code == 0
            assert page.read_bytes() == beside.read_bytes()
            assert version.created is not None
            assert {name: value.value for name, value in made.metadata.items()} == {
                "page": str(page),
                "bytes": page.stat().st_size,
                "version": version.ref,
                "published": datetime.fromisoformat(version.created).timestamp(),
                **{
                    f"{name}/{split}": rows
                    for name, splits in version.rows.items()
                    for split, rows in splits.items()
                },
            }
        assert instance.get_materialized_partitions(REPORT) == set(two.ids)


def test_reports_make_nothing_else_stale(
    copy_of_ran: Path, materialise: Callable[..., Any]
) -> None:
    from dagster._utils.test.data_versions import get_stale_status_resolver

    with dg.DagsterInstance.ephemeral() as instance:
        assert materialise(copy_of_ran, instance).success
        [first] = known(instance)
        assert write(copy_of_ran, instance, first).success
        ask_for_another_set(copy_of_ran)
        result = materialise(copy_of_ran, instance)
        assert REPORT not in {e.asset_key for e in result.get_asset_materialization_events()}
        assert len(known(instance)) == 2
        assert instance.get_materialized_partitions(REPORT) == {first}
        assets: Any = build(read_all(copy_of_ran), copy_of_ran).assets
        resolver = get_stale_status_resolver(instance, assets)
        keys = [key for asset in assets for key in asset.keys]
        assert [key for key in keys if resolver.get_status(key).value != "FRESH"] == []


@pytest.mark.parametrize("id_", ["f" * 16, "latest", "../tiny"])
def test_a_version_that_is_not_there_says_what_to_do(two: Two, id_: str) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("versions of tiny", [id_])
        result = write(two.home, instance, id_, raise_on_error=False)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert said.startswith(f"tiny@{id_}: no such version in {two.home / 'tiny'} ")
    assert "choose another partition" in said


def test_a_damaged_version_says_which_file(copy_of_ran: Path) -> None:
    [version] = list_versions(copy_of_ran / "tiny")
    manifest = version.path / "manifest.json"
    manifest.unlink()
    manifest.write_text("{")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("versions of tiny", [version.id])
        result = write(copy_of_ran, instance, version.id, raise_on_error=False)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data.description
    assert said.startswith(f"{manifest}: cannot be read")
