"""What a format is: a pure function from a set's rows to the rows that a trainer reads.

A format says which columns a set must have, which columns its own rows have, and makes its rows from
one row of the set. `view_of` joins it with a set's schema and options; `convert` runs it over batches.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.publish.formats.images import IMAGES, has_images, with_image_feature
from winnow.pipeline.schema import column

Row = dict[str, Any]
Layout = Literal["parquet", "jsonl", "json"]
Needs = Mapping[str, Literal["messages", "text", "texts", "flag", "flags"]]

# What is said of text that a model wrote, where the set has it; a demonstration and a critique are
# from another model than the one whose pass rate the row tells.
PROVENANCE = ("policy", "template", "sampler", "verifier", "verdict", "demonstration_from",
              "demonstration_policy", "demonstration_sampler", "judge")  # fmt: skip
ROW_ID = "winnow_id"


class Misfit(ValueError):
    """A row that a format cannot say; the message says what in it."""


@dataclass(frozen=True)
class Place:
    """Where a row stands: its set's split, and its number within it, from 0."""

    split: str
    index: int


@dataclass(frozen=True)
class Format:
    """One format.

    `reads` lists groups of columns, with the kind of each; a set that has all columns of one group
    fits, and the first such group counts. `columns` gives the view's own columns (without provenance
    and images), `rows` the rows that one row of the set becomes; it raises `Misfit`.

    `layout` is the consumer's own file format. `closed`: the consumer takes no other columns, so that
    provenance goes to a file beside, row for row. `places_provenance`: `rows` puts it where the
    consumer looks for such things, so no columns are added.

    `record` makes of a row the object that JSON files hold, if not `json_record`; `files` gives further JSON files of an
    export by name, from the view, a title and the data files by split.
    """

    name: str
    meaning: str
    consumer: str
    reads: tuple[Needs, ...]
    columns: Callable[["View"], list[pa.Field]]
    rows: Callable[[Row, "View", Place], list[Row]]
    layout: Layout
    styles: tuple[str, ...] = ()  # the first one is the default
    closed: bool = False
    places_provenance: bool = False
    images: bool = False
    record: Callable[[Row], Any] | None = None
    files: Callable[["View", str, Mapping[str, str]], dict[str, Any]] | None = None


@dataclass(frozen=True)
class View:
    """A format over a set of the schema `source`, with its options."""

    format: Format
    source: pa.Schema
    style: str | None = None
    provenance: bool = True

    def has(self, name: str) -> bool:
        """Whether the set has a column `name`."""
        return name in self.source.names

    @cached_property
    def group(self) -> Needs:
        """The columns that the rows are made from."""
        return next(group for group in self.format.reads if not _lacks(group, self.source))

    @cached_property
    def provenance_fields(self) -> list[pa.Field]:
        """Columns that say where a row comes from; none without `provenance`."""
        if not self.provenance:
            return []
        kept = [self.source.field(name) for name in PROVENANCE if self.has(name)]
        if self.has("id"):
            kept.insert(
                0, column(ROW_ID, pa.string(), "Row of the set that this row was made from.")
            )
        return kept

    def origin(self, row: Row) -> Row:
        """The values of `provenance_fields` for one row of the set."""
        return {
            field.name: row["id" if field.name == ROW_ID else field.name]
            for field in self.provenance_fields
        }

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of the view."""
        fields = self.format.columns(self)
        if has_images(self.source):
            fields = [*fields, self.source.field(IMAGES)]
        if not (self.format.closed or self.format.places_provenance):
            fields = [*fields, *self.provenance_fields]
        return with_image_feature(pa.schema(fields))

    @cached_property
    def beside(self) -> pa.Schema | None:
        """The columns of the file beside the data, where the consumer's own are closed."""
        fields = self.provenance_fields if self.format.closed else []
        return pa.schema(fields) if fields else None


