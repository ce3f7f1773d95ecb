"""The verifier `python` on HumanEval and MBPP: reference solutions are correct in whatever form a
model may write them; solutions of other rows and changed ones are judged as a bare interpreter would."""

import ast
import random
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq
import pytest

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.python_code import PythonCode

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
# Their setup needs a class that only the answer defines; it comes before the answer.
WITHOUT_CLASS = {367, 927}
VERIFIER = PythonCode()
Row = dict[str, Any]


def rows(name: str, sample: int | None = None) -> list[Row]:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    table: list[Row] = pq.read_table(path).to_pylist()
    return table if sample is None else random.Random(0).sample(table, sample)


def humaneval(row: Row, completion: str) -> Verdict:
    args = {key: row[key] for key in ("prompt", "test", "entry_point")}
    return VERIFIER.verify(completion, Task([], None, {"kind": "check", **args}))


def mbpp(row: Row, completion: str, tests: list[str] | None = None) -> Verdict:
    args = {
        "kind": "asserts",
        "tests": row["test_list"] if tests is None else tests,
        "setup": row["test_setup_code"],
    }
    return VERIFIER.verify(completion, Task([], None, args))


def fenced(code: str) -> str:
    return (
        "To solve this, we think first: x = 1 is easy.\n\n```python\n" + code + "\n```\n\n"
        "For instance:\n\n```python\nprint('see above')\n```\nwhich prints\n```\nsee above\n```"
    )


FORMS: dict[str, Callable[[Row], str]] = {
    "the body": lambda row: row["canonical_solution"],
    "the body without its margin": lambda row: textwrap.dedent(row["canonical_solution"]),
    "the body without its first margin": lambda row: row["canonical_solution"].lstrip(" "),
    "the body in a fence": lambda row: f"```python\n{row['canonical_solution']}```",
    "the whole function": lambda row: row["prompt"] + row["canonical_solution"],
    "the whole function in a fence": lambda row: fenced(row["prompt"] + row["canonical_solution"]),
    "the function without imports": lambda row: fenced(alone(row)),
    "an open fence": lambda row: f"Sure:\n```python\n{row['prompt']}{row['canonical_solution']}",
    "the body, then more": lambda row: (
        row["canonical_solution"] + "\n\nif __name__ == '__main__':\n    print('done')\n\n# It's done, isn't"
        " it?\nThat is all"
    ),
}  # fmt: skip


def alone(row: Row) -> str:
    """Only the function itself, as models often write it."""
    tree = ast.parse(row["prompt"] + row["canonical_solution"])
    return ast.unparse(
        next(
            node for node in tree.body
            if isinstance(node, ast.FunctionDef) and node.name == row["entry_point"]
        )
    )  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_humanevals_solutions_are_correct_in_every_form(form: str) -> None:
    sample = rows("humaneval", None if form == "the body" else 60)
    wrong = [(row["task_id"], found.detail) for row in sample
             if (found := humaneval(row, FORMS[form](row))).verdict != "correct"]  # fmt: skip
    assert wrong == []


def test_mbpps_solutions_are_correct() -> None:
    table = rows("mbpp")
    wrong = {row["task_id"]: found for row in table
             if (found := mbpp(row, row["code"])).verdict != "correct"}  # fmt: skip
    assert set(wrong) == WITHOUT_CLASS
    assert all(found.verdict == "unjudged" for found in wrong.values())


def test_mbpps_solutions_are_correct_in_prose() -> None:
    for row in rows("mbpp", 100):
        if row["task_id"] not in WITHOUT_CLASS:
            assert mbpp(row, fenced(row["code"])).verdict == "correct", row["task_id"]
            marked = f"[BEGIN]\n{row['code']}\n[DONE]\n"
            assert mbpp(row, marked).verdict == "correct", row["task_id"]


