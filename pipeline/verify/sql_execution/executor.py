"""Executes queries against database files, in the sandbox, and hands back their rows."""

import json
import math
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from winnow.pipeline.verify.sandbox import Limits, Sandbox
from winnow.pipeline.verify.sql_execution.inside import run_query
from winnow.pipeline.verify.sql_execution.lexer import Dialect

Status = Literal[
    "ok",
    "error",  # of the engine: `message` has its words
    "forbidden",  # anything but reading the database: `message` names it
    "time_limit",
    "row_limit",
    "size_limit",
    "memory_limit",
    "crashed",  # the engine brought its process down
    "starved",  # the machine did not let it run: nobody's verdict
    "bad_database",
]
# How the sandbox's words for an end that the worker did not tell of itself are to be read.
_ENDS: dict[str, Status] = {
    "time_limit": "time_limit",
    "memory_limit": "memory_limit",
    "output_limit": "size_limit",
    "exited": "crashed",
    "starved": "starved",
}
# The clock inside stops a query at its limit; the kernel's limit is for what does not look at it.
_SPARE_SECONDS = 1
_SPARE_BYTES = 768 * 2**20  # address space that the engines map beyond the memory that they use
MAX_BYTES = 2 * 2**30  # of one database, and of all that stay in the sandbox
_KEPT = 512  # results
_KEPT_CELLS = 2_000_000
_MAGIC_BYTES = 16


class BadDatabase(Exception):
    """The file is no database that can be opened here. The message says why."""


@dataclass(frozen=True)
class Budget:
    """What one query may take: processor seconds, rows and bytes of its result, memory in bytes."""

    seconds: float
    rows: int
    bytes: int
    memory_bytes: int


@dataclass(frozen=True)
class Result:
    """How a query ended, and with what.

    Cells are None, bool, int, float, str, bytes, or a tuple (type, value) for what SQL has beyond
    these. `program` is SQLite's compiled form of a query that gave no rows: two queries with the
    same program give the same rows on every database of this schema.
    """

    status: Status
    message: str = ""
    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    program: str | None = None

    @property
    def reason(self) -> str:
        """The status, and the engine's words where it has some."""
        return f"{self.status}: {self.message}" if self.message else self.status


class Database:
    """A file on disk: which engine it belongs to, and whether it is whole."""

    def __init__(self, path: str) -> None:
        """Raises BadDatabase."""
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                magic = file.read(_MAGIC_BYTES)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadDatabase(f"{self.path.name}: {reason}") from None
        self.size = found.st_size
        if self.size > MAX_BYTES:
            raise BadDatabase(f"{self.path.name}: larger than {MAX_BYTES / 2**30:g} GiB")
        self.identity = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if magic == b"SQLite format 3\0" or not magic:
            self.dialect: Dialect = "sqlite"
            unfinished: tuple[str, ...] = ("-wal", "-journal")
        elif magic[8:12] == b"DUCK":
            self.dialect = "duckdb"
            unfinished = (".wal",)
        else:
            raise BadDatabase(f"{self.path.name}: neither a SQLite nor a DuckDB file")
        for suffix in unfinished:
            beside = Path(f"{self.path}{suffix}")
            if beside.exists() and beside.stat().st_size > 0:
                raise BadDatabase(f"{self.path.name}: {beside.name} holds changes not yet in it")


class Executor:
    """Runs queries, one at a time. The sandboxes start with the first query for their engine."""

    def __init__(self) -> None:
        self._boxes: dict[Dialect, Sandbox] = {}
        self._inside: dict[Dialect, dict[tuple[int, ...], int]] = {}
        self._kept: OrderedDict[tuple[Any, ...], Result] = OrderedDict()
        self._kept_cells = 0

    def run(self, query: str, database: Database, budget: Budget) -> Result:
        """The result of `query`, whatever it does. Results are kept: references are compared with
        many answers, and models often give the same answer. Raises SandboxUnavailable where nothing
        can be run, BadDatabase, and RuntimeError for a bug of the worker."""
        key = (query, database.identity, budget)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        result = self._run(query, database, budget)
        if result.status != "starved":
            self._kept[key] = result
            self._kept_cells += _cells(result)
            while len(self._kept) > 1 and (
                len(self._kept) > _KEPT or self._kept_cells > _KEPT_CELLS
            ):
                self._kept_cells -= _cells(self._kept.popitem(last=False)[1])
        return result

    def _run(self, query: str, database: Database, budget: Budget) -> Result:
        request = {
            "engine": database.dialect,
            "path": self._put(database),
            "query": query,
            "seconds": budget.seconds,
            "rows": budget.rows,
            "bytes": budget.bytes,
            "memory_bytes": budget.memory_bytes,
        }
        limits = Limits(
            cpu_seconds=math.ceil(budget.seconds) + _SPARE_SECONDS,
            memory_bytes=budget.memory_bytes + _SPARE_BYTES,
            # A batch is encoded before it is measured, and JSON takes up to six bytes a character.
            output_bytes=2 * budget.bytes + run_query.SQLITE_LENGTH,
            threads=8,
        )
        outcome = self._boxes[database.dialect].run(
            "run_query", json.dumps(request).encode(), limits, scratch=False
        )
        if outcome.status == "finished":
            return _result(json.loads(outcome.result))
        if outcome.status in _ENDS:
            how = outcome.error if outcome.status == "exited" else None
            return Result(_ENDS[outcome.status], how or "")
        raise RuntimeError(f"run_query failed: {outcome.error}")

    def start(self, dialect: Dialect) -> Sandbox:
        """The running sandbox of an engine."""
        if dialect not in self._boxes:
            engine = {"sqlite": "sqlite3", "duckdb": "duckdb"}[dialect]
            self._boxes[dialect] = Sandbox([Path(run_query.__file__)], preload=[engine])
            self._inside[dialect] = {}
        self._boxes[dialect].start()
        return self._boxes[dialect]

    def close(self) -> None:
        for box in self._boxes.values():
            box.close()

    def _put(self, database: Database) -> str:
        box = self.start(database.dialect)
        inside = self._inside[database.dialect]
        if database.identity not in inside:
            if inside and sum(inside.values()) + database.size > MAX_BYTES:
                box.close()  # copies go with it
                inside.clear()
            inside[database.identity] = database.size
        try:
            return box.put(database.path)
        except OSError as error:
            raise BadDatabase(f"{database.path.name}: {error.strerror}") from None


def _cells(result: Result) -> int:
    return len(result.rows) * len(result.columns)


def _result(answer: dict[str, Any]) -> Result:
    return Result(
        answer["status"],
        answer["message"],
        tuple(answer.get("columns", ())),
        [tuple(map(_decoded, row)) for row in answer.get("rows", ())],
        answer.get("program"),
    )


def _decoded(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    ((kind, value),) = cell.items()
    if kind == "blob":
        return bytes.fromhex(value)
    if kind == "decimal":
        return _number(value)
    if kind == "list":
        return (kind, tuple(map(_decoded, value)))
    if kind == "struct":
        return (kind, tuple((_decoded(key), _decoded(each)) for key, each in value))
    return (kind, value)


def _number(text: str) -> int | float:
    """A decimal as the number that it is."""
    whole, _, fraction = text.partition(".")
    return int(whole) if not fraction.strip("0") and whole.lstrip("-").isdigit() else float(text)
