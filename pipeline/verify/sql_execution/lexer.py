"""Cuts SQL text into tokens: enough to split statements, find clauses and compare two texts.

Not a parser: whether a text is SQL at all is for the engine to say. The two dialects differ in what
quotes mean. Everything here is linear in the text's length.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Dialect = Literal["sqlite", "duckdb"]
Kind = Literal["word", "quoted", "string", "number", "sign"]

_COMMON = r"""
    (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
  | (?P<string>(?:[xX](?='))?'(?:[^']|'')*(?:'|\Z))
  | (?P<quoted>"(?:[^"]|"")*(?:"|\Z){more_quoted})
  | (?P<number>(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)
  | (?P<word>[^\W\d]\w*|(?:[$@?]|:(?!:))\w*)
  | (?P<sign><=>|->>|->|\|\||<=|>=|<>|!=|==|::|<<|>>|.)
"""
_TOKEN: dict[Dialect, re.Pattern[str]] = {
    "sqlite": re.compile(
        _COMMON.format(more_quoted=r"|`(?:[^`]|``)*(?:`|\Z)|\[[^\]]*(?:\]|\Z)"),
        re.VERBOSE | re.DOTALL,
    ),
    "duckdb": re.compile(
        r"(?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))"
        r"|(?P<dollar>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z))|" + _COMMON.format(more_quoted=""),
        re.VERBOSE | re.DOTALL,
    ),
}
_KINDS: dict[str, Kind] = {
    "escaped": "string",
    "dollar": "string",
    "string": "string",
    "quoted": "quoted",
    "number": "number",
    "word": "word",
    "sign": "sign",
}


@dataclass(frozen=True)
class Token:
    """`text` stands at `start` to `end` of the source, inside `depth` pairs of parentheses (a
    parenthesis itself counts as outside of its pair)."""

    kind: Kind
    text: str
    start: int
    end: int
    depth: int

    def is_sign(self, sign: str) -> bool:
        """Whether this is the operator or bracket `sign`."""
        return self.kind == "sign" and self.text == sign

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the unquoted `words`, given in capitals."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def meaning(self) -> tuple[str, str]:
        """Equal for two tokens that every query reads alike: unquoted words in either case.

        A quoted name keeps its case: SQLite takes "Bob" for text where no column has that name.
        """
        return (self.kind, self.text.lower() if self.kind == "word" else self.text)


def tokens(text: str, dialect: Dialect, start: int = 0) -> Iterator[Token]:
    """The tokens of `text` from `start` on, without white space and comments. What is not closed
    runs to the end."""
    depth = 0
    for match in _TOKEN[dialect].finditer(text, start):
        kind = _KINDS.get(match.lastgroup or "")
        if kind is None:
            continue
        value = match.group()
        if kind == "sign" and value == ")":
            depth = max(0, depth - 1)
        yield Token(kind, value, match.start(), match.end(), depth)
        if kind == "sign" and value == "(":
            depth += 1


def statements(text: str, dialect: Dialect) -> list[list[Token]]:
    """The tokens of each statement of `text`; semicolons separate them, empty ones do not count."""
    found: list[list[Token]] = [[]]
    for token in tokens(text, dialect):
        if token.is_sign(";"):
            found.append([])
        else:
            found[-1].append(token)
    return [statement for statement in found if statement]


def source(text: str, statement: Sequence[Token]) -> str:
    """The text of `statement`, from its first token to its last."""
    return text[statement[0].start : statement[-1].end]


def same_text(first: str, second: str, dialect: Dialect) -> bool:
    """Whether two queries are the same but for white space, comments, the case of unquoted words
    and a semicolon at the end."""
    one, other = statements(first, dialect), statements(second, dialect)
    return [[token.meaning for token in each] for each in one] == [
        [token.meaning for token in each] for each in other
    ]
