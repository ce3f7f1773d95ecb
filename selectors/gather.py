"""From tables and feature files to the pool that a selector sees."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Progress
from winnow.selectors.base import Column
from winnow.selectors.pool import Pool, Ragged, matrix_in_a_file
from winnow.selectors.rows import ROW_ID, Rows, hashed, numbered, read, row_ids

_IN_MEMORY = 0.25  # of what is free: a larger matrix lies in a temporary file


@dataclass(frozen=True, eq=False)
class Gathered:
    """`ids` of all rows, in the input's order; `place` (n,): index in the pool of each, -1 for the
    rows that lack a value, for which `missing` names the column."""

    pool: Pool
    ids: list[str]
    place: NDArray[np.int64]
    missing: list[str | None]


def gather(
    source: Rows,
    features: Sequence[Rows],
    columns: Sequence[Column],
    *,
    renamed: Mapping[str, str],
    seed: int,
    progress: Progress,
) -> Gathered:
    """The pool of `columns`, joined on `row_id`. `renamed`: where a column stands under another name.

    Raises UsageError for a column that is not there or has the wrong type, and where features match
    no row.
    """
    where = _holders(source, features, columns, renamed)
    ids, made = _names(source, columns, where, renamed)
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    index = _Index(source, ids, made, order)
    missing = np.full(len(ids), -1, dtype=np.int64)  # by canonical place: the first column it lacks
    values: dict[str, Any] = {}
    light = [c for c in columns if c.kind != "vector" and c.name in where]
    vectors = [c for c in columns if c.kind == "vector" and c.name in where]
    names = [c.name for c in (*light, *vectors)]
    for column in light:
        rows = where[column.name]
        array = _take(read(rows, renamed.get(column.name, column.name)), index.of(rows))
        values[column.name], present = _converted(array, column, rows.label)
        if not column.nulls:
            missing[(missing < 0) & ~present] = names.index(column.name)
    usable = missing < 0
    matrices = {}
    for column in vectors:
        rows = where[column.name]
        matrix, present = _matrix(
            rows, renamed.get(column.name, column.name), index.of(rows)[usable]
        )
        at = np.flatnonzero(usable)
        if not column.nulls:
            missing[at[~present]] = names.index(column.name)
        matrices[column.name] = (matrix, usable.copy())
    usable = missing < 0
    _check_some_usable(source, names, missing, usable)
    kept = {name: _filtered(value, usable) for name, value in values.items()}
    for name, (matrix, held) in matrices.items():
        kept[name] = _compact(matrix, usable[held])
    place = np.full(len(ids), -1, dtype=np.int64)
    place[order[usable]] = np.arange(int(usable.sum()))
    by_row = np.empty(len(ids), dtype=np.int64)
    by_row[order] = missing
    pool = Pool([ids[i] for i in order[usable]], kept, seed, progress)
    return Gathered(pool, ids, place, [names[m] if m >= 0 else None for m in by_row.tolist()])


class _Index:
    """For each table that columns come from, which of its rows stands at each canonical place."""

    def __init__(
        self, source: Rows, ids: list[str], made: list[str] | None, order: NDArray[np.int64]
    ) -> None:
        self._source = source
        self._ids = pa.array(ids, pa.string()).take(pa.array(order))
        self._made = (
            self._ids if made is None else pa.array(made, pa.string()).take(pa.array(order))
        )
        self._known: dict[int, NDArray[np.int64]] = {id(source): order}

    def of(self, rows: Rows) -> NDArray[np.int64]:
        """(n,) row numbers, -1 where `rows` has no such row."""
        if id(rows) not in self._known:
            names = row_ids(rows)
            if names is None:
                raise UsageError(f"{rows.label}: no column {ROW_ID!r} to join features on")
            given = ROW_ID in rows.columns
            if not given and len(set(names)) < len(names):
                name, times = Counter(names).most_common(1)[0]
                raise UsageError(
                    f"{rows.label}: {times} rows have the same texts, the first is row "
                    f"{names.index(name)}, so that they cannot be joined by them; add a column "
                    f"{ROW_ID} here and to {self._source.label}"
                )
            wanted = self._ids if given else self._made
            found = pc.index_in(wanted, value_set=pa.array(names, pa.string()))
            at = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
            if len(at) and (at < 0).all():
                raise UsageError(f"{rows.label}: none of its row_id stands in {self._source.label}")
            self._known[id(rows)] = at
        return self._known[id(rows)]


def _holders(
    source: Rows, features: Sequence[Rows], columns: Sequence[Column], renamed: Mapping[str, str]
) -> dict[str, Rows]:
    """Which table each column comes from; features go before the input's own columns."""
    found: dict[str, Rows] = {}
    unknown = sorted(set(renamed) - {c.name for c in columns})
    if unknown:
        known = ", ".join(c.name for c in columns) or "none"
        raise UsageError(f"--column {unknown[0]}: is no input of the selector; inputs: {known}")
    for column in columns:
        name = renamed.get(column.name, column.name)
        holders = [rows for rows in features if name in rows.columns]
        if len(holders) > 1:
            raise UsageError(f"{name}: stands in {holders[0].label} and in {holders[1].label}")
        if not holders and name in source.columns:
            holders = [source]
        if holders:
            found[column.name] = holders[0]
        elif not column.optional:
            there = ", ".join(source.columns[:30]) or "none (the table is empty)"
            raise UsageError(
                f"{source.label}: no column {name!r} ({column.meaning.rstrip('.')}); there are: "
                f"{there}. Name another with --column {column.name}=NAME, or add a file with --features"
            )
    return found


