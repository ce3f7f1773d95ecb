"""What there is to look at: a version's sets, its ledger, and the tables of the run behind it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.set_columns import ORIGIN
from winnow.pipeline.publish.version import LEDGER_FILE, Version
from winnow.pipeline.schema import TABLES
from winnow.pipeline.workspace import Workspace

Kind = Literal["text", "integer", "number", "flag", "conversation", "texts", "other"]

LEDGER = "ledger"
# Tables of a run that pages show, with what is missing from the pages without them.
STAGES = {
    "prompts": "references, and prompts that no set took",
    "rollouts": "answers",
    "verdicts": "verdicts of answers",
    "difficulty": "how often a prompt was solved",
    "clusters": "clusters of prompts that no set took",
    "scores": "scores of answers that no set took",
    "audit": "doubts about references",
    "sampled": None,  # only a run with stop rules has one
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FIRST = 1024  # rows that tell whether a column's texts are long
_LONG = 80  # characters
_SORTABLE = ("text", "integer", "number", "flag")
_NAMES = {"id", "verifier", "verifier_args", *(column.name for column in ORIGIN)}
_NO_RUN = (
    "the tables of the run that made this version are not here: no answers, verdicts and prompts but "
    "those that the sets hold"
)
_NO_COLUMN = {"seconds"}  # which a stage's table leaves out


@dataclass(frozen=True)
class Column:
    """A column of a set: what it holds, and its meaning where the file says it. `long`: some of its
    texts have more than 80 characters."""

    name: str
    kind: Kind
    meaning: str = ""
    long: bool = False

    @property
    def plain(self) -> bool:
        """Whether rows can be filtered and sorted by it."""
        return self.kind in _SORTABLE

    @property
    def prose(self) -> bool:
        """Whether it holds words of people or models, rather than names and numbers."""
        named = self.name in _NAMES or self.name.endswith("_id")
        return self.kind in ("conversation", "texts") or (self.long and not named)


@dataclass(frozen=True)
class Part:
    """One split of one set. `view` is its name in the database, `number` its place in the order."""

    number: int
    set: str
    split: str
    path: Path
    rows: int
    columns: tuple[Column, ...]

    @property
    def view(self) -> str:
        return f"part_{self.number}"

    @property
    def name(self) -> str:
        return f"{self.set}/{self.split}"

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    def of_kind(self, *kinds: Kind) -> list[Column]:
        return [column for column in self.columns if column.kind in kinds]


@dataclass(frozen=True)
class Catalogue:
    """`stages` maps a stage's name to its table's file; `lacking` says what pages cannot show, and
    `differing` names tables that are of another state than the version was made from."""

    version: Version
    manifest: Mapping[str, Any]
    parts: tuple[Part, ...]
    workspace: Workspace | None
    stages: Mapping[str, Path]
    lacking: tuple[str, ...] = ()
    differing: tuple[str, ...] = field(default=())

    @property
    def files(self) -> dict[str, Path]:
        """Every file that may be read, by the name of its view."""
        return {
            **{part.view: part.path for part in self.parts},
            LEDGER: self.version.path / LEDGER_FILE,
            **{f"stage_{name}": path for name, path in self.stages.items()},
        }

    def part(self, name: str, split: str) -> Part | None:
        found = (p for p in self.parts if (p.set, p.split) == (name, split))
        return next(found, None)

    def parts_of(self, name: str) -> list[Part]:
        """All splits of a set."""
        return [part for part in self.parts if part.set == name]


def catalogue(version: Version, home: Path) -> Catalogue:
    """Look at a version that `resolve` found, and at the run that published it where `home`, or the
    home that the version stands in, has its tables.

    Raises WinnowError where a file of the version is missing, is no Parquet, or is not its own.
    """
    manifest = version.manifest()
    parts: list[Part] = []
    for name in sorted(version.rows):
        for split in sorted(version.rows[name], reverse=True):  # train before holdout
            parts.append(_part(len(parts), version, name, split))
    _require_own(version, version.path / LEDGER_FILE)
    workspace = _workspace(version, home)
    stages, lacking = _stages(workspace)
    made_from = manifest.get("inputs") or {}
    differing = [
        name
        for name in stages
        if workspace and name in made_from and workspace.data_version(name) != made_from[name]
    ]
    return Catalogue(
        version, manifest, tuple(parts), workspace, stages, tuple(lacking), tuple(differing)
    )


def _part(number: int, version: Version, name: str, split: str) -> Part:
    if not (_NAME.fullmatch(name) and _NAME.fullmatch(split)):
        raise WinnowError(f"{version.path}: the manifest names a set that cannot be one: {name!r}")
    path = version.table_path(name, split)
    _require_own(version, path)
    schema = _schema(path)
    folded = [column.lower() for column in schema.names]
    if twice := sorted({column for column in folded if folded.count(column) > 1}):
        raise WinnowError(f"{path}: more than one column is called {twice[0]!r}")
    if "id" not in folded:
        raise WinnowError(f"{path}: has no column id")
    long = _long_texts(path, [f.name for f in schema if _kind(f.type) == "text"])
    columns = tuple(Column(f.name, _kind(f.type), _meaning(f), f.name in long) for f in schema)
    return Part(number, name, split, path, int(pq.read_metadata(path).num_rows), columns)


def _require_own(version: Version, path: Path) -> None:
    """No link, and no name in the manifest, leads out of the version's folder."""
    if not path.is_file():
        raise WinnowError(f"{path}: is missing")
    if not path.resolve().is_relative_to(version.path.resolve()):
        raise WinnowError(f"{path}: leads out of the version's folder")


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise WinnowError(f"{path}: cannot be read as Parquet: {error}") from None


def _meaning(field_: pa.Field) -> str:
    return str((field_.metadata or {}).get(b"meaning", b"").decode("utf-8", "replace"))


def _long_texts(path: Path, names: list[str]) -> set[str]:
    """Those of the text columns that hold a long text among the first rows."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_FIRST, columns=names):
            lengths = {name: pc.max(pc.utf8_length(batch.column(name))).as_py() for name in names}
            return {name for name, length in lengths.items() if (length or 0) > _LONG}
    return set()


def _kind(type_: pa.DataType) -> Kind:
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_boolean(type_):
        return "flag"
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_floating(type_):
        return "number"
    if _is_text(type_):
        return "text"
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        item = type_.value_type
        if _is_text(item):
            return "texts"
        if pa.types.is_struct(item):
            fields = {each.name: each.type for each in item}
            if all(_is_text(fields.get(name, pa.null())) for name in ("role", "content")):
                return "conversation"
    return "other"


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _workspace(version: Version, home: Path) -> Workspace | None:
    name = version.run().get("recipe_name")
    if not isinstance(name, str) or "\0" in name or name in (".", "..") or Path(name).name != name:
        return None
    for folder in (version.path.parent.parent, home):
        if (folder / ".stages" / name).is_dir():
            return Workspace(folder, name)
    return None


def _stages(workspace: Workspace | None) -> tuple[dict[str, Path], list[str]]:
    """Files of the tables that can be read, and what is not shown without the others."""
    if workspace is None:
        return {}, [_NO_RUN]
    found, lacking = {}, []
    for name, shows in STAGES.items():
        path = workspace.table_path(name)
        needed = set(TABLES[name].names) - _NO_COLUMN
        if path.is_file() and needed <= set(_schema(path).names):
            found[name] = path
        elif path.is_file():
            lacking.append(f"{shows or name}: {path} was written by another version of winnow")
        elif shows:
            lacking.append(f"{shows}: {path} is missing")
    return found, lacking
