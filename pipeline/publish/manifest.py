"""`manifest.json`: what a version was made from, and with what.

Everything here is a function of the inputs, the recipe and the code: no time, no machine, no path of
this machine but those that the recipe itself names. Keys:

    schema        version of this layout
    dataset       name of the dataset
    recipe        the whole recipe, defaults included
    code_version  version of winnow
    libraries     versions of the libraries that decide about the files' bytes
    models        role -> model @ revision
    verifiers     name@version
    seeds         every seed of the recipe by its key
    inputs        stage -> data version of its table
    counts        rows along the way, in order
    sources       name, licence, id on the hub and prompts of each source
    pass_rates    prompts per band of the pass rate
    decontamination  per evaluation set and rule: its items, those found, user turns that held one
    languages     language -> prompts of a sample that are written in it (see `languages`)
    clusters      prompts of each cluster, the largest first
    facts         further counts that the card tells known limits from (see `build`)
    pictures      files below card/ that the card shows
    decisions     rows per stage, decision and rule, counted from the ledger
    sets          per set: its settings, its splits' rows and hashes, and what it was made with
    views         per view: the set and format that it is of, its options, its splits' rows and hashes
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from winnow.pipeline.names import digest
from winnow.pipeline.publish import pictures

SCHEMA = "winnow-version/1"
TRAINING_SET = "training_set"
UNTOLD = "und"  # ISO 639-2: a language that cannot be told
_STAGES = ("prompts", "rollouts", "verdicts", "audit", "difficulty", "embeddings", "clusters",
           "scores", TRAINING_SET)  # fmt: skip
NOTHING_JUDGED = "nothing judged"
_BANDS = ("0", "above 0, below 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8",
          "0.8 to below 1", "1", NOTHING_JUDGED)  # fmt: skip


def build(
    recipe: Mapping[str, Any],
    *,
    code_version: str,
    models: Mapping[str, str],
    verifiers: Iterable[str],
    inputs: Mapping[str, str],
    counts: Mapping[str, int],
    prompts_by_source: Mapping[str, int],
    pass_rates: Iterable[float | None],
    decontamination: Iterable[Mapping[str, Any]] = (),
    hub_ids: Mapping[str, str] | None = None,
    languages: Mapping[str, int] | None = None,
    clusters: Iterable[int] = (),
    facts: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """A manifest without what publishing itself adds (`decisions`, `pictures`, `sets` and `views`).

    `recipe` is `recipe.dump`'s result, `models` maps a role (policy, embedder, scorer) to model @
    revision, `inputs` a stage to its table's data version, `counts` a name to a number of rows in
    the order in which people should read them, `pass_rates` holds one value per task, and `hub_ids`
    the id on the hub of each source that comes from one.

    `facts`, each where it is known: `answers`, and those `truncated`; `verdicts`, and those `unjudged`;
    `tasks`, those `unsampled`, and the `suspects` of the audit; `templates` (groups of prompts that
    share one) and prompts in the `largest_template`.
    """
    return {
        "schema": SCHEMA,
        "dataset": recipe["dataset"],
        "recipe": dict(recipe),
        "code_version": code_version,
        "libraries": {"pyarrow": pa.__version__, **pictures.libraries()},
        "models": dict(models),
        "verifiers": sorted(set(verifiers)),
        "seeds": seeds(recipe),
        "inputs": dict(inputs),
        "counts": [{"name": name, "rows": rows} for name, rows in counts.items()],
        "sources": [
            {
                "name": source["name"],
                "licence": source.get("licence"),
                "hub_id": (hub_ids or {}).get(source["name"]),
                "prompts": prompts_by_source.get(source["name"], 0),
            }
            for source in recipe["sources"]
        ],
        "pass_rates": histogram(pass_rates),
        "decontamination": [dict(row) for row in decontamination],
        "languages": dict(languages or {}),
        "clusters": list(clusters),
        "facts": dict(facts or {}),
    }


def dumps(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of manifest.json: sorted keys, two spaces, UTF-8; ValueError on NaN."""
    text = json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    # A lone surrogate has no UTF-8 form; its backslash form is also JSON's escape for it.
    return (text + "\n").encode("utf-8", "backslashreplace")