def _names(
    source: Rows, columns: Sequence[Column], where: Mapping[str, Rows], renamed: Mapping[str, str]
) -> tuple[list[str], list[str] | None]:
    """Unique names of the input's rows; and where they are made of texts, those before rows of equal
    texts were told apart.

    That is done by what the selector reads of them, so that their order in the file changes nothing.
    """
    own = [renamed.get(c.name, c.name) for c in columns if where.get(c.name) is source]
    ids = row_ids(source)
    if ids is None:
        return numbered(hashed(source, own or source.columns)), None
    repeated = {name for name, times in Counter(ids).items() if times > 1}
    made = None if ROW_ID in source.columns else ids
    if not repeated:
        return ids, made
    content = hashed(source, own) if own else [""] * len(ids)
    by_content = sorted(range(len(ids)), key=lambda at: (ids[at], content[at]))
    unique = numbered([ids[at] for at in by_content])
    result = list(ids)
    for at, name in zip(by_content, unique, strict=True):
        result[at] = name
    return result, made


def _take(column: pa.ChunkedArray, at: NDArray[np.int64]) -> pa.Array:
    """Values at `at`, null where it is -1."""
    if len(column) == 0:
        return pa.nulls(len(at), column.type)
    taken = column.take(pa.array(at, mask=at < 0))
    if isinstance(taken, pa.ChunkedArray):
        taken = taken.combine_chunks()
    return taken


def _converted(array: pa.Array, column: Column, label: str) -> tuple[Any, NDArray[np.bool_]]:
    """The values as `Column` describes them, and which rows have one."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    wrong = UsageError(f"{label}: {column.name}: holds {array.type}, not {_WANTED[column.kind]}")
    try:
        match column.kind:
            case "number":
                return _floats(array, wrong)
            case "integer":
                floats, present = _floats(array, wrong)
                whole = np.where(present, floats, 0.0)
                if (whole != np.round(whole)).any():
                    raise wrong
                if column.nulls:
                    return floats, present
                return whole.astype(np.int64), present
            case "flag":
                if not (pa.types.is_boolean(array.type) or pa.types.is_null(array.type)):
                    raise wrong
                present = array.is_valid().to_numpy(zero_copy_only=False)
                if column.nulls:
                    return array.to_pylist(), present
                return array.cast(pa.bool_()).fill_null(False).to_numpy(False), present
            case "numbers":
                return _ragged(array, wrong, keep_nan=column.nulls)
            case "text":
                if _is_nested(array.type):
                    raise wrong
                return array.cast(pa.string()).to_pylist(), array.is_valid().to_numpy(False)
            case "texts":
                if not (_is_list(array.type) or pa.types.is_null(array.type)):
                    raise wrong
                return array.to_pylist(), array.is_valid().to_numpy(False)
            case _:
                return array.to_pylist(), array.is_valid().to_numpy(False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise wrong from None


_WANTED = {
    "number": "numbers", "integer": "whole numbers", "flag": "true or false", "text": "text",
    "numbers": "lists of numbers", "texts": "lists of text", "vector": "vectors", "any": "values",
}  # fmt: skip


def _floats(array: pa.Array, wrong: UsageError) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if _is_nested(array.type) or pa.types.is_string(array.type):
        raise wrong
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    present = np.isfinite(values)
    return np.where(present, values, np.nan), present


def _ragged(
    array: pa.Array, wrong: UsageError, *, keep_nan: bool
) -> tuple[Ragged, NDArray[np.bool_]]:
    """Lists of numbers. Unless NaN may stand in them, a list with one that is not finite is missing."""
    if pa.types.is_null(array.type):
        empty = Ragged(np.zeros(0), np.zeros(len(array) + 1, np.int64))
        return empty, np.zeros(len(array), bool)
    if not _is_list(array.type):
        raise wrong
    present = array.is_valid().to_numpy(zero_copy_only=False)
    lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = array.flatten()
    if _is_nested(flat.type) or pa.types.is_string(flat.type):
        raise wrong
    if pa.types.is_boolean(flat.type):
        flat = flat.cast(pa.int8())
    values = flat.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    ragged = Ragged(values, np.concatenate([[0], np.cumsum(lengths)]))
    if not keep_nan:
        bad = Ragged((~np.isfinite(values)).astype(float), ragged.offsets).sums() > 0
        present = present & ~bad
    return ragged, present


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_nested(kind: Any) -> bool:
    return bool(pa.types.is_nested(kind))


def _matrix(
    rows: Rows, column: str, at: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The vectors of rows `at` as a matrix in that order, read in pieces; and which are finite."""
    target = np.full(rows.num_rows, -1, dtype=np.int64)
    target[at[at >= 0]] = np.flatnonzero(at >= 0)
    matrix: NDArray[np.float32] | None = None
    present = np.zeros(len(at), dtype=bool)
    start = 0
    for block in rows.blocks(column):
        valid, flat = _flat(block, f"{rows.label}: {column}", start)
        if flat is not None:
            width = flat.shape[1]
            if matrix is None:
                matrix = _room(len(at), width)
            elif matrix.shape[1] != width:
                raise UsageError(
                    f"{rows.label}, rows from {start}: {column}: vectors of {width} numbers, "
                    f"earlier ones have {matrix.shape[1]}"
                )
            to = target[start : start + len(block)][valid]
            wanted = to >= 0
            matrix[to[wanted]] = flat[wanted]
            present[to[wanted]] = np.isfinite(flat[wanted]).all(axis=1)
        start += len(block)
    return matrix if matrix is not None else np.zeros((len(at), 0), np.float32), present


