"""Compare selectors over files, and write what came out into a folder."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Progress
from winnow.pipeline.row_files import RowFile
from winnow.selectors.budget import Budget
from winnow.selectors.columns import N_TOKENS
from winnow.selectors.comparison.picture import draw
from winnow.selectors.comparison.runs import Contender, run_all
from winnow.selectors.comparison.tables import Comparison, compare
from winnow.selectors.comparison.traits import COLUMNS, traits
from winnow.selectors.rows import FileRows


def compare_files(
    chosen: Sequence[Contender],
    source: RowFile,
    features: Sequence[RowFile] = (),
    *,
    budget: str,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    clusters: int = 100,
    progress: Progress,
) -> Comparison:
    """Run the contenders over `source` with its features, and compare what they chose.

    `columns`: where an input of any of them, or a trait, stands under another name. Raises UsageError
    where the input makes no sense or none of them can run.
    """
    Budget.parse(budget)
    columns = columns or {}
    known = {c.name for each in chosen for c in each.inputs} | {c.name for c in COLUMNS}
    for name in columns:
        if name not in known | {N_TOKENS.name}:
            raise UsageError(
                f"--column {name}: is no input of these selectors; inputs: {', '.join(sorted(known))}"
            )
    pool = traits(
        FileRows(source),
        [FileRows(file) for file in features],
        columns=columns,
        clusters=clusters,
        seed=seed,
        progress=progress,
    )
    runs = run_all(
        chosen, source, features, budget=budget, seed=seed, columns=columns, progress=progress
    )
    return compare(pool, runs)


def write(found: Comparison, folder: Path, title: str, *, picture: bool = True) -> list[Path]:
    """Write summary.parquet, jaccard.parquet, selections.parquet, and comparison.png and .svg where a
    picture is wanted; returns their paths. Files that stand there under these names are replaced.
    """
    tables = {
        "summary": found.summary, "jaccard": found.jaccard, "selections": found.selections,
    }  # fmt: skip
    paths = [_put(folder / f"{name}.parquet", _parquet(table)) for name, table in tables.items()]
    if picture:
        drawn = draw(found, title)
        paths.append(_put(folder / "comparison.svg", drawn.svg))
        paths.append(_put(folder / "comparison.png", drawn.png))
    return paths


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _put(path: Path, content: bytes) -> Path:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
