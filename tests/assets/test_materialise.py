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


def metadata_of(result: Any, stage: str) -> Any:
    [event] = result.asset_materializations_for_node(f"tiny__{stage}")
    return event.metadata


def data_versions(result: Any) -> dict[str, str]:
    return {
        event.asset_key.path[1]: event.materialization.tags["dagster/data_version"]
        for event in result.get_asset_materialization_events()
    }


def test_makes_every_stage_and_passes_every_check(made: Any) -> None:
    assert made.result.success
    assert set(data_versions(made.result)) == set(STAGES)
    checks = made.result.get_asset_check_evaluations()
    assert len(checks) == 20
    assert [(c.asset_key, c.check_name, c.description) for c in checks if not c.passed] == []


def test_data_versions_are_those_of_the_tables(made: Any) -> None:
    work = Workspace(made.home, "tiny")
    found = data_versions(made.result)
    published = latest(made.home / "tiny")
    assert published is not None
    assert found.pop("training_set") == published.id
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
        keys = [asset.key for asset in assets]
        return {key.path[1] for key in keys if resolver.get_stale_causes(key)}

    [file] = read_all(made.home)
    assert stale(file) == set()
    edited = RecipeFile(file.stem, file.path, file.text.replace("k: 3", "k: 2"))
    assert stale(edited) == {"clusters", "training_set"}


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
