"""`winnow select` and `winnow selectors`: the shape that other tools rely on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.selectors.registry import SELECTORS


def winnow(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_same_rows_in_the_same_order_with_the_decision(tmp_path: Path) -> None:
    rows = pa.table({"row_id": list("dbca"), "text": list("wxyz"), "reason": [1, 2, 3, 4]})
    pq.write_table(rows, tmp_path / "in.parquet")
    done = winnow(
        "select", "random", "--input", tmp_path / "in.parquet", "--output", tmp_path / "out.parquet",
        "--budget", "0.5", "--seed", 7,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "random: 2 of 4 rows selected"
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["row_id"].to_pylist() == list("dbca")
    assert found["text"].to_pylist() == list("wxyz")
    assert sorted(found["rank"].to_pylist()) == [0, 1, 2, 3]
    assert found["selected"].to_pylist() == [rank < 2 for rank in found["rank"].to_pylist()]
    assert set(found["reason"].to_pylist()) == {"selected", "budget"}
    assert {"score", "weight"} <= set(found.column_names)


def test_json_lines_and_made_names(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", {"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"})
    output = tmp_path / "out.jsonl"
    done = winnow("select", "random", "--input", source, "--output", output, "--budget", 9)
    assert done.returncode == 0, done.stderr
    assert "(the budget allows 9; no more rows qualify)" in done.stdout
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["prompt"] for row in found] == ["a", "b", "a"]
    assert all(row["selected"] for row in found)
    assert len({row["row_id"] for row in found}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["select", "randon", "--input", "IN", "--output", "OUT"],
            "selector 'randon' is not known",
        ),
        (["select", "random", "--output", "OUT"], "--input is missing"),
        (["select", "random", "--input", "IN"], "--output is missing"),
        (["select", "random", "--input", "no.jsonl", "--output", "OUT"], "no.jsonl: no such file"),
        (["select", "random", "--input", "IN", "--output", "IN"], "is the input itself"),
        (
            ["select", "random", "--input", "IN", "--output", "OUT", "--budget", "many"],
            "budget 'many': write a number of rows",
        ),
        (
            ["select", "random", "--input", "IN", "--output", "OUT", "--set", "k=1"],
            "k: Extra inputs are not permitted",
        ),
        (
            ["select", "random", "--input", "IN", "--output", "OUT", "--budget", "9tok"],
            "no column 'n_tokens'",
        ),
        (["selectors", "randon"], "selector 'randon' is not known"),
    ],
)
def test_wrong_use_is_one_clear_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", {"prompt": "a"})
    place = {"IN": str(source), "OUT": str(tmp_path / "out.jsonl")}
    done = winnow(*(place.get(a, a) for a in arguments))
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_every_selector_is_listed_and_documented() -> None:
    done = winnow("selectors")
    assert done.returncode == 0, done.stderr
    for name in SELECTORS:
        assert f" {name} " in done.stdout
    done = winnow("selectors", "random")
    assert "It has no parameters." in done.stdout
