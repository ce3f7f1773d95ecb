"""Rows of a Parquet file in pieces, without holding the file."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def batches(
    file: pq.ParquetFile, size: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of `file` in order, at most `size` at a time; with `columns`, only those.

    One row group after the other: over all of them at once, pyarrow's iterator keeps what it has read,
    until it holds the whole file (pyarrow 26).
    """
    for group in range(file.num_row_groups):
        yield from file.iter_batches(size, row_groups=[group], columns=columns)
