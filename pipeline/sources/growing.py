"""A table that is built row by row."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

_ROWS, _CHARACTERS = 8192, 1 << 27  # of a batch


@dataclass
class Growing:
    """A table that is built batch by batch, so that long texts never overflow one Arrow array."""

    schema: pa.Schema
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _size: int = 0
    _batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self._size += len(row.get("completion", "")) + len(row.get("trajectory") or "")
        self._size += sum(len(m["content"]) for m in row.get("messages", ()))
        if len(self._rows) >= _ROWS or self._size >= _CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        self._batches.append(pa.RecordBatch.from_pylist(self._rows, schema=self.schema))
        self._rows, self._size = [], 0

    def table(self) -> pa.Table:
        """What was added, in order."""
        self._flush()
        return pa.Table.from_batches(self._batches, schema=self.schema)
