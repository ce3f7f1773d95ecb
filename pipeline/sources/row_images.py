"""The pictures of a source row: read, checked, and named by their bytes.

A column holds one picture or a list of them. A picture is bytes, `datasets`' {bytes, path}, a `data:`
address in base64, or the path of a file below the folder that the source is read from. Nothing here
changes a picture; what a decoder refuses is no picture.
"""

import base64
import binascii
import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from winnow.pipeline.images import MARKER, kind
from winnow.pipeline.names import digest
from winnow.pipeline.sources.rows import Conversation, Drop, is_list, short

RULE = "bad_image"
_LONGEST = 64 << 20  # bytes of one picture
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")


@dataclass(frozen=True)
class RowImage:
    """A picture's name (SHA-256 of its bytes, hex) and its bytes."""

    image_id: str
    data: bytes


def read(value: Any, column: str, folder: Path | None) -> list[RowImage]:
    """What stands in a row's `column`, in order; none where it is null or empty.

    Paths are looked up below `folder`; None: the source is no folder of this machine. Raises Drop.
    """
    if value is None or value == "":  # as which CSV has a null
        return []
    several = value if is_list(value) else [value]
    return [
        _picture(each, f"{column}[{at}]" if is_list(value) else column, folder)
        for at, each in enumerate(several)
    ]


def place(messages: Conversation, count: int) -> None:
    """Mark where the pictures stand: each `<image>` in the conversation is the next of them. Without a
    mark they stand before the last message. Raises Drop where there are more or fewer marks: trainers
    stop at them, also where no picture is meant."""
    marks = sum(message["content"].count(MARKER) for message in messages)
    if marks == count:
        return
    if marks:
        raise Drop(RULE, f"{marks} times {MARKER} in the prompt for {count} pictures")
    messages[-1]["content"] = f"{MARKER}\n" * count + messages[-1]["content"]


def state(values: Iterable[Any], folder: Path) -> str:
    """Name of the files below `folder` that the column's `values` point to, as they are now: by size and
    time of change. What else a path may lead to says nothing, as it is not read."""
    names = {name for value in values for name in _names(value)}
    return digest("image_files/1", [[name, _stamp(name, folder)] for name in sorted(names)])


def _names(value: Any) -> Iterator[str]:
    for each in value if is_list(value) else [value]:
        name = each.get("path") if isinstance(each, Mapping) and not each.get("bytes") else each
        if isinstance(name, str) and not name.startswith("data:"):
            yield name


def _stamp(name: str, folder: Path) -> list[int] | None:
    try:
        path = _below(folder, name)
        told = path.stat() if path else None
    except (OSError, ValueError):
        return None
    return [told.st_size, told.st_mtime_ns] if told and stat.S_ISREG(told.st_mode) else None


def _below(folder: Path, name: str) -> Path | None:
    """Where the file `name` stands, links followed; None where that is out of the folder, as a row must
    not read what is not its source's."""
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) else None


def _picture(value: Any, where: str, folder: Path | None) -> RowImage:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        value = (
            _addressed(value, where) if value.startswith("data:") else _file(value, where, folder)
        )
    if not isinstance(value, bytes | bytearray):
        raise Drop(RULE, f"{where}: no bytes and no path", value=type(value).__name__)
    data = bytes(value)
    _decodes(data, where)
    return RowImage(hashlib.sha256(data).hexdigest(), data)


def _addressed(address: str, where: str) -> bytes:
    head, _, body = address.partition(",")
    if not head.endswith(";base64"):
        raise Drop(RULE, f"{where}: a data address that is not in base64")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Drop(RULE, f"{where}: {error}") from None


def _file(name: str, where: str, folder: Path | None) -> bytes:
    """The bytes of the file `name`."""
    if folder is None:
        raise Drop(RULE, f"{where}: {short(name)}: the source is no folder that files stand in")
    try:
        path = _below(folder, name)
        if path is None:
            raise Drop(RULE, f"{where}: {short(name)} leads out of the source's folder")
        # A pipe would keep the reader waiting for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Drop(RULE, f"{where}: {short(name)} is no file")
            data = file.read(_LONGEST + 1)
    except (OSError, ValueError) as error:  # a name may hold what no file's can
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Drop(RULE, f"{where}: {short(name)}: {reason}") from None
    if len(data) > _LONGEST:
        raise Drop(RULE, f"{where}: {short(name)} is longer than {_LONGEST >> 20} MiB")
    return data


def _decodes(data: bytes, where: str) -> None:
    from PIL import Image

    if len(data) > _LONGEST:
        raise Drop(RULE, f"{where}: longer than {_LONGEST >> 20} MiB")
    if kind(data) is None:
        raise Drop(RULE, f"{where}: none of PNG, JPEG, GIF, WebP and BMP")
    try:
        # A bomb is a warning that is raised; the others are about what every reader puts up with.
        with warnings.catch_warnings(action="ignore"):
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.format in ("PNG", "WEBP"):
                    image.verify()
                else:  # of which only decoding tells that the end is missing
                    image.draft(None, (1, 1))  # at an eighth of its size, where that is quicker
                    image.load()
    # Decoders of strangers' bytes raise whatever they like.
    except Exception as error:  # noqa: BLE001
        raise Drop(RULE, f"{where}: {short(str(error), 100)}") from None
