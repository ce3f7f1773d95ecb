"""Answers that rows bring, JSON columns, files that rows name, lists of texts in a prompt."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from winnow.pipeline import recipe as recipes
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import Columns, Recipe
from winnow.pipeline.sources import rows
from winnow.pipeline.sources.ingest import Ingested, ingest
from winnow.pipeline.sources.rows import Drop


def recipe(*paths: Path, engine: str = "source", **source: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "dataset": "d",
            "sources": [
                {
                    "type": "dataset",
                    "name": path.stem,
                    "path": str(path),
                    "verifier": "none",
                    **source,
                }
                for path in paths
            ],
            "engine": {"type": engine, **({"policy": "p"} if engine == "replay" else {})},
            "sets": {"sft": {"verdicts": "not_wrong", "uds": False}},
        }
    )


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def read(of: Recipe) -> Ingested:
    return ingest(of, count_tokens=None, max_prompt_tokens=None)


def decided(taken: Ingested) -> list[tuple[str, str]]:
    return [(row["rule"], row["detail"]) for row in taken.ledger.to_pylist()]


TEXTS: dict[str, Any] = {"columns": {"prompt": "q", "answer": None, "completion": "a"}}


def test_each_row_brings_its_answer_and_a_second_row_of_a_prompt_one_more(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl",
        {"q": "one", "a": "1"},
        {"q": "one", "a": "uno"},
        {"q": "one", "a": "1"},
        {"q": "two", "a": 2},
        {"q": "three", "a": None},
        {"q": "four", "a": " "},
        {"q": "five", "a": ["5"]},
    )
    taken = read(recipe(file, **TEXTS))
    assert taken.completions["completion"].to_pylist() == ["1", "uno", "2"]
    assert set(taken.completions["prompt_id"].to_pylist()) == set(
        taken.prompts["prompt_id"].to_pylist()
    )
    rules = decided(taken)
    assert [rule for rule, _ in rules] == [
        "ingested", "duplicate", "duplicate", "ingested", "missing_completion",
        "missing_completion", "wrong_type",
    ]  # fmt: skip
    assert rules[1][1].endswith("its answer is one more to that prompt")
    assert rules[2][1].endswith("so is its answer")


def test_answers_to_a_prompt_are_of_one_source(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", {"q": "one", "a": "1"})
    second = write(tmp_path / "b.jsonl", {"q": "one", "a": "2"}, {"q": "two", "a": "2"})
    taken = read(recipe(first, second, **TEXTS))
    found = [(r["source"], r["completion"]) for r in taken.completions.to_pylist()]
    assert found == [("a", "1"), ("b", "2")]
    assert "left out, as those to this prompt are from a" in decided(taken)[1][1]


def test_another_engine_reads_no_answers(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"q": "one", "a": None})
    taken = read(recipe(file, engine="replay", **TEXTS))
    assert taken.completions.num_rows == 0 and taken.prompts.num_rows == 1


@pytest.mark.parametrize("engine", ["source", "replay"])
def test_a_conversation_ends_with_its_answer(tmp_path: Path, engine: str) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    file = write(tmp_path / "a.jsonl", {"chat": turns}, {"chat": turns[:1]}, {"chat": "Hi"})
    columns = {"prompt": "chat", "answer": None, "completion": "chat"}
    taken = read(recipe(file, engine=engine, columns=columns))
    assert taken.prompts["messages"].to_pylist() == [turns[:1]]
    assert [rule for rule, _ in decided(taken)] == ["ingested", *["missing_completion"] * 2]
    assert taken.completions["completion"].to_pylist() == ["Hello."] * (engine == "source")


def test_a_conversation_in_parts(tmp_path: Path) -> None:
    """As data sets for models that see have it."""

    def chat(*answer: dict[str, Any]) -> list[dict[str, Any]]:
        question = [{"type": "image", "text": None}, {"type": "text", "text": "Which?"}]
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    data = io.BytesIO()
    Image.new("RGB", (2, 2)).save(data, "PNG")
    address = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
    said = [{"type": "text", "text": "This "}, {"type": "text", "text": "one."}]
    file = write(
        tmp_path / "a.jsonl",
        {"chat": chat(*said), "images": [address]},
        {"chat": chat(*said), "images": None},
        {"chat": chat({"type": "image"}), "images": [address]},
        {"chat": chat(), "images": [address]},
    )
    columns = {"prompt": "chat", "answer": None, "completion": "chat"}
    taken = read(recipe(file, columns={**columns, "images": "images"}))
    assert taken.prompts["messages"].to_pylist() == [[{"role": "user", "content": "<image>Which?"}]]
    assert taken.completions["completion"].to_pylist() == ["This one."]
    assert [rule for rule, _ in decided(taken)] == [
        "ingested", "bad_image", "wrong_type", "missing_completion"
    ]  # fmt: skip
    # Beside images, a mark of no image would stop trainers; without any, it is a text like any other.
    other = write(tmp_path / "b.jsonl", {"chat": [{"role": "user", "content": "The tag <image>?"},
                                                  {"role": "assistant", "content": "HTML."}]})  # fmt: skip
    beside = recipe(file, other, columns={**columns, "images": "images"})
    beside = beside.model_copy(update={"sources": [
        beside.sources[0], recipe(other, columns=columns).sources[0]
    ]})  # fmt: skip
    assert decided(read(beside))[-1] == (
        "bad_image",
        "b[0]: 1 times <image> in the prompt for 0 pictures",
    )
    assert decided(read(recipe(other, columns=columns)))[-1][0] == "ingested"

    without = decided(read(recipe(file, columns=columns)))
    assert without[0][0] == "bad_image"
    assert "; columns.images names the column" in without[0][1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": {"prompt": "q", "answer": None}}, "columns.completion` in source 'a'"),
        ({**TEXTS, "columns": {**TEXTS["columns"], "completion": "b"}}, "no column 'b'"),
    ],
)
def test_a_source_without_answers_is_an_error(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    file = write(tmp_path / "a.jsonl", {"q": "one", "a": "1"})
    with pytest.raises((UsageError, ValueError), match=said):
        read(recipe(file, **change))


def test_engine_source_refuses_what_only_sampling_can_do() -> None:
    text = (
        "dataset: d\nsources: [{type: reasoning_gym, family: gcd, size: 2}]\n"
        "engine: {type: source}\nsets: {sft: {uds: false}}\n"
    )
    with pytest.raises(UsageError, match="'gcd' brings no answers"):
        recipes.parse(text)
    source = "{type: dataset, name: a, path: a.jsonl, columns: {completion: c}}"
    text = text.replace("{type: reasoning_gym, family: gcd, size: 2}", source)
    recipes.parse(text)
    with pytest.raises(UsageError, match="leave out sampling.stop"):
        recipes.parse(text + "sampling: {stop: [{type: majority}]}\n")
    with pytest.raises(UsageError, match="uds.model is needed"):
        recipes.parse(text.replace("uds: false", "uds: true"))


def test_json_columns_are_read_as_what_they_say(tmp_path: Path) -> None:
    call = [[{"role": "user", "content": "Now?"}]]
    file = write(
        tmp_path / "a.jsonl",
        {"question": json.dumps(call), "tools": json.dumps([{"name": "now"}]), "a": "[]"},
        {"question": "[", "tools": "", "a": "[]"},
        {"question": json.dumps([*call, *call]), "tools": "", "a": "[]"},
    )
    columns = {
        "prompt": "question", "answer": "a", "arguments": {"functions": "tools"},
        "json_columns": ["question", "tools"],
    }  # fmt: skip
    taken = read(recipe(file, engine="replay", columns=columns, verifier="tool_call"))
    (prompt,) = taken.prompts.to_pylist()
    assert prompt["messages"] == call[0]
    assert json.loads(prompt["verifier_args"]) == {"functions": [{"name": "now"}]}
    assert [rule for rule, _ in decided(taken)] == ["ingested", "wrong_type", "wrong_type"]


@given(st.text())
def test_a_row_names_a_file_of_the_folder_and_no_other(value: str) -> None:
    columns = Columns(arguments={"database": "db"}, files={"database": "folder/{}.sqlite"})
    try:
        found = rows.arguments({"db": value}, columns, {})
    except Drop:
        return
    path = Path(found["database"])
    assert path.parent == Path("folder") and path.suffix == ".sqlite"
    assert value not in ("", ".", "..")


@pytest.mark.parametrize("value", ["../x", "/etc/x", "a/b", ".hidden", "", 7, "a\0b"])
def test_a_path_is_no_name_of_a_file(value: Any) -> None:
    columns = Columns(arguments={"database": "db"}, files={"database": "f/{}.db"})
    with pytest.raises(Drop, match="bad_arguments"):
        rows.arguments({"db": value}, columns, {})


def test_files_are_arguments_with_a_place_for_the_value() -> None:
    with pytest.raises(ValueError, match="must hold {}"):
        Columns(arguments={"database": "db"}, files={"database": "a.sqlite"})
    with pytest.raises(ValueError, match="not among `arguments`"):
        Columns(files={"database": "{}.sqlite"})


def test_a_list_of_texts_in_a_prompt_is_its_lines() -> None:
    found = rows.joined({"text": "Add.", "tests": ["assert f(1)", "assert g()"]}, ["text", "tests"])
    assert found == "Add.\n\nassert f(1)\nassert g()"
    with pytest.raises(Drop, match="wrong_type"):
        rows.joined({"text": ["a", 1]}, ["text"])
