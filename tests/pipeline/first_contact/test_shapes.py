"""What is guessed about rows of many shapes, with one pool of workers for all of them."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from winnow.pipeline.first_contact.judged import Judged
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles, Wishes, roles
from winnow.pipeline.first_contact.trials import Bench
from winnow.pipeline.first_contact.verifier_guess import guess
from winnow.pipeline.recipe import DatasetSource
from winnow.pipeline.verify.worker_pool import VerifierPool

Rows = Sequence[Mapping[str, Any]]


class Shape(NamedTuple):
    """Rows, and what must be guessed: verifier, its answer's column, and the rows' own answers."""

    rows: Rows
    verifier: str
    answer: str | None
    completion: str | None = None
    says: str = ""


def many(row: Any, count: int = 30) -> Rows:
    return [row(i) for i in range(count)]


SHAPES: dict[str, Shape] = {
    "numbers": Shape(many(lambda i: {"question": f"What is {i} + {i}?", "answer": 2 * i}),
                     "math", "answer", None, "100% of the references read as numbers"),
    "formulas": Shape(many(lambda i: {"problem": f"Expand number {i}.", "answer": rf"\frac{{x}}{{{i + 2}}} + 1"}),
                      "math", "answer"),
    "solutions that end in hashes": Shape(
        many(lambda i: {"question": f"What is {i} + {i}?", "answer": f"Twice {i}.\n#### {2 * i}"}),
        "math", "answer", None, "100% of them at the end of a solution"),
    "letters": Shape(
        many(lambda i: {"question": f"Which is {i}?\nA. {i}\nB. {i + 1}", "answer": "AB"[i % 2]}),
        "choice", "answer", None, "100% of the references are letters"),
    "labels": Shape(
        many(lambda i: {"text": f"The film number {i} was fun.", "label": ("good", "poor")[i % 2]}),
        "exact", "label"),
    "conversations": Shape(
        many(lambda i: {"messages": [{"role": "user", "content": f"Tell me of day {i}."},
                                     {"role": "assistant", "content": f"It rained on day {i}."}]}),
        "none", None, "messages"),
    "instructions": Shape(
        many(lambda i: {"instruction": f"Say {i}.", "input": "", "output": f"It is {i}, of course, as "
                        f"it comes right after the number {i - 1} and before {i + 1}."}),
        "none", None, "output"),
    "tests of code": Shape(
        many(lambda i: {"prompt": f"Write add{i}(n), which adds {i}.",
                        "tests": [f"assert add{i}(1) == {i + 1}"],
                        "code": f"def add{i}(n):\n    return n + {i}"}, 6),
        "python", None, "code", "100% of 6 reference solutions pass them here"),
    "tests of untold names": Shape(
        many(lambda i: {"prompt": f"Write a function that adds {i}.",
                        "tests": [f"assert add{i}(1) == {i + 1}"],
                        "code": f"def add{i}(n):\n    return n - {i + 1}"}, 6),
        "python", None, "code", "0% of 6 reference solutions pass them here"),
    "queries alone": Shape(
        many(lambda i: {"question": f"How many books have {i} pages?", "db_id": "nowhere",
                        "query": f"SELECT count(*) FROM book WHERE pages = {i}"}),
        "exact", "query", None, "no database was found"),
    "queries": Shape(
        many(lambda i: {"question": f"How many books have {i} pages?", "db_id": "shop",
                        "query": f"SELECT count(*) FROM book WHERE pages = {i}"}),
        "sql", "query", None, "100% of 30 run"),
    "calls": Shape(
        many(lambda i: {"question": f"What is the weather on day {i}?",
                        "functions": '[{"name": "weather", "parameters": {"type": "dict", '
                                     '"properties": {"day": {"type": "integer"}}}}]',
                        "ground_truth": f'[{{"weather": {{"day": [{i}]}}}}]'}),
        "tool_call", "ground_truth", None, "calls as JSON; 100% of 30"),
    "tagged calls": Shape(
        many(lambda i: {"instruction": f"Ask for day {i}.", "input": "Please.", "output":
                        "<think>Easy.</think>\n<tool_call>\n"
                        f'{{"name": "weather", "parameters": {{"day": {i}}}}}\n</tool_call>'}),
        "tool_call", "output", "output", "ToolRL's tagged blocks"),
    "prompts alone": Shape(many(lambda i: {"prompt": f"Write about {i}."}), "none", None),
}  # fmt: skip


async def _guesses(folder: Path) -> dict[str, tuple[Roles, Judged]]:
    found = {}
    async with VerifierPool(2, 30.0) as pool:
        for name, shape in SHAPES.items():
            config = DatasetSource(type="dataset", path=str(folder / "rows.jsonl"), name="rows")
            look = Look(config, shape.rows, len(shape.rows), True, 0)
            of = roles(look, Wishes())
            found[name] = of, await guess(look, of, Bench(pool))
    return found


def test_shapes(tmp_path: Path) -> None:
    (tmp_path / "dbs" / "shop").mkdir(parents=True)
    connection = sqlite3.connect(tmp_path / "dbs" / "shop" / "shop.sqlite")
    connection.executescript("CREATE TABLE book (pages); INSERT INTO book VALUES (100), (7);")
    connection.close()
    found = asyncio.run(_guesses(tmp_path))
    for name, shape in SHAPES.items():
        of, judged = found[name]
        assert (judged.verifier, judged.answer) == (shape.verifier, shape.answer), name
        assert of.completion == shape.completion, name
        assert shape.says in judged.why, name
    assert found["conversations"][0].prompt == ("messages",)
    assert found["tests of code"][1].prompt == ()
    assert found["tests of untold names"][1].prompt == ("tests",)
    assert "100%" in found["tests of untold names"][1].beware
    queries = found["queries"][1]
    assert queries.arguments == {"database": "db_id"}
    assert queries.files == {"database": f"{tmp_path}/dbs/{{}}/{{}}.sqlite"}
    assert found["queries alone"][1].args == found["labels"][1].args == {"case": False}
    assert found["calls"][1].arguments == {"functions": "functions"}
    assert found["tagged calls"][1].args == {"syntax": "toolrl"}
