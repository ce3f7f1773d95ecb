"""Published versions of a dataset: what one is, which there are, and which one a name means.

    <home>/<dataset>/<version>/<set>/train.parquet, holdout.parquet
                               <view>/train.parquet ...     sets in other formats (`views`)
                               ledger.parquet      every decision, for `winnow diff` and `why`
                               manifest.json       what the version was made from
                               recipe.yaml         the same recipe, for `winnow run`
                               README.md           the dataset card
                               card/*.png          the pictures that it shows
                               SHA256SUMS          hashes of all the above (`sha256sum -c`)
                               run.json            times and costs, outside the version's name
    <home>/<dataset>/latest    a text file: the name of the version published last

`latest` is no link, because `datasets` caches rows by the folder's own name: loading through a link
would go on serving the rows of the version that it once pointed to. A version's name is the hash of the lines of SHA256SUMS. Versions never change: their files are
read-only, and later versions may share them by hard links.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.names import digest
from winnow.pipeline.publish.parquet import sha256

MANIFEST = "manifest.json"
RECIPE = "recipe.yaml"
CARD = "README.md"
PICTURES = "card"  # folder of the card's pictures
RUN = "run.json"
SUMS = "SHA256SUMS"
LEDGER_FILE = "ledger.parquet"
LATEST = "latest"
TEMPORARY = ".tmp-"
_ID = re.compile(r"[0-9a-f]{16}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Version:
    """One published version.

    `rows` counts by set and split, `views` by view and split. `created` (UTC, ISO 8601) and `parent`
    (the version that was the latest before) come from run.json and are None without it. `problem` says
    why the manifest cannot be read; None where it can, which is no proof that the other files are whole
    (`verify_version`).
    """

    dataset: str
    id: str
    path: Path
    created: str | None = None
    parent: str | None = None
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    problem: str | None = None
    views: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """`dataset@id`, a name that `resolve` takes."""
        return f"{self.dataset}@{self.id}"

    def manifest(self) -> dict[str, Any]:
        """manifest.json; WinnowError where it cannot be read."""
        return _read_json(self.path / MANIFEST)

    def run(self) -> dict[str, Any]:
        """run.json, empty where there is none."""
        path = self.path / RUN
        return _read_json(path) if path.is_file() else {}

    def table_path(self, name: str, split: str) -> Path:
        return self.path / name / f"{split}.parquet"

    def table(self, name: str, split: str = "train") -> pa.Table:
        """The rows of one set's split; FileNotFoundError where there is none."""
        return pq.read_table(self.table_path(name, split))

    def ledger(self) -> pa.Table:
        """Every decision behind the version (schema LEDGER)."""
        return pq.read_table(self.path / LEDGER_FILE)


def version_id(sums: Mapping[str, str]) -> str:
    """A version's name from the SHA-256 of its files by relative path."""
    return digest("version/1", sorted(sums.items()))[:16]


