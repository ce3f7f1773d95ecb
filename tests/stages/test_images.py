"""Prompts that show images, from the source through a server that sees them to what trainers load."""

import io
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from winnow.pipeline import upkeep
from winnow.pipeline.clean import cleaning
from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish.export import export
from winnow.pipeline.publish.version import Version
from winnow.pipeline.store.store import StoreLocked
from winnow.pipeline.workspace import open_store
from winnow.stages import chain, prompts
from winnow.stages.base import Context

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def png(*colours: str) -> list[bytes]:
    made = []
    for colour in colours:
        data = io.BytesIO()
        Image.new("RGB", (2, 2), COLOURS[colour]).save(data, "PNG")
        made.append(data.getvalue())
    return made


def context(folder: Path, url: str, engine: str = "", source: Path | None = None) -> Context:
    if source is None:
        (folder / "pictures").mkdir()
        for colour in COLOURS:
            (folder / "pictures" / f"{colour}.png").write_bytes(png(colour)[0])
        rows: list[dict[str, Any]] = [
            {"question": "Which colour?", "shown": "pictures/red.png", "answer": "red"},
            {"question": "Which colour?", "shown": ["pictures/green.png"], "answer": "green"},
            {"question": "<image> and then <image>: name them.", "shown": ["pictures/red.png", "pictures/blue.png"],
             "answer": "red blue"},
            {"question": "What is 2 + 2?", "answer": "4"},
            {"question": "Which?", "shown": "pictures/missing.png", "answer": "red"},
            {"question": "Which colour?", "shown": "pictures/red.png", "answer": "red"},
        ]  # fmt: skip
        source = folder / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = folder / "colours.yaml"
    recipe.write_text(
        f"""
dataset: colours
sources:
  - type: dataset
    name: colours
    path: {source}
    columns: {{prompt: question, images: shown}}
    verifier: exact
clean: {{dedup: {{method: minhash}}}}
engine: {engine or f'{{type: openai, model: stub, base_url: "{url}"}}'}
sampling: {{n: 8, max_tokens: 16}}
sets: {{sft: {{uds: false, verdicts: any}}, rl: {{}}, preference: {{}}}}
formats:
  for_trl: {{type: trl_prompt_completion, set: sft}}
  for_verl: {{type: verl, set: rl}}
  for_factory: {{type: sharegpt, set: sft}}
"""
    )
    return Context.of(recipe, folder / "home")


def published(ctx: Context) -> Version:
    return chain.run(ctx).version


def first_pixels(images: list[Any]) -> list[Any]:
    return [image.convert("RGB").getpixel((0, 0)) for image in images]


def test_images_go_all_the_way(tmp_path: Path, stub_server: Any) -> None:
    ctx = context(tmp_path, stub_server.url)
    version = published(ctx)

    ledger = {row["detail"]: row for row in ctx.workspace.read("prompts_ledger").to_pylist()}
    dropped = {row["rule"] for row in ledger.values() if row["decision"] == "dropped"}
    assert dropped == {"bad_image", "duplicate"}  # equal texts with other images are no duplicates
    table = ctx.workspace.read("prompts").to_pylist()
    shown = {row["answer"]: row["images"] for row in table}
    assert set(shown) == {"red", "green", "red blue", "4"}
    assert shown["4"] is None
    assert shown["red blue"][0] == shown["red"][0]

    # The server looks at the pixels: its right answers are right because it was sent the images.
    rates = {row["task_id"]: row for row in ctx.workspace.read("difficulty").to_pylist()}
    correct = {row["answer"]: rates[row["task_id"]]["n_correct"] for row in table}
    assert correct["red"] == correct["green"] == 8
    assert 0 < correct["red blue"] < 8

    for name in ("sft", "rl", "preference", "for_trl", "for_factory", "for_verl"):
        rows = datasets.load_dataset(str(version.path), name, split="train")
        assert rows.features["images"] == datasets.List(datasets.Image())
        streamed = datasets.load_dataset(str(version.path), name, split="train", streaming=True)
        for row in (*rows, *streamed):
            text = json.dumps([row.get("prompt"), row.get("messages"), row.get("conversations")])
            marks = text.count("<image>")
            if name != "for_trl":
                assert marks == len(row["images"])
            if "name them" in text:
                assert first_pixels(row["images"]) == [COLOURS["red"], COLOURS["blue"]]
    trl = datasets.load_dataset(str(version.path), "for_trl", split="train")
    single = next(row for row in trl if len(row["images"]) == 1)
    assert single["prompt"][-1]["content"] == [
        {"type": "image", "text": None},
        {"type": "text", "text": "Which colour?"},
    ]


