"""The shipped recipes: each is valid, and each runs to its published sets at small size.

Answers are scripted here (imported, or from a server that counts requests); `test_recipes_vllm` runs
one on the real engine.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.features.tiny_models import CHAT, tiny, tokenizer
from tests.synth.tree.test_trees_stage import Server, server
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.models import SMOLLM2, resolve_model
from winnow.pipeline.publish.version import Version, verify_version
from winnow.stages import chain, prompts, trees
from winnow.stages.base import Context
from winnow.stages.plan import plan
from winnow.synth.engines.replay import import_rollouts
from winnow.synth.tree.mcts import MctsOptions

__all__ = ["server"]  # a fixture

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "data" / "recipes").glob("*.yaml"))
KNOWN = {"agent_trajectories": {"unreadable"}}  # what a recipe shows the dropping of


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the recipes' paths begin."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_check_accepts_it(path: Path, tmp_path: Path) -> None:
    try:
        resolve_model(SMOLLM2)
    except WinnowError as error:
        pytest.skip(f"needs the small model: {error}")
    found = plan(Context.of(path, tmp_path))
    assert found.prompts >= 16
    assert set(found.drops) <= {"contaminated", "duplicate"} | KNOWN.get(path.stem, set())
    assert list(tmp_path.rglob("*.parquet")) == []


def scripted(name: str, folder: Path, **changes: Any) -> Context:
    """The recipe with another engine, in a home of its own."""
    data = yaml.safe_load((ROOT / "data" / "recipes" / f"{name}.yaml").read_text())
    data |= {
        "engine": {"type": "replay", "policy": "scripted"},
        "verify": {"workers": 1},
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data))
    return Context.of(path, folder / "home")


def answered(ctx: Context) -> dict[str, int]:
    """Import n answers to every prompt, of which the first `right` are right: by prompt, how many."""
    n = ctx.recipe.sampling.n
    prompts.run(ctx)
    right, rows = {}, []
    for at, row in enumerate(ctx.workspace.read("prompts").to_pylist()):
        right[row["prompt_id"]] = at % (n + 1)
        for index in range(n):
            total = row["answer"] if index < at % (n + 1) else f"{1000 + index % 2}"
            rows.append(
                {
                    "messages": row["messages"],
                    "completion": f"Counting once more ({index}), the answer is {total}.",
                    "n_tokens": 6 + at % 5,
                    "logprob_sum": -1.0 - index,
                }
            )
    with ctx.workspace.rollouts(write=True) as store:
        import_rollouts(rows, store, policy="scripted")
    return right


def rules(version: Version, name: str) -> Counter[str]:
    ledger = version.ledger().to_pylist()
    return Counter(r["rule"] for r in ledger if r["stage"] == f"training_set/{name}")


def whole(version: Version, name: str) -> list[dict[str, Any]]:
    """The rows of a set's train split, after a look at the files."""
    assert verify_version(version.path) == []
    rows: list[dict[str, Any]] = version.table(name, "train").to_pylist()
    assert rows
    return rows


def test_acereason_drops_test_problems_wrong_majorities_and_short_answers(tmp_path: Path) -> None:
    ctx = scripted("acereason_rl", tmp_path)
    right = answered(ctx)
    version = chain.run(ctx).version
    rows = whole(version, "rl")
    found = rules(version, "rl")
    assert found["majority"] and found["min_answer_tokens"] and found["pass_rate"]
    dropped = [r for r in version.ledger().to_pylist() if r["rule"] == "contaminated"]
    assert len(dropped) == 2  # both stand in the evaluation file
    for row in rows:
        # The two wrong answers share what is not right.
        assert right[row["prompt_id"]] >= (8 - right[row["prompt_id"]] + 1) // 2


def test_dart_gives_hard_prompts_more_answers(tmp_path: Path) -> None:
    ctx = scripted("dart_sft", tmp_path)
    answered(ctx)
    version = chain.run(ctx).version
    rows = whole(version, "sft")
    per_prompt = Counter(row["prompt_id"] for row in rows)
    assert max(per_prompt.values()) <= 4
    assert {row["verdict"] for row in rows} == {"correct"}
    drawn = Counter(ctx.workspace.read("rollouts")["prompt_id"].to_pylist())
    rates = {row["prompt_id"]: row["pass_rate"] for row in rows}
    easy = [drawn[prompt] for prompt, rate in rates.items() if rate == 1.0]
    hard = [drawn[prompt] for prompt, rate in rates.items() if rate < 1.0]
    assert easy and hard and max(easy) <= min(hard), "the pilot decides how many follow"


