"""Views of a published version: loaded by `datasets`, recorded, reproducible, linked."""

import json
import random
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline import recipe
from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.diff import diff
from winnow.pipeline.publish.formats import adp
from winnow.pipeline.publish.formats.base import without_nulls
from winnow.pipeline.publish.version import Version, read_sums, verify_version
from winnow.pipeline.publish.views import ViewRequest

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Load = Callable[..., Any]

VIEWS = {
    "lm": ViewRequest("sft", "trl_language_modeling"),
    "text": ViewRequest("sft", "trl_language_modeling", "standard", provenance=False),
    "ask": ViewRequest("rl", "trl_prompt_only"),
    "answer": ViewRequest("sft", "trl_prompt_completion"),
    "pairs": ViewRequest("preference", "trl_preference"),
    "labels": ViewRequest("preference", "trl_unpaired_preference"),
    "verl": ViewRequest("rl", "verl"),
    "tulu": ViewRequest("rl", "open_instruct"),
    "openai": ViewRequest("sft", "openai_chat"),
    "sharegpt": ViewRequest("sft", "sharegpt"),
    "alpaca": ViewRequest("preference", "alpaca"),
    "adp": ViewRequest("sft", "adp"),
}


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    import datasets

    def refuse(self: Any, address: Any) -> None:
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.socket.connect_ex", refuse)
    datasets.disable_progress_bars()

    def call(path: Path, name: str | None = None, **given: Any) -> Any:
        return datasets.load_dataset(str(path), name, cache_dir=str(tmp_path / "cache"), **given)

    return call


def test_every_view_loads_also_streaming(
    tmp_path: Path, sets: Sets, published: Publish, load: Load
) -> None:
    import datasets

    version = published(tmp_path / "demo", sets, views=VIEWS)
    names = datasets.get_dataset_config_names(str(version.path))
    assert names == ["sft", "rl", "preference", *sorted(VIEWS)]
    for name, request in VIEWS.items():
        rows = load(version.path, name, split="train")
        per_row = 2 if name == "labels" else 1
        assert rows.num_rows == sets[request.set]["train"].num_rows * per_row
        assert rows.column_names == version.table(name).column_names
        assert rows.to_list() == version.table(name).to_pylist()
        assert list(load(version.path, name, split="train", streaming=True)) == rows.to_list()
    assert load(version.path, "answer", split="holdout").num_rows == 10
    assert list(load(version.path, "ask")) == ["train"]  # its holdout has no rows