def test_trl_puts_the_images_where_they_belong(tmp_path: Path, stub_server: Any) -> None:
    trl = pytest.importorskip("trl.data_utils", reason="TRL is not installed")
    version = published(context(tmp_path, stub_server.url))
    rows = datasets.load_dataset(str(version.path), "for_trl", split="train")
    for row in rows:
        both = [*row["prompt"], *row["completion"]]
        made = trl.prepare_multimodal_messages(both, row["images"])
        parts = [part for message in made for part in message["content"]]
        assert [part["image"] for part in parts if part["type"] == "image"] == row["images"]
    named = next(row for row in rows if len(row["images"]) == 2)
    told = [part["text"] for part in named["prompt"][-1]["content"]]
    assert told == [None, " and then ", None, ": name them."]


def test_an_export_has_the_files(tmp_path: Path, stub_server: Any) -> None:
    version = published(context(tmp_path, stub_server.url))
    done = export(version, "sharegpt", tmp_path / "out", set_name="sft")
    rows = json.loads((done.path / "train.json").read_text())
    named = {name for row in rows for name in row["images"]}
    assert sorted((done.path / name).read_bytes() for name in named) == sorted(png(*COLOURS))


def test_a_run_that_goes_on_asks_nothing_twice(tmp_path: Path, stub_server: Any) -> None:
    ctx = context(tmp_path, stub_server.url)
    first = published(ctx)
    asked = len(stub_server.seeds())
    again = context(tmp_path, stub_server.url, source=tmp_path / "rows.jsonl")
    assert all(run(again).skipped for run in chain.STAGES.values())
    assert published(again).id == first.id
    assert len(stub_server.seeds()) == asked == 8 * 4

    # A file that changes under its name is another image, and so another prompt.
    (tmp_path / "pictures" / "green.png").write_bytes(png("blue")[0])
    assert not prompts.run(again).skipped
    assert published(again).id != first.id
    assert len(stub_server.seeds()) == asked + 8

    # What no run shows any more is garbage; versions hold their own.
    assert len(upkeep.find(ctx.workspace.home).rows["images"]) == 1
    upkeep.collect(ctx.workspace.home)
    with open_store(ctx.workspace.home, "images") as store:
        assert store.count() == 2
    assert len(datasets.load_dataset(str(first.path), "sft", split="train")) > 0


def test_nothing_is_collected_before_the_prompts_name_their_images(
    tmp_path: Path, stub_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = context(tmp_path, stub_server.url)
    clean = cleaning.clean

    def beside(*args: Any, **more: Any) -> Any:
        with pytest.raises(StoreLocked):
            upkeep.collect(ctx.workspace.home)
        return clean(*args, **more)

    monkeypatch.setattr(cleaning, "clean", beside)
    prompts.run(ctx)
    upkeep.collect(ctx.workspace.home)
    with open_store(ctx.workspace.home, "images") as store:
        assert store.count() == len(COLOURS)


def test_images_embedded_in_parquet(tmp_path: Path, stub_server: Any) -> None:
    red, blue = png("red", "blue")
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({
        "question": ["Which colour?"] * 2, "answer": ["red", "blue"],
        "shown": pa.array([{"bytes": red, "path": "a.png"}, {"bytes": blue, "path": None}], struct),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "rows.parquet")
    version = published(context(tmp_path, stub_server.url, source=tmp_path / "rows.parquet"))
    rows = datasets.load_dataset(str(version.path), "sft", split="train")
    assert {tuple(first_pixels(row["images"])[0]) for row in rows} == {
        COLOURS["red"],
        COLOURS["blue"],
    }


def test_an_image_that_is_gone_is_said(tmp_path: Path, stub_server: Any) -> None:
    ctx = context(tmp_path, stub_server.url)
    prompts.run(ctx)
    (ctx.workspace.home / ".store" / "images.sqlite").unlink()
    with pytest.raises((WinnowError, ExceptionGroup)) as error:
        published(ctx)
    assert "is not there; `winnow run`" in str(getattr(error.value, "exceptions", [error.value])[0])


def test_the_embedded_engine_says_that_it_reads_text_only(tmp_path: Path) -> None:
    ctx = context(tmp_path, "", engine="{type: vllm}")
    with pytest.raises(UsageError, match=r"columns.images.*vllm serve MODEL"):
        prompts.run(ctx)


def test_a_view_that_has_no_place_for_images_is_refused_before_anything_is_drawn(
    tmp_path: Path,
) -> None:
    ctx = context(tmp_path, "http://127.0.0.1:9/v1")
    text = (tmp_path / "colours.yaml").read_text()
    (tmp_path / "colours.yaml").write_text(text + "  chat: {type: openai_chat, set: sft}\n")
    with pytest.raises(UsageError, match=r"formats.chat: set sft: has images"):
        Context.of(tmp_path / "colours.yaml", ctx.workspace.home)
    (tmp_path / "colours.yaml").write_text(text + "  chat: {type: openai_chat}\n")
    with pytest.raises(UsageError, match=r"no set fits: sft has images, for which openai_chat"):
        Context.of(tmp_path / "colours.yaml", ctx.workspace.home)
