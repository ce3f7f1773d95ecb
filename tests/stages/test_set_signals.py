"""Signals that only some sets ask for: read where they are asked for, named in the manifest."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.cli import main as cli
from winnow.pipeline import schema, upkeep
from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import SMOLLM2, resolve_model
from winnow.pipeline.progress import Silent
from winnow.pipeline.publish.version import Version, latest
from winnow.stages import chain, set_signals, tree_parts
from winnow.stages.base import Context

TASKS = 4
SOLVED = 2  # by weak, half of the time
RECIPE = """
dataset: {policy}
sources:
  - {{type: dataset, name: sums, path: "{source}", verifier: math, columns: {{keep: [worked]}}}}
engine: {{type: replay, policy: {policy}}}
sampling: {{n: 2, max_tokens: 50}}
clusters: {{k: 2}}
sets:
  rl: {{}}
"""


def winnow(*words: str) -> None:
    sys.argv = ["winnow", *words]
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert not done.value.code


def off(policy: str, task: int, answer: int) -> int:
    """By how much an answer is off."""
    return int(policy == "weak" and not (task < SOLVED and answer == 1))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sums that `teacher` answers rightly and `weak` wrongly, but for its second answers to the first two;
    both run and judged in one home."""
    folder = tmp_path_factory.mktemp("signals")
    sums = [
        {"prompt": f"What is {i} + {i}?", "answer": str(2 * i), "worked": f"Twice {i}. So {2 * i}."}
        for i in range(TASKS)
    ]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, sums)))
    for policy in ("weak", "teacher"):
        answers = [
            {
                "prompt": row["prompt"],
                "completion": f"I add them. Number {k}. The answer is {2 * i + off(policy, i, k)}.",
                "index": k,
                "n_tokens": 9,
            }
            for i, row in enumerate(sums)
            for k in range(2)
        ]
        file = folder / f"{policy}.jsonl"
        file.write_text("\n".join(map(json.dumps, answers)))
        recipe = folder / f"{policy}.yaml"
        recipe.write_text(RECIPE.format(policy=policy, source=folder / "sums.jsonl"))
        winnow("import-rollouts", str(file), "--policy", policy, "--home", str(folder / "home"))
    for policy in ("weak", "teacher"):  # an import between the two would make the first one old
        winnow("run", str(folder / f"{policy}.yaml"), "--home", str(folder / "home"))
    return folder


@pytest.fixture
def asks(home: Path) -> Callable[[str], Context]:
    """The run of `weak` with other sets."""

    def context(sets: str) -> Context:
        text = (home / "weak.yaml").read_text()
        (home / "weak.yaml").write_text(f"{text.split('sets:')[0]}sets:\n{sets}")
        return Context.of(home / "weak.yaml", home / "home")

    return context


