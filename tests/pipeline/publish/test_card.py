import json
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt

from winnow.pipeline import recipe
from winnow.pipeline.publish import card
from winnow.pipeline.publish.set_schemas import RL, SFT
from winnow.pipeline.publish.version import Version

Sets = dict[str, dict[str, pa.Table]]
Publish = Callable[..., Version]
Rows = Mapping[str, Callable[..., pa.Table]]
Manifest = Callable[..., dict[str, Any]]
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def read(version: Version) -> DatasetCard:
    return DatasetCard((version.path / "README.md").read_text("utf-8"))


def test_header(tmp_path: Path, sets: Sets, published: Publish) -> None:
    header = read(published(tmp_path / "demo", sets)).data.to_dict()
    configs = header.pop("configs")
    assert header == {
        "pretty_name": "demo",
        "license": ["apache-2.0", "mit"],
        "task_categories": ["text-generation", "reinforcement-learning"],
        "size_categories": ["n<1K"],
        "tags": ["winnow", "synthetic", "sft", "rl", "preference"],
    }
    assert [(c["config_name"], [(f["split"], f["path"]) for f in c["data_files"]])
            for c in configs] == [
        ("sft", [("train", "sft/train.parquet"), ("holdout", "sft/holdout.parquet")]),
        ("rl", [("train", "rl/train.parquet")]),
        ("preference", [("train", "preference/train.parquet")]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["MIT", "mit"], "mit"),
        (["mit", "cc-by-4.0"], ["cc-by-4.0", "mit"]),
        ([None, None], None),
        (["mit", None], "other"),
        (["mit", "<script>"], "other"),
        (["a\n---\nb"], "other"),
        (["Our own terms"], "other"),
    ],
)
def test_licence(
    manifest: Manifest, licences: list[str | None], expected: str | list[str] | None
) -> None:
    sources = [{"name": str(n), "licence": each, "prompts": 1} for n, each in enumerate(licences)]
    text = card.render({**manifest(), "sources": sources, "decisions": [], "sets": {}}, {})
    assert DatasetCard(text).data.to_dict().get("license") == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (999_999, "100K<n<1M"),
     (1_000_000, "1M<n<10M"), (10**12, "n>1T")],
)  # fmt: skip
def test_size_category(manifest: Manifest, rows: int, expected: str) -> None:
    entry = {
        "settings": {"type": "rl"},
        "splits": {"train": {"rows": rows, "bytes": 1, "sha256": "0"}},
        "made_with": "x",
    }
    text = card.render({**manifest(), "decisions": [], "sets": {"rl": entry}}, {"rl": RL})
    assert DatasetCard(text).data.to_dict()["size_categories"] == [expected]


def test_text(tmp_path: Path, sets: Sets, rows: Rows, published: Publish) -> None:
    ledger = rows["ledger"](
        *(("r", "training_set/sft", "dropped", "pass_rate", str(k), "0.9") for k in range(1234))
    )
    text = read(published(tmp_path / "demo", sets, ledger=ledger)).text
    for line in [
        "# demo",
        "A demonstration.",
        "Second paragraph.",
        "| training_set/sft | dropped | pass_rate | 1,234 |",
        "| rows in | 40 |",
        "| leg_counting | apache-2.0 | 20 |",
        "| Model: policy | model&#64;1 |",
        "| Verifiers | math&#64;1, reasoning_gym&#64;1 |",
        "| Seed: sources&#91;leg_counting&#93;.seed | 5 |",
        'rows = load_dataset("path/to/this/folder", "sft", split="train")',
        "| chosen | list of (role: string, content: string) | An answer that was judged correct. |",
        "| winnow | 0.1.0 |",
    ]:
        assert line in text.splitlines(), line
    for field in SFT:
        assert f"| {field.name} | " in text
    assert text.count("█") == 5 * 30  # five bands with one task each, all as long


