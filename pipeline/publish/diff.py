"""What changed from one version to another, and why.

A row that is missing from a version is looked up in that version's ledger: the decision that kept
it out is the reason, with the value and the threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.publish.manifest import TRAINING_SET, flatten
from winnow.pipeline.publish.set_schemas import LEDGER_KEYS
from winnow.pipeline.publish.version import LEDGER_FILE, Version

_SPLIT = '"winnow:split"'  # beside the set's own columns, so no name that one would take
_REASON = "stage, decision, rule, value, threshold, detail"
_Entry = Mapping[str, Any] | None


@dataclass(frozen=True)
class KeyChange:
    """One setting, by its place; None where it is absent."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Reason:
    """A decision of the ledger."""

    stage: str
    decision: str
    rule: str
    value: str | None
    threshold: str | None
    detail: str | None


class Unseen(StrEnum):
    """Why the ledger of the other version says nothing of a row: its task is not there."""

    NEW = "its task is new in B"
    GONE = "its task is gone in B"


Why = tuple[str, str] | Unseen | None


def told(why: Why) -> str:
    """A key of `Changes.why` in words."""
    if isinstance(why, tuple):
        return "/".join(why)
    return "no recorded reason" if why is None else str(why)


@dataclass(frozen=True)
class RowChange:
    """One row: its split before and after (None: not there), and which columns differ."""

    id: str
    before: str | None
    after: str | None
    columns: tuple[str, ...]
    reason: Reason | Unseen | None


