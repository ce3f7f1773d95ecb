"""A selector over a file: the same rows in the same order, and what was decided about each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from winnow.pipeline.progress import Progress
from winnow.pipeline.row_files import RowFile, RowWriter
from winnow.selectors.base import Selector
from winnow.selectors.budget import Budget
from winnow.selectors.rows import FileRows
from winnow.selectors.run import Selection, select_rows


def select_file(
    selector: Selector[Any],
    source: RowFile,
    output: Path,
    *,
    features: Sequence[RowFile] = (),
    parameters: Mapping[str, Any],
    budget: Budget | None,
    seed: int,
    columns: Mapping[str, str],
    progress: Progress,
) -> Selection:
    """Write `source`'s rows to `output` with the columns of the selection. Raises UsageError."""
    found = select_rows(
        selector,
        FileRows(source),
        [FileRows(f) for f in features],
        parameters=parameters,
        budget=budget,
        seed=seed,
        columns=columns,
        progress=progress,
    )
    table = found.table
    if "row_id" in source.columns:  # it stays as it was, whatever its type
        table = table.drop_columns(["row_id"])
    with RowWriter(output, source, table.schema) as writer:
        for batch in source.batches():
            part = table.slice(batch.start, len(batch))
            writer.write(batch, {name: _one(part[name]) for name in table.column_names})
    return found


def _one(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)
