"""Runs one query against one database file. This file is a worker of the sandbox: it stands alone.

The sandbox is the outer wall. The engines' own locks are the inner one, so that neither has to hold
alone: SQLite opens the file read-only and immutable, and an authorizer allows nothing but reading;
DuckDB opens it read-only with external access off and its configuration locked, and only one SELECT
statement is ever executed. Nothing is written to disk, temporary files included.

In: JSON `{"engine", "path", "query", "seconds", "rows", "bytes", "memory_bytes"}`.
Out: JSON `{"status", "message", "columns", "rows", "program"}`, see `run`. Cells are JSON values,
or `{"type": value}` for what JSON has not.
"""

import contextlib
import datetime
import decimal
import json
import threading
import time
from collections.abc import Callable
from typing import Any

BATCH = 500  # rows fetched at a time, at most
POLL_SECONDS = 0.02
SQLITE_STEPS = 2_000  # virtual machine instructions between two looks at the clock
SQLITE_LENGTH = 32 * 2**20  # bytes of one SQLite value
# Functions that reach outside, and those that make an answer a matter of luck.
FORBIDDEN_FUNCTIONS = {
    *("load_extension", "fts3_tokenizer", "sqlite_log", "readfile", "writefile", "edit"),
    *("random", "randomblob"),
}
READING_PRAGMAS = ("data_version", "page_size")  # asked for by full-text tables
DUCKDB_SETTINGS = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # a name in a query is no Python variable
    "temp_directory": "",
    "max_temp_directory_size": "0KB",
    "threads": "1",  # the same rows in the same order every time
    "lock_configuration": "true",
}


class Stopped(Exception):
    """The query does not go on. `status` as in `run`."""

    def __init__(self, status: str, message: str = "") -> None:
        super().__init__(message)
        self.status = status


def main(payload: bytes) -> bytes:
    return json.dumps(run(json.loads(payload))).encode()


def run(request: dict[str, Any]) -> dict[str, Any]:
    """The outcome of `request` (see above).

    `status` is "ok", or "error" (of the engine, in its words), "forbidden", "time_limit",
    "row_limit", "size_limit", "memory_limit" or "bad_database". `program` is SQLite's compiled form
    of a query that gave no rows.
    """
    try:
        request["query"].encode()
    except UnicodeEncodeError:
        return {"status": "error", "message": "not UTF-8"}
    engine = {"sqlite": _sqlite, "duckdb": _duckdb}[request["engine"]]
    try:
        return {"status": "ok", "message": "", **engine(request, Clock(request["seconds"]))}
    except Stopped as stopped:
        return {"status": stopped.status, "message": str(stopped)}
    except MemoryError:
        return {"status": "memory_limit", "message": ""}


class Clock:
    """Counts processor seconds, so that a busy machine fails no query. (One that only waits is
    ended by the sandbox.)"""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds

    def is_over(self) -> bool:
        return time.process_time() > self._end


def _sqlite(request: dict[str, Any], clock: Clock) -> dict[str, Any]:
    import sqlite3

    # Bytes that are not UTF-8 stand in many real databases; this keeps them apart.
    as_text: list[Callable[[bytes], object]] = [
        str,  # means: decode in C
        lambda data: data.decode("utf-8", "surrogateescape"),
    ]
    for factory in as_text:
        try:
            connection, refused = _sqlite_connection(request, clock)
        except sqlite3.DatabaseError as error:
            raise Stopped("bad_database", str(error)) from None
        connection.text_factory = factory
        try:
            return _sqlite_answer(connection, request)
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            message = str(error)
            if refused:
                raise Stopped("forbidden", refused[0]) from None
            if message.startswith("Could not decode to UTF-8") and factory is str:
                continue
            if "interrupted" in message or clock.is_over():
                raise Stopped("time_limit") from None
            if "out of memory" in message:
                raise Stopped("memory_limit") from None
            if message == "database disk image is malformed":
                raise Stopped("bad_database", message) from None
            raise Stopped("error", message) from None
        finally:
            connection.close()
    raise AssertionError("the second way decodes everything")


