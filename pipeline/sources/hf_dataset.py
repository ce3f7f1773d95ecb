"""Sources that `datasets.load_dataset` opens: hub ids, folders, files, globs and URLs.

`datasets` finds the files, their configurations and splits, and downloads them. JSON, CSV and
Parquet are then read row by row (see `files`), so that no row can stop the others; every other
format goes through `datasets`' own reading.
"""

import difflib
import glob
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from winnow.pipeline.contracts import SourceRow
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import digest
from winnow.pipeline.recipe import DatasetSource
from winnow.pipeline.sources import files
from winnow.pipeline.sources.files import Record, Unreadable

# Files that stand in dataset folders and hold no rows; `datasets` passes them over too.
_NO_ROWS = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


@dataclass(frozen=True)
class _Opened:
    """Files (paths or URLs) of every split, and the builder that found them, if one did."""

    splits: dict[str, list[str]]
    builder: Any = None

    @property
    def by_row(self) -> bool:
        names = [_file_name(file) for paths in self.splits.values() for file in paths]
        return bool(names) and all(map(files.kind, names))


class HFDataset:
    """One split of a dataset; files given by path or glob have the one split `train`.

    The environment variable `HF_HUB_OFFLINE=1` keeps every look-up on this machine.
    """

    def __init__(self, config: DatasetSource, *, whole: bool = False) -> None:
        """`whole`: the rows hold also the columns that the recipe does not name. Raises UsageError if
        `path` is a local file or folder that is not there."""
        self.config, self._whole = config, whole
        self._paths = self._local_paths() if _is_local(config.path) else []

    def rows(self, limit: int | None = None) -> Iterator[SourceRow]:
        """Every row of the split in order, or its first `limit`.

        Raises UsageError when the source as a whole cannot be opened or read.
        """
        for index, record in enumerate(islice(self._records(limit), limit)):
            if isinstance(record, Unreadable):
                yield SourceRow(index, {}, record.reason)
            else:
                yield SourceRow(index, record)

    def fingerprint(self) -> str:
        """Name of the content: the files' bytes here, the files' revisions on a hub."""
        split, opened = self.config.split, self._open()
        parts: list[Any] = []
        for name, paths in opened.splits.items():
            if name in split:  # slices and sums of splits (`train[:10]+test`) hold their names
                here = all(Path(file).is_file() for file in paths)
                parts += [[name, Path(file).name, _hash_file(file)] for file in paths if here]
                if not here:
                    origin = opened.builder.config.data_files[name].origin_metadata
                    parts.append([name, paths, [list(map(str, item)) for item in origin]])
        if not opened.splits:
            parts.append(opened.builder.hash)
        return digest(
            "dataset_source/1", [self.config.path if not self._paths else "", split, parts]
        )

    # What there is.

    def _local_paths(self) -> list[Path]:
        config, given = self.config, Path(self.config.path).expanduser()
        if given.exists():
            paths = [given]
        elif glob.has_magic(config.path):
            found = glob.glob(str(given), recursive=True)  # noqa: PTH207 (takes absolute patterns)
            paths = [Path(p) for p in sorted(found)]
            paths = [p for p in paths if p.is_file()]
            if not paths:
                self._fail("path", f"no file matches {config.path!r}")
        else:
            self._fail("path", f"no such file or folder: {config.path!r}{_neighbour(given)}")
        for key, value in (("config", config.config), ("revision", config.revision)):
            if value is not None and (key == "revision" or paths[0].is_file()):
                self._fail(key, f"{config.path!r} is on this machine and has none")
        return paths

    def _open(self) -> _Opened:
        config, paths = self.config, self._paths
        if paths and paths[0].is_file():
            names = list(map(str, paths))
            opened = _Opened({"train": names})
            if opened.by_row:
                return opened
            builder = self._builder(str(paths[0].parent), data_files=names)
        elif paths:
            builder = self._builder(str(paths[0]), config.config)
            self._refuse_mixed(paths[0], builder)
        elif "://" in config.path:
            module = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", None: "text"}
            name = module.get(files.kind(_file_name(config.path)), "json")
            builder = self._builder(name, data_files={"train": config.path})
            if not any(
                (builder.config.data_files or {}).values()
            ):  # `datasets` would stumble later
                self._fail("path", f"no file matches {config.path!r}")
        else:
            builder = self._builder(config.path, config.config, revision=config.revision)
        found = builder.config.data_files or {}
        return _Opened({str(s): list(map(str, urls)) for s, urls in found.items()}, builder)

    def _builder(self, *args: Any, **kwargs: Any) -> Any:
        import datasets
        from huggingface_hub.errors import HTTPError

        try:
            return datasets.load_dataset_builder(*args, **kwargs)
        # What `datasets` raises for a missing, misspelt or unreachable dataset or configuration.
        except (
            OSError,
            ValueError,
            RuntimeError,
            ImportError,  # the kind of address needs a package more
            HTTPError,  # a hub's own kind of address, when it cannot be reached
            datasets.exceptions.DatasetsError,
        ) as error:
            message = _one_line(error)
            if not self._paths and "://" not in self.config.path:
                message += f" (and no file or folder here is named {self.config.path!r})"
            self._fail("config" if "onfig" in message else "path", message)

    def _refuse_mixed(self, folder: Path, builder: Any) -> None:
        """`datasets` takes a folder's most frequent format and passes the other files over."""
        if (folder / "README.md").exists():  # whose author can say which files are rows
            return
        found = (builder.config.data_files or {}).values()
        used = {Path(path).resolve() for paths in found for path in paths}
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if any(part.startswith((".", "_")) for part in inside.parts) or path.name in _NO_ROWS:
                continue
            if files.kind(path.name) and path.is_file() and path.resolve() not in used:
                self._fail(
                    "path",
                    f"{str(folder)!r} mixes formats or layouts: {str(inside)!r} would be passed "
                    "over; name the files with a glob, one source for each format",
                )

    # The rows.

    def _records(self, limit: int | None) -> Iterator[Record]:
        opened = self._open()
        if not opened.by_row:
            yield from self._load(opened.builder, limit)
            return
        for name, start, stop in self._slices(opened.splits):
            records = chain.from_iterable(map(self._read, opened.splits[name]))
            yield from islice(records, start, stop)

    def _slices(self, splits: dict[str, list[str]]) -> list[tuple[str, int, int | None]]:
        """(split, first row, row after the last) of every part of the recipe's `split`."""
        wanted = self.config.split
        if wanted in splits:
            return [(wanted, 0, None)]
        if not _is_sliced(wanted):
            self._fail("split", f"no split {wanted!r}; the source has: {', '.join(splits)}")
        from datasets import ReadInstruction

        lengths = {
            name: sum(1 for file in paths for _ in self._read(file)) if name in wanted else 0
            for name, paths in splits.items()
        }
        try:
            parts = ReadInstruction.from_spec(wanted).to_absolute(lengths)
        except (ValueError, AssertionError) as error:
            self._fail("split", _one_line(error))
        return [(part.splitname, part.from_ or 0, part.to) for part in parts]

    def _read(self, file: str) -> Iterator[Record]:
        wanted = None if self._whole else self.config.columns.named
        try:
            path = file if Path(file).is_file() else self._download(file)
            yield from files.read(path, _file_name(file), wanted)
        except (OSError, ValueError) as error:  # pyarrow's errors are among them
            self._fail("path", f"{file!r} cannot be read: {_one_line(error)}")

    def _download(self, url: str) -> str:
        import datasets

        return str(datasets.DownloadManager().download(url))

    def _load(self, builder: Any, limit: int | None) -> Iterator[Record]:
        """Formats that `files` does not know."""
        import datasets

        split = self.config.split
        try:
            # A first look converts no more than it shows; slices are not known to streams.
            if limit is not None and not _is_sliced(split):
                data = builder.as_streaming_dataset(split=split)
            else:
                builder.download_and_prepare()
                data = builder.as_dataset(split=split)
            # Arrow batches hold images and audio as they are stored: nothing is decoded.
            for table in data.with_format("arrow").iter(batch_size=256):
                yield from files.table_rows(table)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            self._fail("split" if "split" in str(error) else "path", _one_line(error))

    def _fail(self, key: str, message: str) -> NoReturn:
        raise UsageError(f"source {self.config.name!r}: {key}: {message}")


