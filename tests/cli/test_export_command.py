"""`formats:` in a recipe, `winnow export` and `winnow formats`, on a run without a model."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import datasets
import pytest

from winnow.cli import main as cli
from winnow.pipeline.publish.formats.registry import FORMATS
from winnow.pipeline.publish.version import Version, resolve, verify_version

RECIPE = """
dataset: sums
sources:
  - {{type: dataset, name: sums, path: "{source}", verifier: math, licence: mit}}
engine: {{type: replay, policy: teacher}}
sampling: {{n: 4, max_tokens: 50}}
clusters: {{k: 3}}
sets:
  sft: {{uds: false}}
  rl: {{}}
  preference: {{}}
formats:
  verl: {{}}
  openai_chat: {{}}
  trl_prompt_completion: {{style: standard, provenance: false}}
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


class User:
    """Types commands at a home with a finished run."""

    def __init__(self, folder: Path) -> None:
        self.home, self.recipe = folder / "home", folder / "sums.yaml"
        self.capsys: pytest.CaptureFixture[str] | None = None

    def types(self, *words: str) -> Result:
        old = sys.argv
        sys.argv = [
            "winnow",
            *words,
            *([] if words[0] == "formats" else ["--home", str(self.home)]),
        ]
        try:
            with pytest.raises(SystemExit) as done:
                cli.main()
        finally:
            sys.argv = old
        assert self.capsys is not None
        said = self.capsys.readouterr()
        return Result(int(done.value.code or 0), said.out, said.err)

    def version(self) -> Version:
        return resolve("sums", self.home)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> User:
    folder = tmp_path_factory.mktemp("export")
    user = User(folder)
    prompts = [{"prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(8)]
    answers = [
        {"prompt": f"What is {i} + {i}?", "completion": f"The answer is {2 * i + k % 2}. ({k})"}
        for i in range(8)
        for k in range(4)
    ]
    for name, rows in (("sums", prompts), ("answers", answers)):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    user.recipe.write_text(RECIPE.format(source=folder / "sums.jsonl"))
    for words in (
        ["import-rollouts", str(folder / "answers.jsonl"), "--policy", "teacher"],
        ["run", str(user.recipe)],
    ):
        sys.argv = ["winnow", *words, "--home", str(user.home)]
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code
    return user


@pytest.fixture
def user(ran: User, capsys: pytest.CaptureFixture[str]) -> User:
    capsys.readouterr()
    ran.capsys = capsys
    return ran


def test_the_recipes_formats_are_configs_of_the_version(user: User, tmp_path: Path) -> None:
    version = user.version()
    names = datasets.get_dataset_config_names(str(version.path))
    assert names == ["sft", "rl", "preference", "openai_chat", "trl_prompt_completion", "verl"]
    cache = str(tmp_path / "cache")
    rows = datasets.load_dataset(str(version.path), "verl", split="train", cache_dir=cache)
    assert rows[0]["extra_info"]["policy"].startswith("teacher")
    said = user.types("versions", "sums").out
    for name in ("views:", "openai_chat", "trl_prompt_completion", "verl"):
        assert name in said


def test_another_set_is_built_and_the_views_of_the_others_are_linked(user: User) -> None:
    before = user.version()
    text = user.recipe.read_text()
    try:
        user.recipe.write_text(text.replace("  rl: {}", "  rl: {budget: 3}"))
        assert user.types("build", str(user.recipe), "--split", "rl").code == 0
        after = user.version()
        assert verify_version(after.path) == []
        nodes = {
            name: [v.table_path(name, "train").stat().st_ino for v in (before, after)]
            for name in before.views
        }
        same = {name for name, (old, new) in nodes.items() if old == new}
        assert same == {"openai_chat", "trl_prompt_completion"}
        assert (before.views["verl"]["train"], after.views["verl"]["train"]) == (8, 3)
        assert user.types("diff", before.ref, after.ref).code == 0
    finally:
        user.recipe.write_text(text)
    assert user.types("build", str(user.recipe)).code == 0
    assert user.version().id == before.id


def test_another_format_is_a_new_version_with_the_same_sets(user: User) -> None:
    before = user.version()
    text = user.recipe.read_text()
    try:
        user.recipe.write_text(text.replace("  verl: {}\n", "  adp: {}\n"))
        assert user.types("build", str(user.recipe)).code == 0
        after = user.version()
        assert set(after.views) == {"adp", "openai_chat", "trl_prompt_completion"}
        a, b = before.manifest()["sets"], after.manifest()["sets"]
        assert a == b
        said = user.types("diff", before.ref, after.ref)
        assert "formats.adp.type: " in said.out
    finally:
        user.recipe.write_text(text)
        user.types("build", str(user.recipe))


def test_export_writes_the_consumers_files(user: User, tmp_path: Path) -> None:
    done = user.types("export", "sums@latest", "--format", "trl_preference", "--output",
                      str(tmp_path / "out"), "--no-provenance")  # fmt: skip
    assert done.code == 0
    count = user.version().rows["preference"]["train"]
    assert f"set preference as trl_preference (conversational), rows: train {count}" in done.out
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert set(first) == {"prompt", "chosen", "rejected"}
    again = user.types("export", "sums", "--format", "adp", "--output", str(tmp_path / "out"))
    assert again.code == 2
    assert "--overwrite replaces it" in again.err


def test_errors_are_one_line_that_helps(user: User, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    done = user.types("export", "sums", "--format", "verl", "--set", "sft", "--output", out)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--set rl would fit" in done.err
    done = user.types("export", "sums", "--format", "vrl", "--output", out)
    assert "did you mean 'verl'?" in done.err
    text = user.recipe.read_text()
    try:
        user.recipe.write_text(text.replace("verl: {}", "verl: {set: sft}"))
        done = user.types("check", str(user.recipe))
    finally:
        user.recipe.write_text(text)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "formats.verl: set sft: lacks prompt (messages)" in done.err


def test_formats_lists_all(user: User) -> None:
    done = user.types("formats")
    assert done.code == 0
    for name in FORMATS:
        assert name in done.out
