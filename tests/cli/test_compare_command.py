"""`winnow compare` as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def winnow(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    n = 120
    rows = pa.table(
        {
            "row_id": [f"r{i}" for i in range(n)],
            "prompt_id": [f"p{i // 3}" for i in range(n)],
            "completion": [f"answer {i}" for i in range(n)],
            "logprob_mean": [None if i < 3 else v for i, v in enumerate(-rng.exponential(size=n))],
            "pass_rate": rng.integers(0, 5, n) / 4,
            "n_tokens": rng.integers(5, 500, n),
            "source": rng.choice(["<script>", "$x$ and $y$", "\x1b[31mred"], n),
        }
    )
    pq.write_table(rows, tmp_path / "rows.parquet")
    features = pa.table({"row_id": rows["row_id"], "embedding": list(rng.random((n, 6)))})
    pq.write_table(features, tmp_path / "emb.parquet")
    return tmp_path / "rows.parquet"


def test_a_table_with_features(table: Path) -> None:
    done = winnow(
        "compare", table, "--features", table.with_name("emb.parquet"), "--budget", "0.2",
        "--selectors", "low=pass_rate,grape,rlpr", "--set", "low.low=0.1", "--set", "low.high=0.6",
        "--seed", 4,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = table.parent / "comparison"
    made = ["summary.parquet", "jaccard.parquet", "selections.parquet", "comparison.svg",
            "comparison.png"]  # fmt: skip
    assert done.stdout.splitlines()[-5:] == [str(folder / name) for name in made]
    assert sorted(path.name for path in folder.iterdir()) == sorted(made)
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    for part in ("120 rows of rows.parquet, budget 0.2", "low", "grape", "random", "overlap",
                 "grape: 3 rows lack logprob_mean", "rlpr not run: no column reference_logprobs",
                 "<script>", "$x$ and $y$"):  # fmt: skip
        assert part in done.stdout, part
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines()[:-6])) <= 130
    summary = {row["selector"]: row for row in pq.read_table(folder / made[0]).to_pylist()}
    assert [summary[s]["rows"] for s in ("pool", "low", "grape", "random")] == [120, 24, 24, 24]
    assert summary["rlpr"]["status"] == "not_run"
    assert summary["low"]["difficulty_q10"] >= 0.1 and summary["low"]["difficulty_q90"] <= 0.6
    assert summary["low"]["clusters"] >= 1
    selections = pq.read_table(folder / "selections.parquet")
    assert selections.num_rows == 3 * 120
    overlap = pq.read_table(folder / "jaccard.parquet").to_pylist()
    assert len(overlap) == 9
    chosen = {
        label: {
            r["row_id"] for r in selections.to_pylist() if r["selector"] == label and r["selected"]
        }
        for label in ("low", "grape", "random")
    }
    for each in overlap:
        a, b = chosen[each["a"]], chosen[each["b"]]
        assert each["jaccard"] == pytest.approx(len(a & b) / len(a | b))


def test_json_lines_without_names_or_picture(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    rows = [{"text": f"t{i % 7}", "rate": i / 10} for i in range(10)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = winnow(
        "compare", source, "--selectors", "pass_rate", "--column", "pass_rate=rate", "--budget", 2,
        "--output", tmp_path / "new" / "folder", "--no-picture", "--no-baseline",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert made == {"summary.parquet", "jaccard.parquet", "selections.parquet"}
    rows = pq.read_table(tmp_path / "new" / "folder" / "selections.parquet").to_pylist()
    assert len({row["row_id"] for row in rows}) == 10
    assert sum(row["selected"] for row in rows) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--selectors", "nobody", "--budget", "3"], "selector 'nobody' is not known"),
        (["--selectors", "grape", "--budget", "1.5"], "is a share"),
        (["--selectors", "grape", "--budget", "many"], "write a number of rows"),
        (["--selectors", "grape"], "Missing option '--budget'"),
        (["--budget", "3"], "Missing option '--selectors'"),
        (["--selectors", "grape", "--budget", "3", "--set", "low=1"], "NAME.key=value"),
        (["--selectors", "grape", "--budget", "3", "--column", "a=b"], "--column a: is no input"),
        (
            ["--selectors", "rlpr", "--budget", "3", "--no-baseline"],
            "none of the selectors could run",
        ),
        (["--selectors", "grape", "--budget", "3", "--features", "none.parquet"], "no such file"),
        (
            ["--selectors", "grape", "--budget", "3", "--output", "/proc/x"],
            "--output names another",
        ),
    ],
)
def test_wrong_use(table: Path, words: list[str], message: str) -> None:
    done = winnow("compare", table, *words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [("rows.txt", "neither a recipe (.yaml) nor a table"), ("no.yaml", "no such recipe"),
     ("no.parquet", "no such file")],
)  # fmt: skip
def test_no_pool(tmp_path: Path, name: str, message: str) -> None:
    done = winnow("compare", tmp_path / name, "--selectors", "random", "--budget", "3")
    assert done.returncode == 2 and message in done.stderr


def test_a_recipe_after_its_run(tmp_path: Path) -> None:
    rows = [{"prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(12)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    answers = [
        {"prompt": f"What is {i} + {i}?", "n_tokens": 3 + k,
         "completion": f"The answer is {2 * i if k < i % 5 else 2 * i + k + 1}."}
        for i in range(12) for k in range(4)
    ]  # fmt: skip
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    recipe, home = tmp_path / "sums.yaml", tmp_path / "home"
    recipe.write_text(
        f"""
dataset: sums
sources: [{{type: dataset, name: sums, path: {tmp_path / "sums.jsonl"}, verifier: math}}]
engine: {{type: replay, policy: teacher}}
sampling: {{n: 4, max_tokens: 50}}
clusters: {{k: 3}}
sets:
  sft: {{uds: false}}
"""
    )
    wanted = ["compare", recipe, "--selectors", "pass_rate,klear,best_of_n", "--budget", "0.25"]
    early = winnow(*wanted, "--home", home)
    assert early.returncode == 1 and "has not run yet (winnow run makes it)" in early.stderr
    for words in (
        ["import-rollouts", tmp_path / "answers.jsonl", "--policy", "teacher"],
        ["run", recipe],
    ):
        assert winnow(*words, "--home", home).returncode == 0
    done = winnow(*wanted, "--home", home)
    assert done.returncode == 0, done.stderr
    assert "48 answers of sums, budget 0.25" in done.stdout
    folder = home / "sums" / "comparison"
    summary = {r["selector"]: r for r in pq.read_table(folder / "summary.parquet").to_pylist()}
    assert {s for s, r in summary.items() if r["status"] == "ran"} == {
        "pool", "pass_rate", "klear", "best_of_n", "random",
    }  # fmt: skip
    assert summary["pool"]["clusters"] == 3 and summary["pool"]["sources"][0]["source"] == "sums"
    assert (folder / "comparison.png").is_file()
    versions = winnow("versions", "sums", "--home", home)
    assert versions.returncode == 0, "the folder is no version"
    tasks = winnow(
        "compare", recipe, "--selectors", "pass_rate", "--budget", 3, "--rows", "tasks",
        "--home", home, "--no-picture",
    )  # fmt: skip
    assert tasks.returncode == 0, tasks.stderr
    assert "12 tasks of sums, budget 3" in tasks.stdout
