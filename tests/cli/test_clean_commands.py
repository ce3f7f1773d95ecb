"""`winnow dedup`, `winnow decontaminate` and `winnow audit`: the shape that other tools rely on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LONG = (
    "A farmer keeps {n} hens in a long wooden barn beside the river and sells the eggs at the market "
    "every second morning of the week, how many eggs does the farmer sell in a month of thirty days"
)


def winnow(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "winnow.cli.main", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def write(path: Path, *values: Any) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_duplicates_are_marked_and_numbers_are_not_merged(tmp_path: Path) -> None:
    texts = [
        LONG.format(n=12) + "?",
        LONG.format(n=12) + " exactly?",
        LONG.format(n=13) + "?",
        LONG.format(n=12).upper() + "?",
        "Another question.",
    ]
    source = write(tmp_path / "in.jsonl", *({"q": text, "n": at} for at, text in enumerate(texts)))
    output = tmp_path / "out.jsonl"
    done = winnow(
        "dedup", "--method", "minhash", "--input", source, "--output", output, "--column", "q"
    )
    assert done.returncode == 0, done.stderr
    found = rows(output)
    assert [row["n"] for row in found] == [0, 1, 2, 3, 4]
    assert [row["keep"] for row in found] == [False, True, True, False, True]
    assert len({found[at]["group_id"] for at in (0, 1, 3)}) == 1
    assert found[2]["group_id"] != found[0]["group_id"]
    assert found[2]["template_id"] == found[0]["template_id"]
    assert found[0]["reason"].startswith("near_duplicate of row 1 (jaccard ")
    assert found[1]["reason"] is None

    exact = tmp_path / "exact.jsonl"
    winnow("dedup", "--method", "exact", "--input", source, "--output", exact, "--column", "q")
    assert sum(row["keep"] for row in rows(exact)) == 4
    one = tmp_path / "one.jsonl"
    winnow("dedup", "--method", "minhash", "--per-template", 1, "--prefer", "n",
           "--input", source, "--output", one, "--column", "q")  # fmt: skip
    assert [row["keep"] for row in rows(one)] == [False, False, False, True, True]


def test_given_vectors_are_compared_as_they_are(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(40, 16)).astype(np.float32)
    vectors[7] = 3 * vectors[3] + 0.001
    vectors[9] = vectors[3]
    pq.write_table(pa.table({"v": list(vectors)}), tmp_path / "in.parquet")
    done = winnow("dedup", "--method", "semantic", "--input", tmp_path / "in.parquet",
                  "--output", tmp_path / "out.parquet", "--column", "v")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["keep"].to_pylist().count(False) == 2
    assert len({found["group_id"][at].as_py() for at in (3, 7, 9)}) == 1


def test_texts_are_compared_by_meaning(tmp_path: Path) -> None:
    source = write(
        tmp_path / "in.jsonl",
        {"text": "How do I bake a chocolate cake?"},
        {"text": "How can I bake a chocolate cake?"},
        {"text": "Who wrote this old song about the sea?"},
    )
    output = tmp_path / "out.jsonl"
    done = winnow("dedup", "--method", "semantic", "--input", source, "--output", output)
    assert done.returncode == 0, done.stderr
    assert [row["keep"] for row in rows(output)] == [False, True, True]


def test_evaluation_items_are_found_with_evidence(tmp_path: Path) -> None:
    item = "Let ABC be a triangle whose altitude from A meets the opposite side in a point called D"
    items = write(
        tmp_path / "items.jsonl", {"item": "Something else, quite short."}, {"item": item}
    )
    source = write(
        tmp_path / "in.jsonl",
        {"text": f"Solve with care. {item}. How long is AD?", "id": "x"},
        {"text": "What is the colour of the sky on a bright day in spring?", "id": "y"},
    )
    output = tmp_path / "out.jsonl"
    done = winnow("decontaminate", "--input", source, "--against", items, "--output", output,
                  "--against-column", "item", "--rule", "coverage")  # fmt: skip
    assert done.returncode == 0, done.stderr
    hit, clean = rows(output)
    assert (hit["id"], hit["contaminated"], hit["hit_file"], hit["hit_row"]) == (
        "x", True, str(items), 1,
    )  # fmt: skip
    assert hit["hit_score"] == 1.0
    assert "altitude from A meets" in hit["evidence"]
    assert clean == {"text": clean["text"], "id": "y", "contaminated": False, "hit_file": None,
                     "hit_row": None, "hit_score": None, "hit_rule": None, "evidence": None}  # fmt: skip
    assert "2 rows: 1 contaminated" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dedup", "--column", "nope"], "no column 'nope'"),
        (["dedup", "--method", "fuzzy"], "fuzzy"),
        (["decontaminate"], "--against is missing"),
        (
            ["decontaminate", "--against", "in.jsonl", "--against-column", "nope"],
            "no column 'nope'",
        ),
        (["decontaminate", "--against", "in.jsonl", "--against", "in.jsonl"], "stands twice"),
    ],
)
def test_wrong_use_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.jsonl", {"text": "a"})
    done = winnow(*words, "--input", "in.jsonl", "--output", "out.jsonl")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_reference_that_all_answers_contradict_is_listed_and_can_be_dropped(
    tmp_path: Path,
) -> None:
    asked = [("What is 50 + 50?", "101"), ("What is 2 + 2?", "4")]
    source = write(tmp_path / "s.jsonl", *({"prompt": q, "answer": a} for q, a in asked))
    answers = write(
        tmp_path / "answers.jsonl",
        *({"prompt": asked[0][0], "completion": "The answer is 100."} for _ in range(4)),
        *({"prompt": asked[1][0], "completion": f"The answer is {k}."} for k in (4, 4, 4, 5)),
    )
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        f"dataset: d\nsources: [{{type: dataset, name: s, path: '{source}'}}]\n"
        "engine: {type: replay, policy: teacher}\nsampling: {n: 4}\n"
        "sets: {all: {type: rl}, trusted: {type: rl, suspects: drop}}\n"
    )
    home = ("--home", tmp_path / "home")
    assert winnow("import-rollouts", answers, "--policy", "teacher", *home).returncode == 0
    made = winnow("run", recipe, *home)
    assert made.returncode == 0, made.stderr
    assert "1 suspect_reference" in made.stdout
    listed = winnow("audit", recipe, *home, "--output", tmp_path / "audit.parquet")
    assert listed.returncode == 0, listed.stderr
    assert "1 suspect references of 2 audited tasks" in listed.stdout
    assert "101" in listed.stdout and "100" in listed.stdout
    table = pq.read_table(tmp_path / "audit.parquet").to_pylist()
    assert sorted((row["suspect"], row["n_majority"]) for row in table) == [(False, 3), (True, 4)]
