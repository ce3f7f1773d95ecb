"""Where prompts come from.

How to add a source: write one file with a class that has `rows(limit)` (and, where it can tell
cheaply that nothing changed, `fingerprint()`), and register it. In this package: a config class in
`recipe.SourceConfig` and a line in `open_source`. In another package: an entry point in the group
`winnow.sources` that names a callable; the recipe's `args` are its keyword arguments.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from winnow.pipeline.contracts import Source, SourceRow
from winnow.pipeline.errors import UsageError
from winnow.pipeline.names import digest
from winnow.pipeline.recipe import (
    DatasetSource,
    PluginSource,
    ReasoningGymSource,
    SourceConfig,
    TrajectoriesSource,
)
from winnow.pipeline.sources import brought, hf_dataset, row_images
from winnow.pipeline.sources.hf_dataset import HFDataset
from winnow.pipeline.sources.reasoning_gym_family import ReasoningGymFamily
from winnow.pipeline.sources.rows import Drop
from winnow.pipeline.sources.trajectories import Trajectories

GROUP = "winnow.sources"

__all__ = [
    "GROUP",
    "check",
    "dataset_of",
    "fingerprint",
    "local_files",
    "local_folder",
    "open_source",
]


@runtime_checkable
class _Checked(Protocol):
    def check(self) -> None: ...


@runtime_checkable
class _Fingerprinted(Protocol):
    def fingerprint(self) -> str: ...


def open_source(config: SourceConfig) -> Source:
    """The source that `config` describes.

    Raises UsageError for a missing local file and an unknown plugin; `check` tells more.
    """
    match config:
        case DatasetSource():
            return HFDataset(config)
        case ReasoningGymSource():
            return ReasoningGymFamily(config)
        case TrajectoriesSource():
            return Trajectories(config)
        case PluginSource():
            return _plugin(config)


def check(config: SourceConfig) -> None:
    """Raises UsageError for all that can be told without reading a row (as `open_source`; and an
    unknown task family or setting)."""
    source = open_source(config)
    if isinstance(source, _Checked):
        source.check()


def local_files(config: SourceConfig) -> list[Path] | None:
    """The files of this machine that the source is read from, now; None where there are none by its
    nature (a hub, a procedural family, a plugin). Raises nothing for files that are missing."""
    dataset = dataset_of(config)
    return None if dataset is None else hf_dataset.local_files(dataset)


def dataset_of(config: SourceConfig) -> DatasetSource | None:
    """The dataset that the source is read from; None where there is none."""
    if isinstance(config, TrajectoriesSource):
        return config.dataset
    return config if isinstance(config, DatasetSource) else None


def local_folder(config: SourceConfig) -> Path | None:
    """The folder of this machine that the source is read from; None where there is none."""
    dataset = dataset_of(config)
    return None if dataset is None else hf_dataset.local_folder(dataset)


def fingerprint(config: SourceConfig) -> str:
    """Name of what the source's rows are made of: equal fingerprints, equal rows.

    It covers the source's content, with the state of the files that a column of images points to, and
    nothing else of how the recipe maps or renders it. A plugin without a `fingerprint` method is read
    through and named by its rows.
    """
    found = _of_rows(config)
    columns = getattr(config, "columns", None)
    folder = local_folder(config)
    if columns is None or columns.images is None or folder is None:
        return found
    values = _values(config, columns.images, as_json=columns.images in columns.json_columns)
    return digest("source_with_images/1", [found, row_images.state(values, folder)])


def _values(config: SourceConfig, column: str, *, as_json: bool) -> Iterator[Any]:
    """What a column holds, row by row, as it is read."""
    for row in open_source(config).rows():
        with contextlib.suppress(Drop):
            yield brought.with_json(row.values, [column] if as_json else []).get(column)


def _of_rows(config: SourceConfig) -> str:
    source = open_source(config)
    if isinstance(source, _Fingerprinted):
        return source.fingerprint()
    rows = [digest("plugin_row/1", [row.index, repr(_ordered(row))]) for row in source.rows()]
    return digest("plugin_source/1", rows)


def _ordered(row: SourceRow) -> list[Any]:
    return [row.error, *sorted(row.values.items(), key=lambda item: str(item[0]))]


def _plugin(config: PluginSource) -> Source:
    found: Mapping[str, Any] = {point.name: point for point in entry_points(group=GROUP)}
    if config.plugin not in found:
        known = ", ".join(sorted(found)) or "none is installed"
        raise UsageError(
            f"source {config.name!r}: plugin: no entry point {config.plugin!r} in the group "
            f"{GROUP} (known: {known})"
        )
    factory: Callable[..., Source] = found[config.plugin].load()
    try:
        inspect.signature(factory).bind(**config.args)
    except TypeError as error:
        raise UsageError(f"source {config.name!r}: args: {error}") from None
    return factory(**config.args)
