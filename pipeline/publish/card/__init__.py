"""The dataset card: README.md of a version, with the header that `datasets` and the Hub read.

A card is a pure function of the manifest and the sets' schemas; its pictures are files of their own
in the version, which the manifest names. It cannot name its own version, whose name is the hash of
the files, the card among them. The header is in `header`, how the version was made in
`making`, what it must not be taken for in `limits`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from winnow.pipeline import schema
from winnow.pipeline.names import digest
from winnow.pipeline.publish import manifest as manifests
from winnow.pipeline.publish.card.header import header
from winnow.pipeline.publish.card.limits import has_rates, limits
from winnow.pipeline.publish.card.making import bibliography, licence, making
from winnow.pipeline.publish.markdown import fenced, inline, table
from winnow.pipeline.publish.version import RECIPE
from winnow.pipeline.publish.views import BESIDE
from winnow.pipeline.recipe_sections.sets import SET_TYPES

_BAR = 30
_KINDS = tuple(SET_TYPES)  # in reading order
_LARGEST = 10  # clusters that the table names
# Pictures that a version may hold below card/, and what they show.
PICTURES = {
    "pass-rates.png": "Histogram of the tasks by pass rate; the table below says the same by band",
    "clusters.png": "Map of the prompts' embeddings, coloured by cluster; the table below has the sizes",
}


def render(manifest: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> str:
    """The text of README.md. `schemas` holds the schema of each set and view of the manifest."""
    kinds = list(dict.fromkeys(_kind(name, entry) for name, entry in _set_items(manifest)))
    parts = [
        f"# {inline(manifest['dataset'])}",
        *_paragraphs(manifest["recipe"].get("description", "")),
        "## What is in it",
        _sets(manifest),
        *_load(manifest),
        *licence(manifest),
        *making(manifest),
        "### From rows in to rows out",
        table(("", "Rows"), ((c["name"], c["rows"]) for c in manifest["counts"])),
        "Every row that a stage or a set decided on, and the rule that decided:",
        table(
            ("Stage", "Decision", "Rule", "Rows"),
            ((d["stage"], d["decision"], d["rule"], d["rows"]) for d in manifest["decisions"]),
        ),
        "### Pass rates",
        *_pass_rates(manifest),
        *_clusters(manifest),
        *_decontamination(manifest),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in limits(manifest)),
        "## Columns",
        *_columns(manifest, schemas),
        *bibliography(manifest),
        "## How to make it again",
        _again(manifest),
        fenced(manifests.recipe_text(manifest), "yaml"),
    ]
    body = "\n\n".join(part for part in parts if part)
    return f"{header(manifest, kinds, configs(manifest))}\n{body}\n"


def configs(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The header's `configs`: one per set and view, with its files by split.

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
        for name, entry in (*_set_items(manifest), *_views(manifest))
    ]


def _views(manifest: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The views by name; they come after the sets."""
    return sorted(manifest.get("views", {}).items())


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
    kinds = dict.fromkeys(_kind(name, entry) for name, entry in _set_items(manifest))
    lines = [
        table(("Set", "Kind", "Split", "Rows", "Bytes"), rows),
        "\n".join(f"- {inline(kind)}: {_meaning(kind)}" for kind in kinds if kind in SET_TYPES),
    ]
    for name, entry in _set_items(manifest):
        if entry["made_with"] != manifests.made_with(manifest, name):
            lines.append(
                f"Set {inline(name)} was kept from an earlier version: it was built from other "
                "inputs or settings than this manifest's."
            )
    return "\n\n".join(line for line in (*lines, *_views_table(manifest)) if line)


def _views_table(manifest: Mapping[str, Any]) -> list[str]:
    """The views: which set each one is of, in which format."""
    rows = [
        (name, entry["set"], " ".join(filter(None, (entry["type"], entry["style"]))), split,
         facts["rows"], facts["bytes"])
        for name, entry in _views(manifest)
        for split, facts in sorted(entry["splits"].items(), key=_train_first)
    ]  # fmt: skip
    if not rows:
        return []
    beside = [
        inline(f"{name}/{split}.{BESIDE}.parquet")
        for name, entry in _views(manifest)
        for split, facts in sorted(entry["splits"].items(), key=_train_first)
        if BESIDE in facts
    ]
    return [
        "The same rows in the formats of trainers:",
        table(("View", "Of set", "Format", "Split", "Rows", "Bytes"), rows),
        *([f"Where each row comes from stands in a file beside, row for row: {', '.join(beside)}."]
          if beside else []),
    ]  # fmt: skip


