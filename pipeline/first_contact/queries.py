"""Rows whose answers are SQL queries, with or without databases to run them on."""

import re
from pathlib import Path
from typing import Any

from winnow.pipeline.first_contact import databases
from winnow.pipeline.first_contact.judged import Judged, most, rows_with
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.first_contact.trials import Bench, Case

_RUNS = 60  # queries that are run
_QUERY = re.compile(r"\s*(?:select|with)\b", re.IGNORECASE)
_DATABASES = ("db_id", "database", "db", "db_name", "database_id")
_NO_DATABASE = Judged(
    "exact",
    "the references are queries, and no database was found to run them on; as texts, a right query "
    "in other words is wrong",
    args={"case": False},
    beware="the verifier sql judges a query by what it gives: put the databases beside the file, or "
    "name them (`arguments: {database: COLUMN}` with `files`, or `verifier_args: {database: PATH}`)",
)


async def sql(look: Look, roles: Roles, bench: Bench) -> Judged | None:
    """A column of queries, and how many of them run on the databases beside the file."""
    columns = look.columns
    texts = [n for n, c in columns.items() if c.kind == "text" and n not in roles.prompt]
    query = next((n for n in texts if most(columns[n].values, _is_query)), None)
    if query is None:
        return None
    named = next((n for n in texts if n.lower() in _DATABASES), None)
    names = sorted(set(columns[named].texts)) if named else []
    path = databases.pattern(look.config.path, names)
    if named is None or path is None:
        return Judged(**{**vars(_NO_DATABASE), "answer": query})
    files = [(row, Path(path.replace("{}", row[named]))) for row in rows_with(look, query, named)]
    cases = [
        Case(row[query], row[query], {"database": str(file)})
        for row, file in files
        if file.is_file()
    ]
    tried = await bench.attempt("sql", cases[:_RUNS])
    return Judged(
        "sql",
        f"the references are queries; {tried.readable:.0%} of {len(cases[:_RUNS])} run on the databases "
        "that the names in a column lead to",
        query,
        arguments={"database": named},
        files={"database": path},
        beware="the prompts may not say which tables and columns there are: a column with the schema "
        "can stand in `prompt`, before the question",
    )


def _is_query(value: Any) -> bool:
    return isinstance(value, str) and _QUERY.match(value) is not None
