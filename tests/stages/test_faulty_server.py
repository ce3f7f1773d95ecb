"""Whatever a server sends, or does not: it costs its own row, with a reason; the run goes on, or stops
with one clear line, and resumes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.workspace import Workspace, open_store
from winnow.stages import prompts, rollouts, verdicts
from winnow.stages.base import Context, StageResult

KINDS = {
    "fixed": "",
    "adaptive": ", stop: [{type: until_k_correct, k: 2}]",
    "steered": ", steer: {type: prop2diff, k: 2, pilot: 2, window: 64}",
}
# By name: how the row's error begins. None: there is none, the answer is one.
REASONS = {
    "busy_once": None,
    "busy_once_no_date": None,
    "busy": "RateLimitError: ",
    "broken_once": None,
    "broken": "InternalServerError: ",
    "garbage": "malformed_reply: ",
    "page": "malformed_reply: ",
    "zip": "connection_lost: ",
    "deep": "malformed_reply: ",
    "other": "the server's reply holds no choice",
    "parts": "malformed_reply: ",
    "count": "malformed_reply: ",
    "over": "malformed_reply: ",
    "empty": "the server's reply holds no choice",
    "null": None,
    "half": "connection_lost: ",
    "reset": "connection_lost: ",
    "long": "permanent: prompt_too_long: ",
    "endless": None,
}
HANGING = {"silent": "timeout: 3 s", "trickle": "timeout: 3 s"}
HEALTHY = 12
Rows = dict[str, dict[str, Any]]
COUNTING = Path(__file__).parents[1] / "stub_server.py"
FAULTY = Path(__file__).parent / "faulty_server.py"


@contextmanager
def served(folder: Path, *arguments: str, program: Path = FAULTY) -> Iterator[Any]:
    """(process, port) of a server whose log is `requests.log`."""
    command = [sys.executable, str(program), str(folder / "requests.log"), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def seeds(folder: Path) -> list[int]:
    """Seeds of the requests that a whole reply was sent to, in order."""
    log = folder / "requests.log"
    return [int(seed) for seed in log.read_text().split()] if log.exists() else []


def recipe(folder: Path, port: int, prompts: list[str], engine: str, sampling: str) -> Path:
    rows = [{"prompt": text, "answer": str(4 * i)} for i, text in enumerate(prompts)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = folder / "sums.yaml"
    url = f"http://127.0.0.1:{port}/v1"
    path.write_text(
        f"""
dataset: sums
sources:
  - {{type: dataset, name: sums, path: {folder / "sums.jsonl"}, verifier: math}}