def _meaning(kind: str) -> str:
    """What a set of this kind holds, in the words of its section of the recipe."""
    first = (SET_TYPES[kind].__doc__ or "").split("\n\n")[0]
    return inline(first.replace("`", ""), limit=500)


def _load(manifest: Mapping[str, Any]) -> list[str]:
    filled = [
        (name, split)
        for name, entry in _set_items(manifest)
        for split in _filled(entry)
        if entry["splits"].get(split, {}).get("rows")
    ]
    if not filled:
        return ["## How to load it", *_empty(manifest)]
    name, split = filled[0]
    return [
        "## How to load it",
        "From a folder with these files, or by the id of the repository on the Hub that holds them:",
        fenced(
            "from datasets import load_dataset\n\n"
            f'rows = load_dataset("path/to/this/folder", "{name}", split="{split}")',
            "python",
        ),
        *_empty(manifest),
    ]


def _empty(manifest: Mapping[str, Any]) -> list[str]:
    """The sets, views and splits without rows, which `datasets` refuses to open."""
    found = []
    for name, entry in (*_set_items(manifest), *_views(manifest)):
        splits = sorted(entry["splits"].items(), key=_train_first)
        empty = [split for split, facts in splits if not facts["rows"]]
        if len(empty) == len(splits):
            found.append(inline(name))
        else:
            found += [f"{inline(name)} ({split})" for split in empty]
    if not found:
        return []
    verb = "has" if len(found) == 1 else "have"
    return [f"{', '.join(found)} {verb} no rows, and `datasets` opens no split without rows."]


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


def _picture(manifest: Mapping[str, Any], name: str) -> list[str]:
    shown = name in manifest.get("pictures", ())
    return [f"![{PICTURES[name]}](card/{name})"] if shown else []


def _clusters(manifest: Mapping[str, Any]) -> list[str]:
    """What the prompts are about, as far as sizes of clusters and a map show it."""
    sizes: Sequence[int] = manifest.get("clusters", ())
    if not sizes:
        return []
    rows: list[tuple[str, int]] = [(f"{at}", size) for at, size in enumerate(sizes[:_LARGEST])]
    if rest := sizes[_LARGEST:]:
        rows.append((f"{len(rest)} smaller ones", sum(rest)))
    return [
        "### Clusters",
        *_picture(manifest, "clusters.png"),
        "Prompts per cluster of their embeddings, the largest first:",
        table(("Cluster", "Prompts"), rows),
    ]


def _again(manifest: Mapping[str, Any]) -> str:
    return (
        f"`winnow run path/to/this/folder/{RECIPE}` (winnow {inline(manifest['code_version'])}): the file "
        "holds the recipe below; paths in it are as they were where it ran. The same stored answers give the same files, byte for byte, with the versions of the "
        "libraries above; answers that are drawn anew can differ."
    )


def _pass_rates(manifest: Mapping[str, Any]) -> list[str]:
    if not has_rates(manifest):
        return ["No answer was judged, so there are none."]
    return [
        *_picture(manifest, "pass-rates.png"),
        "Correct answers of the policy / judged answers, tasks per band:",
        _histogram(manifest["pass_rates"]),
    ]


def _histogram(bands: list[Mapping[str, Any]]) -> str:
    most = max((band["tasks"] for band in bands), default=0) or 1
    return table(
        ("Pass rate", "Tasks", ""),
        ((b["band"], b["tasks"], "█" * -(-b["tasks"] * _BAR // most)) for b in bands),
    )


def _columns(manifest: Mapping[str, Any], schemas: Mapping[str, pa.Schema]) -> list[str]:
    return [
        part
        for name, _ in (*_set_items(manifest), *_views(manifest))
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
