"""A file of rows in, the same rows with further columns out, in the same order.

Parquet keeps its schema and JSON Lines its text: nothing is inferred from the first rows, and what a
column held it still holds. A written file takes its place only when it is whole.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.errors import UsageError
from winnow.pipeline.parquet_batches import batches

BATCH = 8_192  # rows

_NO_TYPE = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError)
_JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Batch:
    """Some rows of a file; `start` is the number of the first one, from 0."""

    start: int
    rows: pa.RecordBatch | list[dict[str, Any]]

    def __len__(self) -> int:
        return self.rows.num_rows if isinstance(self.rows, pa.RecordBatch) else len(self.rows)

    def column(self, name: str) -> list[Any]:
        """Values as plain Python; None where a row of JSON Lines lacks the key."""
        if isinstance(self.rows, pa.RecordBatch):
            return list(self.rows.column(name).to_pylist())
        return [row.get(name) for row in self.rows]

    def array(self, name: str) -> pa.Array:
        """Values as Arrow keeps them."""
        if isinstance(self.rows, pa.RecordBatch):
            return self.rows.column(name)
        return pa.array(self.column(name))


class RowFile:
    """A Parquet or JSON Lines file that exists. Raises UsageError where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_parquet = _is_parquet(path)
        if not path.is_file():
            raise UsageError(f"{path}: no such file")
        self._schema: pa.Schema | None = None
        if self.is_parquet:
            try:
                with pq.ParquetFile(path) as file:
                    self._schema, self.num_rows = file.schema_arrow, file.metadata.num_rows
            except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
                raise UsageError(f"{path}: cannot be read as Parquet: {error}") from None
            self.columns: list[str] = list(self._schema.names)
            if twice := [name for name, n in Counter(self.columns).items() if n > 1]:
                raise UsageError(f"{path}: two columns are called {twice[0]}")
        else:
            self.num_rows, names = 0, {}
            for _, row in self._lines():
                self.num_rows += 1
                names.update(dict.fromkeys(row))
            self.columns = list(names)

    @property
    def schema(self) -> pa.Schema | None:
        """The Arrow schema of a Parquet file; None for JSON Lines."""
        return self._schema

    def require(self, column: str, option: str) -> None:
        """Raises UsageError where `column`, which the option `option` names, is not there."""
        if column not in self.columns:
            there = ", ".join(self.columns[:30]) or "none (the file is empty)"
            raise UsageError(f"{self.path}: no column {column!r} ({option}); there are: {there}")

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """All rows; with `columns`, of a Parquet file only those."""
        start = 0
        if self.is_parquet:
            with pq.ParquetFile(self.path) as file:
                for batch in batches(file, BATCH, columns):
                    yield Batch(start, batch)
                    start += batch.num_rows
            return
        rows: list[dict[str, Any]] = []
        for _, row in self._lines():
            rows.append(row)
            if len(rows) == BATCH:
                yield Batch(start, rows)
                start, rows = start + len(rows), []
        if rows:
            yield Batch(start, rows)

    def texts(self, column: str) -> pa.ChunkedArray:
        """A column of text; nulls stay. Raises UsageError where a value is no text."""
        chunks = [self._strings(batch, column) for batch in self.batches([column])]
        return pa.chunked_array(chunks, pa.large_string())

    def _strings(self, batch: Batch, column: str) -> pa.Array:
        if isinstance(batch.rows, pa.RecordBatch):
            array = batch.rows.column(column)
            if pa.types.is_dictionary(array.type):
                array = array.dictionary_decode()
            if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
                if not pa.types.is_null(array.type):
                    raise UsageError(f"{self.path}: {column}: holds {array.type}, not text")
            return array.cast(pa.large_string())
        values = batch.column(column)
        for at, value in enumerate(values):
            if value is not None and not isinstance(value, str):
                where = f"row {batch.start + at}"
                raise UsageError(
                    f"{self.path}, {where}: {column}: {type(value).__name__}, not text"
                )
        return pa.array(
            [v and v.encode("utf-8", "replace").decode() for v in values], pa.large_string()
        )

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with self.path.open(encoding="utf-8-sig") as lines:
                for number, line in enumerate(lines, 1):
                    if line.isspace():
                        continue
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise UsageError(
                            f"{self.path}, line {number}: {type(row).__name__}, not an object of columns"
                        )
                    yield number, row
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.path}: is not UTF-8 text: {error.reason}") from None
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{self.path}, line {number}: not JSON: {error}") from None


