"""The verifier `sql` on Spider: gold queries against themselves, each other, mutants and rewrites.

What is expected comes from an oracle of its own: plain sqlite3 and exact comparison of rows, in
order where the reference orders.
"""

import json
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.sql import SQLQuery

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
VERIFIER = SQLQuery()
SAMPLE = 120


@dataclass(frozen=True)
class Gold:
    database: Path
    query: str

    def judge(self, completion: str, **args: Any) -> Verdict:
        task = Task([], self.query, {"database": str(self.database), **args})
        return VERIFIER.verify(completion, task)

    def rows(self, query: str | None = None) -> list[tuple[Any, ...]] | None:
        """None where SQLite refuses the query."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro&immutable=1", uri=True)
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        try:
            return connection.execute(query or self.query).fetchmany(100_000)
        except sqlite3.Error:
            return None
        finally:
            connection.close()

    def has_order(self) -> bool:
        return re.search(r"order\s+by[^()]*$", self.query, re.IGNORECASE) is not None

    def gives_the_same(self, query: str) -> bool:
        mine, other = self.rows(), self.rows(query)
        if mine is None or other is None:
            return False
        return mine == other if self.has_order() else Counter(mine) == Counter(other)


def golds() -> list[Gold]:
    path = DATA / "spider_dev_public.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    return [
        Gold(DATA / "spider_db" / f"{row['db_id']}.sqlite", row["query"])
        for row in pq.read_table(path).to_pylist()
    ]


def sample(size: int = SAMPLE) -> list[Gold]:
    return random.Random(5).sample(golds(), size)


def test_gold_queries_are_correct_by_themselves() -> None:
    every = golds()
    verdicts = [(gold, gold.judge(gold.query)) for gold in every]
    assert [gold.query for gold, found in verdicts if found.verdict != "correct"] == []
    empty = {gold.query for gold in every if gold.rows() == []}
    assert {gold.query for gold, found in verdicts if found.detail == "both_empty"} == empty
    assert {found.reward for _, found in verdicts} == {1.0}


def test_the_gold_query_of_another_row_is_right_only_by_its_rows() -> None:
    rng = random.Random(7)
    every = golds()
    for gold in sample():
        other = rng.choice([other for other in every if other.database == gold.database])
        found = gold.judge(other.query)
        if gold.rows() or gold.rows(other.query):
            assert (found.verdict == "correct") == gold.gives_the_same(other.query), other.query
        else:
            assert found.detail == "both_empty"


# Mutations: a query in, changed queries out (none where there is nothing to change).
Change = Callable[[str], Iterator[str]]


def _all(pattern: str, new: str | Callable[[re.Match[str]], str]) -> Change:
    def change(query: str) -> Iterator[str]:
        for match in re.finditer(pattern, query, re.IGNORECASE):
            yield (
                query[: match.start()]
                + match.expand(new if isinstance(new, str) else new(match).replace("\\", "\\\\"))
                + query[match.end() :]
            )

    return change


def _fewer_rows(query: str) -> Iterator[str]:
    if not re.search(r"\blimit\b", query, re.IGNORECASE):
        yield f"{query.rstrip('; ')} LIMIT 1"


def _swapped_columns(query: str) -> Iterator[str]:
    match = re.match(
        r"(select\s+)([^(),]+),([^(),]+?)(\s+from\b.*)", query, re.IGNORECASE | re.DOTALL
    )
    if match:
        yield f"{match[1]}{match[3]} , {match[2]}{match[4]}"


MUTATIONS: dict[str, Change] = {
    "number": _all(r"(?<![\w.])\d+(?![\w.])", lambda m: str(int(m[0]) + 1)),
    "text": _all(r"([\"'])([A-Za-z][^\"']*)\1", r"\1\2x\1"),
    "no DISTINCT": _all(r"\bdistinct\b", ""),
    "aggregate": _all(r"\b(max|min|avg|sum)\b", lambda m: "min" if m[1].lower() != "min" else "max"),
    "count to sum": _all(r"\bcount\s*\(\s*\*\s*\)", "sum(1) + 1"),
    "no ORDER BY": _all(r"\border\s+by\s+[^()]*?(\)[^()]*?)?(?=\blimit\b|;|$)", ""),
    "other direction": _all(r"\b(asc|desc)\b", lambda m: "asc" if m[1].lower() == "desc" else "desc"),
    "LIMIT 1": _fewer_rows,
    "no LIMIT": _all(r"\blimit\s+\d+", ""),
    "swapped columns": _swapped_columns,
    "no WHERE": _all(r"\bwhere\b((?!\bgroup\b|\border\b|\bintersect\b|\bunion\b|\bexcept\b|\)).)*", " "),
    "comparison": _all(r"(?<![<>!])([<>])(?![=<>])", r"\1="),
    "not equal": _all(r"(?<![<>!])=", "!="),
    "set operation": _all(r"\b(intersect|except)\b", "union all"),
    "further column": _all(r"^select\s+(?!distinct)", "SELECT 1, "),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutants_are_right_only_by_their_rows(mutation: str) -> None:
    rng = random.Random(11)
    tried = 0
    for gold in sample(300):
        mutants = list(MUTATIONS[mutation](gold.query))
        if not mutants or not gold.rows():
            continue
        mutant = rng.choice(mutants)
        found = gold.judge(mutant)
        tried += 1
        same = gold.gives_the_same(mutant)
        if found.verdict == "correct" and not same:
            # Ties in another order: the same rows, and no row in a place that is not its own.
            mine, other = gold.rows(), gold.rows(mutant)
            assert gold.has_order()
            assert mine is not None and other is not None
            assert Counter(mine) == Counter(other), mutant
        else:
            assert (found.verdict == "correct") == same, mutant
        assert found.verdict in ("correct", "wrong"), (mutant, found)
        if tried == 25:
            break
    assert tried >= 2


def _simple(gold: Gold) -> bool:
    return not re.search(
        r"\b(union|intersect|except|order|limit|group)\b", gold.query, re.IGNORECASE
    )


REWRITES: dict[str, Callable[[Gold], str | None]] = {
    "case of words": lambda g: None if re.search(r"[\"']", g.query) else g.query.upper(),
    "white space": lambda g: (
        None if re.search(r"[\"']", g.query) else re.sub(r"\s+", "\n\t", g.query)
    ),
    "comments": lambda g: f"-- ok; \n{g.query.rstrip('; ')} /* done; */ -- \n;",
    "a subquery": lambda g: (
        None if g.has_order() else f"SELECT * FROM ({g.query.rstrip('; ')}) AS w"
    ),
    "a common table expression": lambda g: (
        None if g.has_order() else f"WITH w AS ({g.query.rstrip('; ')}) SELECT * FROM w"
    ),
    "names of columns": lambda g: re.sub(
        r"(?i)^(select\s+)([^(),*]+?)(\s+from\b)", r"\1\2 AS renamed\3", g.query
    ),
    "ones counted": lambda g: re.sub(r"(?i)count\s*\(\s*\*\s*\)", "COUNT(1)", g.query),
    "a condition that holds": lambda g: re.sub(r"(?i)\bwhere\b", "WHERE 1 = 1 AND", g.query),
    "negated twice": lambda g: (
        re.sub(r"(?is)\bwhere\b(.*?);?$", r"WHERE NOT (NOT (\1))", g.query) if _simple(g) else None
    ),
    "sides of a comparison": lambda g: re.sub(
        r"(T\d\.\w+)\s*=\s*(T\d\.\w+)", r"\2 = \1", g.query, flags=re.IGNORECASE
    ),
    "order without LIMIT": lambda g: (
        f"SELECT * FROM ({g.query.rstrip('; ')}) ORDER BY 1 DESC" if not g.has_order() else None
    ),
    "a code block": lambda g: f"Let me see.\n\n```sql\n{g.query}\n```\n\nThis gives the answer.",
    "answer tags": lambda g: f"<think>hm</think>\n<answer>\n{g.query}\n</answer>",
    "running text": lambda g: f"The query is:\n\n{g.query.rstrip('; ')};\n\nIt gives the answer.",
}


@pytest.mark.parametrize("rewrite", REWRITES)
def test_rewrites_are_correct(rewrite: str) -> None:
    wrong = []
    tried = 0
    for gold in sample():
        text = REWRITES[rewrite](gold)
        if text is None or not gold.rows():
            continue
        tried += 1
        found = gold.judge(text)
        if found.verdict != "correct":
            wrong.append((text, found.detail))
    assert tried >= 20
    assert wrong == []


def test_several_references() -> None:
    for gold in sample(40):
        references = json.dumps(
            ["SELECT nothing FROM nowhere", gold.query, "SELECT 'other', 2, 3, 4"]
        )
        task = Task([], references, {"database": str(gold.database)})
        assert VERIFIER.verify(gold.query, task).verdict == "correct"


def test_the_same_in_duckdb(tmp_path: Path) -> None:
    """The tables of one database in a DuckDB file: what both engines can run is judged alike."""
    source = golds()[0].database
    path = tmp_path / "copy.duckdb"
    old = sqlite3.connect(source)
    new = duckdb.connect(str(path))
    for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [column[1] for column in old.execute(f'PRAGMA table_info("{name}")')]
        kinds = ", ".join(
            f'"{column}" '
            + ("VARCHAR" if "text" in old.execute(
                f'SELECT group_concat(DISTINCT typeof("{column}")) FROM "{name}"'
            ).fetchone()[0] else "DOUBLE")
            for column in columns
        )  # fmt: skip
        new.execute(f'CREATE TABLE "{name}" ({kinds})')
        rows = old.execute(f'SELECT * FROM "{name}"').fetchall()
        new.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(columns))})', rows)
    new.close()
    old.close()
    tried = 0
    queries = list(dict.fromkeys(g.query for g in golds() if g.database == source))
    for number, query in enumerate(queries):
        mine = Gold(path, query).judge(query)
        if mine.verdict == "unjudged":
            assert mine.detail is not None
            assert mine.detail.startswith("bad_reference: error")
            continue
        tried += 1
        assert mine.verdict == "correct"
        other = queries[number - 1]
        in_duckdb, in_sqlite = Gold(path, query).judge(other), Gold(source, query).judge(other)
        if not (in_duckdb.detail or "").startswith("error"):
            assert in_duckdb.verdict == in_sqlite.verdict, (query, other)
    assert tried >= 10
