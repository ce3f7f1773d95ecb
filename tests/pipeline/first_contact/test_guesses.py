"""Samples, databases and sizes: what guesses rest on."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from winnow.pipeline.first_contact import databases
from winnow.pipeline.first_contact.look import READ, SAMPLE, Look, look
from winnow.pipeline.first_contact.roles import Roles, Wishes, roles
from winnow.pipeline.first_contact.sizes import sizes
from winnow.pipeline.recipe import DatasetSource


def config(path: Path) -> DatasetSource:
    return DatasetSource(type="dataset", path=str(path), name="rows")


def of(*rows: dict[str, Any], n_rows: int | None = None) -> Look:
    count = len(rows) if n_rows is None else n_rows
    return Look(DatasetSource(type="dataset", path="x", name="x"), rows, count, True, 0)


def test_the_sample_is_spread_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    lines = [json.dumps({"n": n}) for n in range(3_000)]
    lines[7] = "{broken"
    file.write_text("\n".join(lines))
    seen = look(config(file))
    numbers = [row["n"] for row in seen.rows]
    assert len(numbers) == SAMPLE and numbers == sorted(set(numbers))
    assert 1_000 < sum(numbers) / SAMPLE < 2_000
    assert (seen.n_rows, seen.all_read, seen.unreadable) == (3_000, True, 1)
    assert seen.basis == "200 rows, drawn from the 3,000"
    assert [row["n"] for row in look(config(file)).rows] == numbers


def test_a_long_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"n": 1}\n' * (READ + 5))
    seen = look(config(file))
    assert (seen.n_rows, seen.all_read) == (READ, False)
    assert "drawn from the first 20,000" in seen.basis


def test_images_are_those_that_can_be_read(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (2, 2)).save(data, "PNG")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    (tmp_path / "rows.jsonl").write_text('{"n": 1}')
    question = "What does the picture show?"

    def found(value: Any) -> Roles:
        rows = [{"question": f"{question} {n}", "answer": "a", "image": value} for n in range(3)]
        return roles(replace(of(*rows), config=config(tmp_path / "rows.jsonl")), Wishes())

    for value in ("a.png", ["a.png"], {"bytes": data.getvalue(), "path": None}):
        assert found(value).images == "image"
    for wrong in ("b.png", "a word", 7):
        assert found(wrong).images is None
        assert "`image` has the name, but image" in found(wrong).why["images"]
    assert found([]).images is found(None).images is None


@pytest.mark.parametrize(
    ("values", "kind", "is_json"),
    [
        (["a", "b", None, " "], "text", False),
        ([1, 2.5, float("nan")], "number", False),
        ([["a"], ["b", "c"], []], "texts", False),
        ([[{"role": "user", "content": "a"}]], "messages", False),
        ([[[{"role": "user", "content": "a"}]]], "turns", False),
        ([[{"name": "f"}]], "objects", False),
        (['[{"name": "f"}]', "[]"], "objects", True),
        (['["a"]', "{broken"], "text", False),
        ([None, ""], "empty", False),
        ([True, False], "other", False),
        (["a", 1, ["b"]], "other", False),
    ],
)
def test_kinds_of_columns(values: list[Any], kind: str, is_json: bool) -> None:
    column = of(*({"c": value} for value in values)).columns["c"]
    assert (column.kind, column.is_json) == (kind, is_json)


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.recursive(
    st.none() | st.text() | st.floats() | st.integers() | st.booleans() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5))))  # fmt: skip
def test_any_value_has_a_kind(rows: list[dict[str, Any]]) -> None:
    for column in of(*rows).columns.values():
        assert column.kind and 0 <= column.filled <= 1 and 0 <= column.distinct <= 1


@pytest.mark.parametrize(
    ("rows", "prompt", "completion", "domain"),
    [
        ([{"Question": "How many?", "Response": "2"}], ("Question",), "Response", None),
        ([{"body": "Two.", "question": "How many?"}], ("body", "question"), None, None),
        ([{"context": "Two.", "question": "How many?"}], ("context", "question"), None, None),
        (
            [{"problem": f"Add {i}.", "type": f"t{i % 2}", "output": "x"} for i in range(20)],
            ("problem",), "output", "type",
        ),
        ([{"id": "q1", "wording": "How many are there?"}], ("wording",), None, None),
    ],
)  # fmt: skip
def test_roles_by_name_and_content(
    rows: list[dict[str, Any]], prompt: tuple[str, ...], completion: str | None, domain: str | None
) -> None:
    found = roles(of(*rows), Wishes())
    assert (found.prompt, found.completion, found.domain) == (prompt, completion, domain)
    assert found.why["prompt"]


def test_databases_are_found_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").touch()
    (tmp_path / "dbs").mkdir()
    for name in ("shop", "bank"):
        (tmp_path / "dbs" / f"{name}.db").touch()
    found = databases.pattern(str(tmp_path / "q.jsonl"), ["shop", "bank"])
    assert found == f"{tmp_path}/dbs/{{}}.db"
    assert databases.pattern(str(tmp_path / "q.jsonl"), ["shop", "zoo"]) is None
    assert databases.pattern(str(tmp_path / "q.jsonl"), ["../dbs/shop"]) is None
    assert databases.pattern(str(tmp_path / "q.jsonl"), []) is None


def test_sizes_follow_rows_and_lengths() -> None:
    rows = [{"q": "x" * 400, "a": "y" * 800}] * 20
    found = sizes(of(*rows, n_rows=7_200), ["q"], "a", "math")
    assert (found.n, found.k, found.max_tokens, found.max_model_len) == (8, 60, 512, 2048)
    assert found.too_long == 0
    assert sizes(of(*rows, n_rows=50_000), ["q"], None, "math").max_tokens == 1024
    assert sizes(of(*rows, n_rows=50_000), ["q"], None, "math").n == 4
    long = sizes(of({"q": "x" * 100_000}), ["q"], None, "exact")
    assert long.max_model_len == 8192 and long.too_long == 1.0


@given(st.integers(1, 10**7), st.integers(0, 50_000), st.integers(0, 50_000))
def test_an_answer_leaves_room_for_a_prompt(n_rows: int, asked: int, answered: int) -> None:
    found = sizes(of({"q": "x" * asked, "a": "y" * answered}, n_rows=n_rows), ["q"], "a", "none")
    assert 0 < found.max_tokens < found.max_model_len
    assert 2 <= found.k <= 512
