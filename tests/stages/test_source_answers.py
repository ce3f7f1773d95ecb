"""A recipe whose answers stand in its sources: rollouts without sampling, up to the published set."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from winnow.cli import main as cli
from winnow.pipeline.progress import Silent
from winnow.pipeline.publish.version import resolve
from winnow.pipeline.workspace import open_store
from winnow.stages import chain
from winnow.stages.base import Context
from winnow.stages.plan import plan

RECIPE = """
dataset: own
sources:
  - type: dataset
    name: own
    path: {source}
    columns: {{prompt: [q, more], answer: {answer}, completion: a}}
    verifier: {verifier}
    licence: mit
engine: {{type: source}}
sampling: {{n: {n}}}
clusters: {{k: 2}}
verify: {{workers: 1}}
sets:
  sft: {{verdicts: {verdicts}, uds: false, per_prompt: 3}}
"""
ROWS: list[dict[str, Any]] = [
    {"q": "What is 1 + 1?", "more": "", "a": "The answer is 2.", "ref": "2"},
    {"q": "What is 1 + 1?", "more": "", "a": "The answer is 3.", "ref": "2"},
    {"q": "What is 2 + 2?", "more": "Think.", "a": "The answer is 4.", "ref": "4"},
    {"q": "What is 3 + 3?", "more": None, "a": "The answer is 7.", "ref": "6"},
]


def write(folder: Path, rows: list[dict[str, Any]] = ROWS, **given: Any) -> Context:
    folder.mkdir(exist_ok=True)
    (folder / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = {"source": folder / "own.jsonl", "answer": "null", "verifier": "none", "n": 4,
                "verdicts": "not_wrong", **given}  # fmt: skip
    (folder / "own.yaml").write_text(RECIPE.format(**settings))
    return Context.of(folder / "own.yaml", folder / "home")


def winnow(*words: str) -> None:
    old = sys.argv
    sys.argv = ["winnow", *words]
    try:
        with pytest.raises(SystemExit) as done:
            cli.main()
    finally:
        sys.argv = old
    assert not done.value.code


def published(ctx: Context) -> dict[str, str]:
    """Verdicts of the published rows, by what they answer."""
    version = resolve("own", ctx.workspace.home)
    rows = version.table("sft", "train").to_pylist()
    return {row["messages"][-1]["content"]: row["verdict"] for row in rows}


def test_check_counts_what_the_rows_bring(tmp_path: Path) -> None:
    found = plan(write(tmp_path, n=1))
    assert (found.prompts, found.answers, found.missing, found.drawn) == (3, 3, 0, False)
    assert not any("token" in name for name, _ in found.lines())
    assert any("nothing is sampled" in value for _, value in found.lines())


def test_unjudged_answers_are_published_as_unjudged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ctx = write(tmp_path)
    report = chain.run(ctx)
    assert published(ctx) == dict.fromkeys((row["a"] for row in ROWS), "unjudged")
    table = ctx.workspace.read("rollouts")
    assert set(table["policy"].to_pylist()) == {"source:own"}
    assert set(table["finish_reason"].to_pylist()) == {"stop"}
    card = (report.version.path / "README.md").read_text()
    assert "Not every answer in the set sft is verified" in card
    assert "nothing was sampled" in card
    # Again: nothing to do. After a clean-up: neither.
    assert all(stage.skipped for stage in chain.run(ctx).stages)
    winnow("gc", "--home", str(ctx.workspace.home), "--delete")
    with open_store(ctx.workspace.home, "rollouts") as store:
        assert store.existing(table["rollout_id"].to_pylist()) == set(
            table["rollout_id"].to_pylist()
        )
    assert all(stage.skipped for stage in chain.run(ctx).stages)
    capsys.readouterr()
    winnow("why", table["rollout_id"][0].as_py()[:12], "--home", str(ctx.workspace.home))
    assert "no_verifier" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verdicts", "kept"),
    [
        ("correct", {"The answer is 2.", "The answer is 4."}),
        ("not_wrong", {"The answer is 2.", "The answer is 4."}),
        ("any", {row["a"] for row in ROWS}),
    ],
)
def test_with_a_reference_the_verdict_counts(tmp_path: Path, verdicts: str, kept: set[str]) -> None:
    ctx = write(tmp_path, answer="ref", verifier="math", verdicts=verdicts)
    chain.run(ctx)
    assert set(published(ctx)) == kept
    assert "unjudged" not in published(ctx).values()
    card = (resolve("own", ctx.workspace.home).path / "README.md").read_text()
    assert ("is verified**" in card) == (verdicts != "correct")


def test_a_changed_row_is_another_answer_and_the_others_stay(tmp_path: Path) -> None:
    ctx = write(tmp_path)
    chain.run(ctx)
    before = set(ctx.workspace.read("rollouts")["rollout_id"].to_pylist())
    changed = [{**ROWS[0], "a": "Two."}, *ROWS[1:]]
    ctx = write(tmp_path, changed)
    report = chain.run(ctx)
    after = ctx.workspace.read("rollouts")
    assert len(before & set(after["rollout_id"].to_pylist())) == 3
    assert sorted(after["index"].to_pylist()) == [0, 0, 0, 1]
    assert report.stage("verdicts").cost["judged_here"] == 1
    assert "The answer is 2." not in published(ctx)
    # The old answer goes with the clean-up once no version holds it.
    old = before - set(after["rollout_id"].to_pylist())
    with open_store(ctx.workspace.home, "rollouts") as store:
        assert store.existing(old) == old


def test_n_takes_the_first(tmp_path: Path) -> None:
    """And the run, its counts and `winnow check` say how many are left out."""
    told = Told()
    ctx = replace(write(tmp_path, n=1), progress=told)
    said = "1 answer of 1 prompt is beyond sampling.n = 1 and left out"
    assert ("beyond sampling.n", said) in plan(ctx).lines()
    assert chain.run(ctx).stage("rollouts").counts["beyond_n"] == 1
    assert said in told.notes
    assert "The answer is 3." not in published(ctx)
    assert chain.run(ctx).stage("rollouts").counts["beyond_n"] == 1, "also where nothing is made"


def test_where_n_takes_all_nothing_is_said(tmp_path: Path) -> None:
    told = Told()
    ctx = replace(write(tmp_path, n=2), progress=told)
    assert not any("beyond" in name for name, _ in plan(ctx).lines())
    assert chain.run(ctx).stage("rollouts").counts["beyond_n"] == 0
    assert not any("beyond" in note for note in told.notes)


class Told(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_graph_runs_in_dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dg = pytest.importorskip("dagster")
    from winnow.assets.factory import build
    from winnow.assets.snapshot import read_all

    ctx = write(tmp_path)
    home = tmp_path / "dagster"
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "own.yaml").write_text((tmp_path / "own.yaml").read_text())
    monkeypatch.setenv("WINNOW_HOME", str(home))
    job = build(read_all(home), home).resolve_job_def("own_all")
    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance)
        assert result.success
        checks = result.get_asset_check_evaluations()
    assert checks and [c.check_name for c in checks if not c.passed] == []
    chain.run(ctx)
    assert resolve("own", home).id == resolve("own", ctx.workspace.home).id