def test_its_two_lines_load_the_set(
    tmp_path: Path, sets: Sets, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = published(tmp_path / "demo", sets)
    code = next(
        token.content
        for token in MARKDOWN.parse(read(version).text)
        if token.type == "fence" and token.info == "python"
    )
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    script = tmp_path / "load.py"
    script.write_text(code.replace("path/to/this/folder", str(version.path)))
    names = runpy.run_path(str(script))
    assert names["rows"].num_rows == 50


def test_its_recipe_is_the_recipe(
    tmp_path: Path, sets: Sets, published: Publish, recipe_text: str
) -> None:
    tokens = MARKDOWN.parse(read(published(tmp_path / "demo", sets)).text)
    found = [t.content for t in tokens if t.type == "fence" and t.info == "yaml"]
    assert [recipe.parse(text) for text in found] == [recipe.parse(recipe_text)]


def test_a_function_of_the_manifest_that_was_written(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    version = published(tmp_path / "demo", sets)
    schemas = {name: pq.read_schema(version.table_path(name, "train")) for name in sets}
    manifest = json.loads((version.path / "manifest.json").read_bytes())
    assert card.render(manifest, schemas) == (version.path / "README.md").read_text()


HOSTILE = "<script>alert(1)</script> | ` ``` \n---\n# Head [x](http://evil.example) ![i](//e) \ud800\u202e"


def test_hostile_text_stays_text(
    tmp_path: Path, sets: Sets, rows: Rows, published: Publish, manifest: Manifest, recipe_text: str
) -> None:
    honest = MARKDOWN.parse(read(published(tmp_path / "honest", sets)).text)
    given = recipe_text.replace("licence: mit", f"licence: {json.dumps(HOSTILE)}")
    given = given.replace("A demonstration.", "<img src=x onerror=alert(1)> ```\n  ---\n  # no")
    made = manifest(
        given,
        code_version=HOSTILE,
        models={"policy": HOSTILE},
        verifiers=[HOSTILE],
        counts={HOSTILE: 1},
        prompts_by_source={"file": 2},
    )
    assert made["sources"][1]["licence"] == HOSTILE
    table = sets["sft"]["train"]
    field = table.schema.field("weight").with_metadata(
        {"meaning": HOSTILE.encode("utf-8", "replace")}
    )
    evil = table.set_column(2, field, table["weight"])
    ledger = rows["ledger"](("r", HOSTILE[:-2], "dropped", HOSTILE[:-2]))
    version = published(
        tmp_path / "demo",
        {**sets, "sft": {"train": evil}},
        manifest=made,
        ledger=ledger,
    )
    found = read(version)
    assert found.data.to_dict()["license"] == "other"
    assert set(yaml.safe_load((version.path / "README.md").read_text().split("---\n")[1])) == {
        "pretty_name", "license", "task_categories", "size_categories", "tags", "configs"
    }  # fmt: skip
    tokens = MARKDOWN.parse(found.text)
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds == {child.type for token in honest for child in token.children or []}
    assert not {"html_inline", "link_open", "image"} & kinds
    assert "html_block" not in {token.type for token in tokens}
    headings = [t.content for t, before in zip(tokens[1:], tokens, strict=False)
                if before.type == "heading_open"]  # fmt: skip
    assert headings == [t.content for t, before in zip(honest[1:], honest, strict=False)
                        if before.type == "heading_open"]  # fmt: skip
    assert [t.info for t in tokens if t.type == "fence"] == ["python", "yaml"]


def test_evaluation_sets_that_were_looked_for(manifest: Manifest) -> None:
    plain = {**manifest(), "decisions": [], "sets": {}}
    assert "No evaluation set was looked for" in card.render(plain, {})
    row = {"set": "math|500", "rule": "coverage", "items": 500, "items_hit": 3, "turns_hit": 7}
    text = card.render({**plain, "decontamination": [row]}, {})
    assert "No evaluation set" not in text
    [table] = [part for part in MARKDOWN.render(text).split("<table>") if "Items found" in part]
    cells = ["math|500", "coverage", "500", "3", "7"]
    assert [f">{cell}</td>" in table for cell in cells] == [True] * 5
