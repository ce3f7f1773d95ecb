"""`winnow verify`, `winnow verifiers`: the shape that other tools rely on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.verify import VERIFIERS, self_test

ADDED = ["verdict", "reward", "parts", "extracted", "detail"]


def winnow(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def test_every_row_comes_back_in_order_with_its_verdict(tmp_path: Path) -> None:
    given = [
        {"completion": r"So it is \boxed{4}.", "answer": "4", "extra": [1, {"a": None}]},
        {"completion": "I get 5", "answer": 4},
        {"completion": None, "answer": "4"},
        {"completion": "4", "answer": "4", "verifier_args": "{broken"},
        {"completion": "4", "answer": "4", "verifier_args": {"unknown": 1}},
        {"completion": "4 and then", "answer": "4", "finish_reason": "length"},
        {"completion": [{"role": "assistant", "content": "The answer is 4."}], "answer": 4.0},
        {"completion": "I do not know what to say about this one.", "answer": "4"},
        {"completion": 4, "answer": "4"},
        {"completion": "4"},
    ]
    source, output = write(tmp_path / "in.jsonl", *given), tmp_path / "out.jsonl"
    done = winnow("verify", "--verifier", "math", "--input", source, "--output", output)
    assert done.returncode == 0, done.stderr
    found = rows(output)
    assert [{k: v for k, v in row.items() if k not in ADDED} for row in found] == given
    assert [(row["verdict"], (row["detail"] or "").partition(":")[0]) for row in found] == [
        ("correct", ""),
        ("wrong", ""),
        ("unjudged", "no_completion"),
        ("unjudged", "bad_arguments"),
        ("unjudged", "bad_arguments"),
        ("unjudged", "truncated"),
        ("correct", ""),
        ("wrong", "no_answer"),
        ("unjudged", "bad_completion"),
        ("unjudged", "bad_reference"),
    ]
    assert found[0]["reward"] == 1.0 and found[1]["reward"] == 0.0 and found[2]["reward"] is None
    assert found[0]["extracted"] == "4" and json.loads(found[0]["parts"]) == {}
    assert "10 rows: 2 correct, 2 wrong, 6 unjudged" in done.stdout


def test_parquet_columns_can_be_renamed(tmp_path: Path) -> None:
    table = pa.table({"mine": ["the answer is 7", "8"], "gold": [7, 7], "keep": [0.5, None]})
    pq.write_table(table, tmp_path / "in.parquet")
    done = winnow(
        "verify", "--verifier", "math", "--input", tmp_path / "in.parquet",
        "--output", tmp_path / "out.parquet", "--column", "completion=mine",
        "--column", "answer=gold",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["mine", "gold", "keep", *ADDED]
    assert found.select(["mine", "gold", "keep"]).equals(table)
    assert found["verdict"].to_pylist() == ["correct", "wrong"]
    assert found.schema.field("reward").type == pa.float64()


def test_settings_hold_for_every_row_and_rows_override_them(tmp_path: Path) -> None:
    options = {"A": "red", "B": "blue"}
    source = write(
        tmp_path / "in.jsonl",
        {"completion": "blue", "answer": "B"},
        {
            "completion": "blue",
            "answer": "B",
            "verifier_args": {"options": {"A": "blue", "B": "x"}},
        },
    )
    output = tmp_path / "out.jsonl"
    done = winnow(
        "verify", "--verifier", "choice", "--input", source, "--output", output,
        "--set", f"options={json.dumps(options)}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [row["verdict"] for row in rows(output)] == ["correct", "wrong"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--verifier", "maths"], "verifier 'maths' is not known"),
        (["--verifier", "math", "--column", "completion=nope"], "no column 'nope'"),
        (["--verifier", "math", "--column", "answer=nope"], "no column 'nope'"),
        (["--verifier", "math", "--column", "other=completion"], "winnow reads completion"),
        (["--verifier", "math", "--set", "mode"], "is not key=value"),
        ([], "--verifier is missing"),
        (["--verifier", "judge"], "asks a model"),
    ],
)
def test_wrong_use_says_what_is_wrong(tmp_path: Path, options: list[str], message: str) -> None:
    source = write(tmp_path / "in.jsonl", {"completion": "4", "answer": "4"})
    output = tmp_path / "out.jsonl"
    done = winnow("verify", "--input", source, "--output", output, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert not output.exists()


def test_a_comparison_shows_where_two_verifiers_disagree(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl",
        {"completion": "1/2", "answer": "0.5"},
        {"completion": "7", "answer": 7},  # no column of one type
        {"completion": "8", "answer": "7"},
    )
    output = tmp_path / "out.jsonl"
    done = winnow(
        "verify", "--verifier", "math", "--compare", "exact", "--input", source, "--output", output
    )
    assert done.returncode == 0, done.stderr
    assert "math: 3 rows: 2 correct, 1 wrong" in done.stdout
    assert "exact: 3 rows: 1 correct, 2 wrong" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_every_verifier_documents_itself() -> None:
    listed = winnow("verifiers")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in VERIFIERS)
    shown = winnow("verifiers", "sql").stdout
    assert "database" in shown and "mode" in shown


def test_the_self_test_ships_pairs_for_every_verifier_and_passes() -> None:
    # reasoning_gym's entries are made by its package and have their own tests.
    assert set(self_test.tested()) == set(VERIFIERS) - {"reasoning_gym"}
    for name in self_test.tested():
        labels = [pair.label for pair in self_test.read(name)]
        least = 100 if name == "math" else 20
        assert labels.count("accept") >= least, name
        assert labels.count("reject") >= least, name
    done = winnow("verify", "--self-test")
    assert done.returncode == 0, done.stdout + done.stderr
