"""From recipe files to definitions: names, code versions, broken ones, and what a run is pinned to."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from winnow.assets import graph, snapshot
from winnow.assets.factory import build
from winnow.assets.listen import LogProgress
from winnow.assets.snapshot import RecipeFile, pinned, read_all
from winnow.assets.versions import code_versions
from winnow.pipeline import recipe as recipes
from winnow.pipeline.progress import Step

SAMPLING = """\
dataset: d
sources:
  - {type: reasoning_gym, family: basic_arithmetic, size: 3}
engine: {model: smollm2-135m-instruct, args: {seed: 1}}
sampling: {n: 4}
sets: {sft: {}}
"""


def definitions(**texts: str) -> dg.Definitions:
    files = [RecipeFile(stem, f"/r/{stem}.yaml", text) for stem, text in texts.items()]
    return build(files, Path("/nowhere"))


def name_of(key: dg.AssetKey) -> str:
    """What follows the recipe's prefix."""
    return "/".join(key.path[1:])


def paths(text: str) -> list[str]:
    """Names of the assets that a recipe has."""
    nodes = [*graph.nodes(recipes.parse(text)), graph.REPORT]
    return ["/".join(node.path) for node in nodes]


def keys(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_all_asset_keys()}


def test_the_graph_is_the_documented_picture() -> None:
    defs = definitions(one=SAMPLING)
    read = {
        name_of(spec.key): sorted(name_of(dep.asset_key) for dep in spec.deps)
        for spec in defs.resolve_all_asset_specs()
    }
    assert read == {
        "prompts": [],
        "rollouts": ["prompts"],
        "verdicts": ["prompts", "rollouts"],
        "audit": ["verdicts"],
        "difficulty": ["verdicts"],
        "embeddings": ["prompts"],
        "clusters": ["embeddings"],
        "scores": ["verdicts"],
        "sets/sft": ["audit", "clusters", "difficulty", "prompts", "scores", "verdicts"],
        "training_set": ["sets/sft"],
        "report": ["training_set"],
    }
    specs = {name_of(spec.key): spec for spec in defs.resolve_all_asset_specs()}
    groups = {name: spec.group_name for name, spec in specs.items()}
    assert groups == {**dict.fromkeys(read, "one"), "report": "one_reports"}
    assert all(spec.code_version and spec.description and spec.kinds for spec in specs.values())
    assert "vllm" in specs["rollouts"].kinds
    job = defs.resolve_job_def("one_all")
    assert {name_of(key) for key in job.asset_layer.executable_asset_keys} == set(read) - {"report"}
    ops: list[Any] = [node.definition for node in job.nodes_in_topological_order]
    pools = {op.name: op.pool for op in ops}
    gpu = {name.removeprefix("one__") for name, pool in pools.items() if pool == "gpu"}
    assert gpu == {"rollouts", "embeddings", "scores"}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("size: 3", "size: 4", {"prompts"}),
        ("n: 4", "n: 5", {"rollouts"}),
        ("n: 4", "n: 4, concurrency: 9", set()),
        ("n: 4", "n: 4, max_tokens: 99", {"prompts", "rollouts"}),
        ("args: {seed: 1}", "args: {seed: 2}", set()),
        ("smollm2-135m-instruct", "other/model", {"prompts", "rollouts", "scores"}),
        ("dataset: d", "dataset: d\nseed: 5", {"rollouts", "clusters", "scores"}),
        ("dataset: d", "dataset: d\nclusters: {k: 3}", {"clusters"}),
        ("dataset: d", "dataset: d\nembedding: {batch_size: 3}", set()),
        ("dataset: d", "dataset: d\ndifficulty: {prior: [2.0, 2.0]}", {"difficulty"}),
        ("dataset: d", "dataset: d\naudit: {min_votes: 9}", {"audit"}),
        ("dataset: d", "dataset: d\njudge: {model: other/model}", {"verdicts"}),
        ("dataset: d", "dataset: d\nuds: {keep: 2}", {"scores"}),
        ("sft: {}", "sft: {uds: false}", {"scores"}),
        ("sft: {}", "sft: {budget: 3}", set()),
    ],
)
def test_code_versions_follow_the_part_that_a_stage_reads(
    old: str, new: str, changed: set[str]
) -> None:
    assert old in SAMPLING
    before = code_versions(recipes.parse(SAMPLING))
    after = code_versions(recipes.parse(SAMPLING.replace(old, new)))
    assert {stage for stage in before if before[stage] != after[stage]} == changed | {
        "training_set"
    }


def test_a_limited_look_is_another_code_version() -> None:
    recipe = recipes.parse(SAMPLING)
    assert not set(code_versions(recipe).values()) & set(code_versions(recipe, limit=5).values())


