"""A set of a version in a consumer's own files.

<output>/train.jsonl (.json, .parquet), holdout...   the rows, a file per split
         train.provenance.jsonl ...                  where they come from, row for row, where the
                                                     consumer's own columns are closed
         images/...                                  a set's images, where the data is JSON
         dataset_info.json                           for LLaMA-Factory
         README.md                                   with the header that `datasets` reads
         export.json                                 of which version this is, in which format
"""

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from winnow.pipeline.errors import UsageError, WinnowError
from winnow.pipeline.parquet_batches import batches
from winnow.pipeline.publish.formats.base import View, convert, json_record, view_of
from winnow.pipeline.publish.formats.images import IMAGES, save_images
from winnow.pipeline.publish.formats.registry import FORMATS, fitting, get_format, the_set
from winnow.pipeline.publish.markdown import inline
from winnow.pipeline.publish.parquet import group_rows
from winnow.pipeline.publish.version import Version
from winnow.pipeline.publish.views import BESIDE, write_rows

RECORD = "export.json"
_ENDINGS = {"parquet": ".parquet", "jsonl": ".jsonl", "json": ".json"}


@dataclass(frozen=True)
class Export:
    """What was written: the folder, of which set, in which style, and rows by split."""

    path: Path
    set: str
    style: str | None
    rows: dict[str, int]


def export(
    version: Version,
    format: str,
    output: Path,
    *,
    set_name: str | None = None,
    style: str | None = None,
    provenance: bool = True,
    overwrite: bool = False,
) -> Export:
    """Write one set of `version` in `format` to the folder `output`, whole or not at all.

    `set_name` None: the set that fits best. `overwrite`: replace an export that stands there; a folder
    that holds anything else is never touched.

    Raises UsageError for an unknown format or set, one that does not fit (it says which would), a row
    that the format cannot say, and an output that is in the way; WinnowError where a file of the version
    is missing.
    """
    view, name = choose(version, format, set_name, style, provenance)
    _check_output(output, overwrite)
    rows: dict[str, int] = {}
    files: dict[str, str] = {}
    with _temporary(output) as folder:
        for split in version.rows[name]:
            if version.rows[name][split] == 0 and split != "train":
                continue  # `datasets` refuses an empty split
            files[split] = f"{split}{_ENDINGS[view.format.layout]}"
            rows[split] = _write(
                view, version.table_path(name, split), split, folder / files[split]
            )
        more = (
            view.format.files(view, f"{version.dataset}_{name}", files) if view.format.files else {}
        )
        for file, content in more.items():
            (folder / file).write_text(_json(content, indent=2) + "\n", "utf-8")
        told = {"version": version.ref, "set": name, "format": format, "style": view.style,
                "provenance": provenance, "rows": rows}  # fmt: skip
        (folder / "README.md").write_text(_readme(view, told, files), "utf-8")
        names = sorted({RECORD, *(path.name for path in folder.iterdir())})
        (folder / RECORD).write_text(_json({**told, "files": names}, indent=2) + "\n", "utf-8")
        _move(folder, output)
    return Export(output, name, view.style, rows)


def choose(
    version: Version, format: str, set_name: str | None, style: str | None, provenance: bool
) -> tuple[View, str]:
    """The view, and the set that it is of; UsageError where nothing fits, saying what would."""
    wanted = get_format(format)
    schemas = {name: _schema(version, name) for name in version.rows}
    if set_name is not None and set_name not in schemas:
        raise UsageError(f"{version.ref}: has no set {set_name!r}; its sets: {', '.join(schemas)}")
    name = set_name or the_set(wanted, schemas, "--set")
    try:
        return view_of(wanted, schemas[name], style=style, provenance=provenance), name
    except UsageError as error:
        fits = [other for other in fitting(wanted, schemas) if other != name]
        here = [each.name for each in FORMATS.values() if fitting(each, {name: schemas[name]})]
        hint = f"--set {' or '.join(fits)} would fit" if fits else "no set of this version fits"
        if style is not None and not wanted.styles:
            hint = "leave --style out"
        raise UsageError(
            f"set {name}: {error}; {hint}; formats for {name}: {', '.join(here) or 'none'}"
        ) from None


