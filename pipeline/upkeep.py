"""Garbage collection: what no recipe's last run and no version needs any more."""

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.pipeline.features.stored import OF_MODEL
from winnow.pipeline.publish.set_schemas import ANSWER_KEYS, LEDGER_KEYS, RESPONSES
from winnow.pipeline.publish.version import LEDGER_FILE, Version, list_versions, stale_temporaries
from winnow.pipeline.workspace import open_store

IMPORTED = "imported"  # template of the answers that a user brought: they cannot be drawn again
_OWNERS = {  # what a row of a store belongs to
    "verdicts": "rollout_id",
    "features": "row_id",
    "steps": "prompt_id",
    "judgements": "prompt_id",
}
_YOUNG_SECONDS = 60


@dataclass(frozen=True)
class Garbage:
    """What can go: row names by store, and left-over files and folders of killed processes."""

    rows: dict[str, list[str]]
    kept: dict[str, int]
    leftovers: list[Path]

    @property
    def empty(self) -> bool:
        return not self.leftovers and not any(self.rows.values())


def find(home: Path) -> Garbage:
    """What `collect` would remove; nothing is changed.

    Kept are imported answers, those that a recipe's last run holds or that its present target asks
    for (also while it is not finished), and all that a version's rows or ledger name; with an answer
    its verdicts, of whatever verifier version, and with it or its prompt their features; with a
    prompt the steps and judgements of its tree searches. Of images those that a last run's prompts show:
    versions hold their own.
    """
    needed = _needed(home)
    rows: dict[str, list[str]] = {}
    kept: dict[str, int] = {}
    with open_store(home, "images") as store:
        held = store.all(["image_id"])["image_id"].to_pylist()
    rows["images"] = [name for name in held if name not in needed.images]
    kept["images"] = len(held) - len(rows["images"])
    with open_store(home, "rollouts") as store:
        columns = ["prompt_id", "policy", "template", "sampler", "recipe_seed"]
        table = store.all(columns).to_pylist()
    gone = [row["rollout_id"] for row in table if not _wanted(row, needed)]
    alive = needed.names | ({row["rollout_id"] for row in table} - set(gone))
    rows["rollouts"], kept["rollouts"] = gone, len(table) - len(gone)
    alive.add(OF_MODEL)  # what is known of a model belongs to no row
    for name, owner in _OWNERS.items():
        with open_store(home, name) as store:
            found = store.all([owner])
            keys, owners = found[store.key].to_pylist(), found[owner].to_pylist()
        rows[name] = [k for k, o in zip(keys, owners, strict=True) if o not in alive]
        kept[name] = len(keys) - len(rows[name])
    return Garbage(rows, kept, _leftovers(home))


def collect(home: Path) -> Garbage:
    """Remove what `find` finds, under the stores' locks; returns what went.

    Raises StoreLocked where a run is writing.
    """
    with contextlib.ExitStack() as held:
        stores = {
            name: held.enter_context(open_store(home, name, write=True, wait=False))
            for name in ("images", "rollouts", *_OWNERS)
        }
        garbage = find(home)
        for name, store in stores.items():
            if garbage.rows[name]:
                store.delete(garbage.rows[name])
                store.compact()
    for path in garbage.leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return garbage


@dataclass(frozen=True)
class _Needed:
    """`names` of prompts and rollouts that something refers to, and of the `images` of prompts; for each recipe the prompts and the
    target (see `Workspace.note_target`) of its last run."""

    names: set[str]
    images: set[str]
    targets: list[tuple[set[str], dict[str, Any]]]


def _wanted(row: dict[str, Any], needed: _Needed) -> bool:
    if row["rollout_id"] in needed.names or row["template"] == IMPORTED:
        return True
    return any(
        row["prompt_id"] in prompts and all(row[key] == value for key, value in target.items())
        for prompts, target in needed.targets
    )


def _needed(home: Path) -> _Needed:
    names: set[str] = set()
    images: set[str] = set()
    targets: list[tuple[set[str], dict[str, Any]]] = []
    for folder in home.glob(".stages/*/"):
        for shown in _column(folder / "prompts.parquet", "images"):
            images.update(shown or ())
        prompts = set(_column(folder / "prompts.parquet", "prompt_id"))
        names |= prompts | set(_column(folder / "rollouts.parquet", "rollout_id"))
        target = folder / "target.json"
        if target.is_file():
            targets.append((prompts, json.loads(target.read_text())))
    for folder in home.iterdir() if home.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            for version in list_versions(folder):
                if not version.problem:
                    names |= _named_by(version)
    return _Needed(names, images, targets)


def _column(path: Path, name: str) -> list[str]:
    if not path.is_file() or name not in pq.read_schema(path).names:
        return []  # a run of an older winnow has no images
    return pq.read_table(path, columns=[name])[name].to_pylist()


def _named_by(version: Version) -> set[str]:
    names: set[str] = set()
    for name, splits in version.rows.items():
        for split in splits:
            path = version.table_path(name, split)
            there = pq.read_schema(path).names
            keys = [c for c in (*LEDGER_KEYS, *ANSWER_KEYS) if c in there]
            for column in pq.read_table(path, columns=keys).columns:
                names.update(column.to_pylist())
            if RESPONSES in there:
                answers = pc.list_flatten(pq.read_table(path, columns=[RESPONSES])[RESPONSES])
                names.update(pc.struct_field(answers, "rollout_id").to_pylist())
    names.update(
        pq.read_table(version.path / LEDGER_FILE, columns=["row_id"])["row_id"].to_pylist()
    )
    return names


def _leftovers(home: Path) -> list[Path]:
    oldest = time.time() - _YOUNG_SECONDS  # what is younger may be about to be renamed
    found = [p for p in home.glob(".stages/*/*.tmp") if p.stat().st_mtime < oldest]
    for folder in home.iterdir() if home.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            found += stale_temporaries(folder)
    return sorted(found)
