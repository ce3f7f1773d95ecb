"""Reads the query out of a model's text.

One form decides, the first that is present (a verifier that took the luckiest of several readings
would reward answers that say several things):

1. the last `<answer>...</answer>`, or else `<sql>...</sql>`, and in it one of the forms below,
2. the last code block that says `sql` (or names a dialect), or that says nothing and begins like a
   statement; a block that is not closed runs to the end,
3. the last query that begins a line, or follows a colon or an equals sign,
4. the last query in code marks, or after "is", "use" or "query".

A query in running text ends at its semicolon, or at a blank line that no further clause follows;
statements that stand directly behind it belong to it. Text inside `<think>...</think>` is not
looked at, unless nothing follows it.
"""

import re

from winnow.pipeline.verify import extract
from winnow.pipeline.verify.sql_execution.lexer import Dialect, tokens

MAX_TEXT = 200_000  # characters; the end of a longer text is looked at

_FENCE = re.compile(
    r"^[ \t>]*(?P<mark>`{3,}|~{3,})[ \t]*+(?P<label>[^\s`]*+)[^\n`]*+\n"
    r"(?P<body>.*?)"
    r"(?:^[ \t>]*(?P=mark)[`~]*[ \t]*$|(?<=\S)(?P=mark)(?=\s|\Z)|\Z)",
    re.MULTILINE | re.DOTALL,
)
_FENCE_IN_LINE = re.compile(r"```(?P<label>\w*)[ \t](?P<body>(?:[^\n`]|`(?!``))+)```")
_LABELS = {
    *("sql", "sqlite", "sqlite3", "duckdb", "postgres", "postgresql", "pgsql", "mysql"),
    *("tsql", "plsql", "ansi"),
}
_COMMENTS = r"(?>\s+|--[^\n]*\n|/\*(?>.*?\*/))*+"
# WITH, SELECT and FROM begin English sentences too.
_WITH = r"(?:WITH|with)\s+(?:(?i:RECURSIVE)\s+)?[^\s()]+\s*(?:\([^()]*\)\s*)?(?i:AS)\b"
_QUERY = rf"(?:\(\s*)*(?:(?:SELECT|select)\b|{_WITH}|(?:VALUES|values)\s*\()"
_OTHER = (
    r"(?i:INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|"
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP|TEMPORARY|UNIQUE|VIRTUAL|TABLE|VIEW|INDEX|TRIGGER|SCHEMA|"
    r"SEQUENCE|MACRO|FUNCTION|SECRET|TYPE)\b|DROP\s+(?:TABLE|VIEW|INDEX|TRIGGER|SCHEMA|SEQUENCE|"
    r"MACRO|FUNCTION|TYPE)\b|ALTER\s+TABLE|(?:ATTACH|DETACH)\s+(?:DATABASE\b|'|\"|IF\b|\w+\s*(?:;|\Z))|"
    r"PRAGMA\s+\w|COPY\s+.{1,200}?\b(?:TO|FROM)\s|(?:EXPORT|IMPORT)\s+DATABASE|TRUNCATE\s+\w|"
    r"(?:INSTALL|LOAD)\s+['\w]+\s*(?:;|\Z|FROM)|(?:SET|RESET)\s+(?:\w+\s+)?\w+\s*(?:=|\bTO\b)|"
    r"CALL\s+\w+\s*\(|USE\s+\w+\s*(?:;|\Z)|EXPLAIN\s+(?:QUERY|ANALYZE|SELECT|WITH)\b|"
    r"(?:VACUUM|REINDEX|ANALYZE|BEGIN|COMMIT|ROLLBACK|CHECKPOINT|SAVEPOINT|RELEASE)\b[^;\n]*(?:;|\Z)|"
    r"(?:DESCRIBE|SHOW|SUMMARIZE|TABLE)\s+\w+\s*(?:;|\Z)|(?:UN)?PIVOT\s+\w|PREPARE\s+\w+\s+AS|"
    r"EXECUTE\s+\w+\s*(?:\(|;|\Z))"
)
_STATEMENT = re.compile(rf"{_COMMENTS}(?:{_QUERY}|{_OTHER})", re.DOTALL)
# What a whole answer or a block without a label may begin with.
_WHOLE = re.compile(
    rf"{_COMMENTS}(?:{_QUERY}|{_OTHER}|Select\s|(?:FROM|from)\s+\w+\s+(?:SELECT|select)\b)",
    re.DOTALL,
)
_LINES = re.compile(
    rf"(?:^[ \t>*\-]*(?:\d+[.)][ \t]+)?|[:=][ \t*]*)(?P<query>{_QUERY})", re.MULTILINE
)
_WORDS = re.compile(rf"(?:`|\b(?:is|be|use|query|run)[ \t]+)(?P<query>{_QUERY})")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_CLAUSES = [
    *("SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET", "UNION"),
    *("INTERSECT", "EXCEPT", "JOIN", "LEFT", "RIGHT", "FULL", "INNER", "CROSS", "NATURAL", "ON"),
    *("AND", "OR", "WINDOW", "QUALIFY", "WHEN", "ELSE", "END", "AS"),
]
# A sentence begins with one capital letter, a clause is in capitals or has none.
_GOES_ON = frozenset([*_CLAUSES, *(clause.lower() for clause in _CLAUSES), ")", ",", "("])


def query(completion: str, dialect: Dialect) -> str | None:
    """The query that `completion` gives as its answer (it may be no valid SQL, or several
    statements), or None where there is none."""
    text = extract.after_thinking(completion[-MAX_TEXT:]).replace("\r\n", "\n")
    tagged = extract.last_tagged(text)
    if tagged is None:
        tagged = _last_between(text, "<sql>", "</sql>")
    if tagged is not None:
        text = tagged
    return _in_block(text) or _in_text(text, dialect)


def _last_between(text: str, opening: str, closing: str) -> str | None:
    end = text.lower().rfind(closing)
    start = text.lower().rfind(opening, 0, max(end, 0))
    return text[start + len(opening) : end] if 0 <= start < end else None


def _in_block(text: str) -> str | None:
    """The last code block that holds SQL."""
    last, found = -1, None
    for block in [*_FENCE.finditer(text), *_FENCE_IN_LINE.finditer(text)]:
        body, label = block["body"].strip(), block["label"].lower().strip("{}.")
        is_sql = label in _LABELS or (label in ("", "text") and bool(_WHOLE.match(body)))
        if body and is_sql and block.start() > last:
            last, found = block.start(), body
    return found


def _in_text(text: str, dialect: Dialect) -> str | None:
    """The last query in running text; all of a text that begins with another statement."""
    text = extract.unwrapped(text)
    for starts in (_LINES, _WORDS):
        last, position = None, 0
        while start := starts.search(text, position):
            begin = start.start("query")
            end = _end(text, begin, dialect)
            last, position = text[begin:end].strip(), max(end, begin + 1)
        if last:
            return last
    return text.strip() if _WHOLE.match(text) else None


def _end(text: str, begin: int, dialect: Dialect) -> int:
    """Where the query ends that begins at `begin`."""
    marked = text[begin - 1 : begin] == "`"
    if marked and (mark := text.find("`", begin)) > 0:
        return mark
    end = begin
    for token in tokens(text, dialect, begin):
        stopped = bool(_BLANK_LINE.search(text, end, token.start))
        if stopped and token.text not in _GOES_ON and not _STATEMENT.match(text, token.start):
            break
        end = token.end
        if token.is_sign(";") and not _STATEMENT.match(text, end):
            break
    return end
