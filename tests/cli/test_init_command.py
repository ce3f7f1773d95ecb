"""`winnow init` as a new user types it: on the public sets, on files of many shapes, on hostile ones."""

import csv
import json
import random
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from winnow.cli import main as cli
from winnow.pipeline import recipe as recipes
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.models import SMOLLM2, resolve_model
from winnow.pipeline.recipe import DatasetSource, Recipe, SourceEngine

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


class Result(NamedTuple):
    code: int
    out: str
    err: str


class User:
    """Types commands in a folder of their own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def types(self, *words: str) -> Result:
        old = sys.argv
        sys.argv = ["winnow", *words]
        try:
            with pytest.raises(SystemExit) as done:
                cli.main()
        finally:
            sys.argv = old
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err
        return Result(int(done.value.code or 0), said.out, said.err)

    def inits(self, file: Path, *words: str, name: str | None = None) -> tuple[Recipe, str]:
        """The recipe and its text; `check` accepts it in the same command."""
        done = self.types("init", str(file), *words)
        assert done.code == 0, done.err
        assert "The recipe is valid." in done.out
        path = self.folder / "data" / "recipes" / f"{name or file.stem}.yaml"
        return recipes.load(path), path.read_text()


@pytest.fixture
def user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> User:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WINNOW_HOME", raising=False)
    try:
        resolve_model(SMOLLM2)
    except WinnowError as error:
        pytest.skip(f"needs the small model: {error}")
    return User(tmp_path, capsys)


def only(recipe: Recipe) -> DatasetSource:
    (source,) = recipe.sources
    assert isinstance(source, DatasetSource)
    return source


def write(path: Path, *rows: Mapping[str, Any]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


# The public sets.

# file: verifier, columns (as far as they are not the default), verifier_args, engine
REAL: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "gsm8k_train": (
        "math",
        {"prompt": "question", "answer": "answer", "completion": "solution", "keep": ("id",)},
        {},
        "vllm",
    ),
    "math_train_slice": (
        "math",
        {"prompt": "problem", "answer": "answer", "completion": "solution", "domain": "type"},
        {},
        "vllm",
    ),
    "mbpp": (
        "python",
        {
            "prompt": ("text", "test_list"), "answer": None, "completion": "code",
            "arguments": {"tests": "test_list", "setup": "test_setup_code"},
        },
        {"kind": "asserts"},
        "vllm",
    ),
    "humaneval": (
        "python",
        {
            "prompt": "prompt", "answer": None, "completion": "canonical_solution",
            "arguments": {"test": "test", "entry_point": "entry_point", "prompt": "prompt"},
        },
        {"kind": "check"},
        "vllm",
    ),
    "spider_dev_public": (
        "sql",
        {
            "prompt": "question", "answer": "query", "arguments": {"database": "db_id"},
            "domain": "db_id",
        },
        {},
        "vllm",
    ),
    "bfcl_v4_public": (
        "tool_call",
        {
            "prompt": "question", "answer": "ground_truth", "domain": "category",
            "arguments": {"functions": "functions"}, "json_columns": ("question", "functions"),
        },
        {},
        "vllm",
    ),
    "alpaca_9k": (
        "none",
        {"prompt": ("instruction", "input"), "answer": None, "completion": "output"},
        {},
        "source",
    ),
    "toolrl_sft": (
        "tool_call",
        {"prompt": ("instruction", "input"), "answer": "output", "completion": "output"},
        {"syntax": "toolrl"},
        "vllm",
    ),
}  # fmt: skip


def _some_of(file: Path, folder: Path) -> Path:
    """120 rows of the file, with the databases that stand beside it."""
    table = pq.read_table(file)
    rows = random.Random(0).sample(range(table.num_rows), 120)
    pq.write_table(table.take(sorted(rows)), folder / file.name)
    databases = file.resolve().parent / "spider_db"
    if databases.is_dir():
        (folder / databases.name).symlink_to(databases)
    return folder / file.name


@pytest.mark.parametrize("name", REAL)
def test_public_sets(name: str, user: User) -> None:
    file = DATA / f"{name}.parquet"
    if not file.is_file():
        pytest.skip(f"needs {file.name}, which is not on this machine")
    verifier, columns, args, engine = REAL[name]
    recipe, text = user.inits(_some_of(file, user.folder))
    source = only(recipe)
    assert source.verifier == verifier
    assert {key: getattr(source.columns, key) for key in columns} == columns
    assert source.verifier_args == args
    assert recipe.engine.type == engine
    assert source.licence is None and "licence" in text
    if name == "spider_dev_public":
        assert source.columns.files["database"].endswith("spider_db/{}.sqlite")
    if name == "mbpp":
        assert "reference solutions pass them here" in text
    if name == "gsm8k_train":
        assert "of the references read as numbers or formulas" in text
        assert "The file has 120 rows" in text


# Files of many shapes.

SUMS = [
    {"question": f"What is {i} plus {i}, do you think?", "answer": str(2 * i)} for i in range(40)
]


def test_a_table_without_usual_names_is_read_by_its_content(user: User) -> None:
    file = user.folder / "tabelle.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, ["Nr", "Frage", "Loesung"])
        writer.writeheader()
        for at, row in enumerate(SUMS):
            writer.writerow({"Nr": f"r{at}", "Frage": row["question"], "Loesung": row["answer"]})
    recipe, _ = user.inits(file, "--answer", "Loesung")
    source = only(recipe)
    assert (source.columns.prompt, source.columns.answer) == ("Frage", "Loesung")
    assert source.verifier == "math"


@pytest.mark.parametrize("ending", ["tsv", "parquet"])
def test_every_format(user: User, ending: str) -> None:
    file = user.folder / f"sums.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(SUMS), file)
    else:
        file.write_text("".join("\t".join(row) + "\n" for row in
                                [list(SUMS[0]), *(list(row.values()) for row in SUMS)]))  # fmt: skip
    recipe, text = user.inits(file)
    assert only(recipe).verifier == "math"
    assert "Guesses rest on all 40 rows" in text
    assert (recipe.clusters.k, recipe.sampling.n) == (4, 8)


def test_a_folder_of_files(user: User) -> None:
    (user.folder / "sums").mkdir()
    write(user.folder / "sums" / "train.jsonl", *SUMS)
    recipe, _ = user.inits(user.folder / "sums")
    assert only(recipe).path == str(user.folder / "sums")


def test_the_user_knows_better(user: User) -> None:
    rows = [
        {"a": f"First text number {i}", "b": f"Which one is {i}?", "c": "yes"} for i in range(20)
    ]
    recipe, text = user.inits(
        write(user.folder / "x.jsonl", *rows),
        "--prompt", "a", "--prompt", "b", "--answer", "c", "--verifier", "choice", "--name", "mine",
        name="mine",
    )  # fmt: skip
    source = only(recipe)
    assert source.columns.prompt == ("a", "b")
    assert (source.columns.answer, source.verifier, source.name) == ("c", "choice", "mine")
    assert "As you say." in text


# What must not happen.


HOSTILE = ['x"\n: [1, {y', "!!python/object:os.system # {a}", "- \x1b[31m\u2028\x7f🙂", ""]


@pytest.mark.parametrize("column", HOSTILE)
def test_no_column_name_breaks_the_recipe(user: User, column: str) -> None:
    rows = [
        {column: f"What is {i} plus {i}, please?", "topic\nlicence: mit": f"t{i % 2}", "answer": str(2 * i)}
        for i in range(12)
    ]  # fmt: skip
    file = write(user.folder / "h.jsonl", *rows)
    recipe, text = user.inits(file, "--prompt", column)
    source = only(recipe)
    assert source.columns.prompt == column
    assert source.licence is None
    assert set(yaml.safe_load(text)) <= set(Recipe.model_fields)
    assert text.isprintable() or not set(text) - {"\n"} & {"\x1b", "\x7f", "\u2028"}


def test_no_text_of_a_row_stands_in_the_recipe(user: User) -> None:
    secret = "sk-verysecret"
    rows = [{**row, "question": f"{secret} {row['question']}", "note": secret} for row in SUMS]
    _, text = user.inits(write(user.folder / "s.jsonl", *rows))
    assert secret not in text and "plus" not in text


def test_a_recipe_that_is_there_is_not_replaced(user: User) -> None:
    file = write(user.folder / "sums.jsonl", *SUMS)
    user.inits(file)
    path = user.folder / "data" / "recipes" / "sums.yaml"
    path.write_text("mine")
    done = user.types("init", str(file))
    assert done.code == 2 and "--overwrite" in done.err
    assert path.read_text() == "mine"
    user.inits(file, "--overwrite")
    assert path.read_text() != "mine"
    assert [p.name for p in path.parent.iterdir()] == ["sums.yaml"]


@pytest.mark.parametrize(
    ("rows", "words", "said"),
    [
        ([{"n": 1}, {"n": 2}], [], "no column looks like a prompt"),
        ([{"n": 1}, {"n": 2}], [], "'n' (number)"),
        ([{"n": 1}, {"n": 2}], [], "--prompt COLUMN"),
        ([], [], "it has no rows"),
        (SUMS, ["--prompt", "nope"], "no column 'nope'"),
        (SUMS, ["--verifier", "maths"], "--verifier maths: is not known"),
        ([{"prompt": "Say something nice."}], ["--verifier", "math"], "name it with --answer"),
        (SUMS, ["--name", "a/b"], "--name a/b"),
        (SUMS, ["--output", "x.txt"], "ends in .yaml"),
    ],
)
def test_wrong_use_is_one_clear_line(
    user: User, rows: list[dict[str, Any]], words: list[str], said: str
) -> None:
    done = user.types("init", str(write(user.folder / "x.jsonl", *rows)), *words)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (user.folder / "data").exists()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("nowhere.jsonl", "no such file or folder"),
        ("https://me:secret@host/rows.jsonl", "must hold no user"),
        ("https://host/rows.jsonl?token=secret", "must hold no user"),
    ],
)
def test_files_that_cannot_be_taken(user: User, file: str, said: str) -> None:
    done = user.types("init", file)
    assert done.code == 2 and said in done.err
    assert "secret" not in done.err


def test_a_recipe_written_by_init_runs(user: User) -> None:
    """To the published set, where the rows bring their answers."""
    tests = pytest.importorskip("tests.pipeline.features.tiny_models")
    rows = [{"instruction": f"Say {i} in words, and why.", "input": "", "output": f"It is {i}, as it "
             f"comes after {i - 1}, and a longer sentence follows to make it free text, {i}."}
            for i in range(24)]  # fmt: skip
    recipe, text = user.inits(write(user.folder / "own.jsonl", *rows))
    assert isinstance(recipe.engine, SourceEngine)
    tests.tiny("llama", user.folder / "model")
    tests.tokenizer(user.folder / "model", chat=tests.CHAT)
    path = user.folder / "data" / "recipes" / "own.yaml"
    path.write_text(text.replace(SMOLLM2, f'"{user.folder}/model", max_tokens: 30'))
    done = user.types("run", str(path))
    assert done.code == 0, done.err
    assert "12 train" in done.out
    shutil.rmtree(user.folder / "data")
