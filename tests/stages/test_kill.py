"""kill -9 at any moment loses nothing that was acknowledged and repeats only what was in flight."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.workspace import Workspace, open_store
from winnow.stages import chain
from winnow.stages.base import Context

KILLS = 20
PROMPTS, N, CONCURRENCY = 120, 8, 16


def _recipe(folder: Path, url: str) -> Path:
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(PROMPTS)]
    source = folder / "sums.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    recipe = folder / "killed.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources:
  - {{type: dataset, name: sums, path: {source}, verifier: math}}
engine: {{type: openai, model: stub, base_url: "{url}"}}
sampling: {{n: {N}, max_tokens: 64, concurrency: {CONCURRENCY}}}
clusters: {{k: 4}}
sets:
  sft: {{uds: false, pass_rate: [0.1, 0.9], per_prompt: 2}}
  rl: {{pass_rate: [0.1, 0.9]}}
  preference: {{}}
"""
    )
    return recipe


def _start(recipe: Path, home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "winnow.cli.main", "run", str(recipe), "--home", str(home)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _stored(home: Path) -> dict[str, dict[str, Any]]:
    with open_store(home, "rollouts") as store:
        return {row["rollout_id"]: row for row in store.all().to_pylist()}


@pytest.mark.timeout(600)
def test_twenty_kills_lose_and_repeat_nothing(tmp_path: Path, stub_server: Any) -> None:
    recipe, home = _recipe(tmp_path, stub_server.url), tmp_path / "home"
    chance = random.Random(20)
    total = PROMPTS * N
    kills = asked_again = 0
    before: dict[str, dict[str, Any]] = {}
    while kills < KILLS:
        served = len(stub_server.seeds())
        process = _start(recipe, home)
        # Kill after some more answers, so that every life gets somewhere, then at a random moment.
        target = min(served + chance.randint(1, total // KILLS), total - CONCURRENCY)
        while len(stub_server.seeds()) < target:
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            time.sleep(0.002)
        time.sleep(chance.random() * 0.03)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        after = _stored(home)
        assert before.items() <= after.items(), "an acknowledged rollout was lost or changed"
        known = {row["seed"] for row in before.values()}
        asked_again += sum(seed in known for seed in stub_server.seeds()[served:])
        before = after
    assert 0 < len(before) < total, "the kills came too late to show anything"

    last = _start(recipe, home)
    assert last.wait(timeout=300) == 0, last.stderr and last.stderr.read().decode()
    rows = _stored(home)
    seeds = stub_server.seeds()
    assert asked_again == 0, "a stored rollout was sampled again"
    assert len(rows) == total
    assert len({(row["prompt_id"], row["index"]) for row in rows.values()}) == total
    repeated = len(seeds) - len(set(seeds))
    assert repeated <= kills * CONCURRENCY
    print(f"{kills} kills, {total} rollouts, {repeated} of {len(seeds)} requests repeated")

    # The tables are those of a run that was never killed.
    calm = chain.run(Context.of(recipe, tmp_path / "calm"))
    for stage in ("prompts", "rollouts", "verdicts", "difficulty", "clusters", "scores"):
        killed = Workspace(home, "killed").data_version(stage)
        assert killed == Workspace(tmp_path / "calm", "killed").data_version(stage), stage
    assert (home / "sums" / calm.version.id).is_dir()