def local_files(config: DatasetSource) -> list[Path] | None:
    """Every file below a local path or matched by a pattern, now; None for what is on no local disk.

    A path that does not exist yet has no files.
    """
    if not _is_local(config.path):
        return None
    given = Path(config.path).expanduser()
    if given.is_dir():
        found = [path for path in given.rglob("*") if not path.name.startswith(".")]
    elif given.exists():
        found = [given]
    else:
        found = [Path(each) for each in glob.glob(str(given), recursive=True)]  # noqa: PTH207
    return sorted(path for path in found if path.is_file())


def local_folder(config: DatasetSource) -> Path | None:
    """The folder that a local path is in, or is; of a pattern, the last one above what it leaves open.
    None for what is on no local disk."""
    if not _is_local(config.path):
        return None
    given = Path(config.path).expanduser()
    if given.is_dir():
        return given
    above = given.parent
    while not given.exists() and glob.has_magic(str(above)):
        above = above.parent
    return above


def hub_id(config: DatasetSource) -> str | None:
    """The id of the source's dataset on the hub; None for what is on this machine or behind a URL."""
    here = _is_local(config.path) or "://" in config.path
    return None if here else config.path


def _is_local(path: str) -> bool:
    """Whether `path` can only mean this machine, or is here."""
    if "://" in path:
        return False
    looks_local = path.startswith(("/", ".", "~")) or path.count("/") > 1 or glob.has_magic(path)
    return looks_local or files.kind(path) is not None or Path(path).exists()


def _is_sliced(split: str) -> bool:
    return "[" in split or "+" in split


def _file_name(path: str) -> str:
    return Path(urlsplit(path).path if "://" in path else path).name


def _neighbour(path: Path) -> str:
    """The name in the same folder that was probably meant."""
    if not path.parent.is_dir():
        return f" (nor a folder {str(path.parent)!r})"
    names = [entry.name for entry in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _hash_file(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
