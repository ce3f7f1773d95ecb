"""The pool of a run: what joins what."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from winnow.cli import main as cli
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.models import MINILM
from winnow.pipeline.progress import Silent
from winnow.selectors.rows import TableRows
from winnow.selectors.run import select
from winnow.stages.base import Context
from winnow.stages.missing_features import (
    Models,
    compute_missing,
    missing_needs,
    recipe_models,
)
from winnow.stages.selection_pool import pool_table

TASKS = 6
RECIPE = """
dataset: sums
sources:
  - {{type: dataset, name: sums, path: "{source}", verifier: math}}
engine: {{type: replay, policy: teacher}}
sampling: {{n: 4, max_tokens: 50}}
clusters: {{k: 2}}
sets:
  sft: {{uds: false}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Six sums, i of four answers to sum i right; and a prompt with two references, one answer to
    which meets the second, and one is cut off."""
    folder = tmp_path_factory.mktemp("pool")
    sums = [{"prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(TASKS)]
    twice = [{"prompt": "Name a square.", "answer": a} for a in ("4", "9")]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, [*sums, *twice])))
    answers = [
        {
            "prompt": f"What is {i} + {i}?",
            "completion": f"The answer is {2 * i if k < i else 2 * i + k + 1}.",
            "index": k,
            "n_tokens": 5 + k,
            **({"logprob_sum": -2.0 * (k + 1)} if k else {}),
        }
        for i in range(TASKS)
        for k in range(4)
    ]
    square: dict[str, Any] = {"prompt": "Name a square.", "completion": "The answer is 9."}
    answers += [square, {**square, "completion": "The answer", "finish_reason": "length"}]
    (folder / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    recipe = folder / "sums.yaml"
    recipe.write_text(RECIPE.format(source=folder / "sums.jsonl"))
    for words in (
        ["import-rollouts", str(folder / "answers.jsonl"), "--policy", "teacher"],
        ["run", str(recipe)],
    ):
        sys.argv = ["winnow", *words, "--home", str(folder / "home")]
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code
    return Context.of(recipe, folder / "home")


def rows(run: Context, kind: Any) -> list[dict[str, Any]]:
    table = pool_table(run, kind)
    names = table["row_id"].to_pylist()
    assert names == sorted(set(names)), "each row once, in order"
    return list(table.to_pylist())


def test_every_judged_answer(run: Context) -> None:
    found = rows(run, "answers")
    assert len(found) == 4 * TASKS + 2
    for row in found:
        if row["messages"][-1]["content"] == "Name a square.":
            continue
        i = int(row["messages"][-1]["content"].split()[2])
        k = row["n_tokens"] - 5
        assert row["verdict"] == ("correct" if k < i else "wrong")
        assert row["reward"] == float(k < i)
        assert (row["n"], row["n_correct"], row["n_wrong"]) == (4, min(i, 4), max(0, 4 - i))
        assert row["pass_rate"] == min(i, 4) / 4 and row["alpha"] == 1 + min(i, 4)
        if k:
            assert row["logprob_mean"] == pytest.approx(-2.0 * (k + 1) / (5 + k))
        else:
            assert row["logprob_mean"] is None
        assert row["source"] == "sums" and row["cluster"] in (0, 1)
        assert math.fsum(v * v for v in row["embedding"]) == pytest.approx(1, abs=1e-3)
        assert row["nuclear_norm"] is None and row["sketch"] is None
    ids = {row["messages"][-1]["content"]: row["prompt_id"] for row in found}
    assert len(set(ids.values())) == TASKS + 1


def test_an_answer_to_two_references_counts_for_the_one_that_it_meets(run: Context) -> None:
    found = [r for r in rows(run, "answers") if r["messages"][-1]["content"] == "Name a square."]
    met = [(r["verdict"], r["answer"]) for r in found if r["finish_reason"] == "stop"]
    assert met == [("correct", "9")]


def test_every_task_with_the_rewards_of_its_answers(run: Context) -> None:
    found = rows(run, "tasks")
    assert len(found) == TASKS + 2
    sums = {r["answer"]: r for r in found if r["messages"][-1]["content"] != "Name a square."}
    assert sums["4"]["rewards"] == [1.0, 1.0, 0.0, 0.0], "in the order they were drawn"
    assert sums["0"]["rewards"] == [0.0] * 4 and sums["0"]["pass_rate"] == 0
    assert all(r["row_id"] == r["task_id"] for r in found)
    squares = {r["answer"]: r["rewards"] for r in found if r not in sums.values()}
    assert squares == {"4": [0.0], "9": [1.0]}


def test_the_other_rate_of_a_recipe(run: Context) -> None:
    """A cut answer is wrong by pass_rate_low and by no other column."""
    table = pool_table(run, "tasks")
    (cut,) = (r for r in table.to_pylist() if r["answer"] == "9")
    assert (cut["pass_rate"], cut["pass_rate_low"], cut["n_truncated"]) == (1.0, 0.5, 1)
    for column, taken in ("pass_rate", True), ("pass_rate_low", False):
        found = select("pass_rate", table, use="rate", low=0.9, columns={"pass_rate": column})
        assert (cut["row_id"] in found.filter(found["selected"])["row_id"].to_pylist()) == taken


def test_dart_over_a_recipes_answers(run: Context) -> None:
    """A prompt with several references fails where no reference is met."""
    table = pool_table(run, "answers")
    rates = select("dart", table)["fail_rate"].to_pylist()
    for row, rate in zip(table.to_pylist(), rates, strict=True):
        square = row["messages"][-1]["content"] == "Name a square."
        assert rate == (0.5 if square else row["n_wrong"] / 4)


def test_models_for_signals(run: Context) -> None:
    found = recipe_models(run)
    assert (found.model, found.embedder) == (None, "all-minilm-l6-v2")


def test_what_is_missing_and_for_whom() -> None:
    source = TableRows(pa.table({"row_id": ["a"], "prompt_id": ["p"], "logprob_mean": [None]}))
    features = [TableRows(pa.table({"row_id": ["a"], "sketch": [[1.0]]}))]

    def needs(*wanted: list[str], partly: bool = False) -> dict[Any, list[str]]:
        return missing_needs(source, features, wanted, partly=partly)

    assert needs(["nuclear_norm", "sketch"], ["prompt_id"]) == {"uds": ["nuclear_norm"]}
    assert needs(["embedding"], ["token_logprobs"]) == {
        "logprob": ["token_logprobs"], "embedding": ["embedding"],
    }  # fmt: skip
    assert needs(["logprob_mean"]) == {}
    assert needs(["logprob_mean"], partly=True) == {"logprob": ["logprob_mean"]}
    assert needs(["embedding", "quality"]) == {}, "no model gives quality"


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_what_can_be_computed_is(tmp_path: Path) -> None:
    source = TableRows(pa.table({"row_id": ["b", "a"], "text": ["a square", "a sum"]}))
    needs = missing_needs(source, [], [["embedding"], ["logprob_mean"]], partly=False)
    assert set(needs) == {"embedding", "logprob"}
    heard = Notes()
    assert compute_missing(tmp_path, source, needs, Models(), heard) == []
    found = compute_missing(tmp_path, source, needs, Models(embedder=MINILM), heard)
    assert [table.column_names for table in found] == [["row_id", "embedding"]]
    assert found[0]["row_id"].to_pylist() == ["b", "a"]
    models = Models("smollm2-135m-instruct", MINILM)
    again = compute_missing(tmp_path, source, needs, models, heard)
    assert [table.column_names for table in again] == [["row_id", "embedding"]]
    assert any("logprob_mean: not computed" in note and "response" in note for note in heard.notes)


def test_a_recipe_that_has_not_run(run: Context, tmp_path: Path) -> None:
    recipe = run.workspace.home.parent / "sums.yaml"
    with pytest.raises(WinnowError, match="has not run yet"):
        pool_table(Context.of(recipe, tmp_path), "answers")
