"""Garbage collection: what no recipe's last run and no version needs any more."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from winnow.pipeline.publish.set_schemas import LEDGER_KEYS
from winnow.pipeline.publish.version import LEDGER_FILE, Version, list_versions, stale_temporaries
from winnow.pipeline.workspace import open_store

_STORES = ("rollouts", "verdicts", "features")


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

    Kept are the rows that a stage table of a recipe's last run holds, and all about answers and
    prompts that a version's rows or ledger name.
    """
    needed = _needed(home)
    rows: dict[str, list[str]] = {}
    kept: dict[str, int] = {}
    # A verdict of an older verifier version stays while a version names its answer.
    owner = {"rollouts": "rollout_id", "verdicts": "rollout_id", "features": "row_id"}
    for name in _STORES:
        with open_store(home, name) as store:
            table = store.all([owner[name]])
            keys = table[store.key].to_pylist()
            owners = table[owner[name]].to_pylist()
        rows[name] = [k for k, o in zip(keys, owners, strict=True) if o not in needed]
        kept[name] = len(keys) - len(rows[name])
    return Garbage(rows, kept, _leftovers(home))


def collect(home: Path) -> Garbage:
    """Remove what `find` finds, under the stores' locks; returns what went.

    Raises StoreLocked where a run is writing.
    """
    garbage = find(home)
    for name in _STORES:
        with open_store(home, name, write=True, wait=False) as store:
            if garbage.rows[name]:
                store.delete(garbage.rows[name])
                store.compact()
    for path in garbage.leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return garbage


def _needed(home: Path) -> set[str]:
    """Names of prompts and rollouts that something still refers to."""
    needed: set[str] = set()
    for stage, columns in (("prompts", ["prompt_id"]), ("rollouts", ["rollout_id"])):
        for path in home.glob(f".stages/*/{stage}.parquet"):
            table = pq.read_table(path, columns=columns)
            needed.update(table[columns[0]].to_pylist())
    for folder in home.iterdir() if home.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            for version in list_versions(folder):
                if not version.problem:
                    needed |= _named_by(version)
    return needed


def _named_by(version: Version) -> set[str]:
    names: set[str] = set()
    for name, splits in version.rows.items():
        for split in splits:
            path = version.table_path(name, split)
            keys = [c for c in LEDGER_KEYS if c in pq.read_schema(path).names]
            for column in pq.read_table(path, columns=keys).columns:
                names.update(column.to_pylist())
    names.update(
        pq.read_table(version.path / LEDGER_FILE, columns=["row_id"])["row_id"].to_pylist()
    )
    return names


def _leftovers(home: Path) -> list[Path]:
    found = list(home.glob(".stages/*/*.tmp"))
    for folder in home.iterdir() if home.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            found += stale_temporaries(folder)
    return sorted(found)
