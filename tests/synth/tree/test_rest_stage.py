"""The stage of value-guided searches over a counting server: its table, stops, kills and faults."""

from collections import Counter
from pathlib import Path

import pytest

from tests.synth.tree.stopping import killed_after, stop_after
from tests.synth.tree.test_trees_stage import (
    CONCURRENCY,
    UNSAVED,
    Server,
    _context,
    _recipe,
    _stored,
    _sums,
    server,
)
from winnow.pipeline import schema
from winnow.stages import rest_trees
from winnow.stages.base import Context
from winnow.stages.rest_trees import RestTreeOptions
from winnow.synth.tree.prompt import FINAL
from winnow.synth.tree.rest import RestOptions

__all__ = ["server"]  # a fixture

SEARCH = RestOptions(max_iterations=6, max_steps=5)
OPTIONS = RestTreeOptions(SEARCH)


def test_the_table_and_what_is_made_of_it(tmp_path: Path, server: Server) -> None:
    ctx = _context(_recipe(tmp_path, server, _sums(12)), tmp_path / "home")
    result = rest_trees.run(ctx, OPTIONS)
    table = ctx.workspace.read("stepwise")
    assert table.schema.equals(schema.STEPWISE)
    rows = table.to_pylist()
    assert result.counts["trees"] == 12
    assert result.counts["rows"] == len(rows) > 12
    assert 0 < result.counts["correct_rows"] == sum(row["correct"] for row in rows) < len(rows)
    assert (result.counts["errors"], result.counts["saved_expansions"]) == (0, 0)
    solved = {row["task_id"] for row in rows if row["correct"]}
    for row in rows:
        assert row["prompt"].startswith("What is ")
        assert len(row["completions"]) == len(row["labels"]) <= SEARCH.max_steps
        assert row["labels"][-1] == row["correct"]
        # A solution that ends by itself is right where it says 7.
        if FINAL in row["completions"][-1]:
            assert row["correct"] == (f"{FINAL}7 " in row["completions"][-1])
        # Values come from the ends that are right, of which a tree may have none.
        assert (row["values"] is None) == (row["task_id"] not in solved)
        if row["correct"]:
            assert row["values"] == sorted(row["values"])
            assert row["values"][-1] == pytest.approx(1.0)
    asked = server.asked()
    assert result.cost["requests"] == len(asked)
    assert 1 < result.cost["mean_in_flight"] <= CONCURRENCY
    steps, judgements = (_stored(tmp_path / "home", name) for name in ("steps", "judgements"))
    values = [row for row in judgements.values() if row["verdict"] is None]
    assert len(asked) == len(steps) + len(values)
    assert {row["judge"].partition("@")[0] for row in values} == {"value"}
    assert {row["reward"] for row in values} <= {number / 10 for number in range(11)}
    assert len({row["reward"] for row in values}) > 5
    # Asked again, nothing is done; with the table gone, it is made again without one request.
    again = rest_trees.run(ctx, OPTIONS)
    assert again.skipped
    assert again.counts == result.counts
    ctx.workspace.table_path("stepwise").unlink()
    assert rest_trees.run(ctx, OPTIONS).data_version == result.data_version
    # Another form of the values, and fewer iterations, are made of what is there.
    simple = rest_trees.run(ctx, RestTreeOptions(SEARCH, form="simple"))
    assert simple.data_version != result.data_version
    assert simple.counts == result.counts
    few = rest_trees.run(ctx, RestTreeOptions(RestOptions(max_iterations=2, max_steps=5)))
    assert few.counts["rows"] < len(rows)
    assert len(server.asked()) == len(asked)


