"""SQL as text: tokens, statements, the query in an answer, what ORDER BY says."""

import random
import sqlite3
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.verify.sql_execution import ordering
from winnow.pipeline.verify.sql_execution.extraction import MAX_TEXT, query
from winnow.pipeline.verify.sql_execution.lexer import (
    Dialect,
    same_text,
    source,
    statements,
    tokens,
)
from winnow.pipeline.verify.sql_execution.statement import BadQuery, one_query, reference_queries


def words(text: str, dialect: Dialect = "sqlite") -> list[str]:
    return [token.text for token in tokens(text, dialect)]


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        ("SELECT a.b, 'it''s'", "sqlite", ["SELECT", "a", ".", "b", ",", "'it''s'"]),
        ("a--b\nc/* ; */d", "sqlite", ["a", "c", "d"]),
        ("'--' \"/*\" x", "sqlite", ["'--'", '"/*"', "x"]),
        ("[a;b] `c;d`", "sqlite", ["[a;b]", "`c;d`"]),
        ("[1, 2]", "duckdb", ["[", "1", ",", "2", "]"]),
        ("E'a\\';b' c", "duckdb", ["E'a\\';b'", "c"]),
        ("$$a;b$$ $t$;$$;$t$", "duckdb", ["$$a;b$$", "$t$;$$;$t$"]),
        ("a<=b<>c!=d||e->>f::g", "duckdb",
         ["a", "<=", "b", "<>", "c", "!=", "d", "||", "e", "->>", "f", "::", "g"]),
        ("1.5e-3 .5 2. 1_000", "sqlite", ["1.5e-3", ".5", "2.", "1_000"]),
        ("x'0f' 'open", "sqlite", ["x'0f'", "'open"]),
        ("/* open", "sqlite", []),
        ("größe", "sqlite", ["größe"]),
    ],
)  # fmt: skip
def test_tokens(text: str, dialect: Dialect, expected: list[str]) -> None:
    assert words(text, dialect) == expected


@given(st.text(alphabet="ab1 '\"`[](;)-/*\n$.,", max_size=60))
def test_tokens_lose_nothing_but_space_and_comments(text: str) -> None:
    for dialect in ("sqlite", "duckdb"):
        end = 0
        for token in tokens(text, dialect):
            assert text[token.start : token.end] == token.text
            gap = text[end : token.start]
            assert not gap.strip() or gap.lstrip().startswith(("--", "/*"))
            end = token.end


def test_statements_as_sqlite_counts_them() -> None:
    for text, count in [
        ("SELECT 1", 1), ("SELECT 1;", 1), (";;SELECT 1;;", 1), ("SELECT ';'", 1), ("", 0),
        ("-- ;", 0), ("SELECT 1; SELECT 2", 2), ("SELECT 1 /* ; */ -- ;\n; -- end", 1),
        ("SELECT \"a;b\", [c;d], `e;f` FROM (SELECT 1 AS \"a;b\", 2 AS \"c;d\", 3 AS \"e;f\")", 1),
    ]:  # fmt: skip
        found = statements(text, "sqlite")
        assert len(found) == count
        if count == 1:
            sqlite3.connect(":memory:").execute(source(text, found[0]))


def test_same_text() -> None:
    assert same_text("SELECT a  FROM t;", "select A -- x\nfrom T", "sqlite")
    assert not same_text("SELECT 'a'", "SELECT 'A'", "sqlite")
    assert not same_text('SELECT "a"', 'SELECT "A"', "sqlite")
    assert not same_text("SELECT a, b", "SELECT a b", "sqlite")


