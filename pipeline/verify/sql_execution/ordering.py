"""What the top-level ORDER BY of a query says about the order of its rows.

Rows that are equal under the keys may come in any order. To know which are, the keys of every row
are needed: `keyed` writes a query that gives them as further columns. It gives up (None) where it
cannot be sure; then the rows count in exactly the order in which they came:

- a key that is no output column, in a query with DISTINCT, GROUP BY ALL, QUALIFY or a set operation
  (a further column could change the rows),
- terms that are not understood.

Where LIMIT cuts through such a group of ties, which of its rows are left is for the engine to
choose; `unlimited` gives the query without LIMIT, to see what there was to choose from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from winnow.pipeline.verify.sql_execution.lexer import Dialect, Token, source, statements

_SET_OPERATIONS = ("UNION", "INTERSECT", "EXCEPT")
_AFTER = ("LIMIT", "OFFSET", "FETCH")
_KEY = "winnow_key_"


@dataclass(frozen=True)
class Keyed:
    """`query` gives the rows of the original with further columns behind them (none where
    `is_same`). Rows tie where the columns `keys` are equal."""

    query: str
    keys: tuple[int, ...]
    is_same: bool


def is_ordered(query: str, dialect: Dialect) -> bool:
    """Whether the order of the rows of `query` is part of its answer."""
    return _parts(query, dialect) is not None


def unlimited(query: str, dialect: Dialect) -> tuple[str, int] | None:
    """`query`, which has an ORDER BY, without its LIMIT and OFFSET, and the OFFSET (0 where there
    is none). None where it has no LIMIT, or OFFSET is no plain number."""
    parts = _parts(query, dialect)
    if parts is None or not parts.limit or (offset := _offset(parts.limit)) is None:
        return None
    return query[parts.body[0].start : parts.terms[-1].end], offset


def keyed(query: str, columns: Sequence[str], dialect: Dialect) -> Keyed | None:
    """The query that shows the keys of `query`, whose output columns are named `columns`."""
    parts = _parts(query, dialect)
    if parts is None:
        return None
    body = parts.body
    select = next((i for i in range(len(body)) if _at_top(body, i, "SELECT")), None)
    from_ = _from(body)
    items = _items(body, select, from_)
    keys: list[int] = []
    extra: list[str] = []
    for term in _split(parts.terms):
        expression = _without_direction(term)
        if not expression:
            return None
        if len(expression) == 1 and expression[0].is_word("ALL") and dialect == "duckdb":
            keys += range(len(columns))
        elif (position := _position(expression, columns, items)) is not None:
            keys.append(position)
        else:
            keys.append(len(columns) + len(extra))
            extra.append(f", ({source(query, expression)}) AS {_KEY}{len(extra)}")
    if extra and (select is None or _further_columns_change_rows(body, select)):
        return None
    start, end = body[0].start, (parts.limit or parts.terms)[-1].end
    cut = body[-1].end if from_ is None else body[from_ - 1].end
    return Keyed(query[start:cut] + "".join(extra) + query[cut:end], tuple(keys), not extra)


@dataclass(frozen=True)
class _Parts:
    """The tokens of an ordered query: what is before ORDER BY, its terms, and what follows them."""

    body: list[Token]
    terms: list[Token]
    limit: list[Token]


def _parts(query: str, dialect: Dialect) -> _Parts | None:
    """None for what is not one query with an ORDER BY of its own."""
    found = statements(query, dialect)
    if len(found) != 1:
        return None
    tokens = _unwrapped(found[0])
    at = _order_by(tokens)
    if at is None:
        return None
    end = next((i for i in range(at, len(tokens)) if _at_top(tokens, i, *_AFTER)), len(tokens))
    if at == 0 or end == at + 2:
        return None  # no query; the engine has said so
    return _Parts(tokens[:at], tokens[at + 2 : end], tokens[end:])


def _unwrapped(tokens: list[Token]) -> list[Token]:
    """Without parentheses around the whole."""
    while (
        len(tokens) > 2
        and tokens[0].is_sign("(")
        and tokens[-1].is_sign(")")
        and all(token.depth > tokens[0].depth for token in tokens[1:-1])
    ):
        tokens = tokens[1:-1]
    return tokens


def _at_top(tokens: Sequence[Token], i: int, *words: str) -> bool:
    return tokens[i].depth == tokens[0].depth and tokens[i].is_word(*words)


def _order_by(tokens: Sequence[Token]) -> int | None:
    """Where the ORDER BY of the whole query stands."""
    for i in range(len(tokens) - 2, -1, -1):
        if _at_top(tokens, i, "ORDER") and tokens[i + 1].is_word("BY"):
            return i
    return None


def _from(body: Sequence[Token]) -> int | None:
    """Where the FROM of the first SELECT stands, if it follows the SELECT."""
    selected = False
    for i in range(len(body)):
        selected = selected or _at_top(body, i, "SELECT")
        is_comparison = i > 0 and body[i - 1].is_word("DISTINCT")  # a IS DISTINCT FROM b
        if selected and _at_top(body, i, "FROM") and not is_comparison:
            return i
    return None


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """The parts that commas of the top level separate."""
    parts: list[list[Token]] = [[]]
    brackets = 0  # of DuckDB's lists and structs
    for token in tokens:
        if token.kind == "sign" and token.text in ("[", "{"):
            brackets += 1
        elif token.kind == "sign" and token.text in ("]", "}"):
            brackets -= 1
        if token.is_sign(",") and token.depth == tokens[0].depth and not brackets:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _items(
    body: Sequence[Token], select: int | None, from_: int | None
) -> list[list[tuple[str, str]]] | None:
    """The meaning of each expression that is selected, without its alias; None where a star makes
    the positions unknown."""
    if select is None:
        return None
    start = select + 1
    while start < len(body) and body[start].is_word("DISTINCT", "ALL"):
        start += 1
    stop = from_ if from_ is not None else len(body)
    found = []
    for item in _split(body[start:stop]):
        if not item or item[-1].is_sign("*") or _at_top(item, 0, "COLUMNS"):
            return None
        if len(item) > 2 and item[-2].is_word("AS"):
            item = item[:-2]
        found.append([token.meaning for token in item])
    return found


def _position(
    expression: Sequence[Token],
    columns: Sequence[str],
    items: Sequence[Sequence[tuple[str, str]]] | None,
) -> int | None:
    """The output column that an ORDER BY term means: by number, by name, or the same expression."""
    if len(expression) == 1:
        token = expression[0]
        if token.kind == "number" and token.text.isdigit():
            return int(token.text) - 1 if 1 <= int(token.text) <= len(columns) else None
        if token.kind in ("word", "quoted"):
            name = token.text.strip('"`[]').lower()
            named = [i for i, column in enumerate(columns) if column.lower() == name]
            if len(named) == 1:
                return named[0]
    meaning = [token.meaning for token in expression]
    if items is not None and len(items) == len(columns) and meaning in items:
        return [list(item) for item in items].index(meaning)
    return None


def _without_direction(term: list[Token]) -> list[Token]:
    """An ORDER BY term without NULLS FIRST or LAST, ASC or DESC, and COLLATE (whose ties are then
    narrower than the engine's)."""
    if len(term) > 2 and term[-2].is_word("NULLS") and term[-1].is_word("FIRST", "LAST"):
        term = term[:-2]
    if term and term[-1].is_word("ASC", "DESC"):
        term = term[:-1]
    if len(term) > 2 and term[-2].is_word("COLLATE"):
        term = term[:-2]
    return term


def _further_columns_change_rows(body: Sequence[Token], select: int) -> bool:
    """Whether a further column could make other rows, or is not allowed."""
    if select + 1 < len(body) and body[select + 1].is_word("DISTINCT"):
        return True
    for i in range(len(body)):
        if _at_top(body, i, "QUALIFY", *_SET_OPERATIONS):
            return True
        if _at_top(body, i, "GROUP") and [t.text.upper() for t in body[i + 1 : i + 3]] == [
            "BY",
            "ALL",
        ]:
            return True
    return False


def _offset(tokens: Sequence[Token]) -> int | None:
    """The OFFSET of a LIMIT clause (0 where there is none); None where it is not plain."""
    words = [token.text.upper() for token in tokens]
    numbers = [int(w) if w.isdigit() and w.isascii() else None for w in words]
    match words:
        case ["LIMIT", _] if numbers[1] is not None:
            return 0
        case ["LIMIT", _, "OFFSET", _] if numbers[1] is not None:
            return numbers[3]
        case ["LIMIT", _, ",", _] if numbers[3] is not None:
            return numbers[1]
    return None
