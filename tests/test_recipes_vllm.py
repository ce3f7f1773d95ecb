"""One of the shipped recipes on the real engine, over a few rows: the search, then the run."""

import subprocess
import sys
from pathlib import Path

import pytest

from winnow.pipeline.publish.version import resolve
from winnow.pipeline.workspace import Workspace

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "data" / "recipes" / "thinklite_mcts.yaml"


def winnow(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_search_and_run(tmp_path: Path) -> None:
    shared = ["--home", str(tmp_path), "--limit", "4"]
    searched = winnow(
        "mcts",
        str(RECIPE),
        *shared,
        "--iterations",
        "3",
        "--steps",
        "2",
        "--step-tokens",
        "64",
        "--no-needs-final",
    )
    assert "trees: 4" in searched
    printed = winnow("run", str(RECIPE), *shared)
    assert 'load_dataset("' in printed
    table = Workspace(tmp_path, RECIPE.stem).read("trees").to_pylist()
    measured = [row for row in table if row["mcts_solved"] is not None]
    hard = [row for row in measured if not row["mcts_solved"] or row["mcts_iterations"] >= 3]
    assert resolve("thinklite_mcts", tmp_path).rows["rl"]["train"] == len(hard)
