"""Rows of one local file, each on its own: JSON Lines, JSON, CSV, TSV and Parquet.

`datasets` reads these files by block: it infers a column's type from the first block, so that a
column that starts with nulls fails on its first text, and one broken line fails the whole file. Here
a line that cannot be read is one `Unreadable` and the next line is read as if nothing happened.

Compressed files (.gz, .bz2, .zst, .lz4) are read by their ending. Text is UTF-8; bytes that are not
come through as lone surrogates, so that they cost a row only where they stand in a column in use.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.parquet_batches import batches


@dataclass(frozen=True)
class Unreadable:
    """A row that stands in the file and cannot be read; `reason` begins with its line."""

    reason: str


Record = Mapping[str, Any] | Unreadable

# 2 GiB: far above any prompt. The csv module's own limit of 128 KiB would refuse long ones.
_CSV_FIELD_LIMIT = 2**31 - 1


def kind(name: str) -> str | None:
    """Format by the ending of `name` (compression aside), or None if `read` does not know it."""
    suffixes = [suffix.lower() for suffix in PurePath(name).suffixes]
    if suffixes and suffixes[-1] in {".gz", ".bz2", ".zst", ".lz4"}:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in _READERS else None


def read(path: str, name: str, wanted: Collection[str] | None) -> Iterator[Record]:
    """Rows of the file at `path`, in order. `name` is the file's own name (a cache may rename it).

    `wanted` are the columns that will be used: others may be left out where that saves work. None:
    all of them.
    Raises OSError, ValueError (pyarrow's errors are ValueErrors) when the file as a whole is not
    what its ending says.
    """
    suffix = kind(name)
    assert suffix is not None, name
    return _READERS[suffix](path, name, wanted)


def _text(path: str, name: str, newline: str) -> TextIO:
    with Path(path).open("rb") as head:
        if head.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError("is UTF-16, not UTF-8")
    ending = PurePath(name).suffix.lower()
    compression = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}.get(ending)
    stream = pa.input_stream(path, compression=compression, buffer_size=1 << 20)
    return io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline=newline)


def _jsonl(path: str, name: str, wanted: Collection[str] | None) -> Iterator[Record]:
    with _text(path, name, newline="\n") as lines:
        yield from _json_lines(lines)


def _json_lines(lines: TextIO) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        if not line.isspace():
            yield _json_row(line, f"line {number}")


def _json_row(text: str, where: str) -> Record:
    try:
        value = json.loads(text)
    except RecursionError:
        return Unreadable(f"{where}: nested too deeply")
    except ValueError as error:  # broken JSON, or an integer of more than 4,300 digits
        return Unreadable(f"{where}: not JSON: {error}")
    return _object(value, where)


def _object(value: Any, where: str) -> Record:
    if isinstance(value, dict):
        return value
    return Unreadable(f"{where}: {type(value).__name__}, not an object of columns")


def _json(path: str, name: str, wanted: Collection[str] | None) -> Iterator[Record]:
    """An array of objects; or, as many files named .json are, one object per line."""
    with _text(path, name, newline="\n") as file:
        text = file.read()
    start = text.lstrip()[:1]
    if start == "[":
        yield from _json_array(text)
    elif start:
        first = text.lstrip().partition("\n")[0]
        if isinstance(_json_row(first, ""), Unreadable) and not isinstance(
            _json_row(text, ""), Unreadable
        ):
            raise ValueError("holds one JSON object; rows are an array of objects, or one per line")
        yield from _json_lines(io.StringIO(text, newline="\n"))


def _json_array(text: str) -> Iterator[Record]:
    """Elements one by one, so that those before a broken one are kept.

    What follows a broken element has no sure beginning: it is one `Unreadable`.
    """
    decoder = json.JSONDecoder()
    at, number, end = _skip(text, text.index("[") + 1), 0, "["
    if text[at : at + 1] == "]":
        at, end = at + 1, "]"
    while end != "]":
        number += 1
        try:
            value, at = decoder.raw_decode(text, at)
            at = _skip(text, at)
            end = text[at : at + 1]
            if end not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        except (ValueError, RecursionError) as error:
            yield Unreadable(f"element {number} and all after it: not JSON: {error}")
            return
        yield _object(value, f"element {number}")
        at = _skip(text, at + 1)
    if at < len(text) and not text[at:].isspace():
        yield Unreadable("text after the array's end")


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _csv(path: str, name: str, wanted: Collection[str] | None) -> Iterator[Record]:
    """Every field is text: `007` stays. The first line names the columns."""
    csv.field_size_limit(_CSV_FIELD_LIMIT)  # one setting for the whole process
    delimiter = "\t" if kind(name) == ".tsv" else ","
    with _text(path, name, newline="") as lines:
        records = _csv_records(lines, delimiter)
        header: list[str] | None = None
        for where, fields in records:
            if isinstance(fields, Unreadable):
                if header is None:
                    raise ValueError(f"the header, {fields.reason}")
                yield fields
            elif header is None:
                header = fields
                twice = sorted({c for c in header if header.count(c) > 1})
                if twice:
                    raise ValueError(f"two columns are named {twice[0]!r}")
            elif len(fields) != len(header):
                yield Unreadable(
                    f"{where}: {len(fields)} fields where the header has {len(header)}"
                )
            else:
                yield dict(zip(header, fields, strict=True))


def _csv_records(lines: TextIO, delimiter: str) -> Iterator[tuple[str, list[str] | Unreadable]]:
    """(where, fields) of every record that is no empty line.

    After a record with broken quotes reading goes on at the line below its first one: a quote that
    nobody closes costs its own line, not the rest of the file.
    """
    again: deque[str] = deque()
    taken: list[str] = []

    def feed() -> Iterator[str]:
        while True:
            line = again.popleft() if again else next(lines, None)
            if line is None:
                return
            taken.append(line)
            yield line

    number = 1
    while True:
        taken.clear()
        try:
            fields: list[str] | Unreadable | None
            # A reader of its own for each record: after an error its state is not defined.
            fields = next(csv.reader(feed(), delimiter=delimiter, strict=True), None)
        except csv.Error as error:
            fields = Unreadable(f"line {number}: {error}")
            again.extendleft(reversed(taken[1:]))
            del taken[1:]
        if fields is None:
            return
        if fields:
            yield f"line {number}", fields
        number += len(taken)


def _parquet(path: str, name: str, wanted: Collection[str] | None) -> Iterator[Record]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        # With a column missing, the reader must see them all to say what there is.
        columns = list(wanted) if wanted is not None and set(wanted) <= set(names) else None
        for batch in batches(file, 1024, columns):
            yield from table_rows(batch)


def table_rows(table: pa.Table | pa.RecordBatch) -> Iterator[Record]:
    """Rows as plain Python values; a row with a value that Python cannot hold is `Unreadable`."""
    try:
        rows = table.to_pylist()
    except (ValueError, OverflowError):  # no UTF-8, a time outside the years 1 to 9999
        rows = None
    if rows is not None:
        yield from rows
        return
    for at in range(table.num_rows):
        try:
            row = table.slice(at, 1).to_pylist()[0]
        except (ValueError, OverflowError) as error:
            row = Unreadable(f"a value cannot be read: {error}")
        yield row


_READERS: dict[str, Callable[[str, str, Collection[str] | None], Iterator[Record]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
}
