"""Rows of the sets: pages of them, one of them, its neighbours, and what columns hold."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.publish.browse.asked import Choice, NotFound
from winnow.pipeline.publish.browse.catalogue import Catalogue
from winnow.pipeline.publish.browse.database import Database, quoted
from winnow.pipeline.publish.browse.parts import Column, Part, ViewPart
from winnow.pipeline.publish.browse.pictures import PICTURE, PICTURES, THUMBNAIL
from winnow.pipeline.publish.set_schemas import LEDGER_KEYS

PAGE = 50  # rows of a list
FEW = 40  # values that a form offers to choose from
_BEGINNING = 400  # characters of a long text that a list needs
_LISTED = 200  # rows of one prompt that its page lists


@dataclass(frozen=True)
class Facet:
    """What a column holds in one part: how many values there are; the values with their numbers of
    rows where they are few, the commonest first; the least and the greatest of a number; rows
    without a value."""

    column: Column
    distinct: int
    values: tuple[tuple[Any, int], ...]
    least: int | float | None
    greatest: int | float | None
    empty: int

    @property
    def alike(self) -> bool:
        """Whether every row has the same."""
        return self.distinct == 1 and not self.empty

    @property
    def asked(self) -> bool:
        """Whether a form offers it: rows differ, and it is no name of a single row or answer."""
        return (self.distinct > 1 or self.empty > 0) and self.column.name not in LEDGER_KEYS

    @property
    def tells(self) -> bool:
        """Whether a list shows it: rows differ, and it is no mere name."""
        return self.distinct > 0 and not self.alike and not self.column.name.endswith("_id")


@dataclass(frozen=True)
class Page:
    """Some rows of a list. `total` rows are chosen; `number` counts pages from 1."""

    rows: list[dict[str, Any]]
    total: int
    number: int

    @property
    def last(self) -> int:
        return last_page(self.total)


@dataclass(frozen=True)
class Place:
    """Where a row stands in a list: from 1, of `total`, with the keys of those before and after it."""

    at: int
    total: int
    before: str | int | None
    after: str | int | None


class Rows:
    """Questions about the sets' rows. Answers that many pages need are kept."""

    def __init__(self, db: Database, catalogue: Catalogue) -> None:
        self._db, self._catalogue = db, catalogue
        _number_documents(db, catalogue)
        self.facets = functools.lru_cache(maxsize=64)(self._facets)
        self.count = functools.lru_cache(maxsize=256)(self._count)

    def page(self, part: Part, choice: Choice, number: int) -> Page:
        """One page of the rows chosen; raises NotFound behind the last one."""
        total = self.count(part, choice)
        require_page(number, total)
        # Long texts are read for the rows of the page only.
        found = self._db.rows(
            f"SELECT {quoted(part.key)} FROM {part.view} WHERE {choice.where} "
            f"ORDER BY {choice.order} LIMIT {PAGE} OFFSET {PAGE * (number - 1)}",
            choice.values,
        )
        return Page(self.beginnings(part, [row[part.key] for row in found]), total, number)

    def beginnings(
        self, part: Part, keys: Sequence[Any], *, pictures: bool = True
    ) -> list[dict[str, Any]]:
        """Rows by id or number, in the order of `keys`: plain columns whole, of others how they begin;
        without `pictures` none of these."""
        asked = [
            f"{_beginning(part, column) if pictures or column.kind != 'pictures' else 'NULL'} "
            f"AS {quoted(column.name)}"
            for column in part.columns
        ]
        if part.key not in part.by_name:
            asked.append(quoted(part.key))
        found = self._db.among(part.view, part.key, keys, ", ".join(asked))
        by_key = {row[part.key]: row for row in found}
        return [by_key[key] for key in keys if key in by_key]

    def row(self, name: str, row_id: str) -> tuple[Part, dict[str, Any]]:
        """A row of the set `name`, whole, and its part; raises NotFound where there is none."""
        for part in self._catalogue.parts_of(name):
            row = self._whole(part, row_id)
            if row is not None:
                return part, row
        raise NotFound(f"the set {name} has no row {row_id}")

    def view_row(self, part: ViewPart, number: int) -> dict[str, Any]:
        """The row `number` of a view, from 0, whole; raises NotFound where there is none."""
        row = self._whole(part, number) if number < part.rows else None
        if row is None:
            raise NotFound(f"the view {part.name} has no row {number:,}")
        return row

    def place(self, part: Part, choice: Choice, key: str | int) -> Place | None:
        """Where a row stands among those chosen; None where it is not among them."""
        name = quoted(part.key)
        found = self._db.row(
            f"SELECT nth, earlier, later FROM (SELECT {name}, row_number() OVER w AS nth, "
            f"lag({name}) OVER w AS earlier, lead({name}) OVER w AS later FROM {part.view} "
            f"WHERE {choice.where} WINDOW w AS (ORDER BY {choice.order})) WHERE {name} = ?",
            [*choice.values, key],
        )
        if found is None:
            return None
        return Place(found["nth"], self.count(part, choice), found["earlier"], found["later"])

    def of_prompt(self, prompt_id: str) -> list[tuple[Part, dict[str, Any]]]:
        """Rows of a prompt, as lists show them."""
        return self._listed("prompt_id = ?", prompt_id)

    def of_id(self, row_id: str) -> list[tuple[Part, dict[str, Any]]]:
        """Rows with this id; one per set at most."""
        return self._listed("id = ?", row_id)

    def beginning_with(self, start: str) -> list[str]:
        """At most two ids that begin so."""
        found = self._db.rows(
            "SELECT DISTINCT id FROM documents WHERE starts_with(id, ?) LIMIT 2", [start]
        )
        return [row["id"] for row in found]

    def naming(self, name: str, value: str) -> list[tuple[Part, dict[str, Any]]]:
        """Rows with this text in the column `name`, as lists show them."""
        found = []
        for part in self._catalogue.parts:
            column = part.by_name.get(name)
            if column is not None and column.kind == "text":
                rows = self._db.rows(
                    f"SELECT id FROM {part.view} WHERE {quoted(name)} = ? ORDER BY id "
                    f"LIMIT {_LISTED}",
                    [value],
                )
                ids = [row["id"] for row in rows]
                found += [(part, row) for row in self.beginnings(part, ids, pictures=False)]
        return found

    def _whole(self, part: Part, key: str | int) -> dict[str, Any] | None:
        pictures = [
            f"{_pictures(column, PICTURE)} AS {quoted(column.name)}"
            for column in part.of_kind("pictures")
        ]
        what = f"* REPLACE ({', '.join(pictures)})" if pictures else "*"
        return self._db.row(f"SELECT {what} FROM {part.view} WHERE {quoted(part.key)} = ?", [key])

    def _listed(self, where: str, value: str) -> list[tuple[Part, dict[str, Any]]]:
        rows = self._db.rows(
            f"SELECT part, id FROM documents WHERE {where} ORDER BY document LIMIT {_LISTED}",
            [value],
        )
        found = []
        for part in self._catalogue.parts:
            ids = [row["id"] for row in rows if row["part"] == part.number]
            found += [(part, row) for row in self.beginnings(part, ids, pictures=False)]
        return found

    def _count(self, part: Part, choice: Choice) -> int:
        return self._db.number(
            f"SELECT count(*) FROM {part.view} WHERE {choice.where}", choice.values
        )

    def _facets(self, part: Part) -> tuple[Facet, ...]:
        return tuple(self._facet(part, c) for c in part.columns if c.plain and c.name != "id")

    def _facet(self, part: Part, column: Column) -> Facet:
        name = quoted(column.name)
        numbers = column.kind in ("integer", "number")
        told = self._db.rows(
            f"SELECT approx_count_distinct({name}) AS many, count(*) - count({name}) AS empty, "
            f"{f'min({name})' if numbers else 'NULL'} AS least, "
            f"{f'max({name})' if numbers else 'NULL'} AS greatest FROM {part.view}"
        )[0]
        values: tuple[tuple[Any, int], ...] = ()
        if column.kind != "number" and told["many"] <= 2 * FEW:  # the count is rough
            found = self._db.rows(
                f"SELECT {name} AS value, count(*) AS rows FROM {part.view} "
                f"WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {FEW + 1}"
            )
            if len(found) <= FEW:
                values = tuple((row["value"], row["rows"]) for row in found)
        distinct = len(values) or told["many"]
        return Facet(column, distinct, values, told["least"], told["greatest"], told["empty"])


