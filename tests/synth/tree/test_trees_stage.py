"""The stage over a counting server: its table, its reuse, kills, faults, and an orderly end."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.workspace import open_store
from winnow.selectors.difficulty.mcts import Mcts as Selector
from winnow.stages import prompts, trees
from winnow.stages.base import Context
from winnow.synth.tree.draw import as_html, as_text
from winnow.synth.tree.gate import Gate
from winnow.synth.tree.mcts import MctsOptions

HERE = Path(__file__).parent
KILLS = int(os.environ.get("WINNOW_KILLS", "8"))
CONCURRENCY, ITERATIONS = 12, 5
# Requests at the engine, and answers that wait for the disk: of those there were never so many.
UNSAVED = 2 * CONCURRENCY
OPTIONS = trees.TreeOptions(MctsOptions(max_iterations=ITERATIONS, max_steps=5))


class Server:
    def __init__(self, log: Path, seconds: float) -> None:
        self.log = log
        command = [sys.executable, str(HERE / "step_server.py"), str(log), str(seconds)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/v1"

    def asked(self) -> list[str]:
        """What was answered so far, in order."""
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "requests.log", 0.003)
    yield made
    made.process.kill()
    made.process.wait()


def _recipe(folder: Path, server: Server, rows: list[dict[str, Any]], **sampling: Any) -> Path:
    (folder / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = {"max_tokens": 32, "concurrency": CONCURRENCY, "max_attempts": 2, **sampling}
    path = folder / "problems.yaml"
    path.write_text(
        f"""
dataset: problems
seed: 5
sources:
  - {{type: dataset, name: problems, path: {folder / "problems.jsonl"}, verifier: math}}
