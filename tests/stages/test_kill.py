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

pytestmark = pytest.mark.long

CONCURRENCY = 16
# What a kill can cost: requests at the engine, and as many answers that wait for the disk. The stub
# server answers at once, so that on a busy machine the disk is what an answer waits for.
UNSAVED = 2 * CONCURRENCY
BAND = "{type: interval, band: [0.2, 0.8], error: 0.2, hopeless: 0.1}"
SURELY = "{type: interval, mode: guaranteed, hopeless: 0.3, solved: 0.7, error: 0.2}"
# Of each: kills, where WINNOW_KILLS does not say otherwise, and the sampling. HALF, TENTH: of the prompts.
SAMPLERS = {
    "fixed": (12, "n: 8"),
    "adaptive": (12, f"n: 8, stop: [{BAND}, {{type: until_k_correct, k: 4}}]"),
    "budget": (12, "n: 8, stop: [{type: majority}], budget: {tokens_per_prompt: 6}"),
    "guaranteed": (4, f"n: 16, stop: [{SURELY}]"),
    "band_fill": (
        4,
        f"n: 8, stop: [{BAND}], steer: {{type: band_fill, prompts: HALF, window: 24}}",
    ),
    "mopps": (4, "n: 8, steer: {type: mopps, prompts: TENTH, rounds: 30, answers: 2, window: 12}"),
    "prop2diff": (4, "n: 16, steer: {type: prop2diff, k: 4, pilot: 4, window: 12}"),
}


def _recipe(folder: Path, url: str, sampling: str, prompts: int) -> Path:
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(prompts)]
    source = folder / "sums.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    recipe = folder / "killed.yaml"
    sampling = sampling.replace("HALF", str(prompts // 2)).replace("TENTH", str(prompts // 10))
    recipe.write_text(
        f"""
dataset: sums
sources:
  - {{type: dataset, name: sums, path: {source}, verifier: math}}
engine: {{type: openai, model: stub, base_url: "{url}"}}
sampling: {{{sampling}, max_tokens: 64, concurrency: {CONCURRENCY}}}
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


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_kills_lose_and_repeat_nothing(tmp_path: Path, stub_server: Any, sampler: str) -> None:
    usual, sampling = SAMPLERS[sampler]
    wanted_kills = int(os.environ.get("WINNOW_KILLS", usual))
    # So many that the answers last for all the kills.
    recipe = _recipe(tmp_path, stub_server.url, sampling, max(60, 10 * wanted_kills))
    home = tmp_path / "home"
    calm = chain.run(Context.of(recipe, tmp_path / "calm"))
    wanted = _stored(tmp_path / "calm")
    first, total = len(stub_server.seeds()), len(wanted)
    assert first == total
    chance = random.Random(20)
    kills = asked_again = 0
    before: dict[str, dict[str, Any]] = {}
    while kills < wanted_kills:
        served = len(stub_server.seeds())
        process = _start(recipe, home)
        # Kill after some more answers, so that every life gets somewhere, then at a random moment.
        share = (total - len(before)) // (wanted_kills - kills + 1)
        target = served + chance.randint(1, max(1, share))
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
    rows, seeds = _stored(home), stub_server.seeds()[first:]
    assert asked_again == 0, "a stored rollout was sampled again"
    assert rows == wanted
    repeated = len(seeds) - len(set(seeds))
    assert repeated <= kills * UNSAVED
    print(
        f"{sampler}: {kills} kills, {total} rollouts, {repeated} of {len(seeds)} requests repeated, "
        f"{kills * CONCURRENCY} at the engine in all"
    )

    # The tables are those of a run that was never killed.
    ended = ("sampled",) if Workspace(home, "killed").stamps("sampled") else ()
    assert bool(ended) == (sampler != "fixed")
    for stage in ("prompts", "rollouts", *ended, "verdicts", "difficulty", "clusters", "scores"):
        killed = Workspace(home, "killed").data_version(stage)
        assert killed == Workspace(tmp_path / "calm", "killed").data_version(stage), stage
    assert (home / "sums" / calm.version.id).is_dir()
