import json
import runpy
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard, DatasetCardData, metadata_load
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
        "annotations_creators": ["machine-generated"],
        "language_creators": ["found", "machine-generated"],
        "source_datasets": ["original"],
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


def test_the_header_speaks_the_hubs_own_words(
    tmp_path: Path, sets: Sets, published: Publish, manifest: Manifest
) -> None:
    """Values that the Hub and `datasets` list are among those listed; the Hub's own check is behind
    `DatasetCard.validate`, which asks it over the network."""
    made = manifest(languages={"en": 90, "fr": 8, "de": 1, "und": 30}, hub_ids={"file": "org/rows"})
    version = published(tmp_path / "demo", sets, manifest=made)
    loaded = DatasetCard.load(version.path / "README.md")
    data = loaded.data.to_dict()
    assert metadata_load(version.path / "README.md") == data
    assert DatasetCardData(**data).to_dict() == data
    assert data["language"] == ["en", "fr"] and data["multilinguality"] == ["multilingual"]
    assert data["source_datasets"] == ["org/rows", "original"]
    known = json.loads(files("datasets.utils.resources").joinpath("languages.json").read_text())
    assert set(data["language"]) <= set(known)
    sizes = json.loads(
        files("datasets.utils.resources").joinpath("size_categories.json").read_text()
    )
    assert set(data["size_categories"]) <= set(sizes)
    creators = json.loads(files("datasets.utils.resources").joinpath("creators.json").read_text())
    assert set(data["annotations_creators"]) <= set(creators["annotations"])
    assert set(data["language_creators"]) <= set(creators["language"])
    kinds = json.loads(
        files("datasets.utils.resources").joinpath("multilingualities.json").read_text()
    )
    assert set(data["multilinguality"]) <= set(kinds)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (999_999, "100K<n<1M"),
     (1_000_000, "1M<n<10M"), (10**9, "1B<n<10B"), (10**12, "n>1T")],
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
        "| leg_counting |  | apache-2.0 | permissive | 20 |",
        "| Model: policy | model&#64;1 |",
        "| Verifiers | math&#64;1, reasoning_gym&#64;1 |",
        "| Seed: sources&#91;leg_counting&#93;.seed | 5 |",
        'rows = load_dataset("path/to/this/folder", "sft", split="train")',
        "| prompt | list of (role: string, content: string) | The conversation that the policy continues. |",
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


