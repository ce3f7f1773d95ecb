"""The images of prompts, from a home folder's store: beside conversations, and as a column of a set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.images import MARKER
from winnow.pipeline.names import Message
from winnow.pipeline.publish.set_schemas import IMAGES
from winnow.pipeline.workspace import open_store

_AT_ONCE = 256  # rows of a set whose images are read together


@dataclass(frozen=True)
class StoredImages:
    """Images by name; `read` gets their bytes, so that a conversation holds no more than names."""

    ids: tuple[str, ...]
    home: Path

    def read(self) -> list[bytes]:
        """The bytes of each, in order. Raises WinnowError where one is not in the store."""
        found = _read(self.home, self.ids)
        return [found[name] for name in self.ids]


def conversations(prompts: pa.Table, home: Path) -> list[list[Message]]:
    """The messages of `prompts` (schema.PROMPTS); one whose text shows images has them as `images`."""
    messages: list[list[Message]] = prompts["messages"].to_pylist()
    if "images" not in prompts.column_names:
        return messages
    shown = prompts["images"].to_pylist()
    return [
        _illustrated(each, ids, home) if ids else each
        for each, ids in zip(messages, shown, strict=True)
    ]


def with_images(rows: pa.Table, prompts: pa.Table, home: Path) -> pa.Table:
    """`rows` of a set with the column `images`: those that the prompt of each row's `prompt_id` shows.

    Raises WinnowError where one is not in the store.
    """
    of = dict(zip(prompts["prompt_id"].to_pylist(), prompts["images"].to_pylist(), strict=True))
    named = [of[prompt] or [] for prompt in rows["prompt_id"].to_pylist()]
    chunks = [
        pa.array(part, IMAGES.type)
        for start in range(0, len(named), _AT_ONCE)
        for part in _filled(named[start : start + _AT_ONCE], home)
    ]
    return rows.append_column(IMAGES, pa.chunked_array(chunks, IMAGES.type))


def _illustrated(messages: Sequence[Message], ids: Sequence[str], home: Path) -> list[Message]:
    left = list(ids)
    made: list[Message] = []
    for message in messages:
        count = message["content"].count(MARKER)
        here, left = left[:count], left[count:]
        made.append({**message, "images": StoredImages(tuple(here), home)} if here else message)
    return made


def _filled(
    named: Sequence[Sequence[str]], home: Path
) -> Iterator[list[list[dict[str, bytes | str | None]]]]:
    data = _read(home, [name for ids in named for name in ids])
    for ids in named:  # one array each: a row of many images may fill one
        yield [[{"bytes": data[name], "path": None} for name in ids]]


def _read(home: Path, ids: Sequence[str]) -> dict[str, bytes]:
    if not ids:
        return {}
    with open_store(home, "images") as store:
        table = store.get(ids)
    found = dict(zip(table["image_id"].to_pylist(), table["bytes"].to_pylist(), strict=True))
    if missing := set(ids) - set(found):
        raise WinnowError(
            f"{home / '.store' / 'images.sqlite'}: image {min(missing)} is not there; `winnow run` with "
            "the table .stages/<recipe>/prompts.parquet removed reads the sources again"
        )
    return found
