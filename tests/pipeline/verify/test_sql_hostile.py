"""Queries that want more than to read the database: none gets it, each gets the right verdict.

The answers are judged twice: as they come, and by the engine alone, without the check of the first
word, so that the inner locks are tried as well.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.sql import SQLQuery
from winnow.pipeline.verify.sql_execution.executor import Budget, Database, Executor, Result
from winnow.pipeline.verify.sql_execution.inside import run_query

VERIFIER = SQLQuery()
MEBIBYTE = 2**20
SECRET = "winnow-test-secret"
SCRIPT = "CREATE TABLE t (a INTEGER, b VARCHAR); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z');"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
DOUBLING = "WITH RECURSIVE n(s) AS (SELECT 'abcdefgh' UNION ALL SELECT s || s FROM n) "
CROSS = (
    "FROM t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k, t l, t m, t n, t o, t p, t q, t r"
)
_LIMIT = ("memory_limit", "time_limit", "row_limit", "size_limit")  # whichever comes first
# {folder} is where the database is, {secret} a file beside it.
SQLITE: dict[str, str | tuple[str, ...]] = {
    "ATTACH DATABASE '{folder}/new.sqlite' AS x": "forbidden",
    "ATTACH DATABASE '{secret}' AS x": "forbidden",
    "ATTACH ':memory:' AS x": "forbidden",
    "DETACH DATABASE main": "forbidden",
    "PRAGMA journal_mode = WAL": "forbidden",
    "PRAGMA writable_schema = ON": "forbidden",
    "PRAGMA temp_store_directory = '{folder}'": "forbidden",
    "SELECT * FROM pragma_database_list": "forbidden",
    "SELECT * FROM pragma_function_list": "forbidden",
    "SELECT load_extension('{folder}/evil.so')": "forbidden",
    "SELECT readfile('{secret}')": "error",
    "SELECT writefile('{folder}/new', 'x')": "error",
    "SELECT edit('x', 'sh')": "error",
    "SELECT fts3_tokenizer('simple', x'0000000000000000')": "forbidden",
    "SELECT * FROM dbstat": "forbidden",
    "SELECT * FROM sqlite_stmt": "forbidden",
    "SELECT sqlite_log(1, 'x')": "forbidden",
    "INSERT INTO t VALUES (9, 'n')": "forbidden",
    "INSERT INTO sqlite_master VALUES ('table', 'x', 'x', 2, '')": "",
    "UPDATE t SET a = 0": "forbidden",
    "UPDATE sqlite_master SET sql = ''": "",
    "DELETE FROM t": "forbidden",
    "DROP TABLE t": "forbidden",
    "CREATE TABLE u (a)": "forbidden",
    "CREATE TEMP TABLE u AS SELECT * FROM t": "forbidden",
    "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END": "several_statements",
    "CREATE VIRTUAL TABLE v USING fts5(a)": "forbidden",
    "ALTER TABLE t RENAME TO u": "forbidden",
    "VACUUM INTO '{folder}/new.sqlite'": "forbidden",
    "VACUUM": "",
    "REINDEX": "",
    "ANALYZE": "forbidden",
    "BEGIN EXCLUSIVE": "forbidden",
    "SAVEPOINT s": "forbidden",
    "WITH x AS (SELECT 1) DELETE FROM t": "forbidden",
    "SELECT 1; DROP TABLE t": "several_statements",
    "SELECT 1 RETURNING 1": "error",
    "EXPLAIN DROP TABLE t": "forbidden",
    ENDLESS + "SELECT count(*) FROM n": "time_limit",
    ENDLESS + "SELECT i FROM n": "row_limit",
    ENDLESS + "SELECT * FROM t WHERE a = (SELECT max(i) FROM n)": "time_limit",
    DOUBLING + "SELECT max(length(s)) FROM n": "error: string or blob too big",
    DOUBLING + "SELECT s FROM n": ("error: string or blob too big", *_LIMIT),
    f"SELECT count(*) {CROSS}": "time_limit",
    f"SELECT a.b {CROSS}": "row_limit",
    f"SELECT a.b {CROSS} ORDER BY a.b, r.b": _LIMIT,
    f"SELECT group_concat(a.b || q.b) {CROSS}": ("error: string or blob too big", *_LIMIT),
    f"SELECT count(DISTINCT {' || '.join(f'{x}.b' for x in 'abcdefghijklmnopqr')}) {CROSS}": _LIMIT,
    "SELECT randomblob(1000000000)": "forbidden",
    "SELECT zeroblob(2000000000)": "error: string or blob too big",
    "SELECT hex(zeroblob(16000000)) || hex(zeroblob(16000000))": "error: string or blob too big",
    "SELECT printf('%.*c', 30000000, 'x') FROM t a, t b, t c": "size_limit",
    "SELECT replace(hex(zeroblob(10000)), '0', hex(zeroblob(10000)))": "error: string or blob too big",
    "SELECT 1 WHERE '" + "a" * 40_000 + "' LIKE '" + "%a" * 20_000 + "b'": "",
    "SELECT '" + "a" * 30_000 + "' GLOB '" + "*a" * 2_000 + "b'": "",
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000: "error",
    "SELECT " + "+".join(["1"] * 50_000): "error",
    "SELECT 1" + " UNION ALL SELECT 1" * 5_000: "error",
    "SELECT " + ", ".join(["1"] * 5_000): "error",
    "SELECT '\0'": "error",
    "SELECT '\ud800'": "",
    "SELECT json_extract('" + "[" * 100_000 + "', '$')": "",
}  # fmt: skip
DUCKDB: dict[str, str | tuple[str, ...]] = {
    "ATTACH '{folder}/new.duckdb' AS x": "forbidden",
    "ATTACH '{secret}' AS x (READ_ONLY)": "forbidden",
    "COPY t TO '{folder}/new.csv'": "forbidden",
    "COPY t FROM '{secret}'": "forbidden",
    "COPY (SELECT 1) TO '/dev/stdout'": "forbidden",
    "EXPORT DATABASE '{folder}/new'": "forbidden",
    "IMPORT DATABASE '{folder}'": "forbidden",
    "SELECT * FROM read_csv('{secret}')": "forbidden",
    "SELECT * FROM read_text('{secret}')": "forbidden",
    "SELECT * FROM read_blob('/proc/self/environ')": "forbidden",
    "SELECT * FROM read_parquet('{folder}/*.parquet')": "forbidden",
    "SELECT * FROM read_json('{secret}')": "forbidden",
    "SELECT * FROM sniff_csv('{secret}')": "forbidden",
    "SELECT * FROM '{secret}'": "",
    "SELECT * FROM glob('{folder}/*')": "forbidden",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')": "",
    "SELECT getenv('HOME')": "error",
    "SELECT * FROM query('SELECT * FROM read_text(''{secret}'')')": "forbidden",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql("
    "'SELECT * FROM read_text(''{secret}'')'))": "",
    "SELECT * FROM sqlite_scan('{folder}/x.sqlite', 't')": "error",
    "INSTALL httpfs": "forbidden",
    "LOAD '{folder}/evil.duckdb_extension'": "forbidden",
    "SET enable_external_access = true": "forbidden",
    "SET threads = 64": "forbidden",
    "RESET memory_limit": "forbidden",
    "PRAGMA enable_profiling": "forbidden",
    "CALL pragma_version()": "forbidden",
    "CREATE TABLE u (a INTEGER)": "forbidden",
    "CREATE TEMP TABLE u AS SELECT * FROM t": "forbidden",
    "CREATE OR REPLACE MACRO m() AS 1": "forbidden",
    "CREATE SECRET s (TYPE s3)": "forbidden",
    "INSERT INTO t VALUES (9, 'n')": "forbidden",
    "UPDATE t SET a = 0": "forbidden",
    "DELETE FROM t": "forbidden",
    "DROP TABLE t": "forbidden",
    "ALTER TABLE t RENAME TO u": "forbidden",
    "CHECKPOINT": "forbidden",
    "VACUUM": "forbidden",
    "BEGIN TRANSACTION": "forbidden",
    "USE memory": "forbidden",
    "PREPARE p AS SELECT 1": "forbidden",
    "EXPLAIN ANALYZE SELECT 1": "forbidden",
    "WITH x AS (SELECT 1) INSERT INTO t SELECT 1, 'a'": "",
    "SELECT 1; DROP TABLE t": "several_statements",
    "SELECT * FROM request": "error",
    "SELECT * FROM connection": "error",
    "SELECT nextval('s')": "error",
    "SELECT random()": "forbidden",
    "SELECT sleep_ms(60000)": "forbidden",
    "SELECT * FROM query('SELECT sleep_' || 'ms(60000)')": "time_limit",
    ENDLESS + "SELECT count(*) FROM n": "time_limit",
    ENDLESS + "SELECT i FROM n": "row_limit",
    DOUBLING + "SELECT max(length(s)) FROM n": _LIMIT,
    "SELECT count(*) FROM range(100000000000) a, range(100000000000) b": _LIMIT,
    "SELECT * FROM range(100000000000) a, range(100000000000) b": _LIMIT,
    "SELECT range(2000000000)": "memory_limit",
    "SELECT list(i) FROM range(1000000000) r(i)": _LIMIT,
    "SELECT string_agg(i::VARCHAR, ',') FROM range(1000000000) r(i)": _LIMIT,
    "SELECT DISTINCT i FROM range(1000000000) r(i)": _LIMIT,
    "SELECT i FROM range(1000000000) r(i) ORDER BY hash(i)": _LIMIT,
    "SELECT repeat('x', 4000000000)": _LIMIT,
    "SELECT repeat('x', 8000000000)": "error",
    "SELECT repeat('x', 50000000)": "size_limit",
    "SELECT " + "(" * 20_000 + "1" + ")" * 20_000: "error",
    "SELECT " + "+".join(["1"] * 20_000): "",
    "SELECT '\0'": "",
    "SELECT '\ud800'": "",
}  # fmt: skip
CASES = [("sqlite", *case) for case in SQLITE.items()] + [
    ("duckdb", *case) for case in DUCKDB.items()
]


class Place:
    """A folder with a database of each engine and a file that nobody may read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = folder / "secret.csv"
        self.secret.write_text(f"a\n{SECRET}\n")
        connection = sqlite3.connect(folder / "t.sqlite")
        connection.executescript(SCRIPT)
        connection.close()
        other = duckdb.connect(str(folder / "t.duckdb"))
        other.execute(SCRIPT)
        other.close()

    def database(self, engine: str) -> Path:
        return self.folder / f"t.{engine}"

    def state(self) -> dict[str, tuple[str, int]]:
        """What every file of the folder holds, and when it was changed."""
        return {
            str(path.relative_to(self.folder)): (
                hashlib.sha256(path.read_bytes()).hexdigest(),
                path.stat().st_mtime_ns,
            )
            for path in self.folder.rglob("*")
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    made = Executor()
    yield made
    made.close()


def named(case: object) -> str:
    return str(case)[:60].encode("ascii", "backslashreplace").decode()


@pytest.mark.parametrize(("engine", "query", "detail"), CASES, ids=named)
def test_hostile(
    engine: str, query: str, detail: str | tuple[str, ...], place: Place, executor: Executor
) -> None:
    query = query.replace("{folder}", str(place.folder)).replace("{secret}", str(place.secret))
    before = place.state()
    args: dict[str, Any] = {"database": str(place.database(engine)), "time_limit": 1.0}
    found = VERIFIER.verify(f"```sql\n{query}\n```", Task([], "SELECT 42", args))
    assert (found.verdict, found.reward) in (("wrong", 0.0), ("wrong", 0.1)), found
    assert found.detail is not None
    assert found.detail.startswith(detail)
    assert found.reward == 0.0 or not detail

    budget = Budget(1.0, 100_000, 32 * MEBIBYTE, 256 * MEBIBYTE)
    result = executor.run(query, Database(str(place.database(engine))), budget)
    assert SECRET not in json.dumps([result.message, result.rows], default=repr)
    assert result.status != "starved"
    assert place.state() == before
    after = VERIFIER.verify("SELECT b FROM t", Task([], "SELECT b FROM t", args))
    assert after.verdict == "correct"


def test_there_are_enough() -> None:
    assert len(SQLITE) >= 20
    assert len(DUCKDB) >= 20


def test_the_inner_locks_hold_without_the_sandbox(place: Place) -> None:
    """The engines refuse by themselves, in a process that could read and write these files."""
    for engine, queries in (("sqlite", SQLITE), ("duckdb", DUCKDB)):
        for template, detail in queries.items():
            if detail != "forbidden":
                continue
            query = template.replace("{folder}", str(place.folder))
            query = query.replace("{secret}", str(place.secret))
            if "random" in query or "sleep_ms" in query:  # luck and waiting touch nothing
                continue
            before = place.state()
            outcome = run_query.run(
                {
                    "engine": engine, "path": str(place.database(engine)), "query": query,
                    "seconds": 2, "rows": 100, "bytes": MEBIBYTE, "memory_bytes": 256 * MEBIBYTE,
                }
            )  # fmt: skip
            assert outcome["status"] in ("forbidden", "error"), (query, outcome)
            assert SECRET not in json.dumps(outcome)
            assert place.state() == before


def test_a_query_cannot_change_what_the_next_one_sees(place: Place, executor: Executor) -> None:
    budget = Budget(1.0, 1000, MEBIBYTE, 256 * MEBIBYTE)
    database = Database(str(place.database("duckdb")))
    for query in ("CREATE TEMP TABLE u AS SELECT 1", "SET VARIABLE v = 1", "PREPARE p AS SELECT 1"):
        assert executor.run(query, database, budget).status == "forbidden"
    seen: Result = executor.run("SELECT getvariable('v')", database, budget)
    assert seen.rows == [(None,)]