def _sqlite_connection(request: dict[str, Any], clock: Clock) -> tuple[Any, list[str]]:
    """A locked connection, and a list that gets the names of what was asked for and refused."""
    import sqlite3

    connection = sqlite3.connect(
        f"file:{request['path']}?mode=ro&immutable=1", uri=True, isolation_level=None
    )
    for setting in (
        f"hard_heap_limit = {int(request['memory_bytes'])}",
        "temp_store = MEMORY",
        "query_only = ON",
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {setting}")
    # A virtual table is declared when it is first used, which looks like a change of the schema.
    declared = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
    connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")
    for (name,) in connection.execute(declared).fetchall():
        with contextlib.suppress(sqlite3.Error):  # of a module that is not here
            connection.execute('SELECT 1 FROM "{}" LIMIT 0'.format(name.replace('"', '""')))
    for limit, value in (
        (sqlite3.SQLITE_LIMIT_LENGTH, SQLITE_LENGTH),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(limit, value)
    names = {
        getattr(sqlite3, name): name.removeprefix("SQLITE_")
        for name in dir(sqlite3)
        if name.startswith(("SQLITE_CREATE_", "SQLITE_DROP_", "SQLITE_ALTER_"))
    } | {
        sqlite3.SQLITE_ATTACH: "ATTACH", sqlite3.SQLITE_DETACH: "DETACH",
        sqlite3.SQLITE_PRAGMA: "PRAGMA", sqlite3.SQLITE_INSERT: "INSERT",
        sqlite3.SQLITE_UPDATE: "UPDATE", sqlite3.SQLITE_DELETE: "DELETE",
        sqlite3.SQLITE_TRANSACTION: "TRANSACTION", sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT",
        sqlite3.SQLITE_REINDEX: "REINDEX", sqlite3.SQLITE_ANALYZE: "ANALYZE",
    }  # fmt: skip
    allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
    refused: list[str] = []

    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action in allowed:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA and first in READING_PRAGMAS and second is None:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION:
            if str(second).lower() not in FORBIDDEN_FUNCTIONS:
                return sqlite3.SQLITE_OK
            refused.append(str(second))
        else:
            refused.append(names.get(action, f"action {action}"))
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)
    connection.set_progress_handler(lambda: int(clock.is_over()), SQLITE_STEPS)
    return connection, refused


def _sqlite_answer(connection: Any, request: dict[str, Any]) -> dict[str, Any]:
    cursor = connection.execute(request["query"])
    if cursor.description is None:
        raise Stopped("error", "not a query")
    columns = [str(column[0]) for column in cursor.description]
    rows = _rows(cursor, request)
    program = None
    if not rows:
        steps = connection.execute(f"EXPLAIN {request['query']}").fetchall()
        program = json.dumps([step[1:7] for step in steps], default=_cell)
    return {"columns": columns, "rows": rows, "program": program}


def _duckdb(request: dict[str, Any], clock: Clock) -> dict[str, Any]:
    import duckdb

    settings: dict[str, Any] = {
        **DUCKDB_SETTINGS,
        "memory_limit": f"{request['memory_bytes'] // 2**20}MiB",
    }
    try:
        connection = duckdb.connect(request["path"], read_only=True, config=settings)
    except (duckdb.Error, OSError) as error:
        raise Stopped("bad_database", _first_line(error)) from None
    over = threading.Event()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            if clock.is_over():
                over.set()
                connection.interrupt()

    threading.Thread(target=watch, daemon=True).start()
    try:
        return _duckdb_answer(connection, request)
    except duckdb.OutOfMemoryException:
        raise Stopped("memory_limit") from None
    except duckdb.PermissionException as error:
        raise Stopped("forbidden", _first_line(error)) from None
    except (duckdb.Error, RuntimeError, ValueError) as error:
        if over.is_set():
            raise Stopped("time_limit") from None
        raise Stopped("error", _first_line(error)) from None
    finally:
        ended.set()


def _duckdb_answer(connection: Any, request: dict[str, Any]) -> dict[str, Any]:
    statements = connection.extract_statements(request["query"])
    if len(statements) != 1:
        raise Stopped("error", f"{len(statements)} statements")
    kind = str(statements[0].type).rpartition(".")[2]
    if kind != "SELECT":
        raise Stopped("forbidden", kind)
    connection.execute(statements[0])
    columns = [str(column[0]) for column in connection.description or []]
    rows = _rows(connection, request)
    return {"columns": columns, "rows": rows, "program": None}


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]


def _rows(cursor: Any, request: dict[str, Any]) -> list[list[Any]]:
    """All rows with their cells as JSON has them. Raises Stopped above a limit."""
    rows: list[list[Any]] = []
    size, at_once = 0, 1  # few at first: one row may be of any size
    while batch := cursor.fetchmany(at_once):
        size += sum(len(c) for row in batch for c in row if isinstance(c, str | bytes))
        if size > request["bytes"]:
            raise Stopped("size_limit")
        coded = [[_coded(cell) for cell in row] for row in batch]
        size += len(json.dumps(coded))
        rows += coded
        if len(rows) > request["rows"]:
            raise Stopped("row_limit")
        if size > request["bytes"]:
            raise Stopped("size_limit")
        at_once = min(BATCH, 2 * at_once)
    return rows


def _coded(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return _cell(value)


def _cell(value: Any) -> Any:
    """`{"type": value}` for a value that JSON has not."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"blob": bytes(value).hex()}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            return {"instant": value.astimezone(datetime.UTC).isoformat()}
        return {"moment": value.isoformat()}
    if isinstance(value, datetime.date):
        return {"moment": datetime.datetime.combine(value, datetime.time()).isoformat()}
    if isinstance(value, datetime.time):
        return {"time": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"interval": value.total_seconds()}
    if isinstance(value, list | tuple):
        return {"list": [_coded(each) for each in value]}
    if isinstance(value, dict):
        return {"struct": [[_coded(key), _coded(each)] for key, each in value.items()]}
    return str(value)
