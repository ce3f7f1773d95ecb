"""Two recipes that share a store and run at once: the second waits and says for whom; nothing is drawn
twice, and where the first is killed the second takes over what was stored."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.workspace import Workspace, open_store
from winnow.stages import prompts, rollouts, verdicts
from winnow.stages.base import Context

PROMPTS, CONCURRENCY = 40, 8
UNSAVED = 2 * CONCURRENCY  # what a kill can cost (see test_kill.py)
KINDS = {"fixed": "n: 6", "adaptive": "n: 6, stop: [{type: until_k_correct, k: 3}]"}


def recipe(folder: Path, name: str, url: str, kind: str) -> Path:
    """The same in every file, but that runs of other names do not wait for one another's tables."""
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(PROMPTS)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = folder / f"{name}.yaml"
    path.write_text(
        f"""
dataset: {name}
sources:
  - {{type: dataset, name: sums, path: {folder / "sums.jsonl"}, verifier: math}}
engine: {{type: openai, model: stub, base_url: "{url}"}}
sampling: {{{KINDS[kind]}, max_tokens: 64, concurrency: {CONCURRENCY}}}
sets: {{rl: {{}}}}
"""
    )
    return path


def start(path: Path, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "winnow.cli.main", "run", str(path), "--home", str(home)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], server: Any, answers: int) -> None:
    while len(server.seeds()) < answers:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.002)


def heard(process: subprocess.Popen[str], word: str) -> str:
    """The line of `process` in which it says `word`."""
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"{word!r} was not said")


def calm(folder: Path, url: str, kind: str) -> dict[str, Any]:
    """What one run alone stores."""
    ctx = Context.of(recipe(folder, "calm", url, kind), folder / "calm_home")
    for stage in (prompts, rollouts, verdicts):
        stage.run(ctx)
    return stored(folder / "calm_home")


def stored(home: Path) -> dict[str, Any]:
    for name in ("rollouts", "verdicts"):
        with closing(sqlite3.connect(home / ".store" / f"{name}.sqlite")) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with open_store(home, "rollouts") as store:
        return {row["rollout_id"]: row for row in store.all().to_pylist()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed", [False, True])
def test_the_second_waits_and_draws_nothing_again(
    tmp_path: Path, stub_server: Any, kind: str, killed: bool
) -> None:
    wanted, home = calm(tmp_path, stub_server.url, kind), tmp_path / "home"
    alone = len(stub_server.seeds())
    assert alone == len(wanted)
    first = start(recipe(tmp_path, "first", stub_server.url, kind), home)
    wait_for(first, stub_server, alone + 8)
    os.killpg(first.pid, signal.SIGSTOP)  # so that it still writes when the second one comes
    second = start(recipe(tmp_path, "second", stub_server.url, kind), home)
    assert f"waiting for process {first.pid}" in heard(second, "waiting")
    os.killpg(first.pid, signal.SIGCONT)
    if killed:
        before = stored(home)
        asked = len(stub_server.seeds())
        wait_for(first, stub_server, asked + 8)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        known = {row["seed"] for row in before.values()}
    else:
        _, err = first.communicate(timeout=300)
        assert first.returncode == 0, err
    _, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    seeds = stub_server.seeds()[alone:]
    if killed:
        assert not known & set(seeds[asked - alone :]), "a stored answer was drawn again"
        assert len(seeds) - len(set(seeds)) <= UNSAVED
    else:
        assert len(seeds) == len(set(seeds)) == alone
        versions = [Workspace(home, name).data_version("rollouts") for name in ("first", "second")]
        assert versions[0] == versions[1]
    assert stored(home) == wanted
    for stage in ("rollouts", "verdicts"):
        version = Workspace(home, "second").data_version(stage)
        assert version == Workspace(tmp_path / "calm_home", "calm").data_version(stage)
