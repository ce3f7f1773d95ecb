"""Every asset check finds what it is there for, and a failed one stops the run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from winnow.assets import checks
from winnow.pipeline.publish.version import latest
from winnow.pipeline.workspace import Workspace
from winnow.stages import chain
from winnow.stages.base import Context, StageResult

Damage = Callable[[pa.Table], pa.Table]


def failed(home: Path, stage: str) -> dict[str, str | None]:
    """Names of the failed checks of a stage, with what they say."""
    ctx = Context.of(home / "recipes" / "tiny.yaml", home)
    version = ctx.workspace.data_version(stage)
    if stage == "training_set":
        published = latest(home / "tiny")
        assert published is not None
        version = published.id
    found = checks.run(dg.AssetKey(["tiny", stage]), ctx, StageResult(stage, version, True, {}))
    return {str(c.check_name): c.description for c in found if not c.passed}


def rewrite(path: Path, damage: Damage) -> None:
    """Change a Parquet file behind everybody's back."""
    table = damage(pq.read_table(path))
    path.unlink()  # a published file is read-only, and may be a link
    pq.write_table(table, path)


def put(column: str, values: Callable[[list[Any]], list[Any]]) -> Damage:
    def damage(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        field = table.schema.field(at)
        return table.set_column(at, field, pa.array(values(table[column].to_pylist()), field.type))

    return damage


def without_first(table: pa.Table) -> pa.Table:
    return table.slice(1)


def first_twice(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table, table.slice(0, 1)])


def without(column: str) -> Damage:
    return lambda table: table.drop_columns([column])


def as_text(column: str) -> Damage:
    def damage(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        return table.set_column(at, column, table[column].cast(pa.string()))

    return damage


def nobody_kept(table: pa.Table) -> pa.Table:
    return put("decision", lambda values: ["dropped"] * len(values))(table)


@pytest.mark.parametrize("stage", checks.CHECKS)
def test_pass_on_what_a_run_made(ran: Path, stage: str) -> None:
    assert failed(ran, stage) == {}


@pytest.mark.parametrize(
    ("stage", "table", "damage", "check"),
    [
        ("prompts", "prompts", as_text("source_index"), "columns"),
        ("prompts", "prompts_ledger", without("detail"), "columns"),
        ("prompts", "prompts", without_first, "rows_conserved"),
        ("prompts", "prompts", first_twice, "rows_conserved"),
        ("prompts", "prompts_ledger", first_twice, "rows_conserved"),
        ("prompts", "prompts_ledger", nobody_kept, "rows_conserved"),
        ("rollouts", "rollouts", as_text("index"), "columns"),
        ("rollouts", "rollouts", first_twice, "none_missing"),
        ("rollouts", "prompts", without_first, "none_missing"),
        ("verdicts", "verdicts", without_first, "all_judged"),
        ("verdicts", "verdicts", first_twice, "all_judged"),
        ("verdicts", "rollouts", without_first, "all_judged"),
        ("verdicts", "verdicts", put("reward", lambda v: [None, *v[1:]]), "all_judged"),
        ("verdicts", "verdicts", put("verdict", lambda v: ["maybe", *v[1:]]), "all_judged"),
        ("difficulty", "difficulty", put("n_wrong", lambda v: [v[0] + 1, *v[1:]]), "verdicts_counted"),
        ("difficulty", "difficulty", without_first, "verdicts_counted"),
        ("embeddings", "embeddings", without_first, "one_per_prompt"),
        ("clusters", "clusters", first_twice, "one_per_prompt"),
        ("clusters", "clusters", as_text("cluster"), "columns"),
    ],
)  # fmt: skip
def test_damage_to_a_stage_table_is_found(
    copy_of_ran: Path, stage: str, table: str, damage: Damage, check: str
) -> None:
    rewrite(Workspace(copy_of_ran, "tiny").table_path(table), damage)
    found = failed(copy_of_ran, stage)
    assert check in found
    assert found[check]


def test_a_missing_answer_is_found_unless_it_is_still_to_be_drawn(copy_of_ran: Path) -> None:
    """With an engine that samples, fewer than n answers are missing answers."""
    recipe = copy_of_ran / "recipes" / "tiny.yaml"
    engine = "engine: {type: openai, model: someone, revision: '1'}"
    recipe.write_text(
        recipe.read_text().replace("engine: {type: replay, policy: someone@1}", engine)
    )
    assert failed(copy_of_ran, "rollouts") == {}
    path = Workspace(copy_of_ran, "tiny").table_path("rollouts")
    rewrite(path, without_first)
    # The store has no answers of this engine: all of them count as still to be drawn.
    assert failed(copy_of_ran, "rollouts") == {}
    shutil.rmtree(copy_of_ran / ".store")
    rewrite(path, put("prompt_id", lambda v: ["f" * 32, *v[1:]]))
    assert "answer to no prompt" in str(failed(copy_of_ran, "rollouts")["none_missing"])


@pytest.mark.parametrize(
    ("file", "damage", "checks_failed"),
    [
        ("sft/train.parquet", without_first, {"rows_conserved", "reloads", "undamaged"}),
        ("rl/train.parquet", without("verifier"), {"columns", "undamaged"}),
        ("ledger.parquet", without_first, {"rows_conserved", "undamaged"}),
    ],
)
def test_damage_to_a_published_set_is_found(
    copy_of_ran: Path, file: str, damage: Damage, checks_failed: set[str]
) -> None:
    version = latest(copy_of_ran / "tiny")
    assert version is not None
    rewrite(version.path / file, damage)
    assert set(failed(copy_of_ran, "training_set")) >= checks_failed


def test_a_set_that_datasets_cannot_open_is_found(copy_of_ran: Path) -> None:
    version = latest(copy_of_ran / "tiny")
    assert version is not None
    path = version.table_path("rl", "train")
    path.unlink()
    path.write_bytes(b"no Parquet")
    ctx = Context.of(copy_of_ran / "recipes" / "tiny.yaml", copy_of_ran)
    found = checks.CHECKS["training_set"]["reloads"](ctx, version)
    assert any(fault.startswith("rl/train: ") for fault in found.faults)


def test_a_missing_verdict_stops_the_run_before_anything_is_published(
    copy_of_ran: Path, materialise: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = latest(copy_of_ran / "tiny")

    def forgetful(ctx: Context) -> StageResult:
        work = ctx.workspace
        table = work.read("verdicts")
        work.write("verdicts", table.filter(pc.field("verdict") != "correct"), "forgetful")
        return StageResult("verdicts", work.data_version("verdicts"), False, {})

    monkeypatch.setitem(chain.STAGES, "verdicts", forgetful)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialise(copy_of_ran, instance, raise_on_error=False)
    assert not result.success
    made = {event.asset_key.path[1] for event in result.get_asset_materialization_events()}
    assert made == {"prompts", "rollouts", "verdicts", "embeddings", "clusters"}
    [bad] = [c for c in result.get_asset_check_evaluations() if not c.passed]
    assert (bad.check_name, bad.blocking) == ("all_judged", True)
    assert latest(copy_of_ran / "tiny") == before