def last_page(total: int) -> int:
    """The number of the last page of so many rows; a list without rows has one page."""
    return max(1, -(-total // PAGE))


def require_page(number: int, total: int) -> None:
    """Raises NotFound behind the last page."""
    if number > last_page(total):
        raise NotFound(f"the list ends with page {last_page(total):,}")


def prose(column: Column) -> str:
    """SQL for the words of a column, as one text."""
    name, line = quoted(column.name), "chr(10)"
    if column.kind == "conversation":
        return f"array_to_string(list_transform({name}, lambda m: m.content), {line})"
    if column.kind == "texts":
        return f"array_to_string({name}, {line})"
    return name


def prompt_messages(part: Part, row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """What the model saw, from a row of a set: its `prompt`, or its `messages` without the answer."""
    for name in ("prompt", "messages"):
        column = part.by_name.get(name)
        if column is not None and column.kind == "conversation" and row.get(name):
            messages: list[dict[str, Any]] = row[name]
            answered = name == "messages" and messages[-1]["role"] == "assistant"
            return messages[:-1] if answered else messages
    return None


def _pictures(column: Column, most: int, of: str = "") -> str:
    """SQL for pictures with their `size`, and with their bytes where these are no more than `most`, of
    the first ones; `of` says which of them, as a slice."""
    shown = f"CASE WHEN octet_length(p.bytes) <= {most} AND nth <= {PICTURES} THEN p.bytes END"
    told = f"{{'bytes': {shown}, 'size': octet_length(p.bytes), 'path': p.path}}"
    return f"list_transform({quoted(column.name)}{of}, lambda p, nth: {told})"


def _beginning(part: Part, column: Column) -> str:
    """SQL for what a list shows of a column."""
    name = quoted(column.name)
    if column.kind == "conversation":  # the first question and the last message
        asked = f"coalesce(list_filter({name}, lambda m: m.role = 'user')[1], {name}[1])"
        cut = f"{{'role': m.role, 'content': left(m.content, {_BEGINNING})}}"
        return f"list_transform([{asked}, {name}[-1]], lambda m: {cut})"
    if column.kind == "texts":
        return f"[left({name}[1], {_BEGINNING})]"
    if column.kind == "pictures":
        return f"{{'many': len({name}), 'first': {_pictures(column, THUMBNAIL, '[1:1]')}}}"
    if column.kind == "other":
        return f"left({name}::VARCHAR, {_BEGINNING})" if column in part.excerpts else "NULL"
    return f"left({name}, {_BEGINNING})" if column.prose else name


def _number_documents(db: Database, catalogue: Catalogue) -> None:
    """The table `documents`: the rows of all parts, numbered from 0 in the parts' order."""
    db.run(
        "CREATE TABLE documents (document UINTEGER, part USMALLINT, id VARCHAR, prompt_id VARCHAR)"
    )
    first = 0
    for part in catalogue.parts:
        prompt = part.by_name.get("prompt_id")
        prompt_id = "prompt_id" if prompt is not None and prompt.kind == "text" else "NULL"
        db.run(
            f"INSERT INTO documents SELECT {first} + row_number() OVER (ORDER BY id) - 1, "
            f"{part.number}, id, {prompt_id} FROM {part.view}"
        )
        first += part.rows