class Notes(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def rows(version: Version, name: str) -> list[dict[str, Any]]:
    return list(pq.read_table(version.table_path(name, "train")).to_pylist())


def test_answers_of_another_policy_that_another_recipe_judged(
    asks: Callable[[str], Context],
) -> None:
    ctx = asks("  hardest: {}\n  demonstrations: {share: [0.0, 1.0]}\n")
    table = set_signals.recorded(ctx)
    assert table.num_rows == 2 * TASKS
    assert set(table["policy"].to_pylist()) == {"teacher"}
    assert set(table["verdict"].to_pylist()) == {"correct"}
    report = chain.build(ctx)
    found = rows(report.version, "hardest")
    assert len(found) == TASKS - SOLVED
    assert {row["demonstration_policy"] for row in found} == {"teacher"}
    assert {row["policy"] for row in found} == {"weak"}
    assert len(rows(report.version, "demonstrations")) == TASKS
    assert set(report.version.manifest()["inputs"]) > {"recorded", "verdicts"}
    assert chain.build(ctx).stages[-1].skipped, "nothing has changed"


def test_what_no_set_asks_for_is_not_read(asks: Callable[[str], Context]) -> None:
    ctx = asks("  rl: {}\n")
    assert set_signals.gather(ctx) == set_signals.Further()
    assert not set(chain.build(ctx).version.manifest()["inputs"]) & {
        "recorded",
        "hinted",
        "stepwise",
    }


@pytest.mark.parametrize(
    ("sets", "command"),
    [
        ("  steps: {type: step_values}\n", "winnow rest-mcts RECIPE"),
        ("  hardest: {offers: [hinted]}\n", "winnow hint-infer RECIPE"),
    ],
)
def test_a_missing_table_names_the_command_that_makes_it(
    asks: Callable[[str], Context], sets: str, command: str
) -> None:
    with pytest.raises(UsageError, match=command) as error:
        chain.build(asks(sets))
    assert "sets." in str(error.value) and "\n" not in str(error.value)


def test_only_what_needs_no_run_is_missed_before_it(asks: Callable[[str], Context]) -> None:
    set_signals.check(asks("  hardest: {offers: [hinted]}\n"), has_run=False)
    with pytest.raises(UsageError, match="rest-mcts"):
        set_signals.check(asks("  steps: {type: step_values}\n"), has_run=False)


def test_tables_of_other_commands_are_read_and_named(asks: Callable[[str], Context]) -> None:
    ctx = asks("  steps: {type: step_values}\n  hardest: {offers: [hinted]}\n")
    prompts = ctx.workspace.read("prompts", ["task_id", "answer"]).to_pylist()
    task = next(row["task_id"] for row in prompts if row["answer"] == str(2 * (TASKS - 1)))
    path = {
        "task_id": task, "prompt": "q", "completions": ["a", "b"], "labels": [True, True],
        "values": [0.5, 1.0], "correct": True,
    }  # fmt: skip
    hint = {
        "task_id": task, "rollout_id": "x", "plain_verdict": "wrong", "hinted_verdict": "correct",
        "kept": True, "hint": "h", "place": "end", "place_at": 1, "completion": "Wait. It is 0.",
        "tries": 1,
    }  # fmt: skip
    work = ctx.workspace

    def write(name: str, row: dict[str, Any]) -> None:
        table = pa.Table.from_pylist([row], schema=schema.TABLES[name])
        work.write(name, tree_parts.described(ctx, table, {}), "mark")

    write("stepwise", path)
    write("hinted", hint)
    try:
        version = chain.build(ctx).version
        assert [row["completions"] for row in rows(version, "steps")] == [["a", "b"]]
        assert [row["demonstration_from"] for row in rows(version, "hardest")] == ["hinted"]
        inputs = version.manifest()["inputs"]
        assert inputs["stepwise"] == work.data_version("stepwise")
        write("stepwise", {**path, "values": [0.1, 1.0]})
        assert chain.build(ctx).version.id != version.id, "another table is another version"
        work.write("hinted", pa.Table.from_pylist([hint], schema=schema.HINTED), "mark")
        with pytest.raises(UsageError, match="hinted was made from other prompts.*hint-infer"):
            chain.build(ctx)
    finally:
        for table in ("stepwise", "hinted"):
            work.table_path(table).unlink()


def test_token_features_come_from_a_file(asks: Callable[[str], Context], tmp_path: Path) -> None:
    ctx = asks("  hardest: {}\n")
    names = set_signals.recorded(ctx)["rollout_id"].to_pylist()
    path = tmp_path / "features.parquet"
    pq.write_table(
        pa.table({"row_id": names, "token_entropies": [[0.5, 0.1, 0.0, 0.2, 0.9]] * len(names)}),
        path,
    )
    sets = f"  demonstrations: {{token_features: '{path}', share: [0.0, 1.0]}}\n"
    version = chain.build(asks(sets)).version
    masks = {tuple(row["entropy_mask"]) for row in rows(version, "demonstrations")}
    assert masks == {(False, False, False, False, True)}
    assert f"token features {path}" in version.manifest()["inputs"]
    pq.write_table(pa.table({"row_id": names}), path)
    with pytest.raises(UsageError, match="token_entropies"):
        chain.build(asks(sets))
    path.unlink()
    with pytest.raises(UsageError, match="no such file"):
        chain.build(asks(sets))


def test_a_solution_that_the_source_keeps(asks: Callable[[str], Context]) -> None:
    ctx = asks("  hardest: {offers: [solution], solution: worked}\n")
    found = rows(chain.build(ctx).version, "hardest")
    assert min(row["demonstration"][0]["content"] for row in found) == "Twice 2. So 4."
    assert {(row["verifier"].partition("@")[0], row["verdict"]) for row in found} == {
        ("math", "correct")
    }


def test_a_solution_is_judged_before_it_is_offered(
    asks: Callable[[str], Context],
) -> None:
    """One that contradicts the reference is no demonstration, and a corrected one is judged anew alone."""
    told = Notes()
    ctx = replace(asks("  hardest: {offers: [solution], solution: worked}\n"), progress=told)
    chain.run(ctx)
    source = ctx.workspace.home.parent / "sums.jsonl"
    before = source.read_text()
    sums = [json.loads(line) for line in before.splitlines()]
    right = sums[TASKS - 1]["worked"]
    sums[0]["worked"] = " "  # no solution
    sums[TASKS - 1]["worked"] = f"I guess. So {2 * TASKS + 58}."
    try:
        source.write_text("\n".join(map(json.dumps, sums)))
        version = chain.run(ctx).version
        texts = [row["demonstration"][0]["content"] for row in rows(version, "hardest")]
        assert texts == ["Twice 2. So 4."]
        rules = {row["rule"]: row for row in version.ledger().to_pylist()}
        assert rules["demonstration_wrong"]["value"] == str(2 * TASKS + 58)
        assert "solutions" in version.manifest()["inputs"]
        judged = [line for line in told.lines if "solutions" in line]
        assert judged[-1].startswith(f"1 of {TASKS - 1} solutions"), "the others are known already"
    finally:
        source.write_text(before)
    chain.run(ctx)
    table = ctx.workspace.read("solutions")
    assert right in table["solution"].to_pylist()
    assert set(table["verdict"].to_pylist()) == {"correct"}


def test_an_empty_set_says_why(
    home: Path, asks: Callable[[str], Context], capsys: pytest.CaptureFixture[str]
) -> None:
    asks("  fait: {}\n  sft: {uds: false, pass_rate: [0.97, 0.98]}\n  rl: {}\n")
    winnow("build", str(home / "weak.yaml"), "--home", str(home / "home"))
    said = capsys.readouterr().out
    version = latest(home / "home" / "weak")
    assert version is not None
    for name in ("fait", "sft"):
        assert version.rows[name] == {"train": 0}
        [line] = [each for each in said.splitlines() if each.startswith(f"{name} is empty")]
        dropped = {
            row["rule"]: row["rows"]
            for row in version.manifest()["decisions"]
            if row["stage"] == f"training_set/{name}"
        }
        assert dropped
        assert [
            f"{rows} {rule}" for rule, rows in dropped.items() if f"{rows} {rule}" not in line
        ] == []
        assert line.endswith("`datasets` opens no empty split")
    assert '"rl", split="train")' in said.splitlines()[-1], "what is shown can be opened"
    assert "rl is empty" not in said


def test_answers_of_another_machine_are_in_its_table(
    home: Path, asks: Callable[[str], Context], tmp_path: Path
) -> None:
    """As docs/scaling-out.md says: the table of its run, imported elsewhere, gives the same rows."""
    ctx = asks("  rl: {}\n")
    here = chain.build(ctx).version
    table = ctx.workspace.table_path("rollouts")
    winnow("import-rollouts", str(table), "--policy", "weak", "--home", str(tmp_path))
    there = chain.run(Context.of(home / "weak.yaml", tmp_path)).version
    assert rows(there, "rl") == rows(here, "rl")
    assert rows(there, "rl")[0]["pass_rate"] is not None


def test_what_was_installed_is_no_part_of_a_version(asks: Callable[[str], Context]) -> None:
    version = chain.build(asks("  rl: {}\n")).version
    assert version.run()["installed"]["torch"]
    assert "transformers" not in json.dumps(version.manifest())


def test_spans_of_tokens_cover_the_text() -> None:
    spans = set_signals.token_spans(resolve_model(SMOLLM2))
    text = "Twice 12 is 24.\n\nSo <|im_end|> it is 24. Ä 答案"
    found = spans(text)
    assert [start for start, _ in found] == sorted(start for start, _ in found)
    assert "".join(text[a:b] for a, b in found).replace(" ", "")[:5] == "Twice"
    assert found[-1][1] == len(text)
    assert len(found) > 10, "the control token is text here"


def test_a_recipe_that_publishes_every_kind_passes_its_checks(
    asks: Callable[[str], Context],
) -> None:
    from winnow.assets import invariants

    kinds = ("sft: {uds: false}", "rl: {}", "preference: {contrast: reward}", "groups: {}",
             "unpaired: {}", "ranked: {}", "c_rlft: {}", "curriculum: {strong: [teacher]}",
             "hardest: {}", "demonstrations: {}", "sure_unsure: {}", "fait: {}", "critique: {}")  # fmt: skip
    ctx = asks("".join(f"  {kind}\n" for kind in kinds))
    version = chain.build(ctx).version
    assert version == latest(ctx.workspace.home / "weak")
    filled = {name for name, splits in version.rows.items() if splits["train"]}
    assert filled == set(ctx.recipe.sets) - {"fait", "critique"}, "neither code nor a judge is here"
    named = upkeep._named_by(version)  # what garbage collection spares
    inside = [a["rollout_id"] for row in rows(version, "groups") for a in row["responses"]]
    shown = [row["demonstration_rollout_id"] for row in rows(version, "hardest")]
    assert inside and shown and named >= {*inside, *shown}
    for rule in (invariants.sets_conserved, invariants.set_columns, invariants.reloads):
        assert rule(ctx, version).faults == []
