"""A durable, append-only table of content-addressed rows.

One SQLite file in write-ahead mode holds one table. What SQLite gives is what this work needs:
a torn tail is cut at opening, a reader sees whole transactions while a writer appends, and any tool
can open the file. On top of it stand three rules:

- *One writer per store.* A lock on `<file>.lock`, held by the process, keeps a second writer out.
- *Acknowledged means on disk.* `AsyncWriter.put` returns after the `fdatasync` of the transaction
  that holds its row. Rows that arrive while one transaction is being synced share the next one, so
  that many rows in flight cost few syncs (group commit).
- *A name is written once.* A row whose key exists is left alone.
"""

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import sqlite3
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from winnow.pipeline.errors import WinnowError

Row = Mapping[str, Any]
_ROWS = 100_000  # rows per chunk of a table that is read
_CHUNK = 500  # keys per SELECT, below SQLite's limit of bound variables
_LOOK_UP = 4  # a row by its name takes as long as so many rows in passing
# Rows per INSERT: a thread gives the interpreter up at each statement and has to wait for it again.
# Beside a busy event loop this was worth a few per cent.
_TOGETHER = 64
_VARIABLES = 32_766  # SQLite's limit of bound variables in one statement
_PACKED = {pa.int32(): ("i", "<i4"), pa.float32(): ("f", "<f4")}  # array's code, numpy's


class StoreLocked(WinnowError):
    """Another process is writing to this store."""


