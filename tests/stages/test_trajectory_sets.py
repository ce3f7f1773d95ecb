"""Trajectories from a file to the published set, its views and its pages, and back into a file."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from tests.pipeline.publish.formats.test_adp import VALID
from tests.pipeline.sources.test_trajectories_source import HOSTILE, conversation, write
from tests.stages.test_source_answers import winnow
from winnow.pipeline.names import digest
from winnow.pipeline.publish.browse.app import Browser
from winnow.pipeline.publish.browse.catalogue import catalogue
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.version import Version, resolve, verify_version
from winnow.stages import chain
from winnow.stages.base import Context

Row = dict[str, Any]
SOURCE: Row = {"type": "trajectories", "name": "agents"}
RECIPE: Row = {
    "dataset": "acts",
    "engine": {"type": "source"},
    "clusters": {"k": 2},
    "verify": {"workers": 1},
    "sets": {"trajectories": {}},
    "formats": {"adp": {}, "chat": {"type": "openai_chat"},
                "lm": {"type": "trl_language_modeling"}},
}  # fmt: skip
QUESTIONS = ("What is 1 + 1?", "How many legs has a spider?", "Who wrote this file?")


def context(folder: Path, *lines: Any, **changes: Any) -> Context:
    path = write(folder / "acts.jsonl", *lines)
    data = {"sources": [{**SOURCE, "path": str(path)}], **RECIPE, **changes}
    (folder / "acts.yaml").write_text(yaml.safe_dump(data))
    return Context.of(folder / "acts.yaml", folder / "home")


def rules(version: Version, stage: str) -> Counter[str]:
    return Counter(r["rule"] for r in version.ledger().to_pylist() if r["stage"] == stage)


def view(version: Version, name: str, split: str = "train") -> list[Row]:
    import pyarrow.parquet as pq

    rows: list[Row] = pq.read_table(version.path / name / f"{split}.parquet").to_pylist()
    return rows


def test_hostile_rows_stop_nothing_and_the_rest_comes_out_as_it_went_in(tmp_path: Path) -> None:
    good = [{"messages": conversation(question=text), "id": text, "reward": at}
            for at, text in enumerate(QUESTIONS)]  # fmt: skip
    hostile = [line for line, _ in HOSTILE.values()]
    ctx = context(tmp_path, good[0], *hostile, VALID, *good[1:])
    report = chain.run(ctx)
    version = report.version
    assert verify_version(version.path) == []
    assert rules(version, "prompts") == {"unreadable": len(HOSTILE), "ingested": 4}
    assert rules(version, "training_set/trajectories") == {"selected": 4}
    assert report.stage("scores").counts["scored"] == 0, "nothing is scored"
    rows = {json.loads(row["trajectory"])["id"]: row
            for row in version.table("trajectories", "train").to_pylist()}  # fmt: skip
    assert [rows[name]["reward"] for name in QUESTIONS] == [0, 1, 2]
    assert json.loads(rows["t1"]["trajectory"]) == VALID
    records = {row["id"]: adp.record(row) for row in view(version, "adp")}
    assert {**records["t1"], "details": {}} == {**VALID, "details": {}}
    assert records["t1"]["details"].items() >= VALID["details"].items()
    assert records["t1"]["details"]["policy"] == "source:agents"
    assert all(stage.skipped for stage in chain.run(ctx).stages)

    # What was published goes in again, and comes out once more.
    again = context(tmp_path, *records.values(), provenance=False)
    second = chain.run(again).version
    found = {row["id"]: adp.record(row) for row in view(second, "adp")}
    assert found == records


def test_trajectories_stand_beside_plain_answers(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.jsonl", *({"q": f"Say {at}.", "a": f"{at}"} for at in range(3)))
    dataset = {"type": "dataset", "name": "plain", "path": str(plain), "verifier": "none",
               "columns": {"prompt": "q", "answer": None, "completion": "a"}}  # fmt: skip
    acts = {**SOURCE, "path": str(tmp_path / "acts.jsonl"), "licence": "mit"}
    ctx = context(
        tmp_path, {"messages": conversation()}, VALID, sources=[dataset, acts],
        sets={"trajectories": {}, "sft": {"verdicts": "not_wrong", "uds": False}},
        formats={"adp": {"set": "trajectories"}},
    )  # fmt: skip
    version = chain.run(ctx).version
    assert version.rows == {"trajectories": {"train": 2}, "sft": {"train": 5}}
    assert rules(version, "training_set/trajectories") == {"selected": 2, "no_trajectory": 3}
    assert set(version.table("trajectories", "train")["licence"].to_pylist()) == {"mit"}
    for row in ctx.workspace.read("completions").to_pylist():
        if row["source"] == "plain":  # named as ever
            named = [row["prompt_id"], "plain", row["completion"]]
            assert row["rollout_id"] == digest("source_answer/1", named)
        assert (row["trajectory"] is None) == (row["source"] == "plain")


def test_a_verifier_judges_the_last_text(tmp_path: Path) -> None:
    rows = [
        {"messages": conversation(f"It is {end}.", text), "gold": "2"}
        for end, text in zip((2, 3, 2), QUESTIONS, strict=True)
    ]
    source = {**SOURCE, "path": str(tmp_path / "acts.jsonl"), "verifier": "math", "answer": "gold"}
    ctx = context(tmp_path, *rows, sources=[source], sets={"trajectories": {"verdicts": "correct"}})
    version = chain.run(ctx).version
    assert rules(version, "training_set/trajectories") == {"selected": 2, "verdict": 1}
    assert set(version.table("trajectories", "train")["verdict"].to_pylist()) == {"correct"}


def test_cleaning_and_the_holdout_look_at_the_prompt(tmp_path: Path) -> None:
    rows = [
        {"messages": conversation(f"Done {at}.", text)}
        for text in (*QUESTIONS, "Name a river in Italy that ends in the Adriatic Sea.")
        for at in range(2)
    ]
    seen = write(tmp_path / "seen.jsonl", {"question": QUESTIONS[1]})
    clean = {"decontaminate": {"rules": ["exact"], "against": [
        {"name": "seen", "path": str(seen), "column": "question"}]}, "dedup": {}}  # fmt: skip
    ctx = context(tmp_path, *rows, clean=clean, holdout=0.4, seed=3)
    version = chain.run(ctx).version
    assert rules(version, "prompts")["contaminated"] == 1
    splits = {split: version.table("trajectories", split).to_pylist()
              for split in version.rows["trajectories"]}  # fmt: skip
    assert sum(map(len, splits.values())) == 6, "two of each prompt that is left"
    groups = [{row["template_id"] for row in split} for split in splits.values()]
    assert len(groups) == 2 and not set.intersection(*groups)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The shipped example, run."""
    root = Path(__file__).parents[2]
    recipe = yaml.safe_load((root / "data" / "recipes" / "agent_trajectories.yaml").read_text())
    for source in recipe["sources"]:
        source["path"] = str(root / source["path"])
    folder = tmp_path_factory.mktemp("example")
    (folder / "acts.yaml").write_text(yaml.safe_dump(recipe))
    ctx = Context.of(folder / "acts.yaml", folder / "home")
    chain.run(ctx)
    return ctx


