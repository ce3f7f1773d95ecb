"""The stage of tree searches with a model as judge, and with merging, stopped and resumed."""

from collections import Counter
from pathlib import Path

import pytest

from tests.synth.tree.stopping import stop_after
from tests.synth.tree.test_trees_stage import Server, _context, _recipe, _stored, _sums, server
from winnow.stages import trees
from winnow.stages.base import Context
from winnow.synth.tree.mcts import MctsOptions
from winnow.synth.tree.prompt import FINAL

__all__ = ["server"]  # a fixture

SEARCH = MctsOptions(max_iterations=5, max_steps=5)


def _stops_and_resumes(
    recipe: Path, folder: Path, server: Server, options: trees.TreeOptions
) -> tuple[Context, list[str]]:
    """A calm run, and one that was stopped twice: the same table, and no request but the calm run's;
    the calm run and what it asked for."""
    calm = _context(recipe, folder / "calm")
    wanted = trees.run(calm, options)
    first = server.asked()
    ctx = _context(recipe, folder / "home")
    for _ in range(2):
        trees.run(ctx, options, opened=stop_after(server, len(first) // 4))
        assert len(server.asked()) < 2 * len(first)
    assert trees.run(ctx, options).counts == wanted.counts
    assert ctx.workspace.read("trees").equals(calm.workspace.read("trees"))
    assert Counter(server.asked()[len(first) :]) == Counter(first)
    return calm, first


def test_a_critic_judges(tmp_path: Path, server: Server) -> None:
    """The policy itself is the critic: its judgements are requests like the steps."""
    recipe = _recipe(tmp_path, server, _sums(8))
    options = trees.TreeOptions(SEARCH, judge="critic")
    calm, asked = _stops_and_resumes(recipe, tmp_path, server, options)
    table = calm.workspace.read("trees")
    assert 0 < table["mcts_solved"].to_pylist().count(True) < 8
    steps, judgements = (_stored(tmp_path / "calm", name) for name in ("steps", "judgements"))
    assert len(asked) == len(steps) + len(judgements)
    assert len(steps) <= sum(table["steps"].to_pylist())
    for row in judgements.values():
        assert row["judge"].startswith("critic@1+stub")
        ended = steps[row["state"]]["completion"]
        assert (row["verdict"] == "correct") == (f"{FINAL}7 " in ended)
    # The same trees to look at draw and judge nothing.
    before = len(server.asked())
    row = table.to_pylist()[0]
    ((_, found),) = trees.stored_trees(calm, row["prompt_id"], options).items()
    assert found.solved == row["mcts_solved"]
    assert len(server.asked()) == before


@pytest.mark.parametrize("judge", ["verifier", "critic"])
def test_a_critic_of_its_own_leaves_the_steps_alone(
    tmp_path: Path, server: Server, judge: str
) -> None:
    recipe = _recipe(tmp_path, server, _sums(3))
    named = f'judge: {{type: openai, model: referee, base_url: "{server.url}", max_retries: 0}}\n'
    recipe.write_text(recipe.read_text() + named)
    ctx = _context(recipe, tmp_path / "home")
    options = trees.TreeOptions(SEARCH, judge="critic" if judge == "critic" else "verifier")
    result = trees.run(ctx, options)
    steps, judgements = (_stored(tmp_path / "home", name) for name in ("steps", "judgements"))
    assert result.cost["requests"] == len(steps)
    asked = len(judgements) if judge == "critic" else 0
    assert len(server.asked()) == len(steps) + asked
    assert {"referee" in row["judge"] for row in judgements.values()} == {judge == "critic"}


def test_merged_steps_save_expansions(tmp_path: Path, server: Server) -> None:
    """With the embedder that the recipe names: steps that differ in a digit say the same."""
    recipe = _recipe(tmp_path, server, _sums(5))
    options = trees.TreeOptions(SEARCH, merge=True)
    calm, asked = _stops_and_resumes(recipe, tmp_path, server, options)
    table = calm.workspace.read("trees")
    assert sum(table["saved_expansions"].to_pylist()) > 0
    assert len(asked) == len(set(asked)) == sum(table["steps"].to_pylist())
    plain = trees.run(_context(recipe, tmp_path / "calm"), trees.TreeOptions(SEARCH))
    assert not plain.skipped
    saved = calm.workspace.read("trees")["saved_expansions"].to_pylist()
    assert saved == [0] * 5