def unfit(format: Format, source: pa.Schema, style: str | None = None) -> str | None:
    """Why `format` cannot read a set of these columns; None where it can."""
    if style is not None and style not in format.styles:
        styles = " or ".join(format.styles)
        return f"style {style}: {format.name} has " + (f"only {styles}" if styles else "no styles")
    lacks = [_lacks(group, source) for group in format.reads]
    if all(lacks):
        return "lacks " + ", or ".join(" and ".join(each) for each in lacks)
    if has_images(source) and not format.images:
        return f"has images, for which {format.name} has no place"
    return None


def rank(format: Format, source: pa.Schema) -> int | None:
    """Which group of columns a set has, from 0, the best first; None where it does not fit."""
    if unfit(format, source):
        return None
    return next(at for at, group in enumerate(format.reads) if not _lacks(group, source))


def view_of(
    format: Format, source: pa.Schema, *, style: str | None = None, provenance: bool = True
) -> View:
    """A format over a set; UsageError, which says what is missing, where it cannot be."""
    if reason := unfit(format, source, style):
        raise UsageError(f"{format.name}: {reason}")
    chosen = style or (format.styles[0] if format.styles else None)
    return View(format, source, chosen, provenance)


def convert(
    view: View, batches: Iterable[pa.RecordBatch], split: str
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch | None]]:
    """The view's rows, batch by batch and in the set's order, each with the rows beside.

    Raises UsageError, which names the row, where one cannot be said in this format.
    """
    schema, beside = view.schema, view.beside
    images, placed = has_images(view.source), view.format.places_provenance
    index = 0
    for batch in batches:
        made: list[Row] = []
        origins: list[Row] = []
        for row in batch.to_pylist():
            origin = view.origin(row)
            try:
                rows = view.format.rows(row, view, Place(split, index))
            except Misfit as error:
                name = row.get("id", f"number {index}")
                raise UsageError(f"{view.format.name}: {split}, row {name}: {error}") from None
            for each in rows:
                if images:
                    each[IMAGES] = row[IMAGES]
                origins.append(origin)
                made.append(each if placed or beside is not None else {**each, **origin})
            index += 1
        yield (
            pa.RecordBatch.from_pylist(made, schema=schema),
            None if beside is None else pa.RecordBatch.from_pylist(origins, schema=beside),
        )


def without_nulls(value: Any) -> Any:
    """`value` for JSON: keys whose value is null are left out, at every depth."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def json_record(row: Row) -> Row:
    """A row for JSON: every column is there, null or not, since readers ask for each by its name; inside
    of values, what is null is left out.
    """
    return {name: without_nulls(value) for name, value in row.items()}


def is_messages(type_: pa.DataType) -> bool:
    """Whether a column holds conversations: lists of at least {role, content}."""
    if not _is_list(type_) or not pa.types.is_struct(type_.value_type):
        return False
    names = {field.name for field in type_.value_type}
    return {"role", "content"} <= names


def is_texts(type_: pa.DataType) -> bool:
    """Whether a column holds lists of text."""
    return _is_list(type_) and _is_text(type_.value_type)


def is_flags(type_: pa.DataType) -> bool:
    """Whether a column holds lists of true and false."""
    return _is_list(type_) and pa.types.is_boolean(type_.value_type)


def _lacks(group: Needs, source: pa.Schema) -> list[str]:
    """The columns of `group` that a set does not have, each with its kind."""
    return [
        f"{name} ({kind})"
        for name, kind in group.items()
        if name not in source.names or not _is(kind, source.field(name).type)
    ]


def _is(kind: str, type_: pa.DataType) -> bool:
    match kind:
        case "messages":
            return is_messages(type_)
        case "text":
            return _is_text(type_)
        case "texts":
            return is_texts(type_)
        case "flag":
            return pa.types.is_boolean(type_)
        case _:
            return is_flags(type_)


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_large_string(type_)


def _is_list(type_: pa.DataType) -> bool:
    return pa.types.is_list(type_) or pa.types.is_large_list(type_)