engine: {{type: openai, model: stub, base_url: "{server.url}", max_retries: 0}}
sampling: {json.dumps(settings)}
sets: {{rl: {{}}}}
"""
    )
    return path


def _sums(n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"What is {i} + {7 - i}?", "answer": "7"} for i in range(n)]


def _context(recipe: Path, home: Path) -> Context:
    ctx = Context.of(recipe, home)
    prompts.run(ctx)
    return ctx


def test_the_table_and_what_is_made_of_it(tmp_path: Path, server: Server) -> None:
    ctx = _context(_recipe(tmp_path, server, _sums(12)), tmp_path / "home")
    result = trees.run(ctx, OPTIONS)
    table = ctx.workspace.read("trees")
    assert result.counts["trees"] == table.num_rows == 12
    assert 0 < result.counts["solved"] < 12
    assert result.counts["not_measured"] == 0
    for row in table.to_pylist():
        if row["mcts_solved"]:
            assert row["iters"] == row["mcts_iterations"] - 1
        else:
            assert (row["iters"], row["mcts_iterations"]) == (None, ITERATIONS)
        assert row["judgements"] + row["unjudged"] == row["mcts_iterations"]
        assert row["tokens"] == 2 * row["steps"]
    # Every request is a step, and every step one request.
    asked = server.asked()
    assert len(asked) == len(set(asked)) == sum(table["steps"].to_pylist())
    assert result.cost["requests"] == len(asked)
    assert 1 < result.cost["mean_in_flight"] <= CONCURRENCY
    # Asked again, nothing is done; with the table gone, it is made again without one request.
    again = trees.run(ctx, OPTIONS)
    assert again.skipped and again.data_version == result.data_version
    ctx.workspace.table_path("trees").unlink()
    assert trees.run(ctx, OPTIONS).data_version == result.data_version
    assert len(server.asked()) == len(asked)
    # The columns are those that the selector of late and unsolved prompts reads.
    assert {"mcts_iterations", "mcts_solved"} <= set(table.column_names)
    assert Selector.name == "mcts"
    # Looking at a tree draws nothing either.
    row = table.to_pylist()[0]
    ((task_id, found),) = trees.stored_trees(ctx, row["prompt_id"], OPTIONS).items()
    assert task_id == row["task_id"]
    assert found.iterations_used == row["mcts_iterations"]
    assert found.tree.n_steps == row["steps"]
    assert " solutions, " in as_text(found.tree)
    assert as_html(found.tree).startswith("<!DOCTYPE html>")
    assert len(server.asked()) == len(asked)


def test_other_limits_re_use_what_is_there(tmp_path: Path, server: Server) -> None:
    ctx = _context(_recipe(tmp_path, server, _sums(6)), tmp_path / "home")
    few = trees.TreeOptions(MctsOptions(max_iterations=2, max_steps=5))
    trees.run(ctx, few)
    trees.run(ctx, OPTIONS)
    assert len(server.asked()) == len(set(server.asked()))
    both = ctx.workspace.read("trees")
    calm = _context(ctx_recipe := tmp_path / "problems.yaml", tmp_path / "calm")
    assert ctx_recipe.exists()
    trees.run(calm, OPTIONS)
    assert both.equals(calm.workspace.read("trees"))
    # Another verifier's judgements are new, the steps are not.
    asked = len(server.asked())
    text = (tmp_path / "problems.yaml").read_text().replace("verifier: math", "verifier: exact")
    (tmp_path / "problems.yaml").write_text(text)
    trees.run(_context(tmp_path / "problems.yaml", tmp_path / "home"), OPTIONS)
    with open_store(tmp_path / "home", "judgements") as store:
        judges = {judge.split("@")[0] for judge in store.all()["judge"].to_pylist()}
    assert judges == {"math", "exact"}
    fewer = set(server.asked()[asked:])
    assert not fewer & set(server.asked()[:asked])  # only where the new verifier saw it otherwise


def test_a_prompt_with_two_references_is_searched_for_each(tmp_path: Path, server: Server) -> None:
    rows = [{"prompt": "What is 3 + 4?", "answer": answer} for answer in ("7", "8")]
    ctx = _context(_recipe(tmp_path, server, rows), tmp_path / "home")
    trees.run(ctx, OPTIONS)
    table = ctx.workspace.read("trees")
    assert table.num_rows == 2
    assert len(set(table["prompt_id"].to_pylist())) == 1
    assert len(server.asked()) == len(set(server.asked()))  # over the same steps
    assert len(trees.stored_trees(ctx, table["prompt_id"][0].as_py(), OPTIONS)) == 2


def test_a_judgement_that_ran_out_of_time_is_made_again_under_a_longer_limit(
    tmp_path: Path, server: Server
) -> None:
    ctx = _context(_recipe(tmp_path, server, _sums(3)), tmp_path / "home")
    trees.run(ctx, OPTIONS)
    wanted = ctx.workspace.read("trees")
    late = {"verdict": "unjudged", "reward": None, "extracted": None, "detail": "timeout"}
    kept = ctx.recipe.verify.timeout_seconds
    for seconds, again in ((kept, False), (1.0, True)):
        with open_store(tmp_path / "home", "judgements", write=True) as store:
            rows = store.all().to_pylist()
            store.delete([row["judgement_id"] for row in rows])
            store.put([{**row, **late, "seconds": seconds} for row in rows])
        ctx.workspace.table_path("trees").unlink()
        trees.run(ctx, OPTIONS)
        assert ctx.workspace.read("trees").equals(wanted) is again


FAULTS = {
    "garbage": ("malformed_reply", False), "empty": ("", False), "long": ("prompt_too_long", True),
    "broken": ("InternalServerError", False),
}  # fmt: skip


def test_each_fault_costs_its_own_tree(tmp_path: Path, server: Server) -> None:
    names = [*FAULTS, "endless", "full"]
    rows = [{"prompt": f"FAULT {name}: what is 3 + 4?", "answer": "7"} for name in names]
    rows += [{"prompt": "What is 2 + 2?", "answer": "7"}]
    ctx = _context(_recipe(tmp_path, server, rows), tmp_path / "home")
    result = trees.run(ctx, OPTIONS)
    found = {}
    for row in ctx.workspace.read("prompts").to_pylist():
        table = ctx.workspace.read("trees").to_pylist()
        name = row["messages"][-1]["content"].partition(":")[0].removeprefix("FAULT ")
        found[name] = next(each for each in table if each["task_id"] == row["task_id"])
    for name, (part, permanent) in FAULTS.items():
        assert part in found[name]["error"]
        assert found[name]["error"].startswith("permanent: ") is permanent
        assert found[name]["mcts_solved"] is found[name]["mcts_iterations"] is None
    # A model that never stops: its steps are cut, and what ends so is unjudged.
    assert found["endless"]["error"] is None
    assert found["endless"]["mcts_solved"] is None
    assert found["endless"]["unjudged"] == ITERATIONS
    # A solution that outgrows the context ends there, and others are tried.
    assert found["full"]["error"] is None
    assert found["full"]["unjudged"] > 0
    assert found["What is 2 + 2?"]["error"] is None
    assert result.counts["errors"] == len(FAULTS)
    # Failures that another try might mend were tried as often as the recipe says, and stand; the
    # next run is not skipped, and asks for nothing until errors are to be tried again.
    asked = server.asked()
    assert max(Counter(asked).values()) == 1  # each try has a random stream of its own
    assert not trees.run(ctx, OPTIONS).skipped
    assert len(server.asked()) == len(asked)
    retry = Context(ctx.recipe, ctx.workspace, retry_errors=True)
    trees.run(retry, OPTIONS)
    assert len(server.asked()) > len(asked)


def test_a_task_that_nobody_can_judge_costs_one_solution(tmp_path: Path, server: Server) -> None:
    rows = [{"prompt": "Which one is it?", "answer": "a reference that is no set of boxes"}]
    recipe = _recipe(tmp_path, server, rows)
    recipe.write_text(recipe.read_text().replace("verifier: math", "verifier: iou"))
    ctx = _context(recipe, tmp_path / "home")
    trees.run(ctx, OPTIONS)
    (row,) = ctx.workspace.read("trees").to_pylist()
    assert (row["error"], row["mcts_solved"]) == ("bad_reference", None)
    assert row["steps"] <= 3 + 4  # three children, and one of them followed to its end
    assert trees.run(ctx, OPTIONS).skipped  # another run would find nothing else


def test_stopped_in_order_it_saves_what_is_under_way(tmp_path: Path, server: Server) -> None:
    recipe = _recipe(tmp_path, server, _sums(24))
    ctx = _context(recipe, tmp_path / "home")

    def stop_soon(gate: Gate) -> None:
        def wait() -> None:
            while len(server.asked()) < 60:
                time.sleep(0.002)
            gate.stop()

        threading.Thread(target=wait, daemon=True).start()

    trees.run(ctx, OPTIONS, opened=stop_soon)
    partly = ctx.workspace.read("trees").num_rows
    asked = server.asked()
    assert partly < 24
    with open_store(tmp_path / "home", "steps") as store:
        assert store.count() == len(asked)  # whatever was asked for is stored
    trees.run(ctx, OPTIONS)
    assert ctx.workspace.read("trees").num_rows == 24
    assert len(server.asked()) == len(set(server.asked()))


def _stored(home: Path, name: str) -> dict[str, dict[str, Any]]:
    with open_store(home, name) as store:
        table = store.all()
        return {row[store.key]: row for row in table.to_pylist()}


@pytest.mark.timeout(1800)
def test_kills_lose_and_repeat_nothing(tmp_path: Path, server: Server) -> None:
    recipe, home = _recipe(tmp_path, server, _sums(40)), tmp_path / "home"
    calm = _context(recipe, tmp_path / "calm")
    trees.run(calm, OPTIONS)
    wanted = _stored(tmp_path / "calm", "steps")
    first = len(server.asked())
    assert first == len(wanted)
    chance = random.Random(11)
    kills = 0
    before: dict[str, dict[str, Any]] = {}
    command = [sys.executable, str(HERE / "run_trees.py"), str(recipe), str(home), str(ITERATIONS)]
    while kills < KILLS:
        served = len(server.asked())
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        # After some more steps, so that every life gets somewhere, at a random moment.
        more = chance.randint(1, max(2, first // (KILLS + 1)))
        while process.poll() is None and len(server.asked()) < served + more:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.02)
        if process.poll() is not None:
            assert process.stderr is not None
            assert process.returncode == 0, process.stderr.read().decode()
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        now = _stored(home, "steps")
        assert before.items() <= now.items(), "a stored step is gone or changed"
        known = {row["seed"] for row in before.values()}
        asked = {int(line.split("-")[0]) for line in server.asked()[served:]}
        assert not known & asked, "a stored step was drawn again"
        before = now
    assert kills > KILLS // 2
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    counts = Counter(server.asked()[first:])
    again = sum(number - 1 for number in counts.values())
    assert again <= kills * UNSAVED, "more than those in flight were drawn again"
    assert set(counts) == set(server.asked()[:first])
    assert _stored(home, "steps") == wanted
    assert set(_stored(home, "judgements")) == set(_stored(tmp_path / "calm", "judgements"))
    killed = _context(recipe, home).workspace.read("trees")
    assert killed.equals(calm.workspace.read("trees"))
    print(f"{kills} kills, {len(wanted)} steps, {again} drawn again")
