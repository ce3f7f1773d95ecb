"""`winnow rest-mcts` and `winnow hint-infer` as a user types them, over a server that goes on with
solutions."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.test_tree_commands import types
from tests.synth.tree.test_trees_stage import Server, _recipe, _sums, server
from winnow.pipeline.workspace import Workspace
from winnow.stages import prompts, rollouts, verdicts
from winnow.stages.base import Context

__all__ = ["server"]  # a fixture

TRL = ["prompt", "completions", "labels"]


def test_steps_are_labelled(tmp_path: Path, server: Server) -> None:
    recipe, home = _recipe(tmp_path, server, _sums(4)), str(tmp_path / "home")
    command = ["rest-mcts", str(recipe), "--home", home, "--iterations", "6", "--steps", "5"]
    parquet = tmp_path / "steps.parquet"
    first = types(*command, "--output", str(parquet))
    assert first.returncode == 0, first.stderr
    workspace = Workspace(tmp_path / "home", recipe.stem)
    table = workspace.read("stepwise")
    said = first.stdout.splitlines()
    assert "trees: 4" in said
    assert f"rows: {table.num_rows}" in said
    assert f"correct rows: {sum(table['correct'].to_pylist())}" in said
    assert "saved expansions: 0" in said
    assert f"requests: {len(server.asked())}" in said
    assert any(line.startswith("mean in flight: ") for line in said)
    assert said[-2:] == [str(workspace.table_path("stepwise")), str(parquet)]
    rows = table.select(TRL).to_pylist()
    assert table.num_rows > 4
    assert pq.read_table(parquet).column_names == TRL
    assert pq.read_table(parquet).to_pylist() == rows

    asked = len(server.asked())
    lines = tmp_path / "steps.jsonl"
    again = types(*command, "--output", str(lines))
    assert again.returncode == 0
    assert len(server.asked()) == asked > 0
    assert [json.loads(line) for line in lines.read_text().splitlines()] == rows
    assert not list(tmp_path.glob(".steps*"))

    # The settings of the authors' script, but for one that is given, make another table.
    other = types(*command, "--script", "--c", "2")
    assert other.returncode == 0, other.stderr
    assert len(server.asked()) > asked
    assert not workspace.read("stepwise").equals(table)


def test_hints_after_a_run(tmp_path: Path, server: Server) -> None:
    recipe = _recipe(tmp_path, server, _sums(12), n=2)
    home = str(tmp_path / "home")
    command = ["hint-infer", str(recipe), "--home", home]
    early = types(*command)
    assert early.returncode == 2
    assert "run the recipe first (winnow run)" in early.stderr
    assert server.asked() == []

    ran = types("run", str(recipe), "--home", home)
    assert ran.returncode == 0, ran.stderr
    plain = len(server.asked())
    assert plain == 24
    done = types(*command)
    assert done.returncode == 0, done.stderr
    workspace = Workspace(tmp_path / "home", recipe.stem)
    rows = workspace.read("hinted").to_pylist()
    said = done.stdout.splitlines()
    assert len(rows) > 6
    assert f"hinted: {len(rows)}" in said
    assert f"kept: {sum(row['kept'] for row in rows)}" in said
    assert "unjudged: 0" in said
    assert said[-1] == str(workspace.table_path("hinted"))
    assert len(server.asked()) - plain == sum(row["tries"] for row in rows)

    asked = len(server.asked())
    assert types(*command).returncode == 0
    assert len(server.asked()) == asked
    # One more answer of each task, one hint for each: the first ones' hints are there.
    more = types(*command, "--answers", "2", "--tries", "1")
    assert more.returncode == 0, more.stderr
    assert {row["tries"] for row in workspace.read("hinted").to_pylist()} == {1}
    both = workspace.read("hinted").num_rows
    assert len(rows) < both
    assert len(server.asked()) - asked <= both - len(rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rest-mcts", "nowhere.yaml"], "no such recipe"),
        (["rest-mcts", "nowhere.yaml", "--output", "rows.csv"], "rows.csv: the name must end in"),
        (["rest-mcts", "nowhere.yaml", "--output", "no/rows.jsonl"], "there is no folder no"),
        (["hint-infer", "nowhere.yaml"], "no such recipe"),
    ],
)
def test_wrong_use_is_one_clear_line(tmp_path: Path, words: list[str], said: str) -> None:
    done = types(*words, "--home", str(tmp_path))
    assert done.returncode == 2
    assert said in done.stderr
    assert json.dumps(done.stderr).count("\\n") <= 1


def test_imported_answers_cannot_be_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"prompt": "What is 3 + 4?", "answer": "7"}')
    (tmp_path / "told.jsonl").write_text('{"prompt": "What is 3 + 4?", "completion": "It is 8."}')
    recipe = tmp_path / "sums.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources:
  - {{type: dataset, name: sums, path: {tmp_path / "sums.jsonl"}, verifier: math}}
engine: {{type: replay, policy: teacher}}
sampling: {{n: 1, max_tokens: 50}}
sets: {{rl: {{}}}}
"""
    )
    home = ["--home", str(tmp_path / "home")]
    told = types("import-rollouts", str(tmp_path / "told.jsonl"), "--policy", "teacher", *home)
    assert told.returncode == 0, told.stderr
    ctx = Context.of(recipe, tmp_path / "home")
    for stage in (prompts, rollouts, verdicts):
        stage.run(ctx)
    done = types("hint-infer", str(recipe), *home)
    assert done.returncode == 2
    assert "engine teacher cannot go on with an answer that has begun" in done.stderr
