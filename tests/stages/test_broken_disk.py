"""A disk that is full, a file that is none of ours, a folder that may not be written: one clear line,
and nothing that was stored is lost."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.workspace import open_store

PROMPTS, N = 40, 6
STOPS = {"fixed": "", "adaptive": ", stop: [{type: until_k_correct, k: 4}]"}


def run(folder: Path, url: str, sampling: str, most: int | None = None) -> Any:
    """`winnow run`; `most`: bytes that a file may have."""
    rows = [{"prompt": f"What is {i} + {3 * i}?", "answer": str(4 * i)} for i in range(PROMPTS)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = folder / "sums.yaml"
    recipe.write_text(
        f"""
dataset: sums
sources:
  - {{type: dataset, name: sums, path: {folder / "sums.jsonl"}, verifier: math}}
engine: {{type: openai, model: stub, base_url: "{url}"}}
sampling: {{max_tokens: 64, concurrency: 8, n: {N}{sampling}}}
sets: {{rl: {{}}}}
"""
    )

    def limited() -> None:
        if most is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # to be told, not killed
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    command = [sys.executable, "-m", "winnow.cli.main", "run", str(recipe)]
    return subprocess.run(
        [*command, "--home", str(folder / "home")],
        check=False,
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=300,
    )


def stored(folder: Path) -> dict[str, Any]:
    with open_store(folder / "home", "rollouts") as store:
        return {row["rollout_id"]: row for row in store.all().to_pylist()}


@pytest.mark.parametrize("kind", STOPS)
def test_a_full_disk_stops_the_run_which_resumes(
    tmp_path: Path, stub_server: Any, kind: str
) -> None:
    before: dict[str, Any] = {}
    for most in (90_000, 140_000):
        stopped = run(tmp_path, stub_server.url, STOPS[kind], most)
        assert stopped.returncode == 1
        assert "rollouts.sqlite cannot be written: " in stopped.stderr
        assert "the same command goes on" in stopped.stderr
        assert "internal error" not in stopped.stderr
        after = stored(tmp_path)
        assert before.items() <= after.items(), "an acknowledged answer was lost"
        before = after
    assert 0 < len(before) < PROMPTS * N
    asked = len(stub_server.seeds())
    done = run(tmp_path, stub_server.url, STOPS[kind])
    assert done.returncode == 0, done.stderr
    rows = stored(tmp_path)
    assert before.items() <= rows.items()
    known = {row["seed"] for row in before.values()}
    assert not known & set(stub_server.seeds()[asked:]), "a stored answer was drawn again"
    assert len({row["seed"] for row in rows.values()}) == len(rows)


def test_a_file_that_is_no_store(tmp_path: Path, stub_server: Any) -> None:
    path = tmp_path / "home" / ".store" / "rollouts.sqlite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 100)
    stopped = run(tmp_path, stub_server.url, "")
    assert stopped.returncode == 1
    assert "rollouts.sqlite cannot be opened: file is not a database" in stopped.stderr
    assert path.read_bytes() == b"no database at all" * 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path, stub_server: Any) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o500)
    try:
        stopped = run(tmp_path, stub_server.url, "")
    finally:
        home.chmod(0o700)
    assert stopped.returncode == 1
    assert "cannot be written: Permission denied" in stopped.stderr
