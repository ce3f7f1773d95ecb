"""Parquet files whose bytes depend on the rows alone.

The same rows give the same bytes from whatever order, chunking and number of threads they come:
rows are sorted, row groups have a fixed number of rows, and every option of the writer that could
change the bytes is pinned here. What remains is the writer itself: its version stands in each file
(`created_by`) and in the manifest.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.formats.images import has_images, with_image_feature

ROW_GROUP_ROWS = 2048  # `datasets` reads a group at a time: tens of MB of long answers
IMAGE_GROUP_ROWS = 100  # where rows hold images; as `datasets` itself has it
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class WrittenFile:
    """A finished file: hex SHA-256 of its bytes, their number, and its rows."""

    sha256: str
    size: int
    rows: int


def write_table(
    table: pa.Table, path: Path, *, sort_by: Sequence[str] = ("id",), unique: bool = True
) -> WrittenFile:
    """Write `table` to `path`, sorted by the columns `sort_by`, and sync it to the disk.

    Without any such columns the rows keep their order. Column types, nullability and the fields' own
    metadata (the meaning of each column) are kept; metadata of the whole schema (pandas' and others')
    is dropped, but for the note by which `datasets` decodes images, and lists' items are named as
    Parquet names them, so that a table read back gives the same bytes. A table without rows gives a file
    with a schema and no row group, because `datasets` cannot read an empty row group.

    Raises ValueError when a row's key is null or, with `unique`, stands twice.
    """
    schema = with_image_feature(_converted(table.schema, wide=False))
    order = _order(table, sort_by, unique)
    with pq.ParquetWriter(
        path,
        schema,
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
    ) as writer:
        for group in _groups(table, schema, order):
            writer.write_table(group, row_group_size=group_rows(schema))
    sync(path)
    return WrittenFile(sha256(path), path.stat().st_size, table.num_rows)


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


def _groups(table: pa.Table, schema: pa.Schema, order: pa.Array) -> Iterator[pa.Table]:
    """Row groups in order, each in one chunk, so that pages never follow the input's chunks."""
    # Rows are gathered with 64-bit offsets: a column of a big set holds more than 2 GiB of text.
    rows = table.cast(_converted(schema, wide=True)).combine_chunks()
    size = group_rows(schema)
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