@dataclass(frozen=True)
class Changes:
    """`count` rows, the first of them in order of their ids, and how many each rule explains.

    The key of `why` is (stage, rule); for rows that the ledger says nothing about, an `Unseen` where the
    other version does not have their task, else None.
    """

    count: int = 0
    rows: tuple[RowChange, ...] = ()
    why: Mapping[Why, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SetDiff:
    """One set. `columns` holds columns that came, went or changed their type."""

    name: str
    rows_before: int
    rows_after: int
    added: Changes
    removed: Changes
    changed: Changes
    columns: tuple[KeyChange, ...] = ()

    @property
    def same(self) -> bool:
        return not (self.added.count or self.removed.count or self.changed.count or self.columns)


@dataclass(frozen=True)
class Diff:
    """From version `before` to version `after`.

    `recipe` holds the settings that differ (a set's settings are those that it was built with),
    `made_with` differences in code, libraries, models, verifiers and inputs.
    """

    before: Version
    after: Version
    sets: tuple[SetDiff, ...]
    recipe: tuple[KeyChange, ...]
    made_with: tuple[KeyChange, ...]


def diff(before: Version, after: Version, *, limit: int | None = None) -> Diff:
    """Compare two versions. `limit` bounds the rows listed per set and kind, not the counts.

    Raises WinnowError where a file of a version is missing.
    """
    a, b = before.manifest(), after.manifest()
    return Diff(
        before,
        after,
        tuple(
            _diff_set(name, before, after, a["sets"].get(name), b["sets"].get(name), limit)
            for name in sorted({*a["sets"], *b["sets"]})
        ),
        changes(_recipe(a), _recipe(b)),
        changes(_made_with(a), _made_with(b)),
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[KeyChange, ...]:
    """Leaves of two nested mappings that differ, by their place."""
    a, b = flatten(before), flatten(after)
    return tuple(
        KeyChange(key, a.get(key), b.get(key))
        for key in sorted({*a, *b})
        if (key in a, a.get(key)) != (key in b, b.get(key))
    )


def _recipe(manifest: Mapping[str, Any]) -> dict[str, Any]:
    built = {name: entry["settings"] for name, entry in manifest["sets"].items()}
    return {**manifest["recipe"], "sets": built}


def _made_with(manifest: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("code_version", "libraries", "models", "inputs")
    return {
        **{key: manifest[key] for key in keys},
        "verifiers": ", ".join(manifest["verifiers"]),
    }


def _diff_set(
    name: str, before: Version, after: Version, a: _Entry, b: _Entry, limit: int | None
) -> SetDiff:
    rows = [sum(s["rows"] for s in entry["splits"].values()) if entry else 0 for entry in (a, b)]
    if a and b and a["splits"] == b["splits"]:  # the same bytes
        return SetDiff(name, rows[0], rows[1], Changes(), Changes(), Changes())
    with duckdb.connect(":memory:") as db:
        left = _view(db, "a", name, before, a)
        right = _view(db, "b", name, after, b)
        if not left:  # the whole set came
            _create_view(db, "a", {"train": pa.schema(right.values()).empty_table()})
        if not right:  # or went
            _create_view(db, "b", {"train": pa.schema(left.values()).empty_table()})
        left, right = left or right, right or left
        shared = [c for c in left if c in right and left[c].type == right[c].type]
        both = "a JOIN b USING (id)"
        moved = f"a.{_SPLIT} <> b.{_SPLIT}"
        differs = [f"a.{_quote(c)} IS DISTINCT FROM b.{_quote(c)}" for c in shared]
        named = [
            f"CASE WHEN {test} THEN {_text(c)} END" for c, test in zip(shared, differs, strict=True)
        ]
        hits = {
            "added": f"SELECT id, NULL, {_SPLIT}, [] FROM b ANTI JOIN a USING (id)",
            "removed": f"SELECT id, {_SPLIT}, NULL, [] FROM a ANTI JOIN b USING (id)",
            "changed": f"SELECT id, a.{_SPLIT}, b.{_SPLIT}, [{', '.join(named)}] FROM {both} "
            f"WHERE {' OR '.join([moved, *differs])}",
        }
        explained = {
            "added": _explain(db, hits["added"], name, "b", right, before, limit, Unseen.NEW),
            "removed": _explain(db, hits["removed"], name, "a", left, after, limit, Unseen.GONE),
            "changed": _explain(db, hits["changed"], name, "b", right, after, limit),
        }
        retyped = changes(_types(left), _types(right))
        return SetDiff(name, rows[0], rows[1], columns=retyped, **explained)


def _types(columns: Mapping[str, pa.Field]) -> dict[str, str]:
    return {name: str(column.type) for name, column in columns.items()}


def _explain(
    db: duckdb.DuckDBPyConnection,
    hits: str,
    name: str,
    side: str,
    columns: Mapping[str, pa.Field],
    version: Version,
    limit: int | None,
    unseen: Unseen | None = None,
) -> Changes:
    """The rows that the query `hits` gives, each with what the ledger of `version` says of it.

    For rows that are not there, that is a decision against them, of the set itself before those of
    earlier stages, or `unseen` where their tasks are not there either; for rows that are there (`unseen`
    is None) it is the set's own decision. `side` is the view that has the rows.
    """
    db.execute(
        "CREATE OR REPLACE TEMP TABLE hits (id VARCHAR, before VARCHAR, after VARCHAR, "
        "columns VARCHAR[])"
    )
    db.execute(f"INSERT INTO hits {hits}")
    db.register("ledger", _dataset(version.path / LEDGER_FILE))
    keys = " UNION ALL ".join(
        f"SELECT id, {place} AS place, {side}.{_quote(key)} AS key FROM hits JOIN {side} USING (id)"
        for place, key in enumerate(LEDGER_KEYS)
        if key in columns
    )
    own = f"stage = {_text(f'{TRAINING_SET}/{name}')}"
    other = f"NOT starts_with(stage, '{TRAINING_SET}/')"
    wanted = f"decision <> 'kept' AND ({own} OR {other})" if unseen else own
    db.execute(
        f"CREATE OR REPLACE TEMP TABLE why AS "
        f"SELECT id, {_REASON} FROM ({keys}) AS keys JOIN ledger ON row_id = key WHERE {wanted} "
        f"QUALIFY row_number() OVER "
        f"(PARTITION BY id ORDER BY {own} DESC, place, stage, decision, rule) = 1"
    )
    seen = "true"
    if unseen and "task_id" in columns:
        seen = f"id IN (SELECT id FROM {side} WHERE task_id IN (SELECT row_id FROM ledger))"
    joined = f"(SELECT *, stage IS NOT NULL OR {seen} AS seen FROM hits LEFT JOIN why USING (id))"
    counts = db.execute(
        f"SELECT seen, stage, rule, count(*) FROM {joined} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    rows = db.execute(
        f"SELECT id, before, after, columns, seen, {_REASON} FROM {joined} "
        f"ORDER BY id {'' if limit is None else f'LIMIT {int(limit)}'}"
    ).fetchall()

    def nothing(seen: bool) -> Unseen | None:
        return None if seen else unseen

    return Changes(
        sum(number for *_, number in counts),
        tuple(
            RowChange(
                row,
                was,
                now,
                tuple(column for column in differing if column),
                Reason(*reason) if reason[0] is not None else nothing(seen),
            )
            for row, was, now, differing, seen, *reason in rows
        ),
        {
            (stage, rule) if stage is not None else nothing(seen): number
            for seen, stage, rule, number in counts
        },
    )


def _view(
    db: duckdb.DuckDBPyConnection, side: str, name: str, version: Version, entry: _Entry
) -> dict[str, pa.Field]:
    """Make the view `side` of a set with all its splits; returns its columns, none without a set."""
    if entry is None:
        return {}
    found = {split: _dataset(version.table_path(name, split)) for split in entry["splits"]}
    _create_view(db, side, found)
    return {each.name: each for each in next(iter(found.values())).schema}


def _create_view(
    db: duckdb.DuckDBPyConnection, side: str, splits: Mapping[str, ds.Dataset | pa.Table]
) -> None:
    for split, rows in splits.items():
        db.register(f"{side}_{split}", rows)
    query = " UNION ALL ".join(
        f"SELECT *, {_text(split)} AS {_SPLIT} FROM {_quote(f'{side}_{split}')}" for split in splits
    )
    db.execute(f"CREATE TEMP VIEW {side} AS {query}")


def _dataset(path: Path) -> ds.Dataset:
    if not path.is_file():
        raise WinnowError(f"{path}: is missing")
    return ds.dataset(path, format="parquet")


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