def test_thinklite_asks_for_the_search_and_then_chooses_by_it(
    tmp_path: Path, server: Server
) -> None:
    engine = {"type": "openai", "model": "stub", "base_url": server.url, "max_retries": 0}
    sampling = {"n": 2, "max_tokens": 96, "concurrency": 8}
    ctx = scripted("thinklite_mcts", tmp_path, engine=engine, sampling=sampling)
    with pytest.raises(UsageError, match="winnow mcts"):
        chain.run(ctx)
    assert server.asked() == [], "the error comes before anything is drawn"
    options = trees.TreeOptions(MctsOptions(max_iterations=4, max_steps=3), step_tokens=48)
    trees.note(ctx, (tmp_path / "thinklite_mcts.yaml").read_text(), options)
    trees.run(ctx, options)
    report = chain.run(ctx)
    rows = whole(report.version, "rl")
    table = {row["task_id"]: row for row in ctx.workspace.read("trees").to_pylist()}
    hard = {
        name for name, row in table.items() if not row["mcts_solved"] or row["mcts_iterations"] >= 3
    }
    assert {row["task_id"] for row in rows} == hard
    assert rules(report.version, "rl")["mcts"] == len(table) - len(hard) > 0
    assert all(stage.skipped for stage in chain.run(ctx).stages)
    # Another seed is another search: the table must not speak for it.
    ctx = scripted("thinklite_mcts", tmp_path, engine=engine, sampling=sampling, seed=1)
    with pytest.raises(UsageError, match="not searched for this recipe"):
        chain.run(ctx)


def test_dpo_pairs_a_right_with_a_wrong_answer(tmp_path: Path) -> None:
    ctx = scripted("dpo_pairs", tmp_path, holdout=0.0)
    right = answered(ctx)
    version = chain.run(ctx).version
    verdicts = {
        row["rollout_id"]: row["verdict"] for row in ctx.workspace.read("verdicts").to_pylist()
    }
    rows = whole(version, "preference")
    for row in rows:
        assert verdicts[row["chosen_rollout_id"]] == "correct"
        assert verdicts[row["rejected_rollout_id"]] == "wrong"
    assert {row["prompt_id"] for row in rows} == {
        prompt for prompt, count in right.items() if 0 < count < 6
    }


def test_uds_chooses_half_of_an_instruction_set_without_an_engine(tmp_path: Path) -> None:
    tiny("llama", tmp_path / "model")
    tokenizer(tmp_path / "model", chat=CHAT)
    uds = {"model": str(tmp_path / "model"), "batch": 8, "keep": 4, "max_tokens": 30}
    ctx = scripted("uds_sft", tmp_path, engine={"type": "source"}, uds=uds)
    report = chain.run(ctx)
    taken = report.stage("rollouts").counts["rollouts"]
    scores = ctx.workspace.read("scores")
    assert scores.num_rows == taken >= 50
    rows = [row for split in report.version.rows["sft"]
            for row in report.version.table("sft", split).to_pylist()]  # fmt: skip
    assert whole(report.version, "sft")
    assert len(rows) == sum(scores["selected"].to_pylist()) == pytest.approx(taken / 2, abs=4)
    assert {row["verdict"] for row in rows} == {"unjudged"}
    own = {
        json.loads(line)["output"]
        for line in (ROOT / "data" / "examples" / "instructions.jsonl").read_text().splitlines()
    }
    assert {row["messages"][-1]["content"] for row in rows} <= own
    card = (report.version.path / "README.md").read_text()
    assert "Not every answer in the set sft is verified" in card


def test_trajectories_are_published_with_a_mask_on_every_message(tmp_path: Path) -> None:
    ctx = scripted("agent_trajectories", tmp_path, engine={"type": "source"}, holdout=0.0)
    version = chain.run(ctx).version
    rows = {json.loads(row["trajectory"])["id"]: row for row in whole(version, "trajectories")}
    assert rules(version, "trajectories") == {"selected": len(rows), "min_reward": 4}
    (broken,) = [r for r in version.ledger().to_pylist() if r["rule"] == "unreadable"]
    assert "trajectory broken: item 2" in broken["detail"]
    learnt = {
        name: [at for at, yes in enumerate(row["loss_mask"]) if yes] for name, row in rows.items()
    }
    assert learnt["tickets"] == [2, 4]
    assert learnt["train"] == [4, 6], "a mask of its own"
    assert learnt["percent"] == [4, 6], "from the branch point on"
    assert learnt["store"] == [4, 6, 8], "what the student did"
    (chat,) = [
        row
        for row in version.table("chat", "train").to_pylist()
        if "160 km/h" in str(row["messages"])
    ]
    assert [m["weight"] for m in chat["messages"]] == [None, None, 0, *[None] * 4]
    given = [json.loads(line) for line in
             (ROOT / "data" / "examples" / "agent_trajectories.jsonl").read_text().splitlines()]  # fmt: skip
    own = {row["id"]: row["content"] for row in given if "content" in row}
    published = {row["id"]: json.loads(row["content_json"])
                 for row in version.table("adp", "train").to_pylist()}  # fmt: skip
    assert {name: published[name] for name in own if name in rows} == {
        name: content for name, content in own.items() if name in rows
    }
    assert {"lamp", "primes", "fibonacci"} <= own.keys() & published.keys()
