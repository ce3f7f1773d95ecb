"""Parquet files whose bytes depend on the rows alone.

The same rows give the same bytes from whatever order, chunking and number of threads they come:
rows are sorted, row groups have a fixed number of rows, and every option of the writer that could
change the bytes is pinned here. What remains is the writer itself: its version stands in each file
(`created_by`) and in the manifest.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.formats.images import has_images, with_image_feature

ROW_GROUP_ROWS = 2048  # `datasets` reads a group at a time: tens of MB of long answers
IMAGE_GROUP_ROWS = 100  # where rows hold images; as `datasets` itself has it

Widen = Callable[[pa.Table], pa.Table]  # some rows in, the same rows with more columns out


@dataclass(frozen=True)
class WrittenFile:
    """A finished file: hex SHA-256 of its bytes, their number, and its rows."""

    sha256: str
    size: int
    rows: int


def write_table(
    table: pa.Table,
    path: Path,
    *,
    sort_by: Sequence[str] = ("id",),
    unique: bool = True,
    widen: Widen | None = None,
) -> WrittenFile:
    """Write `table` to `path`, sorted by the columns `sort_by`, and sync it to the disk.

    Without any such columns the rows keep their order. Column types, nullability and the fields' own
    metadata (the meaning of each column) are kept; metadata of the whole schema (pandas' and others')
    is dropped, but for the note by which `datasets` decodes images, and lists' items are named as
    Parquet names them, so that a table read back gives the same bytes. A table without rows gives a file
    with a schema and no row group, because `datasets` cannot read an empty row group.

    `widen` adds columns to the rows of one row group at a time, for what is too large to be held at once.

    Raises ValueError when a row's key is null or, with `unique`, stands twice.
    """
    schema = _converted(table.schema, wide=False)
    order = _order(table, sort_by, unique)
    wider = _converted(widen(table.slice(0, 0)).schema, wide=False) if widen else schema
    with GroupWriter(path, wider) as writer:
        for group in _groups(table, schema, order, group_rows(wider)):
            writer.write_group(widen(group) if widen else group)
    return writer.written


class GroupWriter:
    """A file in the making: rows come in any pieces and go out in row groups of a fixed number, so that
    no more than a group is held. `written` tells of the finished file, behind the `with` block."""

    written: WrittenFile

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, with_image_feature(_converted(schema, wide=False))
        self._wide, self._size = _converted(schema, wide=True), group_rows(schema)
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> Self:
        self._writer = pq.ParquetWriter(
            self._path,
            self._schema,
            version="2.6",
            compression="zstd",
            compression_level=3,
            use_dictionary=True,
            data_page_version="1.0",  # every reader knows it
            data_page_size=1 << 20,
            write_batch_size=1024,
            write_statistics=True,
            write_page_index=True,
            store_schema=True,
        )
        return self

    def add(self, rows: pa.Table) -> None:
        """More rows, in order."""
        # With 64-bit offsets: what waits may hold more than 2 GiB of text.
        self._waiting.append(rows.cast(self._wide))
        if sum(each.num_rows for each in self._waiting) >= self._size:
            self._put(whole_groups=True)

    def write_group(self, rows: pa.Table) -> None:
        """A row group as it is."""
        self._writer.write_table(
            rows.cast(self._schema).combine_chunks(), row_group_size=self._size
        )
        self._rows += rows.num_rows

    def _put(self, *, whole_groups: bool) -> None:
        if not self._waiting:
            return
        rows = pa.concat_tables(self._waiting).combine_chunks()
        end = rows.num_rows - rows.num_rows % self._size if whole_groups else rows.num_rows
        for start in range(0, end, self._size):
            at = pa.array(range(start, min(start + self._size, end)), pa.int64())
            for group in _narrow(rows, self._schema, at):
                self.write_group(group)
        self._waiting = [rows.slice(end)] if end < rows.num_rows else []

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._put(whole_groups=False)
        self._writer.close()
        if kind is None:
            sync(self._path)
            size = self._path.stat().st_size
            self.written = WrittenFile(sha256(self._path), size, self._rows)


def group_rows(schema: pa.Schema) -> int:
    """Rows of a row group, and of what is held in memory at once, of a table of these columns."""
    return IMAGE_GROUP_ROWS if has_images(schema) else ROW_GROUP_ROWS


def sha256(path: Path) -> str:
    """Hex SHA-256 of the bytes of `path`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_file(source: Path, path: Path, expected: str) -> None:
    """Put the file `source` at `path`, by a hard link where the disk allows.

    Raises WinnowError where its SHA-256 is not `expected`.
    """
    if not source.is_file() or sha256(source) != expected:
        raise WinnowError(f"{source}: is damaged; publish the whole recipe instead")
    try:
        os.link(source, path)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, path)
        sync(path)


def _order(table: pa.Table, sort_by: Sequence[str], unique: bool) -> pa.Array:
    if not sort_by:
        return pa.array(range(table.num_rows), pa.int64())
    keys = table.select(list(sort_by))
    first = keys.column(0)
    if first.null_count:
        raise ValueError(f"{first.null_count} rows have no {sort_by[0]}")
    if unique and (twice := table.num_rows - keys.group_by(list(sort_by)).aggregate([]).num_rows):
        raise ValueError(f"{twice} rows have the same {', '.join(sort_by)} as another row")
    return pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in sort_by])


def _groups(table: pa.Table, schema: pa.Schema, order: pa.Array, size: int) -> Iterator[pa.Table]:
    """Row groups in order, each in one chunk, so that pages never follow the input's chunks."""
    # Rows are gathered with 64-bit offsets: a column of a big set holds more than 2 GiB of text.
    rows = table.cast(_converted(schema, wide=True)).combine_chunks()
    for start in range(0, table.num_rows, size):
        yield from _narrow(rows, schema, order.slice(start, size))


def _narrow(rows: pa.Table, schema: pa.Schema, at: pa.Array) -> Iterator[pa.Table]:
    """The rows `at` in the table's own types; halved while their text is too long for those."""
    group = rows.take(at)
    try:
        yield group.cast(schema)
    except pa.ArrowInvalid:
        if len(at) == 1:
            raise
        half = len(at) // 2
        yield from _narrow(rows, schema, at.slice(0, half))
        yield from _narrow(rows, schema, at.slice(half))


def _converted(schema: pa.Schema, *, wide: bool) -> pa.Schema:
    """`schema` with Parquet's names for lists' items, and with 64-bit offsets where `wide`."""
    return pa.schema([field.with_type(_type(field.type, wide)) for field in schema])


def _type(type_: pa.DataType, wide: bool) -> pa.DataType:
    if wide and pa.types.is_string(type_):
        return pa.large_string()
    if wide and pa.types.is_binary(type_):
        return pa.large_binary()
    if pa.types.is_list(type_):
        item = type_.value_field
        item = item.with_name("element").with_type(_type(item.type, wide))
        return pa.large_list(item) if wide else pa.list_(item)
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_type(field.type, wide)) for field in type_])
    return type_
