"""The commands as a user types them, on a run without a model (imported rollouts)."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pytest

from winnow.cli import main as cli
from winnow.pipeline.contracts import Completion, Identity, Sampling, Verdict
from winnow.pipeline.publish.version import resolve
from winnow.pipeline.store.store import AsyncWriter
from winnow.pipeline.verify.worker_pool import TimedVerdict
from winnow.pipeline.workspace import Workspace, open_store
from winnow.synth.sampling import Target, rollout_row
from winnow.synth.tree.memo import Drawing, Memo, root, step_row

TASKS = 12
RECIPE = """
dataset: sums
sources:
  - {{type: dataset, name: sums, path: "{source}", verifier: math, licence: mit}}
engine: {{type: replay, policy: teacher}}
sampling: {{n: 4, max_tokens: 50}}
clusters: {{k: 3}}
sets:
  sft: {{uds: false, pass_rate: [0.1, 0.9]}}
  rl: {{pass_rate: [0.2, 0.8]}}
  preference: {{}}
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str


class User:
    """Types commands and reads what they print."""

    def __init__(self, home: Path, recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self.recipe, self._capsys = home, recipe, capsys

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

    def at_home(self, command: str, *words: str) -> Result:
        return self.types(command, *words, "--home", str(self.home))


def _rollouts() -> list[dict[str, object]]:
    """Four answers per sum; i % 5 of them are right, one of the wrong ones is cut off."""
    rows = []
    for i in range(TASKS):
        for k in range(4):
            total = 2 * i if k < i % 5 else 2 * i + k + 1
            row: dict[str, object] = {
                "prompt": f"What is {i} + {i}?",
                "completion": f"The answer is {total}.",
            }
            if i == 6 and k == 3:
                row["finish_reason"] = "length"
            rows.append(row)
    return rows


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(home, recipe) of a run that is done."""
    folder = tmp_path_factory.mktemp("cli")
    source = folder / "sums.jsonl"
    rows = [{"prompt": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(TASKS)]
    source.write_text("\n".join(json.dumps(row) for row in rows) + '\n{"prompt": "no answer"}\n')
    recipe = folder / "sums.yaml"
    recipe.write_text(RECIPE.format(source=source))
    (folder / "answers.jsonl").write_text("\n".join(json.dumps(row) for row in _rollouts()))
    home = folder / "home"
    for words in (
        ["import-rollouts", str(folder / "answers.jsonl"), "--policy", "teacher"],
        ["run", str(recipe)],
    ):
        sys.argv = ["winnow", *words, "--home", str(home)]
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code
    return home, recipe


@pytest.fixture
def user(finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> User:
    """At a home of their own, copied from the finished run."""
    home, recipe = finished
    shutil.copytree(home, tmp_path / "home", symlinks=True)
    shutil.copy(recipe, tmp_path / "sums.yaml")
    capsys.readouterr()
    return User(tmp_path / "home", tmp_path / "sums.yaml", capsys)


def _version(user: User) -> str:
    return resolve("sums", user.home).id


def test_run_ends_with_table_path_and_two_lines_that_load_it(user: User) -> None:
    done = user.at_home("run", str(user.recipe))
    assert done.code == 0
    assert "up to date" in done.out
    for part in ("rows in", "13", "1 missing_answer", "answers", "48", "judged", "one_sided"):
        assert part in done.out
    lines = [line for line in done.out.splitlines() if line.startswith(("from ", "sft ="))]
    assert len(lines) == 2
    scope: dict[str, datasets.Dataset] = {}
    exec("\n".join(lines), scope)  # noqa: S102 - it is what a user would type
    assert scope["sft"].num_rows > 0
    assert scope["sft"][0]["messages"][-1]["content"].startswith("The answer is")


def test_check_prints_the_plan(user: User) -> None:
    done = user.at_home("check", str(user.recipe))
    assert done.code == 0
    assert "48: 48 stored, 0 to draw" in done.out
    assert "missing_answer" in done.out


def test_check_lists_the_views_that_a_run_publishes(user: User) -> None:
    with user.recipe.open("a") as file:
        file.write(
            "formats:\n  chat: {type: trl_prompt_completion, set: sft, style: standard}\n"
            "  verl: {provenance: false}\n  trl_preference:\n"
        )
    done = user.at_home("check", str(user.recipe))
    assert done.code == 0
    told = {
        name.strip(): said.strip()
        for _, name, said, _ in (
            line.split("│") for line in done.out.splitlines() if "│ view" in line
        )
    }
    assert told == {
        "view chat": "trl_prompt_completion standard, of the set sft",
        "view verl": "verl, of the set rl, without provenance",
        "view trl_preference": "trl_preference conversational, of the set preference",
    }
    assert user.at_home("run", str(user.recipe)).code == 0
    assert set(resolve("sums", user.home).views) == {"chat", "verl", "trl_preference"}


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        ("{verll: {}}", "formats.verll: no format is called 'verll'; did you mean 'verl'?"),
        ("{verl: {set: sft}}", "formats.verl: set sft: lacks prompt (messages)"),
        ("{adp: {set: easy}}", "formats.adp: there is no set 'easy'"),
        ("{verl: {style: standard}}", "verl has no styles"),
    ],
)
def test_check_refuses_a_view_that_cannot_be_as_run_does(
    user: User, formats: str, said: str
) -> None:
    with user.recipe.open("a") as file:
        file.write(f"formats: {formats}\n")
    found = [user.at_home(command, str(user.recipe)) for command in ("check", "run")]
    assert [done.code for done in found] == [2, 2]
    assert found[0].err == found[1].err
    assert said in " ".join(found[0].err.split())


def test_limit_looks_at_the_first_rows_only(user: User) -> None:
    done = user.at_home("check", str(user.recipe), "--limit", "5")
    assert "20: 20 stored" in done.out


def test_versions_lists_them_and_marks_the_latest(user: User) -> None:
    done = user.at_home("versions", "sums")
    assert _version(user) in done.out
    assert "latest" in done.out


def test_another_threshold_publishes_one_set_anew_and_diff_tells_why(user: User) -> None:
    before = _version(user)
    text = user.recipe.read_text().replace("[0.1, 0.9]", "[0.1, 0.5]")
    user.recipe.write_text(text)
    assert user.at_home("build", str(user.recipe), "--split", "sft").code == 0
    after = _version(user)
    assert after != before
    for name in ("rl", "preference"):  # linked, not written again
        old, new = (user.home / "sums" / v / name / "train.parquet" for v in (before, after))
        assert old.stat().st_ino == new.stat().st_ino
    done = user.at_home("diff", f"sums@{before}", "sums@latest")
    assert done.code == 0
    assert "sets.sft.pass_rate" in done.out
    assert "training_set/sft/pass_rate" in done.out
    assert "asked: 0.1 to 0.5" in done.out


def test_build_refuses_signals_that_were_made_from_another_recipe(user: User) -> None:
    for old, new, stage in (
        ("policy: teacher", "policy: somebody", "rollouts"),
        ("n: 4", "n: 2", "rollouts"),
        ("uds: false", "uds: true", "scores"),
        ("k: 3", "k: 2", "clusters"),
    ):
        text = RECIPE.format(source=user.recipe.parent / "sums.jsonl")
        original = user.recipe.read_text()
        assert old in text
        changed = original.replace(old, new)
        if "uds: true" in new:
            changed += "uds: {model: smollm2-135m-instruct}\n"
        user.recipe.write_text(changed)
        done = user.at_home("build", str(user.recipe))
        user.recipe.write_text(original)
        assert done.code == 2
        assert stage in done.err
        assert "`winnow run` brings them up to date" in done.err
    assert user.at_home("build", str(user.recipe)).code == 0


def test_looking_changes_nothing_that_build_finds(user: User) -> None:
    before = _version(user)
    assert user.at_home("check", str(user.recipe), "--limit", "2").code == 0
    assert user.at_home("build", str(user.recipe)).code == 0
    assert _version(user) == before


def test_a_limited_run_is_not_built_upon(user: User) -> None:
    user.at_home("run", str(user.recipe), "--limit", "2")
    assert user.at_home("build", str(user.recipe)).code == 2
    assert user.at_home("run", str(user.recipe)).code == 0


@pytest.mark.parametrize("change", ["seed: 5", "holdout: 0.5"])
def test_one_set_is_not_built_beside_others_with_another_holdout(user: User, change: str) -> None:
    user.recipe.write_text(user.recipe.read_text() + change + "\n")
    user.at_home("run", str(user.recipe))
    other = user.recipe.read_text().replace(change, "")
    user.recipe.write_text(other)
    if change.startswith("seed"):
        user.at_home("check", str(user.recipe))
    done = user.at_home("build", str(user.recipe), "--split", "sft")
    assert done.code == 2


def test_a_source_without_a_single_prompt(user: User) -> None:
    source = user.home.parent / "empty.jsonl"
    source.write_text('{"prompt": "no answer", "answer": null}\n')
    user.recipe.write_text(RECIPE.format(source=source))
    done = user.at_home("run", str(user.recipe))
    assert done.code == 0, done.err
    assert "1 missing_answer" in done.out


def test_a_prompt_with_two_references_counts_once_in_sft(user: User) -> None:
    source = user.home.parent / "twice.jsonl"
    rows = [{"prompt": "What is 3 + 3?", "answer": a} for a in ("6", "6.0", "7")]
    source.write_text("\n".join(map(json.dumps, rows)))
    user.recipe.write_text(RECIPE.format(source=source))
    assert user.at_home("run", str(user.recipe)).code == 0
    work = Workspace(user.home, "sums")
    sft = resolve("sums", user.home).table("sft").to_pylist()
    assert [row["messages"][0]["content"] for row in sft] == ["What is 3 + 3?"]
    assert sft[0]["pass_rate"] == 0.75
    ledger = [r for r in work.read("ledger").to_pylist() if r["stage"] == "training_set/sft"]
    assert len({r["row_id"] for r in ledger}) == len(ledger) == 4
    told = user.at_home("why", sft[0]["prompt_id"]).out
    assert told.count("reference:") == 3


def test_why_tells_the_whole_life_of_a_kept_and_of_a_dropped_row(user: User) -> None:
    sft = datasets.load_dataset(str(user.home / "sums" / _version(user)), "sft", split="train")
    done = user.at_home("why", sft[0]["task_id"])
    assert done.code == 0
    for part in ("from sums, row", "What is", "pass rate", "cluster", "correct", "wrong",
                 f"sums@{_version(user)} sft/train", "ingested", "selected"):  # fmt: skip
        assert part in done.out
    by_row = user.at_home("why", sft[0]["id"][:10])
    assert sft[0]["rollout_id"][:12] in by_row.out
    ledger = Workspace(user.home, "sums").read("ledger").to_pylist()
    lost = next(r for r in ledger if r["rule"] == "pass_rate")
    told = user.at_home("why", lost["row_id"])
    for part in ("dropped", "pass_rate", lost["threshold"]):
        assert part in told.out
    missing = next(r for r in ledger if r["rule"] == "missing_answer")
    assert "missing_answer" in user.at_home("why", missing["row_id"]).out


def _drawn(user: User, prompt: str, seed: int) -> dict[str, Any]:
    """Store an answer that an engine gave to `prompt`; gives its row."""
    sampling = Target(Identity("model@1", "chat"), Sampling(), seed, 1, 50, 1)
    answer = Completion("text", None, None, 1, "stop")
    row = rollout_row(prompt, sampling, 0, 0, 1, answer, None)
    with open_store(user.home, "rollouts", write=True) as store:
        store.put([row])
    Workspace(user.home, "sums").note_target(sampling.name)
    return row


def test_gc_says_first_and_keeps_what_is_needed(user: User) -> None:
    prompt = Workspace(user.home, "sums").read("prompts")["prompt_id"][0].as_py()
    _drawn(user, prompt, 1)  # its target is replaced by the next one
    _drawn(user, prompt, 2)  # a run that is not finished: its table is not written yet
    said = user.at_home("gc")
    assert "rollouts: 1 would go, 49 kept" in said.out
    assert "rollouts: 1 removed, 49 kept" in user.at_home("gc", "--delete").out
    assert "nothing to remove" in user.at_home("gc").out
    done = user.at_home("run", str(user.recipe))
    assert done.code == 0
    assert (user.home / "sums" / _version(user)).is_dir()


def test_gc_keeps_the_trees_of_prompts_that_are_there(user: User) -> None:
    """Steps and judgements go with the prompt that they belong to."""
    there = Workspace(user.home, "sums").read("prompts")["prompt_id"][0].as_py()
    drawing = Drawing(Identity("m@1", "t"), Sampling(), 0, 8)
    verdict = TimedVerdict(Verdict("wrong", 0.0), 0.1)

    async def search(prompt: str) -> None:
        state = root([{"role": "user", "content": prompt}])
        answer = Completion("a step", None, None, 2, "stop")
        with (
            open_store(user.home, "steps", write=True) as steps,
            open_store(user.home, "judgements", write=True) as judged,
        ):
            steps.put([step_row(prompt, state, drawing, 0, 0, 1, answer, None)])
            async with AsyncWriter(judged) as writer:
                memo = Memo(prompt, keep_judgement=writer.put)
                await memo.judged(state, "task", "judge", 0, lambda: asyncio.sleep(0, verdict))

    for prompt in (there, "gone"):
        asyncio.run(search(prompt))
    said = user.at_home("gc", "--delete").out
    for name in ("steps", "judgements"):
        assert f"{name}: 1 removed, 1 kept" in said
        with open_store(user.home, name) as store:
            assert store.all(["prompt_id"])["prompt_id"].to_pylist() == [there]


def test_gc_refuses_while_a_run_is_writing(user: User) -> None:
    with open_store(user.home, "verdicts", write=True):
        done = user.at_home("gc", "--delete")
    assert done.code == 1
    assert "is writing to it" in done.err


def test_importing_twice_adds_nothing_and_a_grown_file_only_what_is_new(user: User) -> None:
    answers = user.home.parent / "more.jsonl"
    rows = [*_rollouts(), {"prompt": "What is 0 + 0?", "completion": "New."}]
    answers.write_text("\n".join(json.dumps(row) for row in rows) + "\nnot json\n")
    done = user.at_home("import-rollouts", str(answers), "--policy", "teacher")
    assert "1 added, 48 were there already, 1 refused" in done.out
    assert "row 49" in done.out


BAD_ROLLOUTS = [
    ({"completion": "x"}, "neither `messages` nor"),
    ({"prompt": "p"}, "no text `completion`"),
    ({"prompt": "p", "completion": 3}, "no text `completion`"),
    ({"messages": "p", "completion": "x"}, "`messages` is not"),
    ({"messages": [{"role": "user"}], "completion": "x"}, "`messages` is not"),
    ({"prompt": "p", "completion": "\ud83d"}, "not Unicode"),
    ({"prompt": "p", "completion": "x", "finish_reason": "error"}, "neither stop nor length"),
    ({"prompt": "p", "completion": "x", "n_tokens": "abc"}, "n_tokens"),
    ({"prompt": "p", "completion": "x", "n_tokens": -5}, "n_tokens"),
    ({"prompt": "p", "completion": "x", "index": 2**40}, "index"),
    ({"prompt": "p", "completion": "x", "index": True}, "index"),
    ({"prompt": "p", "completion": "x", "logprob_sum": "x"}, "logprob_sum"),
    ({"prompt": "p", "completion": "x", "token_ids": [1.5]}, "token_ids"),
]


@pytest.mark.parametrize(("row", "part"), BAD_ROLLOUTS)
def test_a_bad_rollout_is_refused_and_costs_no_other(
    user: User, row: dict[str, Any], part: str
) -> None:
    answers = user.home.parent / "some.jsonl"
    good = {"prompt": "q", "completion": "y", "index": 0}
    clash = {**good, "completion": "z"}
    answers.write_text("\n".join(map(json.dumps, (row, good, clash))))
    done = user.at_home("import-rollouts", str(answers), "--policy", "t")
    assert done.code == 0
    assert "1 added, 0 were there already, 2 refused" in done.out
    assert "row 0: " in done.out
    assert part in done.out
    assert "index 0 of this prompt holds another answer" in done.out
    with open_store(user.home, "rollouts") as store:
        assert store.all().num_rows == 49


WRONG = [
    (["run", "none.yaml"], 2, "none.yaml: no such recipe"),
    (["run"], 2, "RECIPE"),
    (["runn", "x"], 2, "runn"),
    (["run", "x.yaml", "--limit", "0"], 2, "limit"),
    (["versions", "nothing"], 2, "holds no version"),
    (["diff", "sums@zzz", "sums@latest"], 2, "zzz"),
    (["why", "ffffffffffff"], 2, "no row with this id"),
    (["why", "ab"], 2, "at least 6 characters"),
    (["import-rollouts", "none.jsonl", "--policy", "p"], 2, "none.jsonl: no such file"),
    (["import-rollouts", "x.txt"], 2, "policy"),
]


@pytest.mark.parametrize(("words", "code", "part"), WRONG)
def test_wrong_use_is_one_line_and_exit_code_2(
    user: User, words: list[str], code: int, part: str
) -> None:
    done = user.at_home(*words)
    assert done.code == code
    assert part in done.err


def test_a_set_that_the_recipe_lacks(user: User) -> None:
    done = user.at_home("build", str(user.recipe), "--split", "sftt")
    assert done.code == 2
    assert done.err.startswith("error: --split sftt: the recipe has no such set")


def test_a_recipe_that_has_not_run_is_not_built(user: User) -> None:
    elsewhere = str(user.home.parent / "elsewhere")
    done = user.types("build", str(user.recipe), "--home", elsewhere)
    assert done.code == 2
    assert f"sums: has not run yet in {elsewhere} (there is no table of prompts)" in done.err
    Workspace(user.home, "sums").table_path("clusters").unlink()
    done = user.at_home("build", str(user.recipe))
    assert "has not run to its end yet" in done.err and "no table of clusters" in done.err


def test_keys_of_one_type_and_the_examples_in_its_help(user: User) -> None:
    every, one = user.types("keys", "sets").out, user.types("keys", "sets.rl").out
    assert "sets (type: rl)" in one and "sets (type: sft)" not in one
    assert "sets (type: rl)" in every and "sets (type: sft)" in every
    assert user.types("keys", "sets.none").code == 2
    lines = [line.strip(" │\n") for line in user.types("keys", "--help").out.splitlines()]
    assert "winnow keys sampling.stop" in lines


def test_what_a_recipe_says_is_shown_as_text(user: User) -> None:
    """In the plan, the tables of a run, its notes and errors: no terminal sequence, and no markup."""
    hostile = '"[red]x\\e[31m[/]"'
    text = user.recipe.read_text().replace("policy: teacher", f"policy: {hostile}")
    recipe = user.recipe.with_name("[red]a[bold].yaml")
    recipe.write_text(text)
    checked = user.at_home("check", str(recipe))
    assert checked.code == 0, checked.err
    assert "[red]x\\x1b[31m[/]" in checked.out
    assert recipe.name in checked.out.replace("\n", "")
    ran = user.at_home("run", str(recipe))
    assert ran.code == 0, ran.err
    recipe.write_text(text.replace("type: replay", "type: '[red]'"))
    wrong = user.at_home("run", str(recipe))
    assert recipe.name in wrong.err
    for done in (checked, ran, wrong):
        assert "\x1b" not in done.out + done.err


def test_a_broken_recipe_names_file_line_and_key(user: User) -> None:
    user.recipe.write_text(user.recipe.read_text() + "sampling_: {}\n")
    done = user.at_home("run", str(user.recipe))
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert "sampling_: unknown key; did you mean 'sampling'?" in done.err
    assert str(user.recipe) in done.err


def test_terminal_escapes_in_a_row_are_made_visible(user: User) -> None:
    source = user.home.parent / "hostile.jsonl"
    source.write_text(json.dumps({"prompt": "\x1b[2J\x1b]0;owned\x07hi", "answer": "1"}))
    user.recipe.write_text(RECIPE.format(source=source))
    done = user.at_home("run", str(user.recipe))  # a recipe without a single answer
    assert done.code == 0, done.err
    (task,) = Workspace(user.home, "sums").read("prompts")["task_id"].to_pylist()
    done = user.at_home("why", task)
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "\\x1b[2J" in done.out
