"""What `winnow run` tells Dagster."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.assets.runs import context, instance_of, run_and_report
from winnow.assets import report, runless
from winnow.assets.server import prepare
from winnow.pipeline.workspace import Workspace
from winnow.stages import chain
from winnow.stages.base import Context

STAGES = [*chain.STAGES, "training_set"]


def events(home: Path) -> dict[str, list[Any]]:
    """Materialisations by stage, oldest first."""
    with instance_of(home) as instance:
        return {
            stage: [
                record.asset_materialization
                for record in instance.fetch_materializations(
                    dg.AssetKey(["tiny", stage]), limit=99, ascending=True
                ).records
            ]
            for stage in STAGES
        }


def test_without_a_dagster_home_only_notes_are_left_and_dagster_is_not_imported(
    copy_of_ran: Path,
) -> None:
    code = (
        "import sys; from pathlib import Path; home = Path(sys.argv[1])\n"
        "from winnow.assets.report import report_run\n"
        "from winnow.stages import chain; from winnow.stages.base import Context\n"
        "ctx = Context.of(home / 'recipes' / 'tiny.yaml', home)\n"
        "report_run(home, ctx, chain.run(ctx).stages)\n"
        "print([m for m in ('dagster', 'matplotlib', 'torch', 'datasets') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy_of_ran)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert not report.dagster_home(copy_of_ran).exists()
    assert set(report.noted(Workspace(copy_of_ran, "tiny"))) == set(STAGES)


def test_a_run_shows_in_dagster_with_metadata_versions_and_checks(copy_of_ran: Path) -> None:
    prepare(copy_of_ran)
    run_and_report(copy_of_ran)
    found = events(copy_of_ran)
    assert {stage: len(made) for stage, made in found.items()} == dict.fromkeys(STAGES, 1)
    work = Workspace(copy_of_ran, "tiny")
    [prompts], [verdicts] = found["prompts"], found["verdicts"]
    assert prompts.tags["dagster/data_version"] == work.data_version("prompts")
    assert prompts.metadata["kept"].value == 11
    assert "pass_rates" in found["difficulty"][0].metadata
    told = verdicts.tags["dagster/input_data_version/tiny/rollouts"]
    assert told == work.data_version("rollouts")
    with instance_of(copy_of_ran) as instance:
        key = dg.AssetCheckKey(dg.AssetKey(["tiny", "verdicts"]), "all_judged")
        [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
        assert record.status.value == "SUCCEEDED"


def test_what_is_reported_is_not_stale(copy_of_ran: Path) -> None:
    from dagster._utils.test.data_versions import get_stale_status_resolver

    from winnow.assets.factory import build
    from winnow.assets.snapshot import read_all

    prepare(copy_of_ran)
    run_and_report(copy_of_ran)
    assets: Any = build(read_all(copy_of_ran), copy_of_ran).assets
    with instance_of(copy_of_ran) as instance:
        resolver = get_stale_status_resolver(instance, assets)
        keys = [key for asset in assets for key in asset.keys]
        assert [key for key in keys if resolver.get_status(key).value != "FRESH"] == []


def test_a_second_run_reports_only_what_is_new(copy_of_ran: Path) -> None:
    prepare(copy_of_ran)
    run_and_report(copy_of_ran)
    run_and_report(copy_of_ran)
    assert all(len(made) == 1 for made in events(copy_of_ran).values())
    recipe = copy_of_ran / "recipes" / "tiny.yaml"
    recipe.write_text(recipe.read_text().replace("k: 3", "k: 2"))
    run_and_report(copy_of_ran)
    counts = {stage: len(made) for stage, made in events(copy_of_ran).items()}
    assert counts == {**dict.fromkeys(STAGES, 1), "clusters": 2, "training_set": 2}


def test_the_ui_is_told_of_runs_before_its_time(copy_of_ran: Path) -> None:
    run_and_report(copy_of_ran)
    prepare(copy_of_ran)
    (copy_of_ran / "recipes" / "broken.yaml").write_text("dataset: [")
    runless.report_all(copy_of_ran)
    assert all(len(made) == 1 for made in events(copy_of_ran).values())
    with instance_of(copy_of_ran) as instance:
        key = dg.AssetCheckKey(dg.AssetKey(["broken", "recipe"]), "is_valid")
        [record] = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
        assert record.status.value == "FAILED"


def test_a_check_that_failed_over_another_table_passes_once_that_one_is_whole(
    copy_of_ran: Path,
) -> None:
    def told() -> list[str]:
        key = dg.AssetCheckKey(dg.AssetKey(["tiny", "clusters"]), "one_per_prompt")
        with instance_of(copy_of_ran) as instance:
            storage = instance.event_log_storage
            return [
                record.status.value
                for record in storage.get_asset_check_execution_history(key, limit=9)
            ]

    run_and_report(copy_of_ran)
    chain.STAGES["prompts"](
        replace(context(copy_of_ran), limit=5)
    )  # a first look that was stopped here
    prepare(copy_of_ran)
    runless.report_all(copy_of_ran)
    assert told() == ["FAILED"]
    runless.report_all(copy_of_ran)
    assert told() == ["FAILED"]  # nothing is new
    run_and_report(copy_of_ran)
    assert told() == ["SUCCEEDED", "FAILED"]
    assert len(events(copy_of_ran)["clusters"]) == 1
    run_and_report(copy_of_ran)
    assert told() == ["SUCCEEDED", "FAILED"]


def test_a_note_about_tables_that_have_changed_since_is_not_reported(copy_of_ran: Path) -> None:
    run_and_report(copy_of_ran)
    prepare(copy_of_ran)
    work = Workspace(copy_of_ran, "tiny")
    table = work.read("clusters")
    work.write("clusters", table.slice(1), "something else")
    runless.report_all(copy_of_ran)
    counts = {stage: len(made) for stage, made in events(copy_of_ran).items()}
    assert counts == {**dict.fromkeys(STAGES, 1), "clusters": 0}


def test_an_older_note_never_hides_a_newer_materialisation(
    copy_of_ran: Path, materialise: Callable[..., Any]
) -> None:
    run_and_report(copy_of_ran)
    prepare(copy_of_ran)
    work = Workspace(copy_of_ran, "tiny")
    recipe = copy_of_ran / "recipes" / "tiny.yaml"
    recipe.write_text(recipe.read_text().replace("k: 3", "k: 3, iterations: 26"))
    with instance_of(copy_of_ran) as instance:
        assert materialise(copy_of_ran, instance).success
    before = events(copy_of_ran)
    # Another code version, the same clusters: the note still describes the table.
    note, [tags] = report.noted(work)["clusters"], [made.tags for made in before["clusters"]]
    assert note["data_version"] == tags["dagster/data_version"]
    assert note["code_version"] != tags["dagster/code_version"]
    runless.report_all(copy_of_ran)
    assert events(copy_of_ran) == before


def test_what_failed_in_dagster_and_was_made_by_winnow_run_is_reported(
    copy_of_ran: Path, materialise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(copy_of_ran)
    run_and_report(copy_of_ran)

    def broken(ctx: Context) -> None:
        raise OSError("no disk")

    with monkeypatch.context() as patch, instance_of(copy_of_ran) as instance:
        patch.setitem(chain.STAGES, "difficulty", broken)
        assert not materialise(copy_of_ran, instance, raise_on_error=False).success
    run_and_report(copy_of_ran)
    counts = {stage: len(made) for stage, made in events(copy_of_ran).items()}
    # Those that the failed run made itself stand as it made them.
    twice = dict.fromkeys(STAGES, 2)
    assert counts == twice


def test_a_limited_run_counts_as_stale(copy_of_ran: Path) -> None:
    prepare(copy_of_ran)
    ctx = replace(context(copy_of_ran), limit=5)
    report.report_run(copy_of_ran, ctx, chain.run(ctx).stages)
    for made in events(copy_of_ran).values():
        assert made[0].tags["dagster/code_version"].endswith("/limit=5")


def test_a_dagster_home_that_cannot_be_read_does_not_fail_the_run(copy_of_ran: Path) -> None:
    (prepare(copy_of_ran) / "dagster.yaml").write_text("telemetry: nonsense")
    notes: list[str] = []

    class Listener:
        def note(self, text: str) -> None:
            notes.append(text)

        def step(self, step: object) -> None:
            del step

    ctx = context(copy_of_ran)
    stages = chain.run(ctx).stages
    report.report_run(copy_of_ran, replace(ctx, progress=Listener()), stages)
    assert len(notes) == 1 and notes[0].startswith("Dagster could not be told: ")


def test_damaged_notes_count_as_none(copy_of_ran: Path) -> None:
    path = copy_of_ran / ".stages" / "tiny" / report.NOTES
    for text in ("{", json.dumps([1]), ""):
        path.write_text(text)
        assert report.noted(Workspace(copy_of_ran, "tiny")) == {}
    run_and_report(copy_of_ran)
    assert set(report.noted(Workspace(copy_of_ran, "tiny"))) == set(STAGES)


def test_a_recipe_that_the_ui_does_not_show_is_not_reported(copy_of_ran: Path) -> None:
    prepare(copy_of_ran)
    elsewhere = (copy_of_ran / "recipes" / "tiny.yaml").rename(copy_of_ran / "tiny.yaml")
    ctx = Context.of(elsewhere, copy_of_ran)
    report.report_run(copy_of_ran, ctx, chain.run(ctx).stages)
    assert not any(events(copy_of_ran).values())
    assert set(report.noted(ctx.workspace)) == set(STAGES)
