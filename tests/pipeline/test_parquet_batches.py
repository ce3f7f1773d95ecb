"""Parquet in pieces: the same rows, and never the whole file at once."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.parquet_batches import batches


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_the_rows_in_order(tmp_path: Path, size: int) -> None:
    table = pa.table({"n": range(120), "text": [str(n) for n in range(120)]})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=50)
    with pq.ParquetFile(tmp_path / "rows.parquet") as file:
        found = list(batches(file, size))
        assert pa.Table.from_batches(found) == table
        assert max(each.num_rows for each in found) <= size
        assert next(batches(file, size, ["text"])).schema.names == ["text"]
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    with pq.ParquetFile(tmp_path / "empty.parquet") as file:
        assert pa.Table.from_batches(batches(file, size), file.schema_arrow).num_rows == 0


def test_what_was_read_is_let_go(tmp_path: Path) -> None:
    row = b"x" * 100_000
    table = pa.table({"image": pa.array([row + bytes([n]) for n in range(200)])})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=10, use_dictionary=False)
    del table
    before, most = pa.total_allocated_bytes(), 0
    with pq.ParquetFile(tmp_path / "rows.parquet") as file:
        for _ in batches(file, 10):
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 10_000_000, "half of the file"
