"""The dataset card: README.md of a version, with the header that `datasets` and the Hub read.

A card is a pure function of the manifest and the sets' schemas. It cannot name its own version,
whose name is the hash of the files, the card among them.
"""

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import yaml

from winnow.pipeline import schema
from winnow.pipeline.names import digest
from winnow.pipeline.publish import manifest as manifests
from winnow.pipeline.publish.markdown import fenced, inline, table

_LICENCE_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,60}")
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"),
          (1e7, "1M<n<10M"), (1e8, "10M<n<100M"), (1e9, "100M<n<1B"))  # fmt: skip
_BAR = 30
_KINDS = ("sft", "rl", "preference")
_OUTSIDE_THE_DISTRIBUTION = ("concurrency", "max_attempts")


def render(manifest: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> str:
    """The text of README.md. `schemas` holds the schema of each set of `manifest["sets"]`."""
    header = yaml.safe_dump(_header(manifest), sort_keys=False, allow_unicode=True, width=100)
    parts = [
        f"# {inline(manifest['dataset'])}",
        *_paragraphs(manifest["recipe"].get("description", "")),
        _sets(manifest),
        *_load(manifest),
        "## How it was made",
        _making(manifest),
        "### Sources",
        table(
            ("Source", "Licence", "Prompts"),
            ((s["name"], s["licence"] or "not stated", s["prompts"]) for s in manifest["sources"]),
        ),
        "### From rows in to rows out",
        table(("", "Rows"), ((c["name"], c["rows"]) for c in manifest["counts"])),
        "Every row that a stage or a set decided on, and the rule that decided:",
        table(
            ("Stage", "Decision", "Rule", "Rows"),
            ((d["stage"], d["decision"], d["rule"], d["rows"]) for d in manifest["decisions"]),
        ),
        "`ledger.parquet` holds each decision with the value and the threshold that it rests on.",
        *_decontamination(manifest),
        "### Pass rates",
        "Correct answers of the policy / judged answers, tasks per band:",
        _histogram(manifest["pass_rates"]),
        "## Columns",
        *_columns(manifest, schemas),
        "## How to make it again",
        _again(manifest),
        fenced(yaml.safe_dump(manifest["recipe"], sort_keys=False, allow_unicode=True), "yaml"),
    ]
    return f"---\n{header}---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def configs(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The header's `configs`: one per set, with its files by split.

    `datasets` refuses a whole config when one of its splits is empty, so a split without rows is
    left out. A set without any rows keeps `train`: streaming it gives no rows, loading it says that
    the split holds no data. The `description` changes with the content: `datasets` names its cache
    after the folder's last part and these configs, and would serve the rows of another version to
    who loads a copy from a folder of the same name.
    """
    return [
        {
            "config_name": name,
            "description": f"content {digest('content/1', entry['splits'])}",
            "data_files": [
                {"split": split, "path": f"{name}/{split}.parquet"} for split in _filled(entry)
            ],
        }
        for name, entry in _set_items(manifest)
    ]


def _header(manifest: Mapping[str, Any]) -> dict[str, Any]:
    kinds = list(dict.fromkeys(_kind(name, entry) for name, entry in _set_items(manifest)))
    rows = sum(s["rows"] for _, entry in _set_items(manifest) for s in entry["splits"].values())
    licence = _licence([source["licence"] for source in manifest["sources"]])
    return {
        "pretty_name": manifest["dataset"],
        **({"license": licence} if licence else {}),
        "task_categories": ["text-generation"]
        + (["reinforcement-learning"] if "rl" in kinds else []),
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>1T")],
        "tags": ["winnow", "synthetic", *kinds],
        "configs": configs(manifest),
    }


def _licence(licences: list[str | None]) -> str | list[str] | None:
    """Value of the header's `license`: the one, the several, or `other` where one is not an id."""
    if not any(licences):
        return None
    ids = sorted({(licence or "").strip().lower() for licence in licences})
    if not all(_LICENCE_ID.fullmatch(each) for each in ids):
        return "other"
    return ids[0] if len(ids) == 1 else ids


def _set_items(manifest: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The sets in reading order: by kind, then by name."""

    def place(item: tuple[str, Any]) -> tuple[int, str]:
        kind = _kind(*item)
        return (_KINDS.index(kind) if kind in _KINDS else len(_KINDS), item[0])

    return sorted(manifest["sets"].items(), key=place)


def _kind(name: str, entry: Mapping[str, Any]) -> str:
    return str(entry["settings"].get("type", name))


def _filled(entry: Mapping[str, Any]) -> list[str]:
    """Splits with rows, `train` first; `train` where there are none."""
    splits = sorted(entry["splits"].items(), key=_train_first)
    return [name for name, facts in splits if facts["rows"]] or ["train"]


def _train_first(split: tuple[str, Any]) -> tuple[bool, str]:
    return (split[0] != "train", split[0])


def _paragraphs(text: str) -> list[str]:
    return [inline(part, limit=5000) for part in re.split(r"\n\s*\n", text) if part.strip()]


def _sets(manifest: Mapping[str, Any]) -> str:
    rows = [
        (name, _kind(name, entry), split, facts["rows"], facts["bytes"])
        for name, entry in _set_items(manifest)
        for split, facts in sorted(entry["splits"].items(), key=_train_first)
    ]
    lines = [table(("Set", "Kind", "Split", "Rows", "Bytes"), rows)]
    for name, entry in _set_items(manifest):
        if entry["made_with"] != manifests.made_with(manifest, name):
            lines.append(
                f"Set {inline(name)} was kept from an earlier version: it was built from other "
                "inputs or settings than this manifest's."
            )
    return "\n\n".join(lines)


def _load(manifest: Mapping[str, Any]) -> list[str]:
    filled = [
        (name, split)
        for name, entry in _set_items(manifest)
        for split in _filled(entry)
        if entry["splits"].get(split, {}).get("rows")
    ]
    if not filled:
        return []
    name, split = filled[0]
    return [
        "## How to load it",
        fenced(
            "from datasets import load_dataset\n\n"
            f'rows = load_dataset("path/to/this/folder", "{name}", split="{split}")',
            "python",
        ),
    ]


def _making(manifest: Mapping[str, Any]) -> str:
    recipe = manifest["recipe"]
    facts = {
        **{f"Model: {role}": model for role, model in sorted(manifest["models"].items())},
        "Engine": recipe.get("engine", {}).get("type"),
        **{
            f"Sampling: {key}": value
            for key, value in recipe.get("sampling", {}).items()
            if key not in _OUTSIDE_THE_DISTRIBUTION
        },
        "Verifiers": ", ".join(manifest["verifiers"]),
        **{f"Seed: {key}": value for key, value in manifest["seeds"].items()},
        "winnow": manifest["code_version"],
        **manifest["libraries"],
    }
    return table(("", "Value"), ((key, str(value)) for key, value in facts.items()))


def _decontamination(manifest: Mapping[str, Any]) -> list[str]:
    """Which evaluation sets were looked for, by which rules, and what was found."""
    rows = manifest.get("decontamination", ())
    if not rows:
        return ["### Decontamination", "No evaluation set was looked for among the prompts."]
    return [
        "### Decontamination",
        (
            "Evaluation items that were found among the prompts; every prompt that held one was "
            "left out, and `ledger.parquet` (rule `contaminated`) shows the words that they share."
        ),
        table(
            ("Evaluation set", "Rule", "Items", "Items found", "User turns that held one"),
            ((r["set"], r["rule"], r["items"], r["items_hit"], r["turns_hit"]) for r in rows),
        ),
    ]


def _again(manifest: Mapping[str, Any]) -> str:
    return (
        f"`winnow run recipe.yaml` (winnow {inline(manifest['code_version'])}) with the recipe "
        "below. The same stored answers give the same files, byte for byte; answers that are drawn "
        "anew can differ."
    )


def _histogram(bands: list[Mapping[str, Any]]) -> str:
    most = max((band["tasks"] for band in bands), default=0) or 1
    return table(
        ("Pass rate", "Tasks", ""),
        ((b["band"], b["tasks"], "█" * -(-b["tasks"] * _BAR // most)) for b in bands),
    )


def _columns(manifest: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> list[str]:
    return [
        part
        for name, _ in _set_items(manifest)
        for part in (
            f"### {inline(name)}",
            table(
                ("Column", "Type", "Meaning"),
                (
                    (field.name, _type(field.type), meaning)
                    for field, (_, _, meaning) in zip(
                        schemas[name], schema.describe(schemas[name]), strict=True
                    )
                ),
            ),
        )
    ]


def _type(type_: pa.DataType) -> str:
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list of {_type(type_.value_type)}"
    if pa.types.is_struct(type_):
        return f"({', '.join(f'{field.name}: {_type(field.type)}' for field in type_)})"
    return str(type_)
