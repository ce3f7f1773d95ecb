"""Writing a version: whole, durable and under the name of its content, or not at all."""

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.publish import card as cards
from winnow.pipeline.publish import manifest as manifests
from winnow.pipeline.publish.parquet import Widen, link_file, sha256, sync, write_table
from winnow.pipeline.publish.version import (
    CARD,
    LATEST,
    LEDGER_FILE,
    MANIFEST,
    PICTURES,
    RECIPE,
    RUN,
    SUMS,
    TEMPORARY,
    Version,
    latest,
    open_version,
    verify_version,
    version_id,
)
from winnow.pipeline.publish.views import ViewRequest, write_view
from winnow.pipeline.schema import LEDGER

SPLITS = ("train", "holdout")
_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = {name.lower() for name in (MANIFEST, RECIPE, CARD, PICTURES, RUN, SUMS, LEDGER_FILE)}

Card = Callable[[Mapping[str, Any], Mapping[str, pa.Schema]], str]


def publish(
    dataset_dir: Path,
    sets: Mapping[str, Mapping[str, pa.Table]],
    *,
    manifest: Mapping[str, Any],
    ledger: pa.Table,
    run: Mapping[str, Any] | None = None,
    reuse: Mapping[str, Version] | None = None,
    views: Mapping[str, ViewRequest] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    widen: Widen | None = None,
    card: Card = cards.render,
) -> Version:
    """Publish `sets` (set -> split -> rows with a unique `id`) as a version; returns it.

    The rows' order, chunks and the number of threads do not matter. `manifest` comes from
    `manifest.build`, `ledger` has the schema LEDGER, and `run` (times, costs) goes to run.json with
    `created` and `parent` added. `reuse` maps further sets to the versions that they are taken from
    unchanged, by hard links where the disk allows, with their entry in the manifest and their part
    of the ledger. `views` are published beside the sets, under names of their own; those of a set that
    is reused are linked too. `widen` adds columns to the rows of `sets`, a row group at a time (see
    `write_table`). `pictures` are the card's (`cards.PICTURES`), as PNG.

    A reader sees the whole version or none, whenever this process dies. Where the same version
    exists it is left as it is and returned; either way it becomes the latest.

    Raises UsageError for a name that cannot be a folder here, and for a view that its set does not fit,
    WinnowError where a version that
    is reused, or that exists under this name, is damaged, ValueError for tables that are no sets
    (such as an `id` or a `template_id` on both sides of the holdout).
    """
    reuse = dict(reuse or {})
    views = dict(views or {})
    _check(sets, reuse, views)
    dataset_dir.mkdir(parents=True, exist_ok=True)
    with _temporary(dataset_dir) as folder:
        entries: dict[str, Mapping[str, Any]] = {}
        schemas: dict[str, pa.Schema] = {}
        sums: dict[str, str] = {}
        for name, tables in sets.items():
            (folder / name).mkdir()
            splits = {}
            for split, table in tables.items():
                path = _file(folder, name, split)
                done = write_table(table, path, widen=widen)
                splits[split] = {"rows": done.rows, "bytes": done.size, "sha256": done.sha256}
            entries[name] = manifests.set_entry(manifest, name, splits)
        for name, version in reuse.items():
            entries[name] = _link(version, name, folder)
        for name, entry in entries.items():
            for split, facts in entry["splits"].items():
                sums[f"{name}/{split}.parquet"] = facts["sha256"]
                # From the file, because a set that is linked has no other.
                schemas[name] = pq.read_schema(_file(folder, name, split))
            sync(folder / name)
        shown: dict[str, Mapping[str, Any]] = {}
        for name, request in views.items():
            made = write_view(
                name,
                request,
                entries[request.set]["splits"],
                folder,
                linked=reuse.get(request.set),
                code_version=manifest["code_version"],
            )
            shown[name], schemas[name] = made.entry, made.schema
            sums |= made.sums

        ledger = _ledger(ledger, reuse)
        sums[LEDGER_FILE] = write_table(
            ledger, folder / LEDGER_FILE, sort_by=LEDGER.names, unique=False
        ).sha256
        sums |= _pictures(pictures or {}, folder)
        facts = {"pictures": sorted(pictures or {}), "decisions": manifests.decisions(ledger)}
        text = manifests.dumps({**manifest, **facts, "sets": entries, "views": shown})
        sums[MANIFEST] = _write(folder / MANIFEST, text)
        # Recipe and card see what a reader of the manifest sees, so no order of a mapping leaks into them.
        seen = json.loads(text)
        sums[RECIPE] = _write(folder / RECIPE, manifests.recipe_file(seen))
        sums[CARD] = _write(folder / CARD, card(seen, schemas).encode())
        lines = "".join(f"{each}  {name}\n" for name, each in sorted(sums.items()))
        _write(folder / SUMS, lines.encode())

        before = latest(dataset_dir)
        record = {
            **(run or {}),
            "created": datetime.now(UTC).isoformat(timespec="microseconds"),
            "parent": before.id if before else None,
        }
        _write(folder / RUN, manifests.dumps(record))
        target = dataset_dir / version_id(sums)
        _move(folder, target)
    _point(dataset_dir, target.name)
    return open_version(target)


