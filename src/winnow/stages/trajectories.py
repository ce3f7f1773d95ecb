"""Trajectories of a table's rows, for the selectors `s2l` and `limr`: recorded, or read from logs."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.row_text import RowColumns
from winnow.pipeline.features.trajectories import (
    Trajectories,
    accuracy_trajectories,
    loss_trajectories,
)
from winnow.pipeline.progress import Progress, Silent
from winnow.pipeline.row_files import Batch, RowFile
from winnow.pipeline.schema import column
from winnow.selectors.rows import ROW_ID, FileRows, numbered, row_ids

Kind = Literal["losses", "accuracies"]

METADATA = b"winnow.trajectories"  # of the file: JSON with `kind`, `steps` or `epochs`, and how

_KEYS = (ROW_ID, "prompt_id", "prompt")
_MEANING = {
    "losses": ("Mean loss of the response's tokens at each checkpoint, in order; nats.",
               "nothing known there"),
    "accuracies": ("Share of answers with reward 1 in each epoch, in order.",
                   "no answer judged there"),
}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """`rows` of the output, of which `without` have no value at all; `times`: steps or epochs;
    `known`: the output was there already, from just this."""

    rows: int
    without: int
    times: list[int]
    known: bool = False


def train_proxy(
    source: RowFile,
    output: Path,
    *,
    model: str,
    settings: Mapping[str, Any],
    progress: Progress | None = None,
) -> Written:
    """Train a small model on the rows of `source` and write `row_id` and `losses` of each row.

    `settings` are those of `ProxyTraining`. What is finished lies in `output`.work until the output
    is whole. Raises UsageError.
    """
    from winnow.pipeline.features.pair_tokens import PairTokenizer
    from winnow.pipeline.features.proxy.examples import tokenise
    from winnow.pipeline.features.proxy.training import ProxyTraining, fingerprint, record_losses
    from winnow.pipeline.features.proxy.work import WorkFolder
    from winnow.pipeline.models import resolve_model

    _check_output(output, source)
    chosen = ProxyTraining(**settings)
    try:
        columns = RowColumns.of(source.columns)
    except UsageError as error:
        raise UsageError(f"{source.path}: {error}") from None
    read = columns.needed(source.columns)
    ids = names(source)
    folder = resolve_model(model)
    words = PairTokenizer(folder)
    examples = [
        example
        for batch in source.batches(read)
        for example in tokenise(words, _rows(batch, read), columns)
    ]
    steps = chosen.checkpoint_steps()
    how = {"kind": "losses", "steps": steps, "training": fingerprint(folder, examples, chosen)}
    if _made_from(output) == how and _ids(output) == ids:
        return _summary(pq.read_table(output), "losses", steps, known=True)
    work = output.with_name(f"{output.name}.work")
    losses = record_losses(folder, examples, chosen, work, progress or Silent())
    table = _table(ROW_ID, ids, "losses", losses)
    _write(table, output, how)
    WorkFolder(work, {}).remove()
    return _summary(table, "losses", steps)


def import_trajectories(
    log: RowFile,
    output: Path,
    kind: Kind,
    *,
    steps_per_epoch: int = 8,
    rows: RowFile | None = None,
    columns: Mapping[str, str] | None = None,
) -> Written:
    """Turn a log in long form into one list per row.

    Each entry of the log names its row (`row_id`, `prompt_id` or `prompt`), and has a `loss` with
    its `step` (`checkpoint`, `epoch`), or the `reward` of one answer with its `epoch` or `step`.
    `columns`: where one of these stands under another name. With `rows` there is one list for each
    row of that file, null where the log does not know it; texts are compared without white space at
    their ends. Raises UsageError.
    """
    _check_output(output, log)
    renamed = dict(columns or {})
    key = _first(log, _KEYS, renamed, "names the row")
    value = "loss" if kind == "losses" else "reward"
    log.require(renamed.get(value, value), f"the {value} of each entry")
    times = ("step", "checkpoint", "epoch") if kind == "losses" else ("epoch", "step")
    time = _first(log, times, renamed, "says when")
    unknown = sorted(set(renamed) - {*_KEYS, value, *times})
    if unknown:
        raise UsageError(f"--column {unknown[0]}: is none of {', '.join((*_KEYS, value, *times))}")
    read = {name: renamed.get(name, name) for name in (key, value, time)}
    entries: dict[str, list[Any]] = {name: [] for name in read}
    for batch in log.batches(list(dict.fromkeys(read.values()))):
        for name, stands in read.items():
            entries[name] += batch.column(stands)
    keys = [_text(k) for k in entries[key]]
    if kind == "losses":
        found = loss_trajectories(keys, entries[time], entries[value])
    else:
        found = accuracy_trajectories(
            keys,
            entries[value],
            **{f"{time}s": entries[time]},
            steps_per_epoch=steps_per_epoch,
        )
    if rows is None:
        # A prompt's text stays what it is: the table is then a table of prompts of its own.
        table = _table("prompt" if key == "prompt" else ROW_ID, found.keys, kind, found.values)
    else:
        table = _table(ROW_ID, names(rows), kind, _matched(found, key, rows, log))
    _write(table, output, {"kind": kind, "steps" if kind == "losses" else "epochs": found.times})
    return _summary(table, kind, found.times)


def names(source: RowFile) -> list[str]:
    """A name for each row of a file, as `select` names them; equal rows are numbered.

    Raises UsageError where the file has neither names nor texts.
    """
    ids = row_ids(FileRows(source))
    if ids is None:
        raise UsageError(f"{source.path}: no column {ROW_ID!r}, and no text to name the rows by")
    return numbered(ids)


def _matched(found: Trajectories, key: str, rows: RowFile, log: RowFile) -> NDArray[np.float64]:
    """The trajectory of each row of `rows`, NaN where the log knows none."""
    if key == ROW_ID:
        wanted: list[str | None] = [*names(rows)]
    else:
        rows.require(key, "as the log names rows by it")
        wanted = [_text(v) for batch in rows.batches([key]) for v in batch.column(key)]
    place = {name: at for at, name in enumerate(found.keys)}
    at = np.array([place.get(w, -1) if w is not None else -1 for w in wanted], dtype=np.int64)
    if len(at) and (at < 0).all():
        raise UsageError(f"{log.path}: none of its {key} stands in {rows.path}")
    values = np.full((len(at), found.values.shape[1]), np.nan)
    values[at >= 0] = found.values[at[at >= 0]]
    return values


def _text(value: Any) -> str | None:
    """A name or prompt as text; messages as their JSON."""
    if value is None:
        return None
    return value.strip() if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _first(log: RowFile, wanted: tuple[str, ...], renamed: Mapping[str, str], what: str) -> str:
    for name in wanted:
        if renamed.get(name, name) in log.columns:
            return name
    there = ", ".join(log.columns[:30]) or "none (the file is empty)"
    raise UsageError(
        f"{log.path}: no column {what} ({', '.join(wanted)}); there are: {there}. "
        f"Name one with --column {wanted[0]}=NAME"
    )


def _rows(batch: Batch, columns: list[str]) -> list[dict[str, Any]]:
    values = [batch.column(name) for name in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _table(key: str, ids: list[str], kind: Kind, values: NDArray[np.float64]) -> pa.Table:
    n, length = values.shape
    flat = values.ravel()
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(n + 1) * length, pa.int32()), pa.array(flat, mask=np.isnan(flat))
    )
    meaning, null = _MEANING[kind]
    schema = pa.schema(
        [
            column(
                key, pa.string(), "Name of the row." if key == ROW_ID else "Text of the prompt."
            ),
            column(kind, lists.type, f"{meaning} Null within: {null}."),
        ]
    )
    return pa.table([pa.array(ids, pa.string()), lists], schema=schema)


def _check_output(output: Path, source: RowFile) -> None:
    if output.suffix.lower() != ".parquet":
        raise UsageError(f"{output}: the name must end in .parquet")
    if not output.parent.is_dir():
        raise UsageError(f"{output}: there is no folder {output.parent}")
    if output.exists() and output.samefile(source.path):
        raise UsageError(f"{output}: is the input itself; name another output")


def _write(table: pa.Table, output: Path, how: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    part = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(
            table.replace_schema_metadata({METADATA: json.dumps(how).encode()}),
            part,
            compression="zstd",
        )
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _made_from(output: Path) -> Any:
    """What an output was made from; None where there is none."""
    if not output.is_file():
        return None
    try:
        return json.loads((pq.read_schema(output).metadata or {}).get(METADATA, b"null"))
    except (OSError, ValueError):
        return None


def _ids(output: Path) -> list[str]:
    found: list[str] = pq.read_table(output, columns=[ROW_ID])[ROW_ID].to_pylist()
    return found


def _summary(table: pa.Table, kind: Kind, times: list[int], *, known: bool = False) -> Written:
    lists = table[kind].combine_chunks()
    flat = lists.flatten().is_valid().to_numpy(zero_copy_only=False)
    known_values = flat.reshape(len(lists), len(times)).any(axis=1)
    return Written(len(lists), int((~known_values).sum()), times, known)
