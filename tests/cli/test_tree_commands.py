"""`winnow mcts` and `winnow tree` as a user types them, over a server that goes on with solutions."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.synth.tree.test_trees_stage import Server, _recipe, _sums, server
from winnow.pipeline.workspace import Workspace

__all__ = ["server"]  # a fixture


def types(*words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def test_search_then_look(tmp_path: Path, server: Server) -> None:
    rows = [*_sums(4), {"prompt": "<script>alert(1)</script> What is 3 + 4?", "answer": "7"}]
    recipe, home = _recipe(tmp_path, server, rows), str(tmp_path / "home")
    command = ["mcts", str(recipe), "--home", home, "--iterations", "4", "--steps", "5"]
    first = types(*command)
    assert first.returncode == 0, first.stderr
    assert "trees: 5" in first.stdout
    assert "mean in flight" in first.stdout
    asked = len(server.asked())
    again = types(*command)
    assert again.returncode == 0
    assert len(server.asked()) == asked > 0

    table = Workspace(tmp_path / "home", recipe.stem).read("trees").to_pylist()
    row = max(table, key=lambda each: each["nodes"])
    told = types("tree", row["prompt_id"][:8], "--home", home)
    assert told.returncode == 0, told.stderr
    assert f"prompt {row['prompt_id']}" in told.stdout
    assert "Step 1" in told.stdout
    assert len(server.asked()) == asked, "to look at a tree drew steps"

    page = tmp_path / "tree.html"
    hostile = next(
        each["prompt_id"]
        for each in Workspace(tmp_path / "home", recipe.stem).read("prompts").to_pylist()
        if "<script>" in each["messages"][-1]["content"]
    )
    assert types("tree", hostile, "--home", home, "--html", str(page)).returncode == 0
    html = page.read_text()
    assert "Content-Security-Policy" in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html

    chosen = tmp_path / "chosen.parquet"
    trees = Workspace(tmp_path / "home", recipe.stem).table_path("trees")
    done = types("select", "mcts", "--input", str(trees), "--output", str(chosen),
                 "--column", "row_id=task_id")  # fmt: skip
    assert done.returncode == 2  # row_id is no input: the table names its rows itself
    done = types("select", "mcts", "--input", str(trees), "--output", str(chosen))
    assert done.returncode == 0, done.stderr
    assert pq.read_table(chosen).num_rows == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tree", "ffff"], "ffff: no tree was searched"),
        (["mcts", "nowhere.yaml"], "no such recipe"),
    ],
)
def test_wrong_use_is_one_clear_line(tmp_path: Path, words: list[str], said: str) -> None:
    done = types(*words, "--home", str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
    assert json.dumps(done.stderr).count("\\n") <= 1