def _check(
    sets: Mapping[str, Mapping[str, pa.Table]],
    reuse: Mapping[str, Version],
    views: Mapping[str, ViewRequest],
) -> None:
    if both := sorted(set(sets) & set(reuse)):
        raise ValueError(f"{both[0]}: both given and reused")
    for name, request in views.items():
        if name.lower() in {each.lower() for each in (*sets, *reuse)}:
            raise UsageError(f"formats.{name}: is the name of a set; give the view its own")
        if request.set not in sets and request.set not in reuse:
            raise UsageError(f"formats.{name}: there is no set {request.set!r}")
    for name in [*sets, *reuse, *views]:
        if not _SET_NAME.fullmatch(name) or name.lower() in _RESERVED:
            raise UsageError(
                f"{name}: cannot be the name of a set or view; use letters, digits, '.', '_' and '-', "
                f"and none of {', '.join(sorted(_RESERVED))}"
            )
    for name, tables in sets.items():
        if "train" not in tables or not set(tables) <= set(SPLITS):
            raise ValueError(f"{name}: its splits are {sorted(tables)}, not train and holdout")
        if "holdout" in tables:
            train, holdout = tables["train"], tables["holdout"]
            if not train.schema.equals(holdout.schema):
                raise ValueError(f"{name}: train and holdout differ in their columns")
            for column in ("id", "template_id"):
                if column in train.column_names:
                    _check_disjoint(name, column, train[column], holdout[column])


def _check_disjoint(name: str, column: str, train: pa.Array, holdout: pa.Array) -> None:
    shared = pc.sum(pc.is_in(train, value_set=pc.unique(holdout))).as_py()
    if shared:
        raise ValueError(f"{name}: {shared} rows of train share their {column} with holdout")


def _link(version: Version, name: str, folder: Path) -> Mapping[str, Any]:
    """Put a set of another version into `folder`; returns its entry in the manifest."""
    entry = version.manifest()["sets"].get(name)
    if entry is None:
        raise WinnowError(f"{version.ref}: has no set {name!r} to reuse")
    (folder / name).mkdir()
    for split, facts in entry["splits"].items():
        link_file(version.table_path(name, split), _file(folder, name, split), facts["sha256"])
    return entry


def _file(folder: Path, name: str, split: str) -> Path:
    return folder / name / f"{split}.parquet"


def _pictures(pictures: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    """Write the card's pictures; returns their hashes by relative path."""
    if unknown := sorted(set(pictures) - set(cards.PICTURES)):
        raise ValueError(f"{unknown[0]}: no picture that the card shows")
    if not pictures:
        return {}
    (folder / PICTURES).mkdir()
    sums = {
        f"{PICTURES}/{name}": _write(folder / PICTURES / name, data)
        for name, data in sorted(pictures.items())
    }
    sync(folder / PICTURES)
    return sums


def _ledger(ledger: pa.Table, reuse: Mapping[str, Version]) -> pa.Table:
    """`ledger` with the decisions about reused sets as they were when those were made."""
    parts = [ledger.select(LEDGER.names).cast(LEDGER)]
    for name, version in reuse.items():
        stage = f"{manifests.TRAINING_SET}/{name}"
        parts[0] = parts[0].filter(pc.field("stage") != stage)
        old = version.ledger()
        parts.append(old.filter(pc.field("stage") == stage).cast(LEDGER))
    return pa.concat_tables(parts)


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    sync(path)
    return sha256(path)


@contextlib.contextmanager
def _temporary(dataset_dir: Path) -> Iterator[Path]:
    """A locked folder in `dataset_dir`; what is left of it at the end is removed."""
    folder = dataset_dir / f"{TEMPORARY}{secrets.token_hex(8)}"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Where the disk knows no locks, nobody can take one, and the folder never counts as stale.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(handle)
        shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, target: Path) -> None:
    """Rename the finished folder to `target`, or check the equal version that stands there."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode & ~0o222)
    sync(folder)
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        if problems := verify_version(target):
            raise WinnowError(
                f"{problems[0]}; remove the folder {target} and publish again"
            ) from None
    sync(target.parent)


def _point(dataset_dir: Path, name: str) -> None:
    """Write `name` to the file `latest`, in one step for whoever reads it."""
    with _temporary(dataset_dir) as folder:
        _write(folder / LATEST, f"{name}\n".encode())
        (folder / LATEST).replace(dataset_dir / LATEST)
        sync(dataset_dir)