class Store:
    """One table. `schema` gives its columns, `key` the one that names a row.

    Opened for reading, it never locks and sees what is committed. Opened for writing, it takes the
    lock: `wait` says whether to wait for it (`on_wait` is called once with the holder's process id)
    or to raise StoreLocked.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        key: str,
        *,
        index: Sequence[str] = (),
        write: bool = False,
        wait: bool = True,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self.path, self.schema, self.key = path, schema, key
        self._lock = _lock(path, wait, on_wait) if write else None
        try:
            self._db = self._connect(write, index)
        except sqlite3.Error as error:
            self._unlock()
            raise self._failed("opened", error) from error
        except BaseException:
            self._unlock()
            raise
        marks = ", ".join("?" * len(schema))
        self._insert = f"INSERT OR IGNORE INTO rows ({_quoted(schema)}) VALUES ({marks})"
        self._together = max(1, min(_TOGETHER, _VARIABLES // len(schema)))
        self._insert_many = self._insert + f", ({marks})" * (self._together - 1)
        self._names = schema.names
        self._encoders = [
            (at, _encoder(f.type)) for at, f in enumerate(schema) if pa.types.is_list(f.type)
        ]

    def _connect(self, write: bool, index: Sequence[str]) -> sqlite3.Connection:
        if write:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")  # a commit returns after its sync
            columns = ", ".join(
                f'"{f.name}" {_affinity(f.type)}' + (" PRIMARY KEY" if f.name == self.key else "")
                for f in self.schema
            )
            db.execute(f"CREATE TABLE IF NOT EXISTS rows ({columns})")
            for name in index:
                db.execute(f'CREATE INDEX IF NOT EXISTS "by_{name}" ON rows ("{name}")')
        else:
            db = self._reader()
        found = _columns(db)
        if found and sorted(found) != sorted(self.schema.names):
            db.close()
            raise WinnowError(
                f"{self.path}: written by another version of winnow (columns {', '.join(found)}); "
                "use another home folder, or the version that wrote it"
            )
        return db

    def _reader(self) -> sqlite3.Connection:
        if self.path.exists():
            address = f"{self.path.resolve().as_uri()}?mode=ro"
            db = sqlite3.connect(address, uri=True, check_same_thread=False)
            if _columns(db):
                return db
            db.close()  # its writer died before it had made the table
        db = sqlite3.connect(":memory:", check_same_thread=False)
        names = ", ".join(f'"{name}"' for name in self.schema.names)
        db.execute(f"CREATE TABLE rows ({names})")
        return db

    @property
    def writes(self) -> bool:
        """Whether it is open for writing."""
        return self._lock is not None

    # Reading

    def existing(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that are in the store."""
        return {row[0] for row in self._by(self.key, keys, f'"{self.key}"')}

    def get(
        self,
        values: Iterable[str],
        column: str | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Rows whose `column` (default: the key) is among `values`, sorted by key.

        `columns` are those to read (default: all); the key is always among them.
        """
        fields = self._fields(columns)
        return self._table(self._by(column or self.key, values, _quoted(fields)), fields)

    def rows(
        self,
        values: Iterable[str],
        column: str | None = None,
        *,
        columns: Sequence[str],
        where: Mapping[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The same one by one and in no order, of columns that hold no lists; only those whose columns
        are as `where` says. For many rows of which little is kept."""
        fields = self._fields(columns)
        names = fields.names
        for row in self._by(column or self.key, values, _quoted(fields), where or {}):
            yield dict(zip(names, row, strict=True))

    def all(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Every row, sorted by key."""
        fields = self._fields(columns)
        return self._table(self._db.execute(f"SELECT {_quoted(fields)} FROM rows"), fields)

    def count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM rows").fetchone()[0])

    def _by(
        self, column: str, values: Iterable[str], what: str, where: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        wanted = set(values)
        given = list((where or {}).values())
        also = [f'"{name}" = ?' for name in where or {}]
        if len(wanted) * _LOOK_UP > self._at_most():
            asked = "WHERE " + " AND ".join(also) if also else ""
            for row in self._db.execute(f'SELECT "{column}", {what} FROM rows {asked}', given):
                if row[0] in wanted:
                    yield row[1:]
            return
        ordered = sorted(wanted)
        for at in range(0, len(ordered), _CHUNK):
            part = ordered[at : at + _CHUNK]
            among = f'"{column}" IN ({", ".join("?" * len(part))})'
            asked = " AND ".join([among, *also])
            yield from self._db.execute(f"SELECT {what} FROM rows WHERE {asked}", [*part, *given])

    def _at_most(self) -> int:
        """Rows that the store has at most; counting them would read them."""
        return int(self._db.execute("SELECT max(rowid) FROM rows").fetchone()[0] or 0)

    def _fields(self, columns: Sequence[str] | None) -> pa.Schema:
        if columns is None:
            return self.schema
        return pa.schema([f for f in self.schema if f.name in {self.key, *columns}])

    def _table(self, rows: Iterable[tuple[Any, ...]], fields: pa.Schema) -> pa.Table:
        at = fields.names.index(self.key)
        ordered = sorted(rows, key=lambda row: row[at])
        parts = [fields.empty_table()]
        for start in range(0, len(ordered), _ROWS):  # one Arrow array holds 2^31 list items at most
            columns = zip(*ordered[start : start + _ROWS], strict=True)
            arrays = [_decode(c, f.type) for c, f in zip(columns, fields, strict=True)]
            parts.append(pa.Table.from_arrays(arrays, schema=fields))
        return pa.concat_tables(parts)

    # Writing

    def put(self, rows: Sequence[Row]) -> None:
        """Append rows in one transaction; on return they are on disk."""
        if self._lock is None:
            raise RuntimeError(f"{self.path} is open for reading")
        values = [list(map(row.__getitem__, self._names)) for row in rows]
        for at, encode in self._encoders:
            for row_values in values:
                if row_values[at] is not None:
                    row_values[at] = encode(row_values[at])
        self._db.execute("BEGIN IMMEDIATE")
        try:
            whole = len(values) - len(values) % self._together
            for at in range(0, whole, self._together):
                part = values[at : at + self._together]
                self._db.execute(self._insert_many, list(itertools.chain.from_iterable(part)))
            self._db.executemany(self._insert, values[whole:])
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise self._failed("written", error) from error
            raise

    def _failed(self, what: str, error: sqlite3.Error) -> WinnowError:
        """A full disk, a permission, a file that is none of ours."""
        return WinnowError(
            f"{self.path} cannot be {what}: {error}; what is in it stays, and the same command goes on "
            "when the cause is gone"
        )

    def delete(self, keys: Iterable[str]) -> int:
        """Remove rows (garbage collection only); returns how many were there."""
        if self._lock is None:
            raise RuntimeError(f"{self.path} is open for reading")
        gone = sorted(set(keys))
        self._db.execute("BEGIN IMMEDIATE")
        before = self._db.total_changes
        self._db.executemany(f'DELETE FROM rows WHERE "{self.key}" = ?', [(k,) for k in gone])
        self._db.execute("COMMIT")
        return self._db.total_changes - before

    def compact(self) -> None:
        """Give the space of removed rows back to the file system."""
        self._db.execute("VACUUM")

    def close(self) -> None:
        self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncWriter:
    """Group commit: `await put(row)` returns when the row is on disk.

    The next transaction takes whatever has come in while the last one was being synced, so no row
    waits for a timer and a thousand rows in flight share one sync.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._commit_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._wake.set()
        assert self._task is not None
        await self._task

    async def put(self, row: Row) -> None:
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((row, done))
        self._wake.set()
        await done

    async def _commit_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                try:
                    await asyncio.to_thread(self._store.put, [row for row, _ in batch])
                except Exception as error:  # noqa: BLE001 - a full disk must reach every caller that waits
                    for _, done in batch:
                        if not done.done():
                            done.set_exception(error)
                else:
                    for _, done in batch:
                        if not done.done():
                            done.set_result(None)
            if self._closing and not self._waiting:
                return


@contextlib.contextmanager
def locked(
    path: Path, *, wait: bool = True, on_wait: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold `<path>.lock`, as a writer of the store at `path` does; the options are `Store`'s."""
    handle = _lock(path, wait, on_wait)
    try:
        yield
    finally:
        os.close(handle)


def _lock(path: Path, wait: bool, on_wait: Callable[[str], None] | None) -> int:
    """The descriptor that holds the lock; the system lets go of it when the process ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise WinnowError(f"{path} cannot be written: {error.strerror}") from error
    try:
        told = False
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                if not wait:
                    raise StoreLocked(f"{path}: process {holder} is writing to it") from None
                if on_wait and not told:
                    on_wait(holder)
                    told = True
                time.sleep(0.2)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _columns(db: sqlite3.Connection) -> list[str]:
    return [row[1] for row in db.execute("PRAGMA table_info(rows)")]


def _quoted(fields: pa.Schema) -> str:
    return ", ".join(f'"{name}"' for name in fields.names)


def _affinity(type_: pa.DataType) -> str:
    if pa.types.is_list(type_) or pa.types.is_binary(type_):
        return "BLOB"
    if pa.types.is_integer(type_):
        return "INTEGER"
    return "REAL" if pa.types.is_floating(type_) else "TEXT"


def _encoder(type_: pa.ListType) -> Callable[[Any], Any]:
    """A list to what SQLite holds. Numbers are packed, little endian."""
    if type_.value_type not in _PACKED:
        return json.dumps
    code, packed = _PACKED[type_.value_type]

    def encode(value: Any) -> bytes:
        if isinstance(value, np.ndarray):
            return value.astype(packed, copy=False).tobytes()
        numbers = array(code, value)  # several times as fast as numpy for a short list
        if sys.byteorder == "big":
            numbers.byteswap()
        return numbers.tobytes()

    return encode


def _decode(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    packed = _PACKED.get(type_.value_type) if pa.types.is_list(type_) else None
    if packed is None:
        plain = (
            [None if v is None else json.loads(v) for v in values]
            if pa.types.is_list(type_)
            else list(values)
        )
        return pa.array(plain, type=type_)
    width = np.dtype(packed).itemsize
    lengths = np.array([0 if v is None else len(v) // width for v in values], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = np.frombuffer(b"".join(v for v in values if v is not None), dtype=packed)
    missing = pa.array([v is None for v in values], type=pa.bool_())
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(flat, type=type_.value_type), type=type_, mask=missing
    )
