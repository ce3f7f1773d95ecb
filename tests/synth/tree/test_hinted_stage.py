"""The stage of hinted answers over a counting server: its table, stops, kills and faults."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.synth.tree.stopping import killed_after, stop_after
from tests.synth.tree.test_trees_stage import (
    UNSAVED,
    Server,
    _context,
    _recipe,
    _stored,
    _sums,
    server,
)
from winnow.pipeline import schema
from winnow.pipeline.errors import UsageError
from winnow.stages import hinted, rollouts, verdicts
from winnow.stages.base import Context
from winnow.stages.hinted import HintOptions
from winnow.synth.tree.hints import HINTS

__all__ = ["server"]  # a fixture


def _has_run(recipe: Path, home: Path) -> Context:
    """A run as far as its verdicts."""
    ctx = _context(recipe, home)
    rollouts.run(ctx)
    verdicts.run(ctx)
    return ctx


def _plain(ctx: Context) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], str]]:
    """Answers by name, and what was said of each for each task."""
    answers = {row["rollout_id"]: row for row in ctx.workspace.read("rollouts").to_pylist()}
    said = {
        (row["task_id"], row["rollout_id"]): row["verdict"]
        for row in ctx.workspace.read("verdicts").to_pylist()
    }
    return answers, said


def test_the_table_and_what_is_made_of_it(tmp_path: Path, server: Server) -> None:
    ctx = _has_run(_recipe(tmp_path, server, _sums(30), n=3), tmp_path / "home")
    plain = len(server.asked())
    result = hinted.run(ctx)
    table = ctx.workspace.read("hinted")
    assert table.schema.equals(schema.HINTED)
    rows = table.to_pylist()
    answers, said = _plain(ctx)
    failed = {task for (task, _), verdict in said.items() if verdict == "wrong"}
    assert [row["task_id"] for row in rows] == sorted(failed)  # one answer of each
    assert result.counts["hinted"] == result.counts["wrong_answers"] == len(rows)
    assert 0 < result.counts["kept"] < len(rows)
    assert (result.counts["unjudged"], result.counts["errors"]) == (0, 0)
    hints = {hint.name: hint for hint in HINTS}
    for row in rows:
        mine = answers[row["rollout_id"]]
        assert said[row["task_id"], row["rollout_id"]] == row["plain_verdict"] == "wrong"
        earlier = [
            said[row["task_id"], name]
            for name, each in answers.items()
            if each["prompt_id"] == mine["prompt_id"] and each["index"] < mine["index"]
        ]
        assert "wrong" not in earlier  # the first one that failed
        assert row["completion"].startswith(mine["completion"][: row["place_at"]])
        assert hints[row["hint"]].at_end in row["completion"]
        assert row["kept"] == (row["hinted_verdict"] == "correct")
        if not row["kept"]:
            assert row["tries"] == 3
    asked = server.asked()[plain:]
    assert len(asked) == len(set(asked)) == sum(row["tries"] for row in rows)
    assert result.cost["requests"] == len(asked)
    assert len(_stored(tmp_path / "home", "steps")) == len(asked)
    # Asked again, nothing is done; with the table gone, it is made again without one request.
    again = hinted.run(ctx)
    assert again.skipped
    assert again.counts == result.counts
    ctx.workspace.table_path("hinted").unlink()
    assert hinted.run(ctx).data_version == result.data_version
    assert len(server.asked()) == plain + len(asked)
    # With more answers and tries, what is there is used.
    more = hinted.run(ctx, HintOptions(answers=2, tries=5))
    assert more.counts["wrong_answers"] == sum(
        min(2, sum(verdict == "wrong" for (t, _), verdict in said.items() if t == task))
        for task in failed
    )
    longer = ctx.workspace.read("hinted").to_pylist()
    drawn = server.asked()[plain:]
    assert len(asked) < len(drawn) == len(set(drawn)) == len(_stored(tmp_path / "home", "steps"))
    # Equal answers with an equal hint have one continuation.
    assert len(drawn) <= sum(row["tries"] for row in longer)
    names = [(row["task_id"], row["rollout_id"]) for row in longer]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert more.counts["kept"] >= result.counts["kept"]


def test_tasks_of_one_prompt_share_what_is_drawn(tmp_path: Path, server: Server) -> None:
    rows = [{"prompt": f"What is {i} + 4?", "answer": a} for i in range(8) for a in ("99", "98")]
    ctx = _has_run(_recipe(tmp_path, server, rows, n=1), tmp_path / "home")
    plain = len(server.asked())
    result = hinted.run(ctx)
    assert (result.counts["hinted"], result.counts["kept"]) == (16, 0)
    assert len(server.asked()) - plain == 8 * 3


def test_stopped_at_several_requests_it_becomes_the_calm_run(
    tmp_path: Path, server: Server
) -> None:
    ctx = _has_run(recipe := _recipe(tmp_path, server, _sums(24), n=1), tmp_path / "home")
    shutil.copytree(tmp_path / "home", tmp_path / "calm")
    calm = Context.of(recipe, tmp_path / "calm")
    plain = len(server.asked())
    wanted = hinted.run(calm)
    first = server.asked()[plain:]
    for number in range(1, 4):
        partly = hinted.run(ctx, opened=stop_after(server, len(first) // 6))
        assert partly.counts["hinted"] < partly.counts["wrong_answers"]
        drawn = len(server.asked()) - plain - len(first)
        assert number * (len(first) // 6) <= drawn < len(first)
        assert len(_stored(tmp_path / "home", "steps")) == drawn
    assert hinted.run(ctx).counts == wanted.counts
    assert ctx.workspace.read("hinted").equals(calm.workspace.read("hinted"))
    assert Counter(server.asked()[plain + len(first) :]) == Counter(first)
    assert set(Counter(first).values()) == {1}


@pytest.mark.timeout(600)
def test_kills_lose_and_repeat_nothing(tmp_path: Path, server: Server) -> None:
    ctx = _has_run(recipe := _recipe(tmp_path, server, _sums(24), n=1), tmp_path / "home")
    shutil.copytree(tmp_path / "home", tmp_path / "calm")
    calm = Context.of(recipe, tmp_path / "calm")
    plain = len(server.asked())
    hinted.run(calm)
    first = server.asked()[plain:]
    command = ["hint-infer", str(recipe), "--home", str(tmp_path / "home")]
    kills = sum(killed_after(server, len(first) // 4, command) for _ in range(2))
    assert kills == 2
    assert not killed_after(server, 10 * len(first), command)
    assert ctx.workspace.read("hinted").equals(calm.workspace.read("hinted"))
    counts = Counter(server.asked()[plain + len(first) :])
    assert set(counts) == set(first)
    assert counts.total() <= len(first) + kills * UNSAVED


def test_each_fault_costs_its_own_answer(tmp_path: Path, server: Server) -> None:
    names = ["grown", "hint"]
    rows = [{"prompt": f"FAULT {name}: what is 3 + 4?", "answer": "99"} for name in names]
    rows += [{"prompt": "What is 2 + 2?", "answer": "99"}]
    ctx = _has_run(_recipe(tmp_path, server, rows, n=1), tmp_path / "home")
    plain = len(server.asked())
    result = hinted.run(ctx)
    counts = {"wrong_answers": 3, "hinted": 2, "kept": 0, "unjudged": 1, "errors": 1}
    assert result.counts == counts
    found = {row["hinted_verdict"]: row for row in ctx.workspace.read("hinted").to_pylist()}
    assert set(found) == {"unjudged", "wrong"}
    assert found["unjudged"]["tries"] == 3
    # A failure that another try may mend is tried as often as the recipe says, and stands; the next
    # run is not skipped, and asks for nothing until errors are to be tried again.
    assert len(server.asked()) - plain == 3 + 3 + 2
    assert not hinted.run(ctx).skipped
    assert len(server.asked()) - plain == 3 + 3 + 2
    hinted.run(Context(ctx.recipe, ctx.workspace, retry_errors=True))
    assert len(server.asked()) - plain > 3 + 3 + 2


def test_without_a_run_there_is_nothing_to_hint(tmp_path: Path, server: Server) -> None:
    recipe = _recipe(tmp_path, server, _sums(3), n=1)
    ctx = _context(recipe, tmp_path / "home")
    with pytest.raises(UsageError, match=r"rollouts\.parquet: is not there: .*winnow run"):
        hinted.run(ctx)
    rollouts.run(ctx)
    with pytest.raises(UsageError, match=r"verdicts\.parquet: is not there: .*winnow run"):
        hinted.run(ctx)
    verdicts.run(ctx)
    recipe.write_text(recipe.read_text().replace("model: stub", "model: another"))
    with pytest.raises(UsageError, match=r"by stub.*engine is another.*winnow run"):
        hinted.run(Context.of(recipe, tmp_path / "home"))
    assert not ctx.workspace.table_path("hinted").exists()


def test_verdicts_on_what_is_no_longer_there_are_left_out(tmp_path: Path, server: Server) -> None:
    recipe = _recipe(tmp_path, server, _sums(6), n=1)
    ctx = _has_run(recipe, tmp_path / "home")
    everything = hinted.run(ctx)
    text = recipe.read_text()
    (tmp_path / "problems.jsonl").write_text(
        "\n".join((tmp_path / "problems.jsonl").read_text().splitlines()[:3])
    )
    fewer = _context(recipe, tmp_path / "home")  # the prompts are new, their verdicts are not
    assert recipe.read_text() == text
    result = hinted.run(fewer)
    assert 0 < result.counts["hinted"] == result.counts["wrong_answers"] <= 3
    assert result.counts["hinted"] < everything.counts["hinted"]
    assert hinted.run(fewer).skipped


@pytest.mark.parametrize("wrong", [{"answers": 0}, {"tries": 0}])
def test_settings_that_hint_nothing(wrong: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HintOptions(**wrong)