Q = "SELECT name FROM t"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (Q, Q),
        (f"  {Q};  ", f"{Q};"),
        (f"```sql\n{Q};\n```", f"{Q};"),
        (f"```SQL\r\n{Q}\r\n```", Q),
        (f"```sqlite\n{Q}\n```", Q),
        (f"~~~sql\n{Q}\n~~~", Q),
        (f"````sql\n{Q}\n````", Q),
        (f"```sql {Q}```", Q),
        (f"```sql\n{Q}```", Q),
        (f"```sql\n{Q}", Q),
        (f"1. Do this:\n   ```sql\n   {Q}\n   ```", Q),
        (f"```\n{Q}\n```\n```\nname\n----\nAnn\n```", Q),
        (f"```python\nprint('SELECT 1')\n```\n```sql\n{Q}\n```\n```json\n[]\n```", Q),
        (f"```sql\nSELECT 1\n```\nBetter:\n```sql\n{Q}\n```", Q),
        ("```sql\n\n```\nNothing.", None),
        (f"<answer>{Q}</answer>", Q),
        (f"<answer>\n```sql\n{Q}\n```\n</answer>", Q),
        (f"<answer>SELECT 1</answer> no: <answer>{Q}</answer>", Q),
        (f"```sql\nSELECT 1\n```\n<answer>{Q}</answer>", Q),
        (f"```sql\n{Q}\n```\n<answer>42</answer>", None),
        (f"<SQL>{Q}</SQL>", Q),
        (f"<think>```sql\nSELECT 1\n```</think>{Q}", Q),
        (f"The query is {Q}", Q),
        (f"The query is:\n\n{Q}\n\nIt lists names.", Q),
        (f"**SQL:** {Q};\nIt lists names.", f"{Q};"),
        (f"sql = {Q};", f"{Q};"),
        (f"> {Q}", Q),
        (f"Use `{Q}` here.", Q),
        (f"`{Q}`", Q),
        (f"{Q};\n\nThe part (SELECT 1) is not needed, nor is `SELECT 2`.", f"{Q};"),
        (f"First\nSELECT 1;\nthen\n{Q};\nDone.", f"{Q};"),
        (f"{Q}\nUNION\nSELECT b FROM u", f"{Q}\nUNION\nSELECT b FROM u"),
        (f"{Q}\n\nWHERE a = 1\n\nThat is it.", f"{Q}\n\nWHERE a = 1"),
        (f"{Q}\n\nOn the other hand, names repeat.", Q),
        (f"{Q}; DROP TABLE t", f"{Q}; DROP TABLE t"),
        (f"{Q};\n\nSELECT 2;", f"{Q};\n\nSELECT 2;"),
        (f"-- names\n{Q}", Q),
        (f"/* names */ {Q}", f"/* names */ {Q}"),
        ("(SELECT 1) UNION (SELECT 2)", "(SELECT 1) UNION (SELECT 2)"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "WITH a AS (SELECT 1) SELECT * FROM a"),
        ("with recursive a(n) as (select 1) select n from a",) * 2,
        ("VALUES (1), (2)", "VALUES (1), (2)"),
        ("Select name from t", "Select name from t"),
        ("DROP TABLE t", "DROP TABLE t"),
        ("ATTACH DATABASE 'x' AS y", "ATTACH DATABASE 'x' AS y"),
        ("With this, we select names from the table.", None),
        ("The names are Ann and Bo.", None),
        ("Drop the table? No.", None),
        ("From the schema I see no way.", None),
        ("", None),
        ("   \n ", None),
    ],
)  # fmt: skip
def test_the_query_in_an_answer(text: str, expected: str | None) -> None:
    assert query(text, "sqlite") == expected


@given(st.text(alphabet="SELECTWITHselect`'\"();:<>/\n answer-*=", max_size=300))
@settings(deadline=None)
def test_any_text_can_be_looked_at(text: str) -> None:
    for dialect in ("sqlite", "duckdb"):
        found = query(text, dialect)
        assert found is None or (found and found.strip() == found)


HOSTILE_TEXTS: list[Callable[[int], str]] = [
    lambda n: "\nSELECT a\n\nX " * n, lambda n: "SELECT;x\n" * n, lambda n: "<answer>" * n,
    lambda n: "```" * n, lambda n: "``` " + " " * n, lambda n: "/* */ " * n + "x",
    lambda n: "```\n" * n, lambda n: "SELECT " * n, lambda n: "(" * n, lambda n: "WITH " * n,
    lambda n: "COPY " * n, lambda n: ": " * n, lambda n: "WITH a(" * n, lambda n: "`SELECT " * n,
    lambda n: "\n" * n, lambda n: "SELECT a" + "\n\n" * n + "x", lambda n: "CREATE OR " * n,
    lambda n: "-- x\n" * n, lambda n: "SELECT 1;" * n, lambda n: "<sql>" * n, lambda n: "'" * n,
    lambda n: "```sql\nSELECT 1\n```\n" * n, lambda n: "SELECT 1; COPY " * n, lambda n: "$$" * n,
    lambda n: "WITH a AS" + " " * n, lambda n: "[" * n, lambda n: "SELECT '" * n,
]  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_text_is_slow_to_look_at(text: Callable[[int], str]) -> None:
    """Work that grew with the square of the length would take many minutes here."""
    made = text(MAX_TEXT)[:MAX_TEXT]
    for dialect in ("sqlite", "duckdb"):
        query(made, dialect)