def read_sums(path: Path) -> dict[str, str]:
    """SHA-256 by relative path from the version's SHA256SUMS; WinnowError where it is damaged."""
    try:
        lines = (path / SUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WinnowError(f"{path / SUMS}: cannot be read: {error}") from None
    entries = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    if not entries or not all(entries):
        raise WinnowError(f"{path / SUMS}: is damaged")
    return {entry[2]: entry[1] for entry in entries if entry}


def open_version(path: Path) -> Version:
    """The version in the folder `path`; one whose manifest cannot be read has a `problem`."""
    path = path.resolve()
    version = Version(path.parent.name, path.name, path)
    try:
        if not _ID.fullmatch(path.name):  # a copy under another name
            version = Version(path.parent.name, version_id(read_sums(path)), path)
        manifest, run = version.manifest(), version.run()
        rows, views = (
            {
                name: {split: facts["rows"] for split, facts in entry["splits"].items()}
                for name, entry in entries.items()
            }
            for entries in (manifest["sets"], manifest.get("views", {}))
        )
        return Version(
            manifest["dataset"],
            version.id,
            path,
            run.get("created"),
            run.get("parent"),
            rows,
            views=views,
        )
    except WinnowError as error:
        return Version(version.dataset, version.id, path, problem=str(error))
    except (KeyError, TypeError, AttributeError):
        return Version(version.dataset, version.id, path, problem=f"{path}: no manifest of winnow")


def list_versions(dataset_dir: Path) -> list[Version]:
    """The dataset's versions, oldest first; damaged ones with their `problem`.

    Folders that a killed process left behind are no versions.
    """
    if not dataset_dir.is_dir():
        return []
    found = [
        open_version(path)
        for path in dataset_dir.iterdir()
        if _ID.fullmatch(path.name) and path.is_dir()
    ]
    return sorted(found, key=lambda version: (version.created or "", version.id))


def latest(dataset_dir: Path) -> Version | None:
    """The version that was published last: the one that `latest` names, else the newest by its run.json."""
    try:
        name = (dataset_dir / LATEST).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    if _ID.fullmatch(name) and (dataset_dir / name).is_dir():
        return open_version(dataset_dir / name)
    versions = list_versions(dataset_dir)
    return versions[-1] if versions else None


def resolve(ref: str, home: Path) -> Version:
    """The version that `ref` means: a folder, `dataset@id` (or the id's beginning),
    `dataset@latest`, or `dataset` (its latest).

    `home` holds the datasets' folders. Raises UsageError, which lists what there is, where nothing
    or more than one version fits, and WinnowError where its manifest cannot be read.
    """
    version = _named(ref, home)
    if version.problem:
        raise WinnowError(version.problem)
    return version


def verify_version(path: Path) -> list[str]:
    """Hash every file of a version again; one line for each that is missing or damaged."""
    path = path.resolve()
    try:
        sums = read_sums(path)
    except WinnowError as error:
        return [str(error)]
    problems = []
    if _ID.fullmatch(path.name) and version_id(sums) != path.name:
        problems.append(f"{path / SUMS}: does not belong to the version {path.name}")
    for name, expected in sorted(sums.items()):
        if not (path / name).is_file():
            problems.append(f"{path / name}: is missing")
        elif sha256(path / name) != expected:
            problems.append(f"{path / name}: is damaged (its SHA-256 differs)")
    return problems


def stale_temporaries(dataset_dir: Path, *, grace_seconds: float = 60.0) -> list[Path]:
    """Folders that killed processes left behind, safe to remove with `shutil.rmtree`.

    A live publisher holds a lock on its folder. `grace_seconds` protects one that has made its
    folder and is about to lock it.
    """
    if not dataset_dir.is_dir():
        return []
    oldest = time.time() - grace_seconds
    return sorted(
        path
        for path in dataset_dir.glob(f"{TEMPORARY}*")
        if path.is_dir() and path.stat().st_mtime <= oldest and not _locked(path)
    )


def _locked(path: Path) -> bool:
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _named(ref: str, home: Path) -> Version:
    name, _, wanted = ref.partition("@")
    folder = home / name
    if not (_NAME.fullmatch(name) and folder.is_dir()):
        return _in_folder(Path(ref), home)
    if not wanted and (Path(ref) / MANIFEST).is_file():
        return _in_folder(Path(ref), home)
    if not wanted or wanted == LATEST:
        found = latest(folder)
        if found is None:
            raise UsageError(f"{ref}: the dataset has no version; {_what_exists(home)}")
        return found
    versions = list_versions(folder)
    fits = [version for version in versions if version.id.startswith(wanted)]
    if len(fits) == 1:
        return fits[0]
    listed = ", ".join(v.id for v in fits or versions) or "none"
    if fits:
        raise UsageError(f"{ref}: fits {len(fits)} versions: {listed}")
    raise UsageError(f"{ref}: no such version; {name} has: {listed}")


def _in_folder(path: Path, home: Path) -> Version:
    if (path / MANIFEST).is_file():
        return open_version(path)
    found = latest(path) if path.is_dir() else None
    if found is None:
        raise UsageError(f"{path}: no version and no dataset; {_what_exists(home)}")
    return found


def _what_exists(home: Path) -> str:
    folders = sorted(home.iterdir()) if home.is_dir() else []
    names = [path.name for path in folders if _NAME.fullmatch(path.name) and list_versions(path)]
    return f"datasets in {home}: {', '.join(names) or 'none'}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WinnowError(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise WinnowError(f"{path}: holds no JSON object")
    return value
