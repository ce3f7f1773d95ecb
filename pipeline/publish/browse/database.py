"""DuckDB over a handful of Parquet files, and over nothing else.

The files are named before the first question is asked; then DuckDB is told to open no other, to
load no extension and to let nobody change its mind. Values reach it as bound parameters only, and
the names in a statement are our own or columns of a file's schema, quoted.
"""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

ROW = "winnow:row"
FILE_ROW = "file_row_number"  # DuckDB's own name for it


@dataclass(frozen=True)
class Numbered:
    """A Parquet file whose rows have no names. As a view it also has the column ROW, their number from 0,
    and the columns of the file `beside`, row for row."""

    path: Path
    beside: Path | None = None


class Database:
    """Views of Parquet files by name, and tables in memory beside them.

    Safe to ask from several threads at once: each question has a cursor of its own.
    """

    def __init__(self, files: Mapping[str, Path | Numbered]) -> None:
        self._db = duckdb.connect(":memory:")
        self._lock = threading.Lock()
        paths = ", ".join(text(str(path)) for file in files.values() for path in _paths(file))
        for setting in (
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "python_enable_replacements = false",  # a Python variable is no table
            "temp_directory = ''",  # nothing is written to the disk
            f"allowed_paths = [{paths}]",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            self._db.execute(f"SET {setting}")
        for name, file in files.items():
            self._db.execute(f"CREATE VIEW {quoted(name)} AS {_selected(file)}")

    def rows(self, sql: str, values: Iterable[Any] = ()) -> list[dict[str, Any]]:
        """What a statement gives, as plain Python."""
        with self._cursor() as cursor:
            cursor.execute(sql, list(values))
            names = [column[0] for column in cursor.description or []]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def among(
        self, view: str, column: str, values: Collection[str] | Collection[int], what: str = "*"
    ) -> list[dict[str, Any]]:
        """Rows of `view` whose text, or whole number, in `column` is one of `values`; `what` is SQL for
        their columns.

        The join lets DuckDB leave out what the values' range and the pages' rows exclude, which a
        list of constants does only in sorted files.
        """
        if not values:
            return []
        kind = "BIGINT" if isinstance(next(iter(values)), int) else "VARCHAR"
        return self.rows(
            f'SELECT {what} FROM {view} SEMI JOIN (SELECT unnest(?::{kind}[]) AS "winnow:asked") '
            f'ON {quoted(column)} = "winnow:asked"',
            [list(values)],
        )

    def row(self, sql: str, values: Iterable[Any] = ()) -> dict[str, Any] | None:
        """The first row, None where there is none."""
        return next(iter(self.rows(sql, values)), None)

    def number(self, sql: str, values: Iterable[Any] = ()) -> int:
        """The one number that a statement gives."""
        found = self.rows(sql, values)
        return int(next(iter(found[0].values())) or 0)

    def run(self, sql: str, *, batch: pa.Table | None = None) -> None:
        """A statement of our own that makes something in memory; `batch` is a table it can read."""
        with self._cursor() as cursor:
            if batch is not None:
                cursor.register("batch", batch)
            cursor.execute(sql)

    def close(self) -> None:
        self._db.close()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            return self._db.cursor()


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as SQL writes it: for statements that take no parameters."""
    return "'" + value.replace("'", "''") + "'"


def marks(values: Sequence[Any]) -> str:
    """As many question marks as there are values."""
    return ", ".join("?" * len(values))


def _paths(file: Path | Numbered) -> list[Path]:
    if isinstance(file, Path):
        return [file]
    return [file.path] if file.beside is None else [file.path, file.beside]


def _selected(file: Path | Numbered) -> str:
    if isinstance(file, Path):
        return f"SELECT * FROM {_parquet(file)}"
    rows = " JOIN ".join(
        f"{_parquet(path, numbered=True)} AS t{n}" for n, path in enumerate(_paths(file))
    )
    using = "" if file.beside is None else f" USING ({FILE_ROW})"
    return f"SELECT {FILE_ROW} AS {quoted(ROW)}, * EXCLUDE ({FILE_ROW}) FROM {rows}{using}"


def _parquet(path: Path, *, numbered: bool = False) -> str:
    """A file as a table. A name that DuckDB would read as a pattern is taken as it stands, because
    a file of just that name is there and no other may be read."""
    options = f", {FILE_ROW} = true" if numbered else ""
    return f"read_parquet({text(str(path))}{options})"
