"""Where a run's files are, and which of them still hold.

A *home* folder holds everything that winnow writes:

    <home>/recipes/                 recipes (read)
    <home>/.store/*.sqlite          pictures, rollouts, verdicts, steps and features of all recipes
    <home>/.stages/<recipe>/        one Parquet table per stage: the signals of the last run
    <home>/<dataset>/<version>/     published versions

A stage table carries the fingerprint of what determined it (stage version, its part of the recipe,
its inputs' data versions) in its Parquet metadata, so that an unchanged stage is skipped; and a data
version, the hash of its content.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline import schema
from winnow.pipeline.errors import WinnowError
from winnow.pipeline.store.store import Store

_FINGERPRINT = b"winnow.fingerprint"
_DATA_VERSION = b"winnow.data_version"


def default_home() -> Path:
    """$WINNOW_HOME, else ./data."""
    return Path(os.environ.get("WINNOW_HOME", "data"))


@dataclass(frozen=True)
class Workspace:
    """The folders of one recipe in one home. `name` is the recipe file's stem."""

    home: Path
    name: str

    @property
    def run_lock(self) -> Path:
        """Locked while a run of this recipe writes its tables."""
        return self.home / ".stages" / self.name / "run"

    def table_path(self, stage: str) -> Path:
        return self.home / ".stages" / self.name / f"{stage}.parquet"

    def read(self, stage: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The table of a stage that has run; raises WinnowError where it has not."""
        path = self.table_path(stage)
        if not path.is_file():
            raise WinnowError(f"{path}: stage {stage} has not run yet (winnow run makes it)")
        return pq.read_table(path, columns=columns)

    def stamps(self, stage: str) -> tuple[str, str] | None:
        """(fingerprint, data version) of a stage's table, None where there is none."""
        path = self.table_path(stage)
        if not path.is_file():
            return None
        metadata = pq.read_schema(path).metadata or {}
        if _FINGERPRINT not in metadata:
            return None
        return metadata[_FINGERPRINT].decode(), metadata[_DATA_VERSION].decode()

    def holds(self, stage: str, fingerprint: str) -> bool:
        """Whether the stage's table is there and was made from just this."""
        found = self.stamps(stage)
        return found is not None and found[0] == fingerprint

    def num_rows(self, stage: str) -> int:
        return int(pq.read_metadata(self.table_path(stage)).num_rows)

    def data_version(self, stage: str) -> str:
        """Hash of the content of a stage's table; "missing" where it has not run."""
        found = self.stamps(stage)
        return found[1] if found else "missing"

    def write(self, stage: str, table: pa.Table, fingerprint: str) -> str:
        """Write a stage's table, whole or not at all; returns its data version."""
        version = content_hash(table)
        metadata = {**(table.schema.metadata or {}),
                    _FINGERPRINT: fingerprint.encode(), _DATA_VERSION: version.encode()}  # fmt: skip
        path = self.table_path(stage)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            try:
                pq.write_table(table.replace_schema_metadata(metadata), file, compression="zstd")
                file.flush()
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return version

    def note_target(self, target: str) -> None:
        """Remember which answers this recipe's run asks for, for as long as its table is old."""
        path = self.table_path("rollouts").with_name("target.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(target)
        temporary.replace(path)

    def images(self, *, write: bool = False, **lock: Any) -> Store:
        return open_store(self.home, "images", write=write, **lock)

    def rollouts(self, *, write: bool = False, **lock: Any) -> Store:
        return open_store(self.home, "rollouts", write=write, **lock)

    def verdicts(self, *, write: bool = False, **lock: Any) -> Store:
        return open_store(self.home, "verdicts", write=write, **lock)

    def steps(self, *, write: bool = False, **lock: Any) -> Store:
        return open_store(self.home, "steps", write=write, **lock)

    def judgements(self, *, write: bool = False, **lock: Any) -> Store:
        return open_store(self.home, "judgements", write=write, **lock)

    def features(self, *, write: bool = False, **lock: Any) -> Store:
        return open_store(self.home, "features", write=write, **lock)


_STORES: Mapping[str, tuple[pa.Schema, str, tuple[str, ...]]] = {
    "images": (schema.IMAGES, "image_id", ()),
    "rollouts": (schema.ROLLOUTS, "rollout_id", ("prompt_id",)),
    "verdicts": (schema.VERDICTS, "verdict_id", ("rollout_id",)),
    "steps": (schema.STEPS, "step_id", ("prompt_id",)),
    "judgements": (schema.JUDGEMENTS, "judgement_id", ("prompt_id",)),
    "features": (schema.FEATURES, "feature_id", ("row_id",)),
    "row_features": (schema.FEATURES, "feature_id", ()),
}


def open_store(
    home: Path,
    name: str,
    *,
    write: bool = False,
    wait: bool = True,
    on_wait: Callable[[str], None] | None = None,
) -> Store:
    """The store `name` of a home folder: images (of prompts), rollouts, verdicts, features (of recipes), steps and
    judgements (of tree searches and hinted answers), row_features (of any table's rows, by what their texts are; no
    clean-up removes those).
    """
    columns, key, index = _STORES[name]
    path = home / ".store" / f"{name}.sqlite"
    return Store(path, columns, key, index=index, write=write, wait=wait, on_wait=on_wait)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def content_hash(table: pa.Table) -> str:
    """Hash of a table's columns and values, independent of how it is chunked."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None).combine_chunks(), sink, compression="zstd")
    return hashlib.blake2b(sink.getvalue(), digest_size=16).hexdigest()
