"""`winnow trajectories` and `winnow train-proxy` from the command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def winnow(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rollouts_become_accuracies_that_limr_reads(tmp_path: Path) -> None:
    prompts = write(tmp_path / "prompts.jsonl", [{"prompt": p, "answer": 1} for p in "abc"])
    log = write(
        tmp_path / "log.jsonl",
        [
            {"prompt": p, "step": step, "score": float(step >= late)}
            for p, late in (("a", 0), ("b", 9))
            for step in range(16)
        ],
    )
    done = winnow(
        "trajectories", "--kind", "accuracies", "--input", log, "--rows", prompts,
        "--output", tmp_path / "acc.parquet", "--column", "reward=score",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 rows: accuracies of 2 epochs\n  1 without any\n"
    assert pq.read_table(tmp_path / "acc.parquet")["accuracies"].to_pylist() == [
        [1.0, 1.0],
        [0.0, 0.875],
        [None, None],
    ]
    chosen = tmp_path / "chosen.jsonl"
    done = winnow(
        "select", "limr", "--input", prompts, "--features", tmp_path / "acc.parquet",
        "--output", chosen, "--set", "theta=-1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in chosen.read_text().splitlines()]
    assert [row["reason"] for row in rows] == ["selected", "selected", "missing_epoch"]


def test_wrong_use(tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [{"prompt": "p", "completion": "c"}])
    for arguments, error in (
        (("train-proxy", "--input", rows), "--input and --output are both needed"),
        (("train-proxy", "--input", rows, "--output", "x.jsonl"), "must end in .parquet"),
        (
            ("train-proxy", "--input", rows, "--output", tmp_path / "x.parquet", "--steps", 2),
            "2 steps cannot have 12 checkpoints",
        ),
        (
            ("trajectories", "--kind", "losses", "--input", rows, "--output", "x.parquet"),
            "no column 'loss'",
        ),
    ):
        done = winnow(*arguments)
        assert done.returncode == 2 and error in done.stderr, done.stderr