class RowWriter:
    """Writes `source`'s rows with further columns to `path`, which appears when the block ends well.

    A further column takes the place of one that has its name. Columns are written in the format
    that `path` ends in.
    """

    def __init__(self, path: Path, source: RowFile, added: pa.Schema) -> None:
        self.path, self._added = path, added
        self._is_parquet = _is_parquet(path)
        if not path.parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.parent}")
        if path.exists() and path.samefile(source.path):
            raise UsageError(f"{path}: is the input itself; name another output")
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._parquet: pq.ParquetWriter | None = None
        self._lines: Any = None
        self._source = source
        self._schema: pa.Schema | None = source.schema and self._extended(source.schema)

    def __enter__(self) -> Self:
        if not self._is_parquet:
            self._lines = self._temporary.open("w", encoding="utf-8")
        elif self._schema is not None:
            self._parquet = pq.ParquetWriter(self._temporary, self._schema, compression="zstd")
        return self

    def write(self, batch: Batch, columns: Mapping[str, Sequence[Any] | pa.Array]) -> None:
        """The rows of `batch`, each with its value of every further column."""
        arrays = [
            value if isinstance(value, pa.Array) else pa.array(value, self._added.field(name).type)
            for name, value in columns.items()
        ]
        if self._is_parquet:
            self._write_parquet(batch, pa.RecordBatch.from_arrays(arrays, list(columns)))
            return
        rows = batch.rows.to_pylist() if isinstance(batch.rows, pa.RecordBatch) else batch.rows
        values = [array.to_pylist() for array in arrays]
        for at, row in enumerate(rows):
            whole = {
                **row,
                **{name: value[at] for name, value in zip(columns, values, strict=True)},
            }
            self._lines.write(json.dumps(whole, ensure_ascii=False, default=str) + "\n")

    def _write_parquet(self, batch: Batch, added: pa.RecordBatch) -> None:
        rows = batch.rows
        if not isinstance(rows, pa.RecordBatch):
            rows = self._as_arrow(batch.start, rows)
        if self._schema is None:
            self._schema = self._extended(rows.schema)
            self._parquet = pq.ParquetWriter(self._temporary, self._schema, compression="zstd")
        arrays = [
            added.column(field.name) if field.name in self._added.names else rows.column(field.name)
            for field in self._schema
        ]
        try:
            whole = pa.Table.from_arrays(arrays, names=self._schema.names).cast(self._schema)
        except _NO_TYPE as error:
            raise self._mixed(batch.start, error) from None
        assert self._parquet is not None
        self._parquet.write_table(whole)

    def _as_arrow(self, start: int, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        names = self._source.columns
        try:
            return pa.RecordBatch.from_pylist([{n: row.get(n) for n in names} for row in rows])
        except _NO_TYPE as error:
            raise self._mixed(start, error) from None

    def _mixed(self, start: int, error: Exception) -> UsageError:
        return UsageError(
            f"{self._source.path}, row {start} and later: a column does not keep one type ({error}); "
            "write JSON Lines instead (--output name.jsonl)"
        )

    def _extended(self, schema: pa.Schema) -> pa.Schema:
        kept = [field for field in schema if field.name not in self._added.names]
        return pa.schema([*kept, *self._added], metadata=schema.metadata)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._is_parquet and self._parquet is None and kind is None:  # no row at all
            self._parquet = pq.ParquetWriter(self._temporary, self._added, compression="zstd")
        for file in (self._parquet, self._lines):
            if file is not None:
                file.close()
        if kind is None:
            self._temporary.replace(self.path)
        else:
            self._temporary.unlink(missing_ok=True)


def _is_parquet(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in _JSON_LINES:
        return False
    if suffix in (".parquet", ".pq"):
        return True
    raise UsageError(f"{path}: the name must end in .parquet, or .jsonl for JSON Lines")