def recipe_text(manifest: Mapping[str, Any]) -> str:
    """The recipe as YAML that `winnow run` takes."""
    return yaml.safe_dump(manifest["recipe"], sort_keys=False, allow_unicode=True)


def recipe_file(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of recipe.yaml: the recipe, and winnow's version on the first line."""
    version = json.dumps(manifest["code_version"])[1:-1]  # on one line, whatever it is
    return f"# winnow {version}\n{recipe_text(manifest)}".encode()


def seeds(recipe: Mapping[str, Any]) -> dict[str, int]:
    """Every key `seed` of the recipe, by the place where it stands."""
    return {
        key: value
        for key, value in flatten(recipe).items()
        if key.rsplit(".", 1)[-1] == "seed" and isinstance(value, int)
    }


def histogram(pass_rates: Iterable[float | None]) -> list[dict[str, Any]]:
    """Tasks per band: exactly 0, five bands of 0.2 between, exactly 1, and nothing judged."""
    found = Counter(_band(rate) for rate in pass_rates)
    return [{"band": band, "tasks": found[at]} for at, band in enumerate(_BANDS)]


def decisions(ledger: pa.Table) -> list[dict[str, Any]]:
    """Rows per stage, decision and rule, stages in the order in which they run."""
    counted = ledger.group_by(["stage", "decision", "rule"]).aggregate([([], "count_all")])
    rows = [
        {"stage": r["stage"], "decision": r["decision"], "rule": r["rule"], "rows": r["count_all"]}
        for r in counted.to_pylist()
    ]
    return sorted(rows, key=lambda r: (*stage_order(r["stage"]), r["decision"], r["rule"]))


def stage_order(stage: str) -> tuple[int, str]:
    """Sort key of a stage, or of a set (`training_set/sft`), in running order."""
    head = stage.split("/", 1)[0]
    return (_STAGES.index(head) if head in _STAGES else len(_STAGES), stage)


def set_entry(
    manifest: Mapping[str, Any], name: str, splits: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """One set's part of the manifest. `splits` maps a split to its rows, bytes and sha256."""
    return {
        "settings": manifest["recipe"]["sets"].get(name, {}),
        "splits": {split: dict(facts) for split, facts in splits.items()},
        "made_with": made_with(manifest, name),
    }


def made_with(manifest: Mapping[str, Any], name: str) -> str:
    """Name of all that a set can depend on: code, models, inputs, the recipe but for other sets.

    A set that a later version links keeps its entry; where its `made_with` differs from what that
    version's manifest gives, it was built from something else.
    """
    recipe = manifest["recipe"]
    basis = {key: manifest[key] for key in ("code_version", "models", "inputs")}
    drawing = pictures.LIBRARIES  # no row depends on them
    basis["libraries"] = {k: v for k, v in manifest["libraries"].items() if k not in drawing}
    outside = ("dataset", "description", "sets", "formats", "provenance")  # views come after sets
    shared = {key: value for key, value in recipe.items() if key not in outside}
    return digest("set/1", [basis, manifest["verifiers"], shared, recipe["sets"].get(name)])


def flatten(value: Any, key: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists by their place, such as `sources[gsm8k].split`.

    Members of a list are named by their `name` where every one has its own, else by their number.
    An empty mapping or list is a leaf.
    """
    if isinstance(value, Mapping) and value:
        parts = [(f"{key}.{name}" if key else str(name), item) for name, item in value.items()]
    elif isinstance(value, list | tuple) and value:
        parts = [(f"{key}[{name}]", item) for name, item in zip(_names(value), value, strict=True)]
    else:
        return {key: value}
    return {place: leaf for name, item in parts for place, leaf in flatten(item, name).items()}


def _names(items: Sequence[Any]) -> list[str]:
    names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
        return [str(name) for name in names]
    return [str(number) for number in range(len(items))]


def _band(rate: float | None) -> int:
    if rate is None:
        return 7
    if rate <= 0:
        return 0
    if rate >= 1:
        return 6
    return 1 + int(rate * 5)