def test_stopped_at_several_requests_it_becomes_the_calm_run(
    tmp_path: Path, server: Server
) -> None:
    recipe = _recipe(tmp_path, server, _sums(7))
    calm = _context(recipe, tmp_path / "calm")
    wanted = rest_trees.run(calm, OPTIONS)
    first = server.asked()
    ctx = _context(recipe, tmp_path / "home")
    sizes = [0]
    for _ in range(4):
        rest_trees.run(ctx, OPTIONS, opened=stop_after(server, len(first) // 6))
        stored = [_stored(tmp_path / "home", name) for name in ("steps", "judgements")]
        values = sum(row["verdict"] is None for row in stored[1].values())
        sizes.append(len(stored[0]) + values)
        assert sizes[-1] == len(server.asked()) - len(first)  # whatever was asked for is stored
    assert sizes == sorted(set(sizes)) and sizes[-1] < len(first)
    found = rest_trees.run(ctx, OPTIONS)
    assert found.counts == wanted.counts
    assert ctx.workspace.read("stepwise").equals(calm.workspace.read("stepwise"))
    assert Counter(server.asked()[len(first) :]) == Counter(first)


@pytest.mark.timeout(600)
def test_kills_lose_and_repeat_nothing(tmp_path: Path, server: Server) -> None:
    recipe = _recipe(tmp_path, server, _sums(7))
    options = ["--iterations", "6", "--steps", "5"]
    calm = _context(recipe, tmp_path / "calm")
    rest_trees.run(calm, OPTIONS)
    first = server.asked()
    command = ["rest-mcts", str(recipe), "--home", str(tmp_path / "home"), *options]
    kills = sum(killed_after(server, len(first) // 4, command) for _ in range(2))
    assert kills == 2
    assert not killed_after(server, 10 * len(first), command)
    ctx = Context.of(recipe, tmp_path / "home")
    assert ctx.workspace.read("stepwise").equals(calm.workspace.read("stepwise"))
    counts = Counter(server.asked()[len(first) :])
    assert set(counts) == set(first)
    assert counts.total() <= len(first) + kills * UNSAVED


def test_each_fault_costs_its_own_tree(tmp_path: Path, server: Server) -> None:
    names = ["broken", "long", "value", "full", "endless"]
    rows = [{"prompt": f"FAULT {name}: what is 3 + 4?", "answer": "7"} for name in names]
    rows += [{"prompt": "What is 2 + 2?", "answer": "7"}]
    ctx = _context(_recipe(tmp_path, server, rows), tmp_path / "home")
    result = rest_trees.run(ctx, OPTIONS)
    assert (result.counts["trees"], result.counts["errors"]) == (6, 3)
    seen = {row["prompt"] for row in ctx.workspace.read("stepwise").to_pylist()}
    assert "What is 2 + 2?" in seen
    assert not any(f"FAULT {name}" in prompt for name in names[:3] for prompt in seen)
    # A request for a value that failed is no value; another run asks for it again.
    asked = len(server.asked())
    again = rest_trees.run(ctx, OPTIONS)
    assert not again.skipped
    assert again.counts == result.counts
    assert 0 < len(server.asked()) - asked <= 3  # one for each child of the one tree


def test_a_task_that_nobody_can_judge_has_no_rows(tmp_path: Path, server: Server) -> None:
    rows = [{"prompt": "Which one is it?", "answer": "a reference that is no set of boxes"}]
    recipe = _recipe(tmp_path, server, rows)
    recipe.write_text(recipe.read_text().replace("verifier: math", "verifier: iou"))
    ctx = _context(recipe, tmp_path / "home")
    result = rest_trees.run(ctx, OPTIONS)
    assert result.counts["rows"] == 0
    assert result.counts["errors"] == 1
    assert rest_trees.run(ctx, OPTIONS).skipped  # another run would find nothing else


def test_the_recipe_s_judge_gives_the_values(tmp_path: Path, server: Server) -> None:
    recipe = _recipe(tmp_path, server, _sums(2))
    judge = f'judge: {{type: openai, model: referee, base_url: "{server.url}", max_retries: 0}}\n'
    recipe.write_text(recipe.read_text() + judge)
    ctx = _context(recipe, tmp_path / "home")
    result = rest_trees.run(ctx, OPTIONS)
    judgements = _stored(tmp_path / "home", "judgements").values()
    assert {"referee" in row["judge"] for row in judgements if row["verdict"] is None} == {True}
    steps = _stored(tmp_path / "home", "steps")
    assert result.cost["requests"] == len(steps)  # the judge has its own way


def test_merged_steps_save_expansions(tmp_path: Path, server: Server) -> None:
    """With the embedder that the recipe names: steps that differ in a digit say the same."""
    recipe = _recipe(tmp_path, server, _sums(4))
    merged = RestTreeOptions(SEARCH, merge=True)
    calm = _context(recipe, tmp_path / "calm")
    wanted = rest_trees.run(calm, merged)
    assert wanted.counts["saved_expansions"] > 0
    assert wanted.counts["trees"] == 4
    first = server.asked()
    ctx = _context(recipe, tmp_path / "home")
    rest_trees.run(ctx, merged, opened=stop_after(server, len(first) // 3))
    assert rest_trees.run(ctx, merged).counts == wanted.counts
    assert ctx.workspace.read("stepwise").equals(calm.workspace.read("stepwise"))
    assert Counter(server.asked()[len(first) :]) == Counter(first)
    plain = rest_trees.run(ctx, OPTIONS)
    assert not plain.skipped
    assert plain.counts["saved_expansions"] == 0