engine: {{type: openai, model: stub, base_url: "{url}", {engine}}}
sampling: {{max_tokens: 64, {sampling}}}
sets: {{rl: {{}}}}
"""
    )
    return path


def command(path: Path, home: Path) -> subprocess.Popen[str]:
    """`winnow run`, started."""
    words = [sys.executable, "-m", "winnow.cli.main", "run", str(path), "--home", str(home)]
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "250"},  # its table is not wrapped
    )


def draw(path: Path, home: Path, *, retry_errors: bool = False) -> StageResult:
    """The stages that ask a server, without those behind them."""
    ctx = replace(Context.of(path, home), retry_errors=retry_errors)
    prompts.run(ctx)
    result = rollouts.run(ctx)
    verdicts.run(ctx)
    return result


def stored(home: Path) -> Rows:
    with open_store(home, "rollouts") as store:
        return {row["rollout_id"]: row for row in store.all().to_pylist()}


def fault_of(home: Path) -> dict[str, str]:
    """Of each prompt the name of its fault, "" of a healthy one."""
    rows = Workspace(home, "sums").read("prompts").to_pylist()
    texts = {row["prompt_id"]: row["messages"][-1]["content"] for row in rows}
    return {
        prompt: text.partition(":")[0].removeprefix("FAULT ") if text.startswith("FAULT ") else ""
        for prompt, text in texts.items()
    }


def unjudged(home: Path) -> dict[str, str]:
    """Of each answer of the last run that nobody judged, why."""
    rows = Workspace(home, "sums").read("verdicts").to_pylist()
    return {row["rollout_id"]: row["detail"] for row in rows if row["verdict"] == "unjudged"}


def prompts_of(rows: Rows, prompt: str) -> Rows:
    return {name: row for name, row in rows.items() if row["prompt_id"] == prompt}


@pytest.mark.parametrize(
    ("kind", "hanging"), [*((kind, False) for kind in KINDS), ("fixed", True), ("steered", True)]
)
def test_each_fault_costs_its_own_row(tmp_path: Path, kind: str, hanging: bool) -> None:
    reasons: dict[str, str | None] = {**HANGING} if hanging else REASONS
    n = 2 if hanging else 4
    # Many tries where a limit is short, so that a slow machine fails nobody.
    engine = f"max_retries: {3 if hanging else 1}, timeout_seconds: {3 if hanging else 100}"
    sampling = f"concurrency: 32, n: {n}{KINDS[kind]}"
    unjudged_faults = {name for name, reason in reasons.items() if reason} | {"endless"}
    unjudged_faults &= reasons.keys()
    texts = [f"What is {i} + {3 * i}?" for i in range(HEALTHY + len(reasons))]
    for at, name in enumerate(reasons, HEALTHY):
        texts[at] = f"FAULT {name}: {texts[at]}"
    home, calm = tmp_path / "home", tmp_path / "calm"

    with served(tmp_path) as (_, port):
        process = command(recipe(tmp_path, port, texts, engine, sampling), home)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    faults, rows, why = fault_of(home), stored(home), unjudged(home)
    assert sorted(set(faults.values()) - {""}) == sorted(reasons)
    seen: dict[str, set[int]] = {}
    for name, row in rows.items():
        fault = faults[row["prompt_id"]]
        seen.setdefault(fault, set()).add(row["index"])
        reason = reasons.get(fault)
        if reason is None:
            assert row["error"] is None, fault
        else:
            assert row["error"].startswith(reason), fault
            assert (row["finish_reason"], row["completion"]) == ("error", "")
        if fault == "endless":
            assert row["finish_reason"] == "length"
            assert why[name] == "truncated"
        assert (name in why) is (fault in unjudged_faults), fault
    # A prompt that nobody answers gets as many tries as another may have answers, and no more.
    assert all(seen[fault] == set(range(n)) for fault in unjudged_faults)
    assert len(seen) == len(reasons) + 1
    errors = sum(row["error"] is not None for row in rows.values())
    assert f"{0 if hanging else n} truncated, {errors} errors" in out

    with served(tmp_path, "0", "healed") as (_, port):
        path = recipe(tmp_path, port, texts, engine, sampling)
        # All others are as in a run without faults.
        assert draw(path, calm).counts["errors"] == 0
        wanted = stored(calm)
        for prompt, fault in faults.items():
            if fault in unjudged_faults | {"null"}:
                continue
            mine, theirs = prompts_of(rows, prompt), prompts_of(wanted, prompt)
            if kind == "steered":  # how many answers a prompt gets depends on all the others
                assert all(mine[name] == theirs[name] for name in mine.keys() & theirs.keys())
                assert mine.keys() & theirs.keys()
            else:
                assert mine == theirs, fault

        # When the server is healed, the same command asks for what failed, and for nothing else.
        asked = len(seeds(tmp_path))
        result = draw(path, home)
        again = stored(home)
        assert rows.items() <= again.items()
        assert not {row["seed"] for row in rows.values()} & set(seeds(tmp_path)[asked:])
        assert len(again) - len(rows) == len(seeds(tmp_path)) - asked > 0
        table = Workspace(home, "sums").read("rollouts").to_pylist()
        bad = {faults[row["prompt_id"]] for row in table if row["error"]}
        assert bad == {"long"} & reasons.keys(), "an over-long prompt fails for good"
        assert result.counts["errors"] == n * len(bad)

        # What failed for good is tried again where one asks for it.
        asked = len(seeds(tmp_path))
        assert draw(path, home, retry_errors=True).counts["errors"] == 0
        assert (len(seeds(tmp_path)) > asked) is bool(bad)
        asked = len(seeds(tmp_path))
        assert draw(path, home).skipped
        assert len(seeds(tmp_path)) == asked


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_dies_stops_the_run_which_resumes(tmp_path: Path, kind: str) -> None:
    engine, sampling = "max_retries: 1", f"concurrency: 8, n: 4{KINDS[kind]}"
    texts = [f"What is {i} + {3 * i}?" for i in range(60)]
    home, calm = tmp_path / "home", tmp_path / "calm"
    with served(tmp_path, "0.05", program=COUNTING) as (_, port):
        draw(recipe(tmp_path, port, texts, engine, sampling), calm)
    wanted, first = stored(calm), len(seeds(tmp_path))
    assert first == len(wanted)
    with served(tmp_path, "0.05", program=COUNTING) as (server, port):
        process = command(recipe(tmp_path, port, texts, engine, sampling), home)
        while len(seeds(tmp_path)) < first + 40:
            assert process.poll() is None
            time.sleep(0.002)
        server.kill()
        _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert f"error: http://127.0.0.1:{port}/v1 cannot be reached (engine.base_url)" in err
    assert "internal error" not in err and "Traceback" not in err
    rows = stored(home)
    assert 0 < len(rows) < len(wanted)
    assert rows.items() <= wanted.items()

    asked = len(seeds(tmp_path))
    with served(tmp_path, "0.05", program=COUNTING) as (_, port):
        draw(recipe(tmp_path, port, texts, engine, sampling), home)
    known = {row["seed"] for row in rows.values()}
    assert not known & set(seeds(tmp_path)[asked:]), "a stored answer was drawn again"
    assert stored(home) == wanted
    for stage in ("rollouts", "verdicts"):
        version = Workspace(home, "sums").data_version(stage)
        assert version == Workspace(calm, "sums").data_version(stage)
