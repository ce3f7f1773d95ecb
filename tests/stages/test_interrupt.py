"""Ctrl-C while answers are drawn: once finishes what is in flight, twice stops at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.workspace import open_store

PROMPTS = 60
STOPS = {"fixed": "n: 8", "adaptive": "n: 8, stop: [{type: until_k_correct, k: 4}]"}


def start(folder: Path, url: str, sampling: str) -> subprocess.Popen[str]:
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(PROMPTS)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = folder / "sums.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources:
  - {{type: dataset, name: sums, path: {folder / "sums.jsonl"}, verifier: math}}
engine: {{type: openai, model: stub, base_url: "{url}"}}
sampling: {{max_tokens: 64, concurrency: 8, {sampling}}}
sets: {{rl: {{}}}}
"""
    )
    return subprocess.Popen(
        [sys.executable, "-m", "winnow.cli.main", "run", str(recipe), "--home", str(folder / "h")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], server: Any, answers: int) -> None:
    while len(server.seeds()) < answers:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)


@pytest.mark.parametrize("kind", STOPS)
def test_once_finishes_what_is_in_flight(tmp_path: Path, stub_server: Any, kind: str) -> None:
    process = start(tmp_path, stub_server.url, STOPS[kind])
    wait_for(process, stub_server, 40)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "finishing the answers in flight" in err
    assert "stopped after" in err
    assert "the same command goes on" in err
    assert "Traceback" not in err + out
    answered = stub_server.seeds()
    assert len(answered) < 8 * PROMPTS
    with open_store(tmp_path / "h", "rollouts") as store:
        rows = store.all(["seed", "error"]).to_pylist()
    assert sorted(row["seed"] for row in rows) == sorted(answered), "an answer in flight was lost"
    assert all(row["error"] is None for row in rows)
    with open_store(tmp_path / "h", "verdicts") as store:
        verdicts = store.all(["verdict", "detail"]).to_pylist()
    assert len(verdicts) == len(rows)
    assert all(row["verdict"] != "unjudged" for row in verdicts), "a judgement was cut off"


def test_twice_stops_at_once(tmp_path: Path, slow_server: Any) -> None:
    process = start(tmp_path, slow_server.url, STOPS["fixed"])
    wait_for(process, slow_server, 1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr is not None
    said = ""
    while "Ctrl-C again" not in said:
        said += process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    with open_store(tmp_path / "h", "rollouts") as store:
        stored = store.count()
    wait = time.monotonic() + 60
    while len(slow_server.seeds()) <= stored:  # answers that were in flight come too late
        assert time.monotonic() < wait, "it waited for what was in flight"
        time.sleep(0.1)
