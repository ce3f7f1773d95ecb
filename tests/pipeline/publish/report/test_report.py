"""What the report says, against the tables that it was made from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from tests.pipeline.publish.report.conftest import Reported
from tests.pipeline.publish.report.pages import Page
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.report import LIMIT, file_name, workspace_of, write
from winnow.pipeline.publish.set_schemas import SETS
from winnow.pipeline.publish.version import Version
from winnow.pipeline.workspace import Workspace

Report = Callable[..., Page]
Publish = Callable[..., Version]
Sets = dict[str, dict[str, pa.Table]]
SECTIONS = ["The funnel", "Pass rates and lengths, before and after", "Difficulty", "Map of the prompts",
            "What each set preferred", "Verifiers and references in doubt",
            "What was dropped, rule by rule", "Tokens, time and cost", "Recipe and models"]  # fmt: skip


def frame(table: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found


def test_every_section_is_there(ran: Reported) -> None:
    assert ran.page.headings == SECTIONS
    assert len(ran.page.named("section")) == len(SECTIONS)
    links = [a["href"] for a in ran.page.named("a")]
    assert links == [f"#{each['id']}" for each in ran.page.named("section")]


def test_head(ran: Reported) -> None:
    counts = {c["name"]: c["rows"] for c in ran.version.manifest()["counts"]}
    rows = ran.version.rows
    sets = ", ".join(
        f"{name} ({' + '.join(f'{n} {split}' for split, n in sorted(rows[name].items(), reverse=True))})"
        for name in ("preference", "rl", "sft")
    )
    assert (
        f"{counts['source rows']} source rows gave {counts['prompts']} prompts and "
        f"{counts['answers']} answers ({counts['judged correct']} of them judged correct); "
        f"the version holds {sets}."
    ) in ran.page.texts
    assert f'load_dataset("{ran.version.path}", ' in ran.page.text


def test_the_funnel_counts_what_the_ledger_holds(ran: Reported) -> None:
    ledger = frame(ran.version.ledger())
    for name in ("sft", "rl", "preference"):
        (sankey,) = ran.page.figure(f"The way of the source rows into the set {name},")["data"]
        labels = sankey["node"]["label"]
        assert f"source rows {ledger.filter(pl.col('stage') == 'prompts').height}" in labels
        own = ledger.filter(pl.col("stage") == f"training_set/{name}")
        for rule, n in (
            own.filter(pl.col("decision") == "dropped").group_by("rule").len().iter_rows()
        ):
            assert f"{rule} {n}" in labels, (name, rule)
        kept = own.filter(pl.col("decision") == "kept").height
        assert f"{name} {kept}" in labels
        for split, n in ran.version.rows[name].items():
            assert n == 0 or f"{split} {n}" in labels


def test_pass_rates_before_and_after(ran: Reported) -> None:
    figure = ran.page.figure("Pass rates of all prompts and of each set's rows")
    difficulty = frame(ran.workspace.read("difficulty"))
    prompts = frame(ran.workspace.read("prompts", ["task_id", "prompt_id"]))
    rates = difficulty.join(prompts, on="task_id").group_by("prompt_id").agg(pl.mean("pass_rate"))
    names = [trace["name"] for trace in figure["data"]]
    assert names[0] == f"all prompts ({rates['pass_rate'].count()})"
    for trace in figure["data"]:
        assert sum(trace["y"][::2]) == pytest.approx(1), trace["name"]
        assert min(trace["x"]) <= 0.25 and max(trace["x"]) >= 0.75


def test_lengths_of_answers(ran: Reported) -> None:
    figure = ran.page.figure("Lengths of all answers")
    assert figure["layout"]["xaxis"]["title"]["text"] == "answer length in tokens"
    n = sum(ran.version.rows["sft"].values())
    assert f"sft ({n})" in [trace["name"] for trace in figure["data"]]
    assert f"preference ({2 * sum(ran.version.rows['preference'].values())})" in [
        trace["name"] for trace in figure["data"]
    ]


def test_difficulty_by_source(ran: Reported) -> None:
    (box,) = ran.page.figure("Boxes: quartiles")["data"]
    sums = frame(ran.workspace.read("prompts")).filter(pl.col("source") == "sums")
    rates = sums.join(frame(ran.workspace.read("difficulty")), on="task_id")
    # The first source is on top, so last; its prompt in both sources has the mean of two rates.
    assert box["median"][-1] == pytest.approx(rates["pass_rate"].median(), abs=0.13)
    (heat,) = ran.page.figure("Mean pass rate of a source's prompts")["data"]
    assert "a gap: nothing judged, or no prompt." in ran.page.text
    clusters = frame(ran.workspace.read("clusters"))["cluster"].n_unique()
    assert [len(row) for row in heat["z"]] == [clusters] * len(box["median"])


def test_the_map_is_the_table(ran: Reported) -> None:
    data = ran.page.blocks["map-data"]
    clusters = frame(ran.workspace.read("clusters")).sort("prompt_id")
    found = pl.DataFrame({"prompt_id": data["id"], "x": data["x"], "y": data["y"],
                          "cluster": data["cluster"]}).sort("prompt_id")  # fmt: skip
    assert found["prompt_id"].to_list() == clusters["prompt_id"].to_list()
    assert found["cluster"].to_list() == clusters["cluster"].to_list()
    assert found["x"].to_list() == pytest.approx(clusters["x"].to_list(), abs=1e-5)
    kept = {
        set_["name"]: {
            name for name, fate in zip(data["id"], set_["fate"], strict=True) if fate == 0
        }
        for set_ in data["sets"]
    }
    for name, splits in ran.version.rows.items():
        rows = pl.concat([frame(ran.version.table(name, split)) for split in splits])
        assert kept[name] == set(rows["prompt_id"]), name


def test_a_whole_row_holds_answers_verdicts_and_decisions(ran: Reported) -> None:
    data = ran.page.blocks["map-data"]
    assert None not in data["rows"]
    verdicts = frame(ran.workspace.read("verdicts"))
    rollouts = frame(ran.workspace.read("rollouts"))
    ledger = frame(ran.version.ledger())
    prompts = frame(ran.workspace.read("prompts"))
    for prompt, row in zip(data["id"], data["rows"], strict=True):
        own = rollouts.filter(pl.col("prompt_id") == prompt)
        assert [a["index"] for a in row["answers"]] == sorted(own["index"].to_list())
        judged = verdicts.filter(pl.col("rollout_id").is_in(own["rollout_id"].to_list()))
        said = [v["verdict"] for a in row["answers"] for v in a["verdicts"]]
        assert sorted(said) == sorted(judged["verdict"].to_list())
        names = [*own["rollout_id"], *prompts.filter(pl.col("prompt_id") == prompt)["task_id"]]
        assert (
            sum(d["n"] for d in row["decisions"])
            == ledger.filter(pl.col("row_id").is_in(names)).height
        )


def test_preferences_are_shares_of_prompts(ran: Reported) -> None:
    figure = ran.page.figure("Share by source: sft against all prompts")
    everything, own = figure["data"]
    assert sum(everything["x"]) == pytest.approx(1)
    rows = pl.concat([frame(ran.version.table("sft", s)) for s in ran.version.rows["sft"]])
    assert sum(own["x"]) == pytest.approx(1)
    sums = rows.filter(pl.col("source") == "sums")["prompt_id"].n_unique()
    assert own["x"][-1] == pytest.approx(sums / rows["prompt_id"].n_unique(), abs=0.06)


def test_verifiers_that_disagree_and_a_suspect_reference(ran: Reported) -> None:
    text = ran.page.text
    assert "Answers that two verifiers judged, pair by pair." in text
    assert "1 have a suspect reference" in text
    chart = ran.page.figure("How the answers voted")
    assert {trace["name"]: trace["x"] for trace in chart["data"]} == {
        "the answers' own answer": [4], "the reference": [0], "something else": [0],
    }  # fmt: skip
    assert chart["layout"]["yaxis"]["ticktext"] == ["5000 / 4"]


def test_every_rule_that_dropped_has_examples(ran: Reported) -> None:
    summaries = ran.page.texts
    for each in ran.version.manifest()["decisions"]:
        if each["decision"] != "kept":
            title = f"{each['stage']}: {each['rule']}, {each['rows']} {each['decision']}"
            assert title in summaries


def test_costs_and_recipe(ran: Reported) -> None:
    costs = ran.version.run()["costs"]
    bar = ran.page.figure("Seconds per stage")["data"][0]
    assert sum(bar["x"]) == pytest.approx(sum(cost["seconds"] for cost in costs.values()))
    manifest = ran.version.manifest()
    for name in (*manifest["models"].values(), *manifest["inputs"].values()):
        assert name in ran.page.texts
    assert "per_prompt: 1" in ran.page.text


def test_the_same_tables_give_the_same_bytes(ran: Reported, tmp_path: Path) -> None:
    again = write(ran.version, ran.workspace, tmp_path / "again.html")
    assert again.read_bytes() == ran.path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.html"]
    assert len(ran.path.read_bytes()) < LIMIT


def test_more_points_than_the_page_may_have_are_a_sample(ran: Reported, report: Report) -> None:
    page = report(ran.version, ran.workspace, points=10)
    data = page.blocks["map-data"]
    assert {len(data[key]) for key in ("id", "x", "y", "text", "rows", "rate")} == {10}
    whole = ran.page.blocks["map-data"]
    assert set(data["id"]) < set(whole["id"])
    kept = {
        name
        for name, *fates in zip(data["id"], *(s["fate"] for s in data["sets"]), strict=True)
        if 0 in fates
    }
    assert len(kept) >= 5  # half of the points, where so many are kept
    assert f"A sample of 10 of {len(whole['id'])} prompts, drawn with a fixed seed" in page.text
    assert report(ran.version, ran.workspace, points=10).blocks == page.blocks


def test_the_limit_holds_and_the_rows_give_way_first(ran: Reported, tmp_path: Path) -> None:
    from winnow.pipeline.publish.report import page as pages

    whole = len(ran.path.read_bytes())
    without = whole - len(pages.embedded(ran.page.blocks["map-data"]["rows"]).encode())
    for limit, rows, points in ((whole - 5_000, True, True), (without + 1_000, False, True),
                                (without - 3_000, False, False)):  # fmt: skip
        path = write(ran.version, ran.workspace, tmp_path / "small.html", limit=limit)
        assert path.stat().st_size <= limit
        text = path.read_text()
        assert ('id="map-data"' in text) is points
        if points:
            assert "Whole rows are on this page for" in text
            assert ('"messages":[[' in text) is rows
    with pytest.raises(WinnowError, match="the report needs"):
        write(ran.version, ran.workspace, tmp_path / "none.html", limit=1_000_000)
    assert not (tmp_path / "none.html").exists()


def test_from_the_version_alone(ran: Reported, report: Report) -> None:
    page = report(ran.version, None)
    assert page.headings == SECTIONS
    assert "this page shows what the version alone can tell" in page.text
    assert "The stage table that holds the clusters is gone, so there is no map." in page.texts
    assert "map-data" not in page.blocks
    bands = page.figure("Pass rates of all")["data"][0]
    tasks = [each["tasks"] for each in ran.version.manifest()["pass_rates"]]
    assert [y * sum(tasks) for y in bands["y"]] == pytest.approx(tasks)
    assert page.figure("The way of the source rows into the set sft,")


def test_tables_of_another_run_are_not_this_version_s(
    copied: tuple[Version, Workspace], report: Report
) -> None:
    version, work = copied
    table = work.read("clusters")
    work.write("clusters", table.slice(1), "another run")
    page = report(version, work)
    assert "Of the tables that it was made from, these are gone: clusters." in page.texts
    assert "map-data" not in page.blocks
    assert page.figure("Pass rates of all prompts")


def test_a_missing_file_is_named(copied: tuple[Version, Workspace], tmp_path: Path) -> None:
    version, work = copied
    path = version.table_path("sft", "train")
    path.unlink()
    with pytest.raises(WinnowError, match="is missing"):
        write(version, work, tmp_path / "page.html")


def test_a_small_version_with_an_empty_set(
    tmp_path: Path, sets: Sets, published: Publish, report: Report, rows: Any
) -> None:
    version = published(tmp_path / "demo", {**sets, "rl": {"train": rows["rl"](range(0))}})
    page = report(version)
    assert page.headings == SECTIONS
    assert "rl: the ledger holds no decision about it." in page.texts
    none = published(tmp_path / "demo", {"rl": {"train": rows["rl"](range(0))}})
    assert "No pass rate is recorded." in report(none).texts


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", "..", "", "a\0b", 7, None])
def test_a_recipe_s_name_leads_nowhere_else(
    tmp_path: Path, sets: Sets, published: Publish, name: Any
) -> None:
    version = published(tmp_path / "demo", sets, run={"recipe_name": name})
    assert workspace_of(version, tmp_path) is None


def test_the_file_s_name_stays_in_its_folder(tmp_path: Path) -> None:
    version = Version("../../x/.y z", "0" * 16, tmp_path)
    assert file_name(version) == f"_.._x_.y_z-{'0' * 16}.html"


@pytest.mark.parametrize("alone", [True, False])
def test_every_kind_of_set_without_a_row(
    ran: Reported, tmp_path: Path, published: Publish, manifest: Any, report: Report, alone: bool
) -> None:
    sets = {name: {"train": schema.empty_table()} for name, schema in SETS.items()}
    made = manifest(inputs=ran.version.manifest()["inputs"])
    version = published(tmp_path / "demo", sets, manifest=made)
    page = report(version, None if alone else ran.workspace)
    assert page.headings == SECTIONS
    assert ("map-data" in page.blocks) is not alone
    for name in SETS:
        assert f"{name}: the ledger holds no decision about it." in page.texts