def _flat(
    block: pa.Array, label: str, start: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32] | None]:
    """Which rows of a block have a vector, and those as a matrix; None where none has."""
    valid = block.is_valid().to_numpy(zero_copy_only=False)
    if not valid.any():
        return valid, None
    if not _is_list(block.type):
        raise UsageError(f"{label}: holds {block.type}, not vectors")
    lengths = block.value_lengths().to_numpy(zero_copy_only=False)[valid].astype(np.int64)
    if (lengths != lengths[0]).any():
        odd = start + int(np.flatnonzero(valid)[np.flatnonzero(lengths != lengths[0])[0]])
        raise UsageError(f"{label}: row {odd} has a vector of another length than row {start}")
    values = block.flatten()
    if _is_nested(values.type) or pa.types.is_string(values.type):
        raise UsageError(f"{label}: holds {block.type}, not vectors of numbers")
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return valid, numbers.reshape(len(lengths), -1)


def _room(n: int, width: int) -> NDArray[np.float32]:
    size = 4 * n * width
    if size <= _IN_MEMORY * psutil.virtual_memory().available:
        return np.zeros((n, width), np.float32)
    return matrix_in_a_file(n, width)


def _compact(matrix: NDArray[np.float32], keep: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The rows to keep, moved to the front in place: a matrix can be larger than memory."""
    if keep.all():
        return matrix
    rows = np.flatnonzero(keep)
    for start in range(0, len(rows), 8192):
        part = rows[start : start + 8192]
        matrix[start : start + len(part)] = matrix[part]
    return matrix[: len(rows)]


def _filtered(value: Any, keep: NDArray[np.bool_]) -> Any:
    if keep.all():
        return value
    if isinstance(value, Ragged):
        lengths = value.lengths
        values = value.values[np.repeat(keep, lengths)]
        return Ragged(values, np.concatenate([[0], np.cumsum(lengths[keep])]))
    if isinstance(value, np.ndarray):
        return value[keep]
    return [v for v, k in zip(value, keep, strict=True) if k]


def _check_some_usable(
    source: Rows, names: Sequence[str], missing: NDArray[np.int64], usable: NDArray[np.bool_]
) -> None:
    if len(missing) and not usable.any():
        counts = Counter(names[m] for m in missing.tolist())
        worst = ", ".join(f"{name} in {count}" for name, count in counts.most_common())
        raise UsageError(
            f"{source.label}: no row has all values that the selector needs; missing or not finite: "
            f"{worst} of {len(missing)} rows"
        )
