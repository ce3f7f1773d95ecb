"""A first look at somebody's rows: a sample of them, and what each column holds."""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from winnow.pipeline.clean.normalise import is_blank
from winnow.pipeline.errors import UsageError
from winnow.pipeline.recipe import DatasetSource
from winnow.pipeline.sources.hf_dataset import HFDataset, local_files
from winnow.pipeline.sources.rows import is_list

SAMPLE = 200  # rows that guesses rest on
READ = 20_000  # rows that the sample is drawn from
_MOST = 0.95  # share of a column's values that make it a column of their kind

Kind = Literal[
    "text", "number", "messages", "turns", "texts", "objects", "object", "other", "empty"
]


@dataclass(frozen=True)
class Column:
    """A column's values in the sample, missing ones left out (blank texts count as missing).

    `is_json`: they are texts that write lists or objects, and `values` what they write.
    """

    name: str
    values: Sequence[Any]
    rows: int
    is_json: bool = False

    @cached_property
    def kind(self) -> Kind:
        """What nearly all of its values are. `texts` and `objects` are lists; `messages` a list of
        {role, content}; `turns` a list of such lists."""
        if not self.values:
            return "empty"
        kinds = [_kind(value) for value in self.values]
        commonest = max(sorted(set(kinds)), key=kinds.count)
        return commonest if kinds.count(commonest) >= _MOST * len(kinds) else "other"

    @property
    def filled(self) -> float:
        """Share of the rows that have a value."""
        return len(self.values) / self.rows if self.rows else 0.0

    @cached_property
    def texts(self) -> list[str]:
        """The values as texts: those that are, and numbers as they are written."""
        return [
            str(value)
            for value in self.values
            if isinstance(value, str | int | float) and not isinstance(value, bool)
        ]

    @property
    def distinct(self) -> float:
        """Share of different ones among its texts."""
        return len(set(self.texts)) / len(self.texts) if self.texts else 0.0


@dataclass(frozen=True)
class Look:
    """`rows` are the sample in the file's order; `n_rows` counts those that were read, `all_read`
    whether that is all of them; `unreadable` of them could not be."""

    config: DatasetSource
    rows: Sequence[Mapping[str, Any]]
    n_rows: int
    all_read: bool
    unreadable: int

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Every column of the sample, in the order in which they come."""
        names = dict.fromkeys(str(name) for row in self.rows for name in row)
        return {name: _column(name, [row.get(name) for row in self.rows]) for name in names}

    @property
    def basis(self) -> str:
        """What guesses rest on, for people."""
        if len(self.rows) >= self.n_rows - self.unreadable:
            return f"all {len(self.rows):,} rows"
        first = "" if self.all_read else "first "
        return f"{len(self.rows):,} rows, drawn from the {first}{min(self.n_rows, READ):,}"


def look(config: DatasetSource) -> Look:
    """Read the beginning of a source. Raises UsageError where it cannot be opened or has no rows."""
    source = HFDataset(config, whole=True)
    chance = random.Random(0)
    kept: list[tuple[int, Mapping[str, Any]]] = []
    read = unreadable = 0
    for row in source.rows(READ):
        read += 1
        if row.error is not None:
            unreadable += 1
        elif len(kept) < SAMPLE:
            kept.append((row.index, row.values))
        elif (place := chance.randrange(read - unreadable)) < SAMPLE:
            kept[place] = (row.index, row.values)
    if not kept:
        lost = (
            f": none of the first {read:,} rows can be read" if unreadable else ": it has no rows"
        )
        raise UsageError(f"{config.path}{lost}")
    rows = [values for _, values in sorted(kept, key=lambda each: each[0])]
    counted = _counted(config) if read == READ else read
    return Look(config, rows, counted or read, counted is not None, unreadable)


def _counted(config: DatasetSource) -> int | None:
    """How many rows there are, where Parquet files here say so."""
    import pyarrow.parquet as pq

    files = local_files(config) or []
    if not files or any(path.suffix.lower() != ".parquet" for path in files):
        return None
    return sum(int(pq.read_metadata(path).num_rows) for path in files)


def _column(name: str, values: Sequence[Any]) -> Column:
    there = [value for value in values if not _is_missing(value)]
    texts = [value for value in there if isinstance(value, str)]
    if texts and len(texts) == len(there):
        written = [_written(text) for text in texts]
        if sum(value is not None for value in written) >= _MOST * len(written):
            known = [value for value in written if not _is_missing(value)]
            return Column(name, known, len(values), is_json=True)
    return Column(name, there, len(values))


def _written(text: str) -> Any:
    """The list or object that a text writes as JSON, None where it writes none."""
    if text.lstrip()[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return is_blank(value)
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (is_list(value) and not value)


def _kind(value: Any) -> Kind:
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    if not is_list(value):
        return "other"
    if all(isinstance(item, str) for item in value):
        return "texts"
    if all(map(_is_message, value)):
        return "messages"
    if all(isinstance(item, Mapping) for item in value):
        return "objects"
    if all(is_list(item) and all(map(_is_message, item)) for item in value):
        return "turns"
    return "other"


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("role"), str) and "content" in value
