"""What pages list rows of: a split of a set, or of a view, and what its columns hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.browse.database import FILE_ROW, ROW, Numbered
from winnow.pipeline.publish.set_columns import ORIGIN
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.views import BESIDE

Kind = Literal["text", "integer", "number", "flag", "conversation", "texts", "pictures", "other"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FIRST = 1024  # rows that tell whether a column's texts are long
_LONG = 80  # characters
_SORTABLE = ("text", "integer", "number", "flag")
_NAMES = {"id", "verifier", "verifier_args", *(column.name for column in ORIGIN)}


@dataclass(frozen=True)
class Column:
    """A column: what it holds, and its meaning where the file says it. `long`: some of its texts have
    more than 80 characters. `bare`: there are no bytes in it, at any depth, so that a list can show it
    as text."""

    name: str
    kind: Kind
    meaning: str = ""
    long: bool = False
    bare: bool = True

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

    @property
    def key(self) -> str:
        """The column that names a row."""
        return "id"

    @property
    def file(self) -> "Path | Numbered":
        """What the database reads."""
        return self.path

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    def of_kind(self, *kinds: Kind) -> list[Column]:
        return [column for column in self.columns if column.kind in kinds]

    @property
    def excerpts(self) -> list[Column]:
        """Columns that a list shows the beginning of."""
        return self.of_kind("conversation", "texts", "pictures")


@dataclass(frozen=True)
class ViewPart(Part):
    """One split of one view: `set` is the view's own name, `source` the set that it was made of. Its
    rows have no names: they go by their number in the file, from 0. `beside` holds further columns, row
    for row."""

    source: str = ""
    format: str = ""
    style: str | None = None
    beside: Path | None = None

    @property
    def view(self) -> str:
        return f"view_{self.number}"

    @property
    def key(self) -> str:
        return ROW

    @property
    def file(self) -> Path | Numbered:
        return Numbered(self.path, self.beside)

    @property
    def excerpts(self) -> list[Column]:
        """Also nested columns, of which some formats are made alone."""
        found = self.of_kind("conversation", "texts", "pictures", "other")
        return [column for column in found if column.kind != "other" or column.bare]


def set_part(number: int, version: Version, name: str, split: str) -> Part:
    """A set's split; WinnowError where its file is missing, is no Parquet, or is not the version's."""
    path = _own(version, name, split, "set")
    columns = _columns(path)
    if "id" not in {column.name.lower() for column in columns}:
        raise WinnowError(f"{path}: has no column id")
    return Part(number, name, split, path, int(pq.read_metadata(path).num_rows), columns)


def view_part(
    number: int, version: Version, name: str, split: str, entry: Mapping[str, Any]
) -> ViewPart:
    """A view's split, from its `entry` in the manifest; WinnowError as `set_part`, and where the file
    beside has not as many rows."""
    path = _own(version, name, split, "view")
    rows = int(pq.read_metadata(path).num_rows)
    columns, beside = _columns(path), None
    if BESIDE in entry["splits"][split]:
        beside = path.with_name(f"{split}.{BESIDE}.parquet")
        require_own(version, beside)
        columns = (*columns, *_columns(beside))
        found = int(pq.read_metadata(beside).num_rows)
        if found != rows:
            raise WinnowError(f"{beside}: has {found:,} rows, {path.name} has {rows:,}")
    _require_different(path, [column.name for column in columns])
    for column in columns:
        if column.name.lower() in (ROW, FILE_ROW):
            raise WinnowError(f"{path}: a column is called {column.name}, as pages call its number")
    style = entry.get("style")
    return ViewPart(
        number, name, split, path, rows, columns, str(entry.get("set")), str(entry.get("type")),
        None if style is None else str(style), beside,
    )  # fmt: skip


def require_own(version: Version, path: Path) -> None:
    """No link, and no name in the manifest, leads out of the version's folder."""
    if not path.is_file():
        raise WinnowError(f"{path}: is missing")
    if not path.resolve().is_relative_to(version.path.resolve()):
        raise WinnowError(f"{path}: leads out of the version's folder")


def schema_of(path: Path) -> pa.Schema:
    """The columns of a Parquet file; WinnowError where it is none."""
    try:
        return pq.read_schema(path)
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise WinnowError(f"{path}: cannot be read as Parquet: {error}") from None


def _own(version: Version, name: str, split: str, what: str) -> Path:
    if not (_NAME.fullmatch(name) and _NAME.fullmatch(split)):
        raise WinnowError(
            f"{version.path}: the manifest names a {what} that cannot be one: {name!r}"
        )
    path = version.table_path(name, split)
    require_own(version, path)
    return path


def _columns(path: Path) -> tuple[Column, ...]:
    schema = schema_of(path)
    _require_different(path, schema.names)
    long = _long_texts(path, [f.name for f in schema if _kind(f.type) == "text"])
    return tuple(
        Column(f.name, _kind(f.type), _meaning(f), f.name in long, not _has_bytes(f.type))
        for f in schema
    )


def _require_different(path: Path, names: list[str]) -> None:
    folded = [name.lower() for name in names]
    if twice := sorted({name for name in folded if folded.count(name) > 1}):
        raise WinnowError(f"{path}: more than one column is called {twice[0]!r}")


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
            if (
                set(fields) == {"bytes", "path"}
                and _is_bytes(fields["bytes"])
                and _is_text(fields["path"])
            ):
                return "pictures"
    return "other"


def _has_bytes(type_: pa.DataType) -> bool:
    return _is_bytes(type_) or any(
        _has_bytes(type_.field(at).type) for at in range(type_.num_fields)
    )


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _is_bytes(type_: pa.DataType) -> bool:
    return (
        pa.types.is_binary(type_)
        or pa.types.is_large_binary(type_)
        or pa.types.is_fixed_size_binary(type_)
    )
