"""What a query string may ask for. Everything else in it is a bad request, said in one line.

A list of rows is chosen by parameters that carry a column's name:

    is.COLUMN=value      equal (text, whole numbers, flags, numbers)
    min.COLUMN=number    at least          max.COLUMN=number    at most
    none.COLUMN=1        has no value
    sort=COLUMN  order=asc|desc            page=N  (from 1)

A parameter without a value counts as absent: that is how an empty field of a form arrives.
"""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from winnow.pipeline.publish.browse.database import quoted
from winnow.pipeline.publish.browse.parts import Column, Part

LONGEST_QUERY = 8_192  # bytes
LONGEST_VALUE = 2_000  # characters
MOST_FIELDS = 100
MOST_PAGES = 10_000_000
_WHOLE = re.compile(r"[-+]?[0-9]{1,19}")
_NUMBER = re.compile(r"[-+]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")
_PAGE = re.compile(r"[0-9]{1,8}")
_ROW = re.compile(r"[0-9]{1,15}")
_FLAGS = {"true": True, "false": False}

Value = str | float | bool  # whole numbers included
Test = Literal["is", "min", "max", "none"]
_NAMES: Mapping[str, Test] = {"is": "is", "min": "min", "max": "max", "none": "none"}
_TESTS: dict[str, str] = {"is": "=", "min": ">=", "max": "<="}


class BadRequest(Exception):
    """The request cannot be answered; the message says why, for people."""


class NotFound(Exception):
    """There is no such thing; the message says what."""


@dataclass(frozen=True)
class Condition:
    """A test of one column. `value` has the column's type; of `none` it is True."""

    test: Test
    column: str
    value: Value

    def sql(self) -> str:
        """The test, with a question mark for its value (none for `none`)."""
        if self.test == "none":
            return f"{quoted(self.column)} IS NULL"
        return f"{quoted(self.column)} {_TESTS[self.test]} ?"


@dataclass(frozen=True)
class Choice:
    """Which rows of a part, in which order. Of equal ones `key` decides, the part's own."""

    conditions: tuple[Condition, ...] = ()
    sort: str | None = None
    descending: bool = False
    key: str = "id"

    @property
    def where(self) -> str:
        return " AND ".join(each.sql() for each in self.conditions) or "true"

    @property
    def values(self) -> list[Value]:
        return [each.value for each in self.conditions if each.test != "none"]

    @property
    def order(self) -> str:
        key = quoted(self.key)
        if self.sort is None:
            return key
        return f"{quoted(self.sort)} {'DESC' if self.descending else 'ASC'} NULLS LAST, {key}"

    def parameters(self) -> dict[str, str]:
        """The choice as a query string's parameters."""
        found = {
            f"{c.test}.{c.column}": "1" if c.test == "none" else _written(c.value)
            for c in self.conditions
        }
        if self.sort is not None:
            found |= {"sort": self.sort, "order": "desc" if self.descending else "asc"}
        return found


def parameters(query: bytes) -> dict[str, str]:
    """The parameters of a query string that have a value.

    Raises BadRequest for what no link and no form of ours sends: other bytes than ASCII, escapes
    that are no UTF-8, NUL, a parameter twice, too much of anything.
    """
    if len(query) > LONGEST_QUERY:
        raise BadRequest(f"the query is longer than {LONGEST_QUERY:,} bytes")
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except UnicodeDecodeError:
        raise BadRequest("the query is no UTF-8") from None
    except ValueError:
        raise BadRequest(f"the query has more than {MOST_FIELDS} parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise BadRequest("the query holds a NUL character")
        if len(value) > LONGEST_VALUE:
            raise BadRequest(f"{_short(name)}: is longer than {LONGEST_VALUE:,} characters")
        if name in found:
            raise BadRequest(f"{_short(name)}: is given twice")
        found[name] = value
    return {name: value for name, value in found.items() if value}


def only(given: Mapping[str, str], known: Collection[str]) -> None:
    """Raises BadRequest for a parameter that is not among `known`."""
    for name in given:
        if name not in known:
            raise BadRequest(
                f"{_short(name)}: no such parameter here; there are {', '.join(known)}"
            )


def page_of(given: Mapping[str, str]) -> int:
    """The page asked for, from 1."""
    asked = given.get("page", "1")
    if not _PAGE.fullmatch(asked) or not 1 <= int(asked) <= MOST_PAGES:
        raise BadRequest(f"page: {_short(asked)} is no page's number")
    return int(asked)


def row_of(text: str) -> int:
    """The number of a row, from 0, in an address; raises NotFound where it is none."""
    if not _ROW.fullmatch(text):
        raise NotFound(f"{_short(text)} is no row's number")
    return int(text)


def one_of(given: Mapping[str, str], name: str, allowed: Collection[str], default: str) -> str:
    """The value of a parameter that can have only some."""
    value = given.get(name, default)
    if value not in allowed:
        raise BadRequest(f"{name}: {_short(value)} is none of {', '.join(allowed)}")
    return value


def choice_of(given: Mapping[str, str], part: Part, besides: Collection[str] = ()) -> Choice:
    """Which rows of `part` are asked for; `besides` are parameters that mean something else."""
    conditions = []
    for name, value in given.items():
        start, dot, column_name = name.partition(".")
        test = _NAMES.get(start)
        if name in ("sort", "order", *besides):
            continue
        if not dot or test is None:
            raise BadRequest(f"{_short(name)}: no such parameter here")
        conditions.append(_condition(test, _column(part, column_name, name), value))
    sort = given.get("sort")
    if sort is not None:
        _column(part, sort, "sort")
    order = one_of(given, "order", ("asc", "desc"), "asc")
    return Choice(tuple(conditions), sort, order == "desc", part.key)


def link(path: str, **parameters: object) -> str:
    """An address on this server; parameters that are None are left out."""
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _column(part: Part, name: str, said: str) -> Column:
    column = part.by_name.get(name)
    if column is None:
        raise BadRequest(f"{_short(said)}: {part.name} has no column {_short(name)!r}")
    if not column.plain:
        raise BadRequest(f"{_short(said)}: rows cannot be chosen or sorted by {name}")
    return column


def _condition(test: Test, column: Column, value: str) -> Condition:
    if test == "none":
        if value != "1":
            raise BadRequest(f"none.{column.name}: is 1 or absent")
        return Condition("none", column.name, True)
    if test in ("min", "max"):
        if column.kind not in ("integer", "number"):
            raise BadRequest(f"{test}.{column.name}: {column.name} holds no numbers")
        return Condition(test, column.name, _number(f"{test}.{column.name}", value))
    match column.kind:
        case "text":
            return Condition("is", column.name, value)
        case "flag":
            if value not in _FLAGS:
                raise BadRequest(f"is.{column.name}: is true or false")
            return Condition("is", column.name, _FLAGS[value])
        case _:
            return Condition("is", column.name, _number(f"is.{column.name}", value))


def _number(name: str, value: str) -> int | float:
    if _WHOLE.fullmatch(value) and abs(int(value)) < 2**63:
        return int(value)
    if not _NUMBER.fullmatch(value) or not math.isfinite(float(value)):
        raise BadRequest(f"{_short(name)}: {_short(value)} is no number that a column can hold")
    return float(value)


def _written(value: Value) -> str:
    if value is True:
        return "true"
    return "false" if value is False else str(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
