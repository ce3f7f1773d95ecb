"""Where the columns of a selection come from: tables in memory, and files that are read in pieces."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import digest
from winnow.pipeline.row_files import BATCH, RowFile

ROW_ID = "row_id"

# Of a value that Arrow cannot hold, such as a whole number past 64 bits or half a surrogate pair.
_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError)

# Texts that name a row which brings no `row_id`: other columns do not change its name.
TEXTS = (
    "messages", "prompt", "instruction", "input", "question", "problem", "text",
    "completion", "response", "output", "answer", "solution",
)  # fmt: skip


class Rows(Protocol):
    """Columns by name. `label` is what errors call it."""

    @property
    def label(self) -> str: ...

    @property
    def columns(self) -> list[str]: ...

    @property
    def num_rows(self) -> int: ...

    def blocks(self, column: str) -> Iterator[pa.Array]:
        """A column, some rows at a time, in order."""
        ...


class TableRows:
    """A table in memory."""

    def __init__(self, table: Any, label: str = "the table") -> None:
        self._table = table if isinstance(table, pa.Table) else table.to_arrow()  # polars
        self.label = label
        if twice := [name for name, n in Counter(self.columns).items() if n > 1]:
            raise UsageError(f"{label}: two columns are called {twice[0]}")

    @property
    def columns(self) -> list[str]:
        return list(self._table.column_names)

    @property
    def num_rows(self) -> int:
        return int(self._table.num_rows)

    def blocks(self, column: str) -> Iterator[pa.Array]:
        for chunk in self._table[column].chunks:
            for at in range(0, len(chunk), BATCH):
                yield chunk.slice(at, BATCH)


class FileRows:
    """A Parquet or JSON Lines file; of Parquet one column is read at a time."""

    def __init__(self, file: RowFile) -> None:
        self._file = file
        self.label = str(file.path)

    @property
    def columns(self) -> list[str]:
        return self._file.columns

    @property
    def num_rows(self) -> int:
        return self._file.num_rows

    def blocks(self, column: str) -> Iterator[pa.Array]:
        if self._file.is_parquet:
            for batch in self._file.batches([column]):
                yield batch.array(column)
            return
        # JSON names no types: all values are seen before one is settled on.
        values = [value for batch in self._file.batches() for value in batch.column(column)]
        try:
            yield pa.array(values)
        except _UNFIT as error:
            for at, value in enumerate(values):
                try:
                    pa.array([value])
                except _UNFIT as cause:
                    raise UsageError(f"{self.label}, row {at}: {column}: {cause}") from None
            raise UsageError(f"{self.label}: {column}: does not keep one type: {error}") from None


def read(rows: Rows, column: str) -> pa.ChunkedArray:
    """A whole column. Only for columns of a few bytes a row."""
    blocks = list(rows.blocks(column))
    return pa.chunked_array(blocks) if blocks else pa.chunked_array([], pa.null())


def row_ids(rows: Rows) -> list[str] | None:
    """The names of the rows as text; None where the table brings neither names nor texts.

    Rows without `row_id` are named by a hash of their texts (`TEXTS`): equal texts give equal names
    here. Raises UsageError for a `row_id` that is missing in a row or stands twice.
    """
    if ROW_ID in rows.columns:
        given = read(rows, ROW_ID).to_pylist()
        seen: dict[str, int] = {}
        for at, value in enumerate(given):
            if value is None:
                raise UsageError(f"{rows.label}, row {at}: row_id is missing")
            first = seen.setdefault(str(value), at)
            if first != at:
                raise UsageError(
                    f"{rows.label}: rows {first} and {at} have one row_id, {str(value)!r}"
                )
        return list(seen)
    texts = [name for name in TEXTS if name in rows.columns]
    if not texts:
        return None
    return hashed(rows, texts)


def numbered(names: list[str]) -> list[str]:
    """The second of equal names becomes name-2, and so on."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return result


def hashed(rows: Rows, columns: list[str]) -> list[str]:
    """A name for each row, from the values of these columns."""
    values = [read(rows, name).to_pylist() for name in columns]
    return [
        digest("row/1", {n: _plain(v) for n, v in zip(columns, row, strict=True)})
        for row in zip(*values, strict=True)
    ]


def _plain(value: Any) -> Any:
    """What canonical JSON takes."""
    if isinstance(value, float) and not abs(value) < float("inf"):
        return repr(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return repr(value)