def test_what_holds_no_rows_is_named(
    tmp_path: Path, sets: Sets, rows: Rows, published: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the card, because `datasets` says no more than that the split "corresponds to no data"."""
    sets["preference"]["train"] = rows["preference"](range(0))
    version = published(tmp_path / "demo", sets)
    loading = section(read(version).text, "How to load it")
    assert "rl (holdout), preference have no rows, and `datasets` opens no split" in loading
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for name, split in (("rl", "holdout"), ("preference", "train")):
        with pytest.raises(ValueError, match=r"no data|Unknown split"):
            load_dataset(str(version.path), name, split=split)
    none = {name: {"train": table["train"].slice(0, 0)} for name, table in sets.items()}
    loading = section(read(published(tmp_path / "none", none)).text, "How to load it")
    assert "sft, rl, preference have no rows" in loading
    del sets["preference"], sets["rl"]["holdout"]
    assert "no rows" not in read(published(tmp_path / "all", sets)).text


def test_its_recipe_is_the_recipe(
    tmp_path: Path, sets: Sets, published: Publish, recipe_text: str
) -> None:
    version = published(tmp_path / "demo", sets)
    text = read(version).text
    assert "`winnow run path/to/this/folder/recipe.yaml` (winnow 0.1.0)" in text
    file = version.path / "recipe.yaml"
    assert recipe.load(file) == recipe.parse(recipe_text)
    assert file.read_text().startswith("# winnow 0.1.0\n")
    tokens = MARKDOWN.parse(text)
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
        "pretty_name", "license", "license_name", "annotations_creators", "language_creators",
        "source_datasets", "task_categories", "size_categories", "tags", "configs",
    }  # fmt: skip
    tokens = MARKDOWN.parse(found.text)
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {child.type for token in honest for child in token.children or []}
    assert not {"html_inline", "link_open", "image"} & kinds
    assert "html_block" not in {token.type for token in tokens}
    headings = [t.content for t, before in zip(tokens[1:], tokens, strict=False)
                if before.type == "heading_open"]  # fmt: skip
    assert headings == [t.content for t, before in zip(honest[1:], honest, strict=False)
                        if before.type == "heading_open"]  # fmt: skip
    assert [t.info for t in tokens if t.type == "fence"] == ["python", "bibtex", "yaml"]


def test_evaluation_sets_that_were_looked_for(manifest: Manifest) -> None:
    plain = {**manifest(), "decisions": [], "sets": {}}
    assert "No evaluation set was looked for" in card.render(plain, {})
    row = {"set": "math|500", "rule": "coverage", "items": 500, "items_hit": 3, "turns_hit": 7}
    text = card.render({**plain, "decontamination": [row]}, {})
    assert "No evaluation set" not in text
    [table] = [part for part in MARKDOWN.render(text).split("<table>") if "Items found" in part]
    cells = ["math|500", "coverage", "500", "3", "7"]
    assert [f">{cell}</td>" in table for cell in cells] == [True] * 5


PICTURES = {"pass-rates.png": b"first", "clusters.png": b"second"}


def test_pictures_are_files_of_the_version_and_have_a_text_beside_them(
    tmp_path: Path, sets: Sets, published: Publish, manifest: Manifest
) -> None:
    made = manifest(clusters=[9, 7, *[1] * 12])
    version = published(tmp_path / "demo", sets, manifest=made, pictures=PICTURES)
    tokens = MARKDOWN.parse(read(version).text)
    images = [c for token in tokens for c in token.children or [] if c.type == "image"]
    assert [image.attrs["src"] for image in images] == ["card/pass-rates.png", "card/clusters.png"]
    assert all(len(image.content) > 30 for image in images)
    for name, data in PICTURES.items():
        assert (version.path / "card" / name).read_bytes() == data
        assert f"card/{name}" in (version.path / "SHA256SUMS").read_text()
    assert version.manifest()["pictures"] == sorted(PICTURES)
    text = read(version).text
    assert "| 1 | 7 |" in text and "| 4 smaller ones | 4 |" in text


def test_other_pictures_make_another_version(
    tmp_path: Path, sets: Sets, published: Publish
) -> None:
    ids = {
        published(tmp_path / "demo", sets, pictures=pictures).id
        for pictures in (None, PICTURES, {**PICTURES, "clusters.png": b"third"})
    }
    assert len(ids) == 3


def test_a_picture_that_no_card_shows(tmp_path: Path, sets: Sets, published: Publish) -> None:
    with pytest.raises(ValueError, match="no picture that the card shows"):
        published(tmp_path / "demo", sets, pictures={"../x.png": b""})
    assert [path.name for path in (tmp_path / "demo").iterdir()] == []


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("licences", "words"),
    [
        (["mit", "cc-by-nc-4.0"], ["**cc-by-nc-4.0** (no commercial use)", "| s0 |  | mit | permissive |"]),
        (["cc-by-sa-4.0", "cc-by-nc-4.0"], ["Rows under cc-by-sa-4.0 ask for share-alike as well."]),
        (["mit", None], ["**The licence of the whole is unknown**: s1 states none",
                         "the most restrictive is mit (permissive)", "| not stated | unknown |"]),
        ([None], ["**The licence of the whole is unknown**: s0 states none"]),
        (["mit", None, None], ["**The licence of the whole is unknown**: s1 and s2 state none"]),
        (["cc-by-nd-4.0"], ["ask its owner before you publish this"]),
        (["Our terms"], ["Our terms, with terms of its own to read"]),
    ],
)  # fmt: skip
def test_the_licence_in_words(
    manifest: Manifest, licences: list[str | None], words: list[str]
) -> None:
    sources = [{"name": f"s{n}", "licence": each, "prompts": 1} for n, each in enumerate(licences)]
    text = card.render({**manifest(), "sources": sources, "decisions": [], "sets": {}}, {})
    found = section(text, "Sources and licence")
    assert [word for word in words if word not in found] == []


def test_how_it_was_made_in_words(manifest: Manifest, recipe_text: str) -> None:
    plain = section(card.render({**manifest(), "decisions": [], "sets": {}}, {}), "How it was made")
    assert (
        "36 prompts came from 2 sources. model&#64;1 answered them, at most 4 times each." in plain
    )
    more = recipe_text + (
        "clean: {filters: {}, dedup: {}}\n"
        "sampling: {n: 9, stop: [{type: until_k_correct}], steer: {type: prop2diff}}\n"
    )
    text = section(
        card.render({**manifest(more), "decisions": [], "sets": {}}, {}), "How it was made"
    )
    assert "from 2 sources, after filters and de-duplication." in text
    assert (
        "at most 9 times each, until a rule was content (until_k_correct), steered by prop2diff."
        in text
    )
    stored = recipe_text + "engine: {type: replay, policy: p}\nuds: {model: m}\n"
    text = card.render({**manifest(stored), "decisions": [], "sets": {}}, {})
    assert "Stored answers of model&#64;1 were used; nothing was sampled." in text


def test_papers_are_cited_in_bibtex(manifest: Manifest) -> None:
    text = card.render({**manifest(), "decisions": [], "sets": {}}, {})
    tokens = MARKDOWN.parse(text)
    [bibtex] = [
        token.content for token in tokens if token.type == "fence" and token.info == "bibtex"
    ]
    assert [line.split("{")[1] for line in bibtex.splitlines() if line.startswith("@")] == [
        "reasoning_gym,", "vllm,", "uds,"
    ]  # fmt: skip
    assert "for LLM Supervised Fine-tuning: which of the answers were taken" in section(
        text, "Citations"
    )


def test_where_nothing_was_judged(manifest: Manifest, recipe_text: str) -> None:
    made = manifest(recipe_text, pass_rates=[None, None], verifiers=["none@1"])
    text = card.render({**made, "decisions": [], "sets": {}, "pictures": ["pass-rates.png"]}, {})
    assert "No answer was judged, so there are none." in text
    assert "No verifier judged the answers." in text
    assert "card/pass-rates.png" not in text and "A pass rate rests on" not in text


def test_settings_are_shown_where_they_are_set(manifest: Manifest, recipe_text: str) -> None:
    sampling = (
        "sampling: {n: 8, stop: [{type: majority, confidence: 0.95}], budget: {tokens: 500}}\n"
    )
    text = card.render({**manifest(recipe_text + sampling), "decisions": [], "sets": {}}, {})
    lines = text.splitlines()
    assert "| Sampling: stop | type majority, confidence 0.95 |" in lines
    assert "| Sampling: budget | tokens 500 |" in lines
    assert "| Sampling: temperature | 1.0 |" in lines
    assert not [
        line for line in lines if line.startswith(("| Sampling: steer", "| Sampling: price"))
    ]
    stored = recipe_text + "engine: {type: replay, policy: p}\nuds: {model: m}\n"
    text = card.render({**manifest(stored), "decisions": [], "sets": {}}, {})
    assert (
        "Sampling: temperature" not in text
    )  # what it was drawn with is in the sampler's own name