def test_its_pages_show_calls_and_masks(
    example: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    home = example.workspace.home
    version = chain.build(example).version
    rows = version.table("trajectories", "train").to_pylist()
    lamp = next(row for row in rows if json.loads(row["trajectory"])["id"] == "lamp")
    browser = Browser(catalogue(version, home))
    browser.start()
    try:
        with TestClient(browser.app(), base_url="http://127.0.0.1:8000") as client:
            for path in ("/", "/sets/trajectories/train", "/ledger"):
                assert client.get(path).status_code == 200
            page = client.get("/row", params={"set": "trajectories", "id": lamp["id"]})
            assert page.status_code == 200
            assert "loss_mask" in page.text and "viewport_size" in page.text
            assert "&lt;li&gt;Desk lamp" in page.text and "<li>Desk lamp" not in page.text
    finally:
        browser.close()
    winnow("report", version.ref, "--home", str(home))
    winnow("why", lamp["rollout_id"][:12], "--home", str(home))
    assert "The desk lamp" in capsys.readouterr().out
    card = (version.path / "README.md").read_text()
    assert "conversations of agents that call tools" in card
    assert "2510.24702" in card and "2504.13145" in card
    assert "has no place for `loss_mask`" not in card


def test_what_changed_shows_calls(tmp_path: Path) -> None:
    calm, keen = (
        chain.run(context(tmp_path, {"messages": conversation(), "reward": 0}, VALID, **changes))
        for changes in ({"sets": {"trajectories": {"min_reward": 0.0}}}, {})
    )
    page = tmp_path / "diff.html"
    pair = [each.version.ref for each in (calm, keen)]
    winnow("diff", *pair, "--home", str(tmp_path / "home"), "--html", str(page))
    text = page.read_text()
    assert "execute_python" in text and "assistant: None" not in text


def test_it_exports_what_it_publishes(example: Context, tmp_path: Path) -> None:
    home = str(example.workspace.home)
    version = chain.build(example).version
    winnow(
        "export", version.ref, "--format", "adp", "--output", str(tmp_path / "out"), "--home", home
    )
    lines = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [adp.record(r) for r in view(version, "adp")]
    found = list(adp.read_trajectories(tmp_path / "out" / "train.jsonl"))
    assert {each.id for each in found} >= {"lamp", "store", "percent", "train"}


def test_the_graph_runs_in_dagster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dg = pytest.importorskip("dagster")
    from winnow.assets.factory import build
    from winnow.assets.snapshot import read_all

    ctx = context(tmp_path, VALID, *({"messages": conversation(question=q)} for q in QUESTIONS))
    home = tmp_path / "dagster"
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "acts.yaml").write_text((tmp_path / "acts.yaml").read_text())
    monkeypatch.setenv("WINNOW_HOME", str(home))
    job = build(read_all(home), home).resolve_job_def("acts_all")
    with dg.instance_for_test() as instance:
        result = job.execute_in_process(instance=instance)
        assert result.success
        checks = result.get_asset_check_evaluations()
    assert checks and [c.check_name for c in checks if not c.passed] == []
    assert resolve("acts", home).id == chain.run(ctx).version.id
