"""The YAML header of a card: what the Hub reads to list, filter and open a dataset."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from winnow.pipeline.publish.card.licences import inherit
from winnow.pipeline.publish.manifest import UNTOLD

_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"),
          (1e7, "1M<n<10M"), (1e8, "10M<n<100M"), (1e9, "100M<n<1B"), (1e10, "1B<n<10B"),
          (1e11, "10B<n<100B"), (1e12, "100B<n<1T"))  # fmt: skip
# Kinds of sets that reinforcement learning trains on.
_REWARDED = ("rl", "groups", "curriculum", "hardest", "demonstrations")
_SPOKEN = 0.05  # share of the prompts from which a language is one of the dataset's


def header(
    manifest: Mapping[str, Any], kinds: Sequence[str], configs: Sequence[Mapping[str, Any]]
) -> str:
    """The header's text, with its marks. ASCII alone and one line a value, so that every YAML reader
    reads the same and none takes a line of a value for the end."""
    fields = _fields(manifest, kinds, configs)
    text = yaml.dump(fields, Dumper=_OneLine, sort_keys=False, width=float("inf"))
    return f"---\n{text}---\n"


def spoken(languages: Mapping[str, int]) -> list[str]:
    """The languages of a sample that at least 5 % of its told prompts are in, commonest first."""
    told = Counter({name: count for name, count in languages.items() if name != UNTOLD})
    enough = _SPOKEN * told.total()
    ordered = sorted(told.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, count in ordered if count >= enough]


class _OneLine(yaml.SafeDumper):
    """Text with line breaks or control characters stands in double quotes, which escape them."""


def _scalar(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_OneLine.add_representer(str, _scalar)


def _fields(
    manifest: Mapping[str, Any], kinds: Sequence[str], configs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    rows = sum(s["rows"] for entry in manifest["sets"].values() for s in entry["splits"].values())
    languages = spoken(manifest.get("languages", {}))
    return {
        "pretty_name": manifest["dataset"],
        **({"language": languages} if languages else {}),
        **inherit(source["licence"] for source in manifest["sources"]).header,
        "annotations_creators": ["machine-generated"],
        "language_creators": _creators(manifest),
        **_multilinguality(languages),
        "source_datasets": _source_datasets(manifest),
        "task_categories": ["text-generation"]
        + (["reinforcement-learning"] if set(_REWARDED) & set(kinds) else []),
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>1T")],
        "tags": ["winnow", "synthetic", *kinds],
        "configs": list(configs),
    }


def _creators(manifest: Mapping[str, Any]) -> list[str]:
    """Prompts are found or made by a program; answers are a model's, unless sources bring them."""
    recipe = manifest["recipe"]
    types = {source.get("type") for source in recipe.get("sources", ())}
    brought = recipe.get("engine", {}).get("type") == "source"
    found = ["found"] if types - {"reasoning_gym"} else []
    made = ["machine-generated"] if "reasoning_gym" in types or not brought else []
    return found + made


def _multilinguality(languages: Sequence[str]) -> dict[str, list[str]]:
    if not languages:
        return {}
    return {"multilinguality": ["monolingual" if len(languages) == 1 else "multilingual"]}


def _source_datasets(manifest: Mapping[str, Any]) -> list[str]:
    """Ids on the hub, and `original` for what comes from elsewhere."""
    ids = [source.get("hub_id") for source in manifest["sources"]]
    known = list(dict.fromkeys(each for each in ids if each))
    return known + (["original"] if not all(ids) or not known else [])