def _schema(version: Version, name: str) -> pa.Schema:
    split = next(iter(version.rows[name]))
    path = version.table_path(name, split)
    if not path.is_file():
        raise WinnowError(f"{path}: is missing")
    return pq.read_schema(path)


def _check_output(output: Path, overwrite: bool) -> None:
    if not output.exists() and not output.is_symlink():
        if not output.absolute().parent.is_dir():
            raise UsageError(f"{output}: there is no folder {output.absolute().parent}")
        return
    if output.is_dir() and not any(output.iterdir()):
        return
    wrote = _written(output)
    if wrote is None:
        raise UsageError(f"{output}: exists, and is no export; name another folder")
    if not overwrite:
        raise UsageError(f"{output}: holds an export already; --overwrite replaces it")
    if others := sorted({path.name for path in output.iterdir()} - wrote):
        raise UsageError(f"{output}: holds {others[0]}, which no export wrote; it is not replaced")


def _written(output: Path) -> set[str] | None:
    """Names that an export wrote into the folder; None where none did."""
    try:
        names = json.loads((output / RECORD).read_text("utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return set(names) if isinstance(names, list) else None


def _write(view: View, source: Path, split: str, target: Path) -> int:
    if not source.is_file():
        raise WinnowError(f"{source}: is missing")
    beside = target.with_name(f"{split}.{BESIDE}{target.suffix}")
    if view.format.layout == "parquet":
        return write_rows(view, source, split, target, beside)[0].rows
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(_JsonFile(target))
        extra = stack.enter_context(_JsonFile(beside)) if view.beside is not None else None
        file = stack.enter_context(pq.ParquetFile(source))
        for rows, origins in convert(view, batches(file, group_rows(view.source)), split):
            for row in rows.to_pylist():
                data.write(_record(view, row, target.parent))
            if extra is not None and origins is not None:
                for row in origins.to_pylist():
                    extra.write(row)
        return data.rows


def _record(view: View, row: dict[str, Any], folder: Path) -> Any:
    if IMAGES in row:
        row[IMAGES] = save_images(row[IMAGES], folder)
    return (view.format.record or json_record)(row)


class _JsonFile:
    """JSON Lines, or one JSON list where the name ends in .json."""

    def __init__(self, path: Path) -> None:
        self._path, self._list, self.rows = path, path.suffix == ".json", 0
        self._file: TextIO

    def __enter__(self) -> Self:
        self._file = self._path.open("w", encoding="utf-8", newline="\n")
        if self._list:
            self._file.write("[")
        return self

    def write(self, value: Any) -> None:
        if self._list:
            self._file.write(",\n" if self.rows else "\n")
        self._file.write(_json(value) + ("" if self._list else "\n"))
        self.rows += 1

    def __exit__(self, *error: object) -> None:
        if self._list:
            self._file.write("\n]\n")
        self._file.close()


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def _readme(view: View, told: dict[str, Any], files: dict[str, str]) -> str:
    data_files = [{"split": split, "path": file} for split, file in files.items()]
    config = {"config_name": "default", "data_files": data_files}
    header = yaml.safe_dump({"configs": [config]}, sort_keys=False, allow_unicode=True)
    style = f", {view.style}" if view.style else ""
    lines = [
        f"# {inline(told['set'])} of {inline(told['version'])}",
        f"Format {view.format.name}{style}: {view.format.meaning}, for {view.format.consumer}.",
        "The version's own card says how the rows were made and under which licences they stand.",
    ]
    if view.beside is not None:
        lines.append(
            f"The files `*.{BESIDE}.*` say of each row, in the same order, where it comes from."
        )
    return f"---\n{header}---\n\n" + "\n\n".join(lines) + "\n"


@contextlib.contextmanager
def _temporary(output: Path) -> Iterator[Path]:
    """A new folder beside `output`; what is left of it at the end is removed."""
    folder = output.absolute().parent / f".{output.name}-{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, output: Path) -> None:
    """Put the finished folder in the place of what stands there."""
    if not output.exists():
        folder.rename(output)
        return
    old = folder.with_name(f"{folder.name}-old")
    output.rename(old)
    try:
        folder.rename(output)
    except OSError:
        old.rename(output)
        raise
    shutil.rmtree(old, ignore_errors=True)
