"""Arguments that a verifier does not take are told while the rows are read."""

import json
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import Recipe
from winnow.pipeline.sources.ingest import Ingested, check_sources, ingest
from winnow.pipeline.verify import VERIFIERS

GOOD: dict[str, Any] = {"tests": ["assert f() == 1"], "kind": "asserts"}


def recipe(tmp_path: Path, rows: list[dict[str, Any]], **source: Any) -> Recipe:
    path = tmp_path / "rows.jsonl"
    asked = [{"prompt": f"Write f, version {at}.", **row} for at, row in enumerate(rows)]
    path.write_text("\n".join(map(json.dumps, asked)))
    one = {"type": "dataset", "name": "code", "path": str(path), "verifier": "python", **source}
    return Recipe.model_validate({"dataset": "d", "sources": [one], "sets": {"rl": {}}})


def read(of: Recipe) -> Ingested:
    check_sources(of, (*VERIFIERS, "own"))
    return ingest(of, count_tokens=None, max_prompt_tokens=None)


def columns(*names: str) -> dict[str, Any]:
    return {"answer": None, "arguments": {name: name for name in names}}


def test_a_row_with_wrong_arguments_is_dropped_with_the_reason(tmp_path: Path) -> None:
    rows = [GOOD, {**GOOD, "kind": "assert"}, {**GOOD, "tests": "assert"}, {**GOOD, "kind": None}]
    taken = read(recipe(tmp_path, rows, columns=columns("tests", "kind")))
    assert taken.prompts.num_rows == 1
    told = {row["detail"]: row["rule"] for row in taken.ledger.to_pylist()[1:]}
    assert set(told.values()) == {"bad_arguments"}
    said = " ".join(told)
    for part in ("code[1]: kind: Input should be 'asserts'", "code[2]: tests: Input should be",
                 "code[3]: kind: Field required"):  # fmt: skip
        assert part in said


@pytest.mark.parametrize(
    ("row", "source", "said"),
    [
        (
            {"tests": ["a"]},
            {"columns": columns("tests")},
            "'code': verifier_args.kind: Field required",
        ),
        (
            {"tests": ["a"], "kind": "assert"},
            {"columns": columns("tests", "kind")},
            "'code': columns.arguments.kind: Input should be 'asserts'",
        ),
        (
            {"tests": ["a"]},
            {"columns": columns("tests"), "verifier_args": {"kind": "stdio"}},
            "'code': verifier_args: Value error",
        ),
        (
            {"own": {"tests": ["a"], "knd": "asserts"}},
            {"columns": {"answer": None, "verifier_args": "own"}},
            "'code': verifier_args.kind: Field required",
        ),
    ],
)
def test_what_no_row_gets_right_is_the_recipe_s_mistake(
    row: dict[str, Any], source: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as raised:
        read(recipe(tmp_path, [row, row, row], **source))
    message = str(raised.value)
    assert said in message
    assert message.endswith(
        ": so in each of the 3 rows that were read (`winnow verifiers python` documents them)"
    )


def test_rows_that_are_wrong_each_in_its_own_way_are_rows(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"tests": ["a"], "kind": "assert"},
        {"tests": 7, "kind": "asserts"},
    ]
    taken = read(recipe(tmp_path, rows, columns=columns("tests", "kind")))
    assert [row["rule"] for row in taken.ledger.to_pylist()] == ["bad_arguments"] * 2


def test_a_column_that_is_not_there_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="columns.arguments.tests: no column 'tests'"):
        read(recipe(tmp_path, [{}, {}], columns=columns("tests")))


def test_members_of_an_ensemble_are_asked_too(tmp_path: Path) -> None:
    args = {"verifiers": [{"name": "exact"}, {"name": "python", "args": {"kind": "assert"}}]}
    of = recipe(tmp_path, [{"answer": "1"}], verifier="ensemble", verifier_args=args)
    with pytest.raises(UsageError, match=r"verifier_args.verifiers.1 \(python\): kind: Input"):
        read(of)


def test_another_package_s_verifier_checks_its_own(tmp_path: Path) -> None:
    of = recipe(tmp_path, [{"any": 1}], verifier="own", columns=columns("any"))
    (taken,) = read(of).prompts.to_pylist()
    assert json.loads(taken["verifier_args"]) == {"any": 1}
