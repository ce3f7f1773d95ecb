"""The whole graph of one recipe, materialised in this process, and what it shows."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from winnow.pipeline.publish.version import latest
from winnow.pipeline.workspace import Workspace
from winnow.stages import chain
from winnow.stages.base import Context

STAGES = ("prompts", "rollouts", "verdicts", "audit", "difficulty", "embeddings", "clusters",
          "scores", "training_set")  # fmt: skip


SETS = ("sets/sft", "sets/rl", "sets/preference")


def metadata_of(result: Any, name: str) -> Any:
    """Metadata of the asset whose key ends with `name`."""
    [event] = [e for e in result.get_asset_materialization_events() if name_of(e) == name]
    return event.materialization.metadata


def name_of(event: Any) -> str:
    return "/".join(event.asset_key.path[1:])


def data_versions(result: Any) -> dict[str, str]:
    return {
        name_of(event): event.materialization.tags["dagster/data_version"]
        for event in result.get_asset_materialization_events()
    }


def test_makes_every_stage_and_passes_every_check(made: Any) -> None:
    assert made.result.success
    assert set(data_versions(made.result)) == {*STAGES, *SETS}
    checks = made.result.get_asset_check_evaluations()
    assert len(checks) == 20
    assert [(c.asset_key, c.check_name, c.description) for c in checks if not c.passed] == []


def test_data_versions_are_those_of_the_tables(made: Any) -> None:
    work = Workspace(made.home, "tiny")
    found = data_versions(made.result)
    published = latest(made.home / "tiny")
    assert published is not None
    assert found.pop("training_set") == published.id
    assert len({found.pop(name) for name in SETS}) == len(SETS)
    assert found == {stage: work.data_version(stage) for stage in found}


def test_a_second_materialisation_finds_all_up_to_date(
    made: Any, materialise: Callable[..., Any]
) -> None:
    again = materialise(made.home, made.instance)
    assert data_versions(again) == data_versions(made.result)
    assert all(metadata_of(again, stage)["up_to_date"].value for stage in STAGES)
    assert "seconds" not in metadata_of(again, "prompts")


def test_winnow_run_finds_what_dagster_made(made: Any) -> None:
    report = chain.run(Context.of(made.home / "recipes" / "tiny.yaml", made.home))
    assert [result.stage for result in report.stages if not result.skipped] == []


def test_dagster_finds_what_winnow_run_made(ran: Path, materialise: Callable[..., Any]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialise(ran, instance)
    assert [s for s in STAGES if not metadata_of(result, s)["up_to_date"].value] == []


def test_nothing_is_stale_after_a_run_and_an_edit_makes_stale_what_it_changes(made: Any) -> None:
    from dagster._utils.test.data_versions import get_stale_status_resolver

    from winnow.assets.factory import build
    from winnow.assets.snapshot import RecipeFile, read_all

    def stale(file: RecipeFile) -> set[str]:
        assets: Any = build([file], made.home).assets
        resolver = get_stale_status_resolver(made.instance, assets)
        keys = [key for asset in assets for key in asset.keys]
        return {"/".join(key.path[1:]) for key in keys if resolver.get_stale_causes(key)}

    [file] = read_all(made.home)
    assert stale(file) == set()
    edited = RecipeFile(file.stem, file.path, file.text.replace("k: 3", "k: 2"))
    assert stale(edited) == {"clusters", "training_set"}
    one_set = RecipeFile(
        file.stem,
        file.path,
        file.text.replace("preference: {}", "preference: {pairs_per_prompt: 3}"),
    )
    assert stale(one_set) == {"sets/preference", "training_set"}


def test_one_set_is_made_anew_and_the_others_stay(
    new_home: Callable[[], Path], materialise: Callable[..., Any]
) -> None:
    from winnow.assets.factory import build
    from winnow.assets.snapshot import read_all

    home = new_home()
    recipe = home / "recipes" / "tiny.yaml"
    with dg.DagsterInstance.ephemeral() as instance:
        before = data_versions(materialise(home, instance))
        recipe.write_text(recipe.read_text().replace("[0.1, 0.9]", "[0.3, 0.7]"))
        job: Any = build(read_all(home), home).resolve_job_def("tiny_all")
        key = dg.AssetKey(["tiny", "sets", "rl"])
        result = job.execute_in_process(instance=instance, asset_selection=[key])
        assert data_versions(result).keys() == {"sets/rl"}
        assert data_versions(result)["sets/rl"] != before["sets/rl"]
        # The new version is told beside, with its checks; it links the sets that were not asked for.
        [record] = instance.fetch_materializations(
            dg.AssetKey(["tiny", "training_set"]), limit=1
        ).records
        told = record.asset_materialization
        [sft] = instance.fetch_materializations(
            dg.AssetKey(["tiny", "sets", "sft"]), limit=1
        ).records
    published = latest(home / "tiny")
    assert published is not None and told is not None and sft.asset_materialization is not None
    assert told.tags is not None and sft.asset_materialization.tags is not None
    assert told.tags["dagster/data_version"] == published.id != before["training_set"]
    assert sft.asset_materialization.tags["dagster/data_version"] == before["sets/sft"]
    assert metadata_of(result, "sets/rl")["dagster/row_count"].value == sum(
        published.rows["rl"].values()
    )


def test_a_set_without_an_earlier_version_says_what_to_do(
    new_home: Callable[[], Path], materialise: Callable[..., Any]
) -> None:
    from winnow.assets.factory import build
    from winnow.assets.snapshot import read_all

    home = new_home()
    job: Any = build(read_all(home), home).resolve_job_def("tiny_all")
    tables = [dg.AssetKey(["tiny", stage]) for stage in STAGES[:-1]]
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[*tables, dg.AssetKey(["tiny", "sets", "rl"])],
            raise_on_error=False,
        )
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "build all its sets" in failure.step_failure_data.user_failure_data.description


def test_counts_and_columns_are_told(made: Any) -> None:
    prompts = metadata_of(made.result, "prompts")
    assert (prompts["rows_in"].value, prompts["kept"].value, prompts["dropped"].value) == (
        13,
        11,
        2,
    )
    assert prompts["dagster/row_count"].value == 11
    assert isinstance(prompts["seconds"].value, float)
    columns = {c.name: c for c in prompts["dagster/column_schema"].value.columns}
    assert columns["answer"].description.startswith("Reference answer.")
    assert columns["answer"].constraints.nullable
    assert not columns["task_id"].constraints.nullable
    assert metadata_of(made.result, "verdicts")["pass_rate"].value == pytest.approx(20 / 44)
    assert metadata_of(made.result, "embeddings")["dimensions"].value == 384


@pytest.mark.parametrize(("stage", "entry"), [("difficulty", "pass_rates"), ("clusters", "map")])
def test_pictures_are_pictures(made: Any, stage: str, entry: str) -> None:
    from PIL import Image

    text = metadata_of(made.result, stage)[entry].value
    assert text.count("](data:image/png;base64,") == 1
    data = base64.b64decode(text.split("base64,")[1].rstrip(")"), validate=True)
    with Image.open(io.BytesIO(data)) as picture:
        picture.verify()
        assert picture.size[0] == 600


def test_the_load_lines_load(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    shown = metadata_of(made.result, "training_set")
    code = shown["load"].value.removeprefix("```python\n").removesuffix("\n```")
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102
    rows = {
        name: len(value) for name, value in found.items() if name.startswith(("sft", "rl", "pref"))
    }
    version = latest(made.home / "tiny")
    assert version is not None
    assert rows == {
        f"{name}_{split}": count
        for name, splits in version.rows.items()
        for split, count in splits.items()
        if count
    }
    assert any(name.endswith("_holdout") for name in rows)
    assert shown["dagster/row_count"].value == sum(rows.values())
    assert shown["version"].value == version.ref


def test_run_json_holds_what_the_stages_spent(made: Any) -> None:
    version = latest(made.home / "tiny")
    assert version is not None
    costs = version.run()["costs"]
    assert set(costs) == set(STAGES) - {"training_set"}
    assert costs["verdicts"]["judged_here"] == 44
    assert all(cost["seconds"] >= 0 for cost in costs.values())


@pytest.mark.parametrize("stage", STAGES)
def test_hostile_text_is_only_text(made: Any, stage: str) -> None:
    """Rendered with HTML allowed and bare addresses linked, a preview has no live element."""
    from markdown_it import MarkdownIt

    entries = metadata_of(made.result, stage)
    texts = [
        value.value
        for name, value in entries.items()
        if name in ("preview", "decisions") and isinstance(value, dg.MarkdownMetadataValue)
    ]
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    kinds: set[str] = set()
    said = ""
    for text in texts:
        for token in parser.parse(text):
            kinds |= {token.type, *(child.type for child in token.children or ())}
            said += "".join(child.content for child in token.children or ())
    assert not kinds & {"html_inline", "html_block", "link_open", "image", "code_inline"}
    # What a renderer that looks for bare addresses in the finished text would still find.
    assert "https://" not in said and "www." not in said and "a@x" not in said
    if stage in ("prompts", "rollouts"):
        assert "<img src=x onerror=alert(1)>" in said


def test_a_stage_that_cannot_run_fails_with_its_reason(
    new_home: Callable[[], Path], materialise: Callable[..., Any]
) -> None:
    home = new_home()
    (home / "sums.jsonl").unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialise(home, instance, raise_on_error=False)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "sums.jsonl" in failure.step_failure_data.user_failure_data.description
    assert result.get_asset_materialization_events() == []
