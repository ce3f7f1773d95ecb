"""Views of a version: its sets in other formats, published beside them.

<version>/<view>/train.parquet             the rows, in the set's order
<version>/<view>/train.provenance.parquet  where they come from, row for row, where the consumer's
                                           own columns are closed
"""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from winnow.pipeline.parquet_batches import batches
from winnow.pipeline.publish.formats.base import View, convert, view_of
from winnow.pipeline.publish.formats.registry import get_format
from winnow.pipeline.publish.parquet import GroupWriter, WrittenFile, group_rows, link_file, sync
from winnow.pipeline.publish.version import Version

BESIDE = "provenance"


@dataclass(frozen=True)
class ViewRequest:
    """A view that a version shall have: a format over one of its sets.

    `style` None: the format's first. `provenance`: say of each row where it comes from.
    """

    set: str
    type: str
    style: str | None = None
    provenance: bool = True


@dataclass(frozen=True)
class Made:
    """A view that was written: its entry in the manifest, the SHA-256 of its files by relative path,
    and its columns."""

    entry: Mapping[str, Any]
    sums: Mapping[str, str]
    schema: pa.Schema


def write_view(
    name: str,
    request: ViewRequest,
    splits: Mapping[str, Any],
    folder: Path,
    *,
    linked: Version | None,
    code_version: str,
) -> Made:
    """Write the view `name` into the unfinished version `folder`, whose sets stand there already.

    `splits` are those of the set. `linked` is the version that the set was taken from unchanged: a
    view that was made there from the same request by the same code is taken too.

    Raises UsageError where a row cannot be said in the format.
    """
    (folder / name).mkdir()
    first = next(iter(splits))
    schema = pq.read_schema(folder / request.set / f"{first}.parquet")
    view = view_of(
        get_format(request.type), schema, style=request.style, provenance=request.provenance
    )
    wanted = {**asdict(request), "style": view.style}
    found = _standing(linked, wanted, code_version)
    if found is None:
        facts = {split: _write(view, name, request.set, split, folder) for split in splits}
    else:
        assert linked is not None
        old_name, facts = found
        _link(linked, old_name, name, facts, folder)
    sync(folder / name)
    sums = {}
    for split, told in facts.items():
        sums[f"{name}/{split}.parquet"] = told["sha256"]
        if BESIDE in told:
            sums[f"{name}/{split}.{BESIDE}.parquet"] = told[BESIDE]["sha256"]
    columns = pq.read_schema(folder / name / f"{first}.parquet")
    return Made({**wanted, "splits": facts}, sums, columns)


def write_rows(
    view: View, source: Path, split: str, target: Path, beside: Path
) -> tuple[WrittenFile, WrittenFile | None]:
    """Write the view's rows of the set's file `source` to `target`, and, where the view has some, the rows
    beside to `beside`; no more than some rows are held at once."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(source))
        rows = stack.enter_context(GroupWriter(target, view.schema))
        origins = None
        if view.beside is not None:
            origins = stack.enter_context(GroupWriter(beside, view.beside))
        for part, origin in convert(view, batches(file, group_rows(view.source)), split):
            rows.add(pa.Table.from_batches([part]))
            if origins is not None and origin is not None:
                origins.add(pa.Table.from_batches([origin]))
    return rows.written, origins.written if origins is not None else None


def _write(view: View, name: str, set_name: str, split: str, folder: Path) -> dict[str, Any]:
    done, extra = write_rows(
        view,
        folder / set_name / f"{split}.parquet",
        split,
        folder / name / f"{split}.parquet",
        folder / name / f"{split}.{BESIDE}.parquet",
    )
    facts: dict[str, Any] = {"rows": done.rows, "bytes": done.size, "sha256": done.sha256}
    if extra is not None:
        facts[BESIDE] = {"bytes": extra.size, "sha256": extra.sha256}
    return facts


def _standing(
    linked: Version | None, wanted: Mapping[str, Any], code_version: str
) -> tuple[str, dict[str, Any]] | None:
    """(name, splits) of the view of `linked` that was made from `wanted`, where there is one."""
    if linked is None:
        return None
    manifest = linked.manifest()
    if manifest["code_version"] != code_version:
        return None
    for name, entry in sorted(manifest.get("views", {}).items()):
        if {key: value for key, value in entry.items() if key != "splits"} == wanted:
            return name, entry["splits"]
    return None


def _link(
    version: Version, old_name: str, name: str, facts: Mapping[str, Any], folder: Path
) -> None:
    for split, told in facts.items():
        files = {f"{split}.parquet": told["sha256"]}
        if BESIDE in told:
            files[f"{split}.{BESIDE}.parquet"] = told[BESIDE]["sha256"]
        for file, expected in files.items():
            link_file(version.path / old_name / file, folder / name / file, expected)
