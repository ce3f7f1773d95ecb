"""The shipped quickstart on its real parts: through the command line, and through Dagster."""

import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pytest

from winnow.pipeline.publish.version import Version, resolve, verify_version
from winnow.pipeline.workspace import Workspace, open_store
from winnow.stages import chain
from winnow.stages.base import Context

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.long,
]

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "data" / "recipes" / "quickstart.yaml"
FORGOTTEN = 6  # prompts whose answers the second run must draw again


def _run(home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", "run", str(RECIPE), "--home", str(home)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which `winnow run` has made the quickstart."""
    folder = tmp_path_factory.mktemp("quickstart") / "home"
    printed = _run(folder)
    for part in ("rows in", "answers", "judged", "tokens/s", "from datasets import load_dataset"):
        assert part in printed
    return folder


def _whole(version: Version) -> None:
    """The version's files are as they were written, and every set loads and is right."""
    assert verify_version(version.path) == []
    loaded = {
        name: datasets.load_dataset(str(version.path), name, split="train") for name in version.rows
    }
    assert set(loaded) == {"sft", "rl", "preference"}
    for name, table in loaded.items():
        assert table.num_rows == version.rows[name]["train"] > 5
        streamed = datasets.load_dataset(str(version.path), name, split="train", streaming=True)
        assert next(iter(streamed))["id"] == table[0]["id"]
    for row in loaded["sft"]:
        assert row["messages"][-1]["role"] == "assistant"
        assert 0.01 <= row["pass_rate"] <= 0.99
    for row in loaded["rl"]:
        assert 0.1 <= row["pass_rate"] <= 0.9
    for row in loaded["preference"]:
        assert row["chosen"] != row["rejected"]


def test_the_quickstart_publishes_verified_rows_of_known_difficulty(home: Path) -> None:
    version = resolve("quickstart", home)
    _whole(version)
    work = Workspace(home, "quickstart")
    prompts, rollouts = work.read("prompts"), work.read("rollouts")
    assert prompts.num_rows >= 60
    assert rollouts.num_rows == 6 * prompts.num_rows
    rates = [r for r in work.read("difficulty")["pass_rate"].to_pylist() if r is not None]
    assert len(rates) >= 0.9 * prompts.num_rows
    between = sum(0 < rate < 1 for rate in rates)
    assert between > len(rates) / 3, "the model is hopeless or perfect on most prompts"


def test_no_group_of_prompts_stands_on_both_sides(home: Path) -> None:
    version = resolve("quickstart", home)
    train, holdout = set(), set()
    for name, splits in version.rows.items():
        train |= set(version.table(name, "train")["template_id"].to_pylist())
        if splits.get("holdout"):
            holdout |= set(version.table(name, "holdout")["template_id"].to_pylist())
    assert holdout
    assert not train & holdout


def test_a_second_run_finds_everything(home: Path) -> None:
    before = resolve("quickstart", home)
    report = chain.run(Context.of(RECIPE, home))
    assert all(result.skipped for result in report.stages)
    assert report.version.id == before.id


def test_a_version_is_rebuilt_to_the_byte_in_an_empty_folder(home: Path, tmp_path: Path) -> None:
    """From the stored answers and signals alone: no engine, no scorer, the same version."""
    before = resolve("quickstart", home)
    shutil.copytree(home / ".store", tmp_path / "home" / ".store")
    report = chain.run(Context.of(RECIPE, tmp_path / "home"))
    assert report.stage("rollouts").cost.get("answers_drawn", 0) == 0
    assert report.version.id == before.id
    for path in sorted(before.path.rglob("*")):
        if path.is_file() and path.name != "run.json":
            twin = report.version.path / path.relative_to(before.path)
            assert twin.read_bytes() == path.read_bytes(), path.name


def test_dagster_finds_what_the_command_made_and_samples_only_the_rest(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    fresh = tmp_path / "home"
    shutil.copytree(home / ".store", fresh / ".store")
    (fresh / "recipes").mkdir()
    shutil.copy(RECIPE, fresh / "recipes")
    with open_store(fresh, "rollouts", write=True) as store:
        table = store.all(["prompt_id"])
        gone = sorted(set(table["prompt_id"].to_pylist()))[:FORGOTTEN]
        kept = dict(
            zip(table["rollout_id"].to_pylist(), table["prompt_id"].to_pylist(), strict=True)
        )
        assert (
            store.delete(name for name, prompt in kept.items() if prompt in gone) == 6 * FORGOTTEN
        )
    monkeypatch.setenv("WINNOW_HOME", str(fresh))
    from winnow.assets.factory import build
    from winnow.assets.snapshot import read_all

    job = build(read_all(fresh), fresh).resolve_job_def("quickstart_all")
    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance)
        assert result.success
        checks = result.get_asset_check_evaluations()
        assert checks
        assert [c.check_name for c in checks if not c.passed] == []
    report = chain.run(Context.of(fresh / "recipes" / "quickstart.yaml", fresh))
    assert all(stage.skipped for stage in report.stages)
    _whole(report.version)
    with open_store(fresh, "rollouts") as store:
        assert store.count() == 6 * len(set(kept.values()))