def test_the_challenge_tests_pass_too() -> None:
    wrong = [row["task_id"] for row in rows("mbpp")
             if row["challenge_test_list"] and row["task_id"] not in WITHOUT_CLASS
             and mbpp(row, row["code"], row["challenge_test_list"]).verdict != "correct"]  # fmt: skip
    # A few rows fail them as shipped.
    oracle = [row["task_id"] for row in rows("mbpp") if row["task_id"] in wrong
              and interpreted(row["code"] + "\n" + "\n".join(row["challenge_test_list"]))]  # fmt: skip
    assert oracle == []


def interpreted(script: str) -> bool:
    """Whether a bare interpreter runs `script` to its end."""
    command = [sys.executable, "-I", "-c", script]
    try:
        run = subprocess.run(command, capture_output=True, timeout=8, check=False)
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0


def renamed(code: str, old: str, new: str) -> str:
    return re.sub(rf"\b{re.escape(old)}\b", new, code)


def test_other_rows_solutions_are_wrong() -> None:
    """Under the name that the tests call, so that they are run; unless they happen to be right."""
    sample = [row for row in rows("mbpp", 150) if row["task_id"] not in WITHOUT_CLASS]
    called = [re.match(r"assert \(?(\w+)\(", row["test_list"][0]) for row in sample]
    known = [(row, match.group(1)) for row, match in zip(sample, called, strict=True) if match]
    for (row, name), (other, other_name) in zip(known, known[1:] + known[:1], strict=True):
        code = renamed(other["code"], other_name, name)
        found = mbpp(row, fenced(code))
        script = "\n".join([row["test_setup_code"], code, *row["test_list"]])
        assert found.verdict == ("correct" if interpreted(script) else "wrong"), (row, found)


class Change(ast.NodeTransformer):
    """Changes the place number `at` of a program: a comparison, an operator, a number, a result."""

    ORDER: ClassVar = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
             ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.places = 0

    def here(self) -> bool:
        self.places += 1
        return self.at == self.places - 1

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if type(node.ops[0]) in self.ORDER and self.here():
            node.ops[0] = self.ORDER[type(node.ops[0])]()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if self.here():
            node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        number = node.value
        if isinstance(number, int | float) and not isinstance(number, bool) and self.here():
            return ast.Constant(number + 1)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        if node.value is not None and self.here():
            node.value = ast.Constant(None)
        return node


def mutant(code: str, rng: random.Random) -> str | None:
    counted = Change()
    counted.visit(ast.parse(code))
    if not counted.places:
        return None
    tree = Change(rng.randrange(counted.places)).visit(ast.parse(code))
    return ast.unparse(ast.fix_missing_locations(tree))


def test_changed_solutions_are_judged_as_an_interpreter_does() -> None:
    """Some changes change nothing that the tests see; which ones, a bare interpreter says."""
    rng = random.Random(1)
    cases: list[tuple[Any, Callable[[], Verdict], str]] = []
    for row in rows("humaneval", 60):
        # Of the function itself, not of the helpers that the tests use.
        if (code := mutant(alone(row), rng)) is not None:
            script = f"{row['prompt']}    pass\n{code}\n{row['test']}\ncheck({row['entry_point']})"
            cases.append((row["task_id"], partial(humaneval, row, fenced(code)), script))
    for row in rows("mbpp", 100):
        if row["task_id"] not in WITHOUT_CLASS and (code := mutant(row["code"], rng)):
            script = "\n".join([row["test_setup_code"], code, *row["test_list"]])
            cases.append((row["task_id"], partial(mbpp, row, fenced(code)), script))
    verdicts = [(name, judge(), script) for name, judge, script in cases]
    assert sum(found.verdict == "wrong" for _, found, _ in verdicts) > 100
    for name, found, script in verdicts:
        if found.detail in ("timeout", "time_limit"):
            continue  # an interpreter without limits says nothing about these
        assert found.verdict == ("correct" if interpreted(script) else "wrong"), (name, found)
