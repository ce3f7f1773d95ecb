"""The verifier `sql` on real files of both engines."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import get_verifier
from winnow.pipeline.verify.sandbox import Sandbox, SandboxUnavailable
from winnow.pipeline.verify.sql import SQLQuery
from winnow.pipeline.verify.sql_execution import executor
from winnow.pipeline.verify.worker_pool import TimedVerdict, VerifierPool

VERIFIER = SQLQuery()
SCRIPT = """
CREATE TABLE runner (id INTEGER, name VARCHAR, club VARCHAR, seconds DOUBLE);
INSERT INTO runner VALUES
    (1, 'Ann', 'North', 61.5), (2, 'Bo', 'South', 60.25), (3, 'Cleo', 'North', 60.25), (4, 'Dan', NULL, 70);
"""


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "runners.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SCRIPT)
    connection.close()
    return path


@pytest.fixture(scope="module")
def duckdb_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("duckdb") / "runners.duckdb"
    connection = duckdb.connect(str(path))
    connection.execute(SCRIPT)
    connection.close()
    return path


@pytest.fixture(params=["sqlite", "duckdb"])
def database(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(f"{request.param}_file")
    return path


def judge(completion: str, answer: str | list[str] | None, database: Path, **args: Any) -> Verdict:
    if isinstance(answer, list):
        answer = json.dumps(answer)
    task = Task([], answer, {"database": str(database), **args})
    return VERIFIER.verify(completion, task)


@pytest.mark.parametrize(
    ("completion", "answer", "verdict", "detail"),
    [
        ("SELECT name FROM runner", "SELECT name FROM runner;", "correct", None),
        ("SELECT name FROM runner ORDER BY id DESC", "SELECT name FROM runner", "correct", None),
        ("SELECT name FROM runner", "SELECT name FROM runner ORDER BY id DESC", "wrong", "row_order"),
        ("SELECT name FROM runner ORDER BY seconds, id DESC",
         "SELECT name FROM runner ORDER BY seconds", "correct", None),
        ("SELECT name FROM runner ORDER BY seconds DESC, id",
         "SELECT name FROM runner ORDER BY seconds", "wrong", "row_order"),
        ("SELECT club FROM runner", "SELECT DISTINCT club FROM runner", "wrong", "duplicates"),
        ("SELECT club, name FROM runner", "SELECT name, club FROM runner", "wrong", "column_order"),
        ("SELECT name, club FROM runner", "SELECT name FROM runner", "wrong", "other_columns"),
        ("SELECT name FROM runner LIMIT 2", "SELECT name FROM runner", "wrong", "too_few_rows"),
        ("SELECT name FROM runner WHERE id > 9", "SELECT name FROM runner", "wrong", "no_rows"),
        ("SELECT name FROM runner WHERE id > 9", "SELECT name FROM runner WHERE id > 8", "unjudged",
         "both_empty"),
        ("SELECT name  FROM RUNNER -- all\nWHERE ID > 9", "SELECT name FROM runner WHERE id > 9;",
         "correct", "both_empty"),
        ("SELECT count(*) FROM runner WHERE id > 9", "SELECT 0", "correct", "nothing_found"),
        ("SELECT avg(seconds) FROM runner WHERE id < 4", "SELECT 60.666667", "correct", None),
        ("SELECT 1.0", "SELECT 1", "correct", None),
        ("SELECT '1'", "SELECT 1", "wrong", "other_values"),
        ("SELECT nom FROM runner", "SELECT name FROM runner", "wrong", "error"),
        ("SELEC name FROM runner", "SELECT name FROM runner", "wrong", "no_answer"),
        ("SELECT name FROM runner; SELECT 1", "SELECT name FROM runner", "wrong",
         "several_statements"),
        ("```sql\nDROP TABLE runner\n```", "SELECT name FROM runner", "wrong", "forbidden: DROP"),
        ("```sql\n-- nothing\n```", "SELECT name FROM runner", "wrong", "no_query"),
        ("SELECT random()", "SELECT 1", "wrong", "forbidden: random"),
        ("SELECT 1", "SELECT nom FROM runner", "unjudged", "bad_reference: error"),
        ("SELECT 1", "SELECT 1; SELECT 2", "unjudged", "bad_reference: several_statements"),
        ("SELECT 1", "DELETE FROM runner", "unjudged", "bad_reference: forbidden: DELETE"),
        ("I do not know.", "SELECT nom FROM runner", "unjudged", "bad_reference"),
        ("SELECT name FROM runner", ["SELECT nom FROM runner", "SELECT id FROM runner",
                                     "SELECT name FROM runner"], "correct", None),
        ("SELECT name FROM runner", ["SELECT nom FROM runner", "SELECT id FROM runner"], "wrong",
         "other_values"),
        ("SELECT name FROM runner", ["SELECT nom FROM runner"], "unjudged", "bad_reference"),
        ("SELECT name FROM runner", [], "unjudged", "bad_reference"),
        ("SELECT name FROM runner", "[\"SELECT name", "unjudged", "bad_reference"),
        ("SELECT name FROM runner", " ", "unjudged", "bad_reference"),
        ("SELECT name FROM runner", None, "unjudged", "bad_reference"),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n", "SELECT 1",
         "wrong", "row_limit"),
        ("SELECT r.name FROM runner r JOIN runner q ON r.club = q.club AND r.id <> q.id",
         "SELECT name FROM runner WHERE club = 'North'", "correct", None),
    ],
)  # fmt: skip
def test_verdicts(
    completion: str,
    answer: str | list[str] | None,
    verdict: str,
    detail: str | None,
    database: Path,
) -> None:
    found = judge(completion, answer, database)
    assert found.verdict == verdict, found
    if detail is None:
        assert found.detail is None
    else:
        assert found.detail is not None
        assert found.detail.startswith(detail)


def test_rewards_and_parts(database: Path) -> None:
    reference = "SELECT name, club FROM runner WHERE club IS NOT NULL"
    right = judge("SELECT name, club FROM runner WHERE club > ''", reference, database)
    assert (right.reward, right.parts) == (1.0, {"ex": 1.0, "executable": 1.0})
    runs = judge("SELECT name, club FROM runner", reference, database)
    assert (runs.reward, runs.parts) == (0.1, {"ex": 0.0, "executable": 1.0})
    fails = judge("SELECT nom FROM runner", reference, database)
    assert (fails.reward, fails.parts) == (0.0, {"ex": 0.0, "executable": 0.0})
    assert judge("SELECT 1", "SELECT nom FROM runner", database).reward is None


def test_qatch_rewards_by_hand(database: Path) -> None:
    """Reference cells: Ann Bo Cleo North South. Answer cells: those, Dan and NULL; 4 rows for 3."""
    reference = "SELECT name, club FROM runner WHERE club IS NOT NULL"
    runs = judge("SELECT name, club FROM runner", reference, database, mode="qatch")
    assert runs.verdict == "wrong"
    assert runs.parts == pytest.approx(
        {
            "ex": 0,
            "executable": 1,
            "cell_precision": 5 / 7,
            "cell_recall": 1,
            "tuple_cardinality": 0.75,
        }
    )
    assert runs.reward == pytest.approx((5 / 7 + 1 + 0.75) / 3)
    nothing = judge("SELECT name FROM runner WHERE id > 9", reference, database, mode="qatch")
    assert nothing.reward == 0.1
    fails = judge("SELECT nom FROM runner", reference, database, mode="qatch")
    assert (fails.reward, set(fails.parts.values())) == (0.0, {0.0})
    right = judge(
        "SELECT name, club FROM runner WHERE club > ''", reference, database, mode="qatch"
    )
    assert (right.reward, set(right.parts.values())) == (1.0, {1.0})


def test_the_query_is_what_was_extracted(database: Path) -> None:
    found = judge(
        "So:\n```sql\nSELECT name\nFROM runner;\n```", "SELECT name FROM runner", database
    )
    assert found.extracted == "SELECT name\nFROM runner;"


def test_columns_in_any_order(database: Path) -> None:
    reference = "SELECT name, club FROM runner ORDER BY seconds"
    swapped = "SELECT club, name FROM runner ORDER BY seconds"
    assert judge(swapped, reference, database, columns="any").verdict == "correct"
    assert judge(swapped, reference, database).verdict == "wrong"
    other_order = "SELECT club, name FROM runner ORDER BY seconds DESC"
    assert judge(other_order, reference, database, columns="any").verdict == "wrong"


def test_limits(database: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    assert judge(endless, "SELECT 1", database, time_limit=0.3).detail == "time_limit"
    late = judge("SELECT 1", endless, database, time_limit=0.3)
    assert (late.verdict, late.detail) == ("unjudged", "bad_reference: time_limit")
    every = "SELECT * FROM runner"
    assert judge(every, "SELECT 1", database, row_limit=3).detail == "row_limit"
    assert judge(every, every, database, row_limit=3).detail == "bad_reference: row_limit"
    assert judge(every, every, database, row_limit=4).verdict == "correct"


@pytest.mark.parametrize(
    "args",
    [
        {"mode": "bleu"}, {"time_limit": 0}, {"row_limit": 0}, {"columns": "sorted"}, {"timeout": 3},
        {"database": 3}, {"memory_limit": 1},
    ],
)  # fmt: skip
def test_bad_arguments(args: dict[str, Any], sqlite_file: Path) -> None:
    with pytest.raises(BadArguments, match=next(iter(args))):
        VERIFIER.verify("SELECT 1", Task([], "SELECT 1", {"database": str(sqlite_file), **args}))


def test_the_database_is_required() -> None:
    with pytest.raises(BadArguments, match="database"):
        VERIFIER.verify("SELECT 1", Task([], "SELECT 1", {}))


def test_files_that_are_no_database(tmp_path: Path, sqlite_file: Path, duckdb_file: Path) -> None:
    def detail(path: Path) -> str:
        found = judge("SELECT 1", "SELECT 1", path)
        assert found.verdict == "unjudged"
        assert found.detail is not None
        return found.detail

    assert detail(tmp_path / "missing.sqlite").startswith("bad_database: missing.sqlite: No such")
    assert detail(tmp_path).startswith("bad_database")
    text = tmp_path / "notes.txt"
    text.write_text("neither one nor the other")
    assert "neither a SQLite nor a DuckDB file" in detail(text)
    for whole in (sqlite_file, duckdb_file):
        torn = tmp_path / f"torn-{whole.name}"
        torn.write_bytes(whole.read_bytes()[:20] + b"\xff" * 5000)
        assert "bad_" in detail(torn)
    assert detail(tmp_path / "with\0nul").startswith("bad_database")


def test_a_database_that_is_too_large(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MAX_BYTES", 4096)
    found = judge("SELECT 1", "SELECT 1", sqlite_file)
    assert (found.verdict, found.detail) == (
        "unjudged",
        f"bad_database: {sqlite_file.name}: larger than 3.8147e-06 GiB",
    )


def test_databases_make_room_for_each_other(
    sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox is started anew where its copies would take too much memory."""
    monkeypatch.setattr(executor, "MAX_BYTES", sqlite_file.stat().st_size * 5 // 2)
    verifier = SQLQuery()
    for number in range(5):
        copy = tmp_path / f"{number}.sqlite"
        copy.write_bytes(sqlite_file.read_bytes())
        task = Task([], "SELECT name FROM runner", {"database": str(copy)})
        assert verifier.verify("SELECT name FROM runner", task).verdict == "correct"


def test_without_a_sandbox_nothing_is_judged(
    sqlite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise SandboxUnavailable("no user namespaces")

    monkeypatch.setattr(Sandbox, "start", unavailable)
    task = Task([], "SELECT 1", {"database": str(sqlite_file)})
    found = SQLQuery().verify("SELECT 1", task)
    assert (found.verdict, found.detail) == ("unjudged", "sandbox_unavailable: no user namespaces")


def test_changes_that_are_not_yet_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "open.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    found = judge("SELECT a FROM t", "SELECT a FROM t", path)
    assert (found.verdict, found.detail) == (
        "unjudged",
        "bad_database: open.sqlite: open.sqlite-wal holds changes not yet in it",
    )
    connection.close()
    assert judge("SELECT a FROM t", "SELECT 1", path).verdict == "correct"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    for value in (1, 2):
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        connection.executescript(f"CREATE TABLE t (a); INSERT INTO t VALUES ({value});")
        connection.close()
        assert judge("SELECT a FROM t", f"SELECT {value}", path).verdict == "correct"


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a TEXT)")
    connection.execute(
        "INSERT INTO t VALUES (CAST(x'4de47278' AS TEXT)), (CAST(x'4de57278' AS TEXT))"
    )
    connection.commit()
    connection.close()
    assert judge("SELECT a FROM t ORDER BY a", "SELECT a FROM t", path).verdict == "correct"
    one, other = "SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 1 OFFSET 1"
    assert judge(one, other, path).verdict == "wrong"


def test_full_text_tables(tmp_path: Path) -> None:
    path = tmp_path / "fts.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE VIRTUAL TABLE note USING fts5(body); INSERT INTO note VALUES ('red fox'), ('blue cat');"
        "CREATE VIRTUAL TABLE box USING rtree(id, low, high); INSERT INTO box VALUES (1, 2, 3);"
        "CREATE VIEW pair AS SELECT body, value FROM note, json_each('[1, 2]');"
    )
    connection.close()
    for query in (
        "SELECT body FROM note WHERE note MATCH 'fox'",
        "SELECT low FROM box",
        "SELECT * FROM pair",
        "SELECT value FROM json_each('[1, 2]')",
    ):
        assert judge(query, query, path).verdict == "correct"
    write = judge("WITH x AS (SELECT 1) INSERT INTO note SELECT 'a'", "SELECT 1", path)
    assert write.detail == "forbidden: INSERT"


