"""Signals that a model computed once: named, stored, and computed only where they are missing."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.names import feature_id
from winnow.pipeline.store.store import Store

Signals = Mapping[str, Any]  # feature name -> a number, or a vector

OF_MODEL = "model"  # stands for a row where a signal is of the model alone


@dataclass(frozen=True)
class Kind:
    """Features that one model computes together from one form of a row."""

    features: tuple[str, ...]
    model: str
    form: str

    def name(self, row: str, feature: str) -> str:
        return feature_id(row, feature, self.model, self.form)


def missing(store: Store, kind: Kind, rows: Sequence[str]) -> list[str]:
    """Those of `rows` that lack one of the kind's features, in their order."""
    names = {row: [kind.name(row, feature) for feature in kind.features] for row in rows}
    known = store.existing(name for each in names.values() for name in each)
    return [row for row in dict.fromkeys(rows) if not known.issuperset(names[row])]


def fill(
    store: Store,
    kind: Kind,
    rows: Sequence[str],
    compute: Callable[[Sequence[str]], Sequence[Signals]],
    *,
    chunk: int,
) -> Iterator[int]:
    """Compute and store the features of `rows`, `chunk` rows at a time; yields rows done so far.

    A chunk is on disk before the next one begins, so a run that is stopped loses at most one.
    """
    for at in range(0, len(rows), chunk):
        part = rows[at : at + chunk]
        put(store, [(kind, row, found) for row, found in zip(part, compute(part), strict=True)])
        yield at + len(part)


def put(store: Store, signals: Iterable[tuple[Kind, str, Signals]]) -> None:
    """Store all features of the kinds given, in one transaction."""
    store.put([each for kind, row, found in signals for each in table_rows(kind, row, found)])


def table_rows(kind: Kind, row: str, found: Signals) -> list[dict[str, Any]]:
    """All features of a kind as rows of the features table, for who writes them otherwise."""
    return [_row(kind, row, feature, found[feature]) for feature in kind.features]


def scalars(store: Store, kind: Kind, feature: str, rows: Sequence[str]) -> NDArray[np.float64]:
    """(n,) values of a scalar feature, in the order of `rows`; all must be stored."""
    found = _by_row(store, kind, feature, rows, "scalar")
    return np.array([found[row] for row in rows], dtype=np.float64)


def vectors(store: Store, kind: Kind, feature: str, rows: Sequence[str]) -> NDArray[np.float32]:
    """(n, d) values of a vector feature, in the order of `rows`; all must be stored."""
    names = [kind.name(row, feature) for row in rows]
    table = store.get(names, columns=["vector"])
    if not names:
        return np.zeros((0, 0), dtype=np.float32)
    flat = table["vector"].combine_chunks()
    values: NDArray[np.float32] = flat.flatten().to_numpy().reshape(len(flat), -1)
    place = {name: at for at, name in enumerate(table["feature_id"].to_pylist())}
    return values[[place[name] for name in names]]


def optional_scalars(
    store: Store, kind: Kind, feature: str, rows: Sequence[str | None]
) -> NDArray[np.float64]:
    """As `scalars`; NaN for None and for what is not stored."""
    found = _by_row(store, kind, feature, [row for row in rows if row is not None], "scalar")
    return np.array([found.get(row, np.nan) if row else np.nan for row in rows], dtype=np.float64)


def optional_lists(
    store: Store, kind: Kind, feature: str, rows: Sequence[str | None]
) -> pa.ListArray:
    """Vectors of any length, float32, in the order of `rows`; null for None and for what is not
    stored."""
    names = [row and kind.name(row, feature) for row in rows]
    table = store.get([name for name in names if name], columns=["vector"])
    place = {name: at for at, name in enumerate(table["feature_id"].to_pylist())}
    at = pa.array([place.get(name) if name else None for name in names], pa.int64())
    column = table["vector"].take(at)
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)


def _by_row(
    store: Store, kind: Kind, feature: str, rows: Sequence[str], column: str
) -> dict[str, Any]:
    names = {kind.name(row, feature): row for row in rows}
    table: pa.Table = store.get(names, columns=[column])
    return {
        names[name]: value
        for name, value in zip(
            table["feature_id"].to_pylist(), table[column].to_pylist(), strict=True
        )
    }


def _row(kind: Kind, row: str, feature: str, value: Any) -> dict[str, Any]:
    scalar = np.ndim(value) == 0
    return {
        "feature_id": kind.name(row, feature),
        "row_id": row,
        "feature": feature,
        "model": kind.model,
        "form": kind.form,
        "vector": None if scalar else value,
        "scalar": float(value) if scalar else None,
    }