BAD = {
    "not_yaml": "dataset: [",
    "wrong_key": 'dataset: d\n"<img src=x onerror=alert(1)> [a](javascript:b) **c**": 1\n',
    "no_such_date": "dataset: d\ndescription: 2024-13-45\n",
    "unknown_verifier": SAMPLING.replace(
        "{type: reasoning_gym, family: basic_arithmetic, size: 3}",
        "{type: dataset, name: a, path: a.jsonl, verifier: nobody}",
    ),
    "empty": "",
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_recipe_shows_its_error_and_hides_no_other(name: str) -> None:
    defs = definitions(good=SAMPLING, **{name: BAD[name]})
    assert keys(defs) == {f"good/{path}" for path in paths(SAMPLING)} | {f"{name}/recipe"}
    [spec] = [s for s in defs.resolve_all_asset_specs() if s.key.path[0] == name]
    said = str(spec.description)
    assert "cannot be read" in said
    assert not set("<>[]*") & set(said)
    job = defs.get_implicit_global_asset_job_def().get_subset(
        asset_check_selection={dg.AssetCheckKey(spec.key, "is_valid")}
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    [check] = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.description and check.description in said


def test_files_that_cannot_be_read_are_broken_recipes(tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (folder / "folder.yaml").mkdir()
    (folder / "dangling.yaml").symlink_to(folder / "nothing")
    (folder / ".hidden.yaml").write_text("x")
    (folder / "notes.txt").write_text("x")
    assert keys(build(read_all(tmp_path), tmp_path)) == {
        "bytes/recipe", "dangling/recipe", "folder/recipe",
    }  # fmt: skip


def test_any_file_name_gives_names_that_dagster_takes() -> None:
    stems = ["a-b", "a_b", "a.b", "ü x", "config", "context", "class", "None", "1st", "x" * 150]
    broken = ["c-b", "c_b", "c.b", "ö x"]
    defs = definitions(**dict.fromkeys(stems, SAMPLING), **dict.fromkeys(broken, "dataset: ["))
    repository = defs.get_repository_def()
    assert len(repository.get_all_jobs()) == len(stems) + 1
    assert len(keys(defs)) == len(paths(SAMPLING)) * len(stems) + len(broken)
    assert {"a-b/prompts", "a.b/prompts", "config/prompts", "c-b/recipe"} <= keys(defs)
    groups = {spec.group_name for spec in defs.resolve_all_asset_specs()}
    assert len(groups) == 2 * len(stems) + len(broken)


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(snapshot.PINNED, "")  # so that what a test pins goes with it


@pytest.mark.usefixtures("unpinned")
def test_the_first_process_pins_the_recipes_for_the_others(new_home: Callable[[], Path]) -> None:
    home = new_home()
    recipe = home / "recipes" / "tiny.yaml"
    loaded = pinned(home)
    recipe_text = recipe.read_text()
    assert not loaded[0].edited()
    recipe.write_text("dataset: [")
    assert pinned(home) == loaded
    assert loaded[0].edited()
    assert read_all(home) != loaded
    code = "import winnow.assets.definitions as d; print(len(d.defs.resolve_all_asset_keys()))"
    told = {**os.environ, "WINNOW_HOME": str(home)}
    fresh = {**told, snapshot.PINNED: ""}
    counts = [
        int(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True,
                           check=True).stdout)
        for env in (told, fresh)
    ]  # fmt: skip
    assert counts == [len(paths(recipe_text)), 1]


@pytest.mark.usefixtures("unpinned")
def test_a_pin_of_another_home_does_not_count(tmp_path: Path, new_home: Callable[[], Path]) -> None:
    pinned(new_home())
    other = tmp_path / "other"
    (other / "recipes").mkdir(parents=True)
    (other / "recipes" / "two.yaml").write_text(SAMPLING)
    assert [file.stem for file in pinned(other)] == ["two"]


@pytest.mark.usefixtures("unpinned")
def test_old_pins_are_removed_and_nothing_is_written_without_recipes(
    tmp_path: Path, new_home: Callable[[], Path]
) -> None:
    home = new_home()
    old, young = home / ".runs" / "old.json", home / ".runs" / "young.json"
    old.parent.mkdir()
    for path, days in ((old, 31), (young, 29)):
        path.write_text("[]")
        os.utime(path, (time.time() - days * 86400,) * 2)
    pinned(home)
    assert not old.exists() and young.exists()
    assert pinned(tmp_path / "empty") == []
    assert not (tmp_path / "empty").exists()


def test_the_log_is_told_now_and_then() -> None:
    now = [100.0]
    lines: list[str] = []
    progress = LogProgress(lines.append, lambda: now[0])
    progress.note("loading")
    for done in range(1, 101):
        now[0] += 0.5
        numbers = {"tokens_per_second": 1234.5, "pass_rate": 0.25}
        progress.step(Step("rollouts", done, 100, "answers", numbers))
    assert lines[0] == "loading"
    assert len(lines) == 1 + 5
    assert lines[1] == (
        "rollouts: 21 of 100 answers, 1,234 tokens/s, pass rate 0.25, 0:38 min left"
    )
    assert lines[-1].startswith("rollouts: 100 of 100 answers")
    assert "left" not in lines[-1]