@pytest.mark.parametrize(
    ("completion", "reference", "verdict"),
    [
        ("SELECT 10::HUGEINT", "SELECT 10", "correct"),
        ("SELECT 1.50::DECIMAL(9, 2)", "SELECT 1.5::DOUBLE", "correct"),
        ("SELECT 2.00::DECIMAL(9, 2)", "SELECT 2", "correct"),
        ("SELECT true", "SELECT 1", "correct"),
        ("SELECT DATE '2024-05-01'", "SELECT TIMESTAMP '2024-05-01 00:00:00'", "correct"),
        ("SELECT DATE '2024-05-01'", "SELECT '2024-05-01'", "wrong"),
        ("SELECT [1, 2]", "SELECT [1, 2]", "correct"),
        ("SELECT [2, 1]", "SELECT [1, 2]", "wrong"),
        ("SELECT {'a': 1, 'b': NULL}", "SELECT {'a': 1, 'b': NULL}", "correct"),
        ("SELECT {'a': 1}", "SELECT {'a': 2}", "wrong"),
        ("SELECT MAP {1: 'x'}", "SELECT MAP {1: 'x'}", "correct"),
        ("SELECT 'nan'::DOUBLE", "SELECT 'nan'::DOUBLE", "correct"),
        ("SELECT 'inf'::DOUBLE", "SELECT 'nan'::DOUBLE", "wrong"),
        ("SELECT INTERVAL 36 HOUR", "SELECT INTERVAL 1 DAY + INTERVAL 12 HOUR", "correct"),
        ("SELECT TIME '10:00:00'", "SELECT TIME '10:00:01'", "wrong"),
        ("SELECT '\\xAB'::BLOB", "SELECT '\\xAB'::BLOB", "correct"),
        ("SELECT TIMESTAMPTZ '2024-05-01 12:00:00+02'", "SELECT TIMESTAMPTZ '2024-05-01 10:00:00+00'",
         "correct"),
        ("```sql\nFROM runner SELECT name\n```", "SELECT name FROM runner", "correct"),
        ("SELECT name, club FROM runner", "SELECT name, club FROM runner ORDER BY ALL", "correct"),
        ("SELECT name, club FROM runner ORDER BY id DESC",
         "SELECT name, club FROM runner ORDER BY ALL", "wrong"),
        ("SELECT name FROM runner USING SAMPLE 4", "SELECT name FROM runner", "wrong"),
        ("SELECT name FROM runner TABLESAMPLE 100%", "SELECT name FROM runner", "wrong"),
        ("SELECT $$it's; one$$", "SELECT 'it''s; one'", "correct"),
    ],
)  # fmt: skip
def test_what_only_duckdb_has(
    completion: str, reference: str, verdict: str, duckdb_file: Path
) -> None:
    assert judge(completion, reference, duckdb_file).verdict == verdict


def test_in_the_worker_pool(sqlite_file: Path, duckdb_file: Path) -> None:
    """In worker processes with limits of their own, for both engines."""
    cases = [("SELECT name FROM runner", "correct"), ("SELECT club FROM runner", "wrong")]

    async def judge_all() -> list[TimedVerdict]:
        async with VerifierPool(workers=1, timeout_seconds=30, verifiers=["sql"]) as pool:
            return [
                await pool.judge(
                    "sql", completion, Task([], "SELECT name FROM runner", {"database": str(path)})
                )
                for path in (sqlite_file, duckdb_file)
                for completion, _ in cases
            ]

    found = asyncio.run(judge_all())
    assert [timed.verdict.verdict for timed in found] == [verdict for _, verdict in cases] * 2


def test_it_is_registered() -> None:
    assert isinstance(get_verifier("sql"), SQLQuery)
