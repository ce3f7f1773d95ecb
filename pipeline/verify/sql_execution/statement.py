"""What may be run at all: one query, whose rows are no matter of luck."""

import json
from itertools import pairwise

from winnow.pipeline.verify.sql_execution.lexer import Dialect, source, statements

_FIRST_WORDS = ("SELECT", "WITH", "VALUES", "FROM")
_LUCK = {"random", "randomblob", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "setseed"}
_WAITING = {"sleep_ms"}


class BadQuery(Exception):
    """A text that is not one query that may be run. The message is the reason."""


def one_query(text: str, dialect: Dialect) -> str:
    """The only statement of `text`, without a semicolon. Raises BadQuery.

    A first check, by words: the engines are locked besides, so that nothing hangs on it.
    """
    found = statements(text, dialect)
    if len(found) != 1:
        raise BadQuery("several_statements" if found else "no_query")
    (tokens,) = found
    first = next((token for token in tokens if not token.is_sign("(")), tokens[0])
    if not first.is_word(*_FIRST_WORDS):
        raise BadQuery(f"forbidden: {first.text.upper()}" if first.kind == "word" else "no_query")
    for token, after in pairwise(tokens):
        name = token.text.strip('"`[]').lower()
        if after.is_sign("(") and name in _LUCK | _WAITING:
            raise BadQuery(f"forbidden: {name}")
        if token.is_word("TABLESAMPLE") or (token.is_word("USING") and after.is_word("SAMPLE")):
            raise BadQuery("forbidden: sample")
    return source(text, tokens)


def reference_queries(answer: str | None) -> list[str]:
    """The accepted queries of an `answer`: a JSON list, or one query; [] for neither."""
    text = (answer or "").strip()
    if not text.startswith("["):
        return [text] if text else []
    try:
        queries = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not all(isinstance(query, str) for query in queries):
        return []
    return [query for query in queries if query.strip()]