def test_the_manifest_and_the_sums_know_them(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    version = published(tmp_path / "demo", sets, views=VIEWS)
    views = version.manifest()["views"]
    assert set(views) == set(VIEWS)
    assert {key: views["text"][key] for key in ("set", "type", "style", "provenance")} == {
        "set": "sft", "type": "trl_language_modeling", "style": "standard", "provenance": False
    }  # fmt: skip
    assert views["lm"]["style"] == "conversational"
    sums = read_sums(version.path)
    for name, entry in views.items():
        for split, facts in entry["splits"].items():
            path = version.path / name / f"{split}.parquet"
            assert (facts["rows"], facts["bytes"]) == (
                pq.read_metadata(path).num_rows, path.stat().st_size
            )  # fmt: skip
            assert sums[f"{name}/{split}.parquet"] == facts["sha256"]
    assert version.views["labels"] == {"train": 10}
    assert set(version.rows) == set(sets)
    assert verify_version(version.path) == []
    (version.path / "verl" / "train.parquet").chmod(0o644)
    (version.path / "verl" / "train.parquet").write_bytes(b"x")
    assert "verl/train.parquet: is damaged" in verify_version(version.path)[0]


def test_closed_columns_have_their_provenance_beside(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    version = published(tmp_path / "demo", sets, views=VIEWS)
    rows = version.table("openai")
    beside = pq.read_table(version.path / "openai" / "train.provenance.parquet")
    assert rows.column_names == ["messages"]
    assert beside["winnow_id"].to_pylist() == version.table("sft")["id"].to_pylist()
    facts = version.manifest()["views"]["openai"]["splits"]["train"]
    assert (
        read_sums(version.path)["openai/train.provenance.parquet"] == facts["provenance"]["sha256"]
    )
    bare = {"openai": ViewRequest("sft", "openai_chat", provenance=False)}
    version = published(tmp_path / "bare", sets, views=bare)
    assert sorted(p.name for p in (version.path / "openai").iterdir()) == [
        "holdout.parquet", "train.parquet"
    ]  # fmt: skip


def test_every_row_says_where_it_is_from_unless_told_not_to(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    version = published(tmp_path / "demo", sets, views=VIEWS)
    wanted = {"policy": "model@1", "template": "t", "sampler": "{}", "verifier": "reasoning_gym"}
    for name in VIEWS:
        table = version.table(name)
        if name == "openai":
            table = pq.read_table(version.path / name / "train.provenance.parquet")
        found = table.to_pylist()[0]
        found = found.get("extra_info", found)
        if "details" in found:
            found = json.loads(found["details"])
        told = {key: found.get(key) for key in wanted}
        assert told == (dict.fromkeys(wanted) if name == "text" else wanted), name
        assert ("winnow_id" in found) == (name != "text")


def backwards(table: pa.Table) -> pa.Table:
    order = list(range(table.num_rows))
    random.Random(1).shuffle(order)
    cut = table.num_rows // 3
    rows = table.take(pa.array(order, pa.int64()))
    return pa.concat_tables([rows.slice(cut), rows.slice(0, cut)])


def test_a_rebuild_from_shuffled_rows_gives_the_same_bytes(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    first = published(tmp_path / "a", sets, views=VIEWS)
    turned = {
        name: {split: backwards(table) for split, table in splits.items()}
        for name, splits in reversed(sets.items())
    }
    second = published(tmp_path / "b", turned, views=dict(reversed(VIEWS.items())))
    assert first.id == second.id
    assert read_sums(first.path) == read_sums(second.path)


def test_views_of_a_linked_set_are_linked(tmp_path: Path, sets: Sets, published: Publish) -> None:
    first = published(tmp_path / "demo", sets, views=VIEWS)
    renamed = {**VIEWS, "conversations": VIEWS["lm"]}
    del renamed["lm"]
    second = published(
        tmp_path / "demo", {"rl": sets["rl"]}, views=renamed,
        reuse={"sft": first, "preference": first},
    )  # fmt: skip
    assert verify_version(second.path) == []

    def node(version: Version, file: str) -> int:
        return (version.path / file).stat().st_ino

    for file in ("answer/train.parquet", "openai/train.provenance.parquet", "adp/holdout.parquet"):
        assert node(second, file) == node(first, file)
    assert node(second, "conversations/train.parquet") == node(first, "lm/train.parquet")
    assert node(second, "verl/train.parquet") != node(first, "verl/train.parquet")
    assert (
        read_sums(second.path)["verl/train.parquet"] == read_sums(first.path)["verl/train.parquet"]
    )


def test_views_made_by_other_code_or_options_are_made_anew(
    tmp_path: Path, sets: Sets, published: Publish, manifest: Callable[..., dict[str, Any]]
) -> None:
    first = published(tmp_path / "demo", sets, views={"lm": VIEWS["lm"]})
    for views, made in (
        ({"lm": VIEWS["lm"]}, manifest(code_version="9")),
        ({"lm": VIEWS["text"]}, manifest()),
    ):
        second = published(
            tmp_path / "demo", {}, views=views, manifest=made,
            reuse=dict.fromkeys(("sft", "rl", "preference"), first),
        )  # fmt: skip
        nodes = {v.path.joinpath("lm/train.parquet").stat().st_ino for v in (first, second)}
        assert len(nodes) == 2
        assert verify_version(second.path) == []


def test_diff_of_versions_with_other_views(
    tmp_path: Path,
    sets: Sets,
    published: Publish,
    manifest: Callable[..., dict[str, Any]],
    recipe_text: str,
) -> None:
    text = f"{recipe_text}formats: {{chat: {{type: openai_chat}}}}\n"
    made = manifest(text)
    before = published(tmp_path / "demo", sets)
    after = published(tmp_path / "demo", sets, manifest=made, views=recipe.parse(text).views())
    found = diff(before, after)
    assert all(each.same for each in found.sets)
    told = {change.key: (change.before, change.after) for change in found.recipe}
    assert told["formats.chat.type"] == (None, "openai_chat")
    assert "kept from an earlier version" not in (after.path / "README.md").read_text()
    back = diff(after, before)
    assert all(each.same for each in back.sets)


def test_the_card_shows_them(tmp_path: Path, sets: Sets, published: Publish) -> None:
    views = {"a|b": VIEWS["lm"]}
    with pytest.raises(UsageError, match=r"a\|b: cannot be the name"):
        published(tmp_path / "demo", sets, views=views)
    version = published(tmp_path / "demo", sets, views={"text": VIEWS["text"]})
    text = (version.path / "README.md").read_text()
    assert "| text | sft | trl_language_modeling standard | train | 50 |" in text
    assert "| text | string | The conversation as plain text, prompt and answer. |" in text
    assert "size_categories:\n- n<1K" in text  # rows of views are no further rows
    assert "row for row" not in text and "(views do not have it)" in text


def test_the_card_names_the_files_beside(tmp_path: Path, sets: Sets, published: Publish) -> None:
    version = published(tmp_path / "demo", sets, views={"chat": ViewRequest("sft", "openai_chat")})
    text = (version.path / "README.md").read_text()
    [line] = [each for each in text.splitlines() if "row for row" in each]
    named = re.findall(r"chat/\S+?\.parquet", line)
    assert named == ["chat/train.provenance.parquet", "chat/holdout.provenance.parquet"]
    assert all((version.path / each).is_file() for each in named)


@pytest.mark.parametrize(
    ("views", "match"),
    [
        ({"sft": VIEWS["lm"]}, "formats.sft: is the name of a set"),
        ({"SFT": VIEWS["lm"]}, "formats.SFT: is the name of a set"),
        ({"x": ViewRequest("gone", "adp")}, "formats.x: there is no set 'gone'"),
        ({"run.json": VIEWS["lm"]}, "run.json: cannot be the name"),
        ({"Recipe.yaml": VIEWS["lm"]}, "Recipe.yaml: cannot be the name"),
        ({"x": ViewRequest("rl", "adp")}, r"adp: lacks messages \(messages\)"),
    ],
)
def test_names_and_sets_that_cannot_be(
    tmp_path: Path, sets: Sets, published: Publish, views: Mapping[str, ViewRequest], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        published(tmp_path / "demo", sets, views=views)
    assert [p for p in (tmp_path / "demo").glob("*") if not p.name.startswith(".")] == []


def test_images_are_pictures_for_who_loads_them(
    tmp_path: Path, published: Publish, load: Load, made: dict[str, Callable[..., Any]]
) -> None:
    import datasets

    table = made["image_set"]()
    requests = {
        "lm": ViewRequest("sft", "trl_language_modeling"),
        "answer": ViewRequest("sft", "trl_prompt_completion", "standard"),
        "sharegpt": ViewRequest("sft", "sharegpt"),
        "alpaca": ViewRequest("sft", "alpaca"),
    }
    version = published(tmp_path / "demo", {"sft": {"train": table}}, views=requests)
    for name in ("sft", *requests):
        rows = load(version.path, name, split="train")
        assert rows.features["images"] == datasets.List(datasets.Image())
        sizes = [[image.getpixel((0, 0)) for image in images] for images in rows["images"]]
        assert sizes == [[(255, 0, 0)], [(0, 0, 255), (255, 0, 0)]]
        streamed = next(iter(load(version.path, name, split="train", streaming=True)))
        assert streamed["images"][0].size == (2, 2)
    for format in ("openai_chat", "adp"):
        with pytest.raises(UsageError, match=f"{format}: has images"):
            published(
                tmp_path / "no", {"sft": {"train": table}}, views={"x": ViewRequest("sft", format)}
            )


def test_tools_and_trajectories_survive_publishing(
    tmp_path: Path, published: Publish, load: Load, made: dict[str, Callable[..., Any]]
) -> None:
    table = made["tool_set"](made["with_tools"]())
    requests = {name: ViewRequest("agent", name) for name in
                ("trl_language_modeling", "openai_chat", "sharegpt", "adp")}  # fmt: skip
    version = published(tmp_path / "demo", {"agent": {"train": table}}, views=requests)
    wanted = [without_nulls(m) for m in made["with_tools"]()]
    rows = load(version.path, "trl_language_modeling", split="train")
    assert [without_nulls(m) for m in rows[0]["messages"]] == wanted
    assert json.loads(rows[0]["tools"])[0]["function"]["name"] == "weather"
    [back] = adp.message_rows(version.table_path("adp", "train")).to_pylist()
    assert [without_nulls(m) for m in back["messages"]] == wanted