def test_one_query() -> None:
    assert one_query(" SELECT 1 ; ", "sqlite") == "SELECT 1"
    assert one_query("(SELECT 1)", "duckdb") == "(SELECT 1)"
    for text, reason in [
        ("", "no_query"), ("-- x", "no_query"), ("42", "no_query"), ("SELECT 1; SELECT 2", "several"),
        ("PRAGMA foreign_keys", "forbidden: PRAGMA"), ("explain select 1", "forbidden: EXPLAIN"),
        ("SELECT * FROM t ORDER BY RANDOM ()", "forbidden: random"),
        ("SELECT \"random\"()", "forbidden: random"), ("SELECT * FROM t USING SAMPLE 3", "sample"),
        ("SELECT * FROM t TABLESAMPLE 3%", "sample"),
    ]:  # fmt: skip
        with pytest.raises(BadQuery, match=reason):
            one_query(text, "duckdb")
    # Only calls: a column may have such a name.
    assert one_query("SELECT random, uuid FROM t JOIN u USING (sample)", "sqlite")


def test_reference_queries() -> None:
    assert reference_queries("SELECT 1") == ["SELECT 1"]
    assert reference_queries('["SELECT 1", " ", "SELECT 2"]') == ["SELECT 1", "SELECT 2"]
    for nothing in (None, "", " ", "[]", "[1]", '["a"', "[" * 100_000):
        assert reference_queries(nothing) == []


@pytest.mark.parametrize(
    ("text", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True), ("SELECT a FROM t order  by a LIMIT 1", True),
        ("(SELECT a FROM t ORDER BY a)", True), ("((SELECT a FROM t ORDER BY a LIMIT 2))", True),
        ("SELECT a FROM t UNION SELECT a FROM u ORDER BY 1", True),
        ("WITH x AS (SELECT 1) SELECT * FROM x ORDER BY 1", True),
        ("SELECT a FROM t", False), ("SELECT a FROM (SELECT a FROM t ORDER BY a)", False),
        ("WITH x AS (SELECT a FROM t ORDER BY a) SELECT * FROM x", False),
        ("SELECT rank() OVER (ORDER BY a) FROM t", False), ("SELECT 'ORDER BY a' FROM t", False),
        ("SELECT a FROM t -- ORDER BY a", False), ("SELECT \"ORDER\" FROM t", False),
        ("SELECT group_concat(a ORDER BY a) FROM t", False),
        ("(SELECT a FROM t ORDER BY a) UNION ALL (SELECT 1 ORDER BY 1)", False),
    ],
)  # fmt: skip
def test_is_ordered(text: str, ordered: bool) -> None:
    assert ordering.is_ordered(text, "sqlite") is ordered


@pytest.mark.parametrize(
    ("text", "columns", "query", "keys"),
    [
        ("SELECT a FROM t ORDER BY a", ["a"], None, (0,)),
        ("SELECT a, b FROM t ORDER BY B DESC, 1", ["a", "b"], None, (1, 0)),
        ('SELECT a AS "x y" FROM t ORDER BY "X Y" NULLS LAST LIMIT 3', ["x y"], None, (0,)),
        ("SELECT t.a, count(*) FROM t GROUP BY a ORDER BY COUNT ( * ) DESC", ["a", "count(*)"], None,
         (1,)),
        ("SELECT a FROM t ORDER BY b LIMIT 3 OFFSET 1", ["a"],
         "SELECT a, (b) AS winnow_key_0 FROM t ORDER BY b LIMIT 3 OFFSET 1", (1,)),
        ("SELECT a, b FROM t WHERE c = 1 GROUP BY a ORDER BY max(c) COLLATE nocase ASC, b, sum(c)",
         ["a", "b"], ("SELECT a, b, (max(c)) AS winnow_key_0, (sum(c)) AS winnow_key_1 FROM t WHERE "
         "c = 1 GROUP BY a ORDER BY max(c) COLLATE nocase ASC, b, sum(c)"), (2, 1, 3)),
        ("SELECT a IS DISTINCT FROM b FROM t ORDER BY b", ["x"],
         "SELECT a IS DISTINCT FROM b, (b) AS winnow_key_0 FROM t ORDER BY b", (1,)),
        ("WITH x AS (SELECT * FROM t) SELECT a FROM x ORDER BY b", ["a"],
         "WITH x AS (SELECT * FROM t) SELECT a, (b) AS winnow_key_0 FROM x ORDER BY b", (1,)),
        ("SELECT a FROM t -- all\nORDER BY b -- so", ["a"],
         "SELECT a, (b) AS winnow_key_0 FROM t -- all\nORDER BY b", (1,)),
        ("SELECT 1 ORDER BY 2 + 1", ["1"], "SELECT 1, (2 + 1) AS winnow_key_0 ORDER BY 2 + 1", (1,)),
        ("SELECT * FROM t ORDER BY b", ["a", "b"], None, (1,)),
        ("SELECT DISTINCT a FROM t ORDER BY a", ["a"], None, (0,)),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY a", ["a"], None, (0,)),
        ("(SELECT a FROM t ORDER BY 1)", ["a"], None, (0,)),
    ],
)  # fmt: skip
def test_keys(text: str, columns: list[str], query: str | None, keys: tuple[int, ...]) -> None:
    found = ordering.keyed(text, columns, "sqlite")
    assert found is not None
    assert found.keys == keys
    assert found.is_same is (query is None)
    if query is not None:
        assert found.query == query


