"""The images of prompts, from a home folder's store: beside conversations, and as a column of a set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from winnow.pipeline.errors import WinnowError
from winnow.pipeline.images import MARKER
from winnow.pipeline.names import Message
from winnow.pipeline.publish.set_schemas import IMAGES
from winnow.pipeline.workspace import open_store


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


def adding_images(prompts: pa.Table, home: Path) -> Callable[[pa.Table], pa.Table]:
    """What adds to some rows of a set the column `images`: those that the prompt of each row's `prompt_id`
    shows. It raises WinnowError where one is not in the store."""
    of = dict(zip(prompts["prompt_id"].to_pylist(), prompts["images"].to_pylist(), strict=True))

    def add(rows: pa.Table) -> pa.Table:
        named = [of[prompt] or [] for prompt in rows["prompt_id"].to_pylist()]
        data = _read(home, [name for ids in named for name in ids])
        shown = [[{"bytes": data[name], "path": None} for name in ids] for ids in named]
        return rows.append_column(IMAGES, pa.array(shown, IMAGES.type))

    return add


def _illustrated(messages: Sequence[Message], ids: Sequence[str], home: Path) -> list[Message]:
    left = list(ids)
    made: list[Message] = []
    for message in messages:
        count = message["content"].count(MARKER)
        here, left = left[:count], left[count:]
        made.append({**message, "images": StoredImages(tuple(here), home)} if here else message)
    return made


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