@pytest.mark.parametrize(
    "text",
    [
        "SELECT DISTINCT a FROM t ORDER BY b", "SELECT a FROM t UNION SELECT a FROM u ORDER BY b + 1",
        "SELECT a, sum(b) FROM t GROUP BY ALL ORDER BY c", "SELECT a FROM t ORDER BY",
        "SELECT a FROM t ORDER BY a,", "SELECT a FROM t", "ORDER BY a", "SELECT 1; SELECT 2 ORDER BY 1",
        "VALUES (1) ORDER BY b",
    ],
)  # fmt: skip
def test_keys_that_cannot_be_told(text: str) -> None:
    assert ordering.keyed(text, ["a"], "duckdb") is None


def test_all_columns_are_keys() -> None:
    found = ordering.keyed("SELECT a, b FROM t ORDER BY ALL DESC", ["a", "b"], "duckdb")
    assert found is not None
    assert found.keys == (0, 1)


@pytest.mark.parametrize(
    ("limit", "offset"),
    [
        ("LIMIT 3", 0), ("limit 3 offset 2", 2), ("LIMIT 2, 3", 2), ("", None), ("LIMIT 1 + 1", None),
        ("LIMIT 3 OFFSET (SELECT 1)", None), ("LIMIT -1", None), ("FETCH FIRST 3 ROWS ONLY", None),
        ("LIMIT 10%", None),
    ],
)  # fmt: skip
def test_without_limit(limit: str, offset: int | None) -> None:
    found = ordering.unlimited(f"SELECT a FROM t ORDER BY b, c {limit}", "sqlite")
    assert found == (None if offset is None else ("SELECT a FROM t ORDER BY b, c", offset))
    assert ordering.unlimited("SELECT a FROM t LIMIT 3", "sqlite") is None


def test_keys_against_sqlite_on_random_tables() -> None:
    """What `keyed` says are ties is what SQLite itself ranks alike."""
    rng = random.Random(3)
    terms = ["a", "b DESC", "t.c", "2", "a + b", "c IS NULL", "abs(b)", "x"]
    for _ in range(200):
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE t (a, b, c)")
        rows = [[rng.choice([None, 0, 1, 2, "k", 1.5]) for _ in range(3)] for _ in range(8)]
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        chosen = ", ".join(rng.sample(terms, rng.randint(1, 3)))
        text = f"SELECT c AS x, b FROM t ORDER BY {chosen} LIMIT {rng.randint(1, 9)}"
        cursor = connection.execute(text)
        columns = [column[0] for column in cursor.description]
        wanted = cursor.fetchall()
        found = ordering.keyed(text, columns, "sqlite")
        assert found is not None
        given_rows = connection.execute(found.query).fetchall()
        assert [row[:2] for row in given_rows] == wanted
        over = chosen.replace("2", "b").replace("x", "c")
        ranks = connection.execute(
            f"SELECT dense_rank() OVER (ORDER BY {over}) FROM t ORDER BY {over}"
        ).fetchall()
        keys = [tuple(row[key] for key in found.keys) for row in given_rows]
        # (LIMIT has left fewer keys than there are ranks.)
        for (one, other), (rank, next_rank) in zip(pairwise(keys), pairwise(ranks), strict=False):
            assert (one == other) == (rank == next_rank), (text, keys)
