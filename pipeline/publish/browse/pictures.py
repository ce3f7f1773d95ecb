"""Pictures of a row on its page: raster files in `data:` addresses, everything else only named.

What a file is, its first bytes say, and the browser is told just that. An SVG is a document that could
load and run things, so it is among what is named.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.images import kind, media_type

PICTURE = 4_000_000  # bytes of one picture on a page
THUMBNAIL = 100_000  # bytes of one picture in a list
PICTURES = 32  # of a row that are shown
ROOM = 24_000_000  # bytes of all pictures on a page


@dataclass(frozen=True)
class Picture:
    """A picture's `data:` address, None where it is only named, and what is said of it."""

    address: str | None
    said: str


class Gallery:
    """The pictures of one page. `shown`: whether it has any."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self.shown = False

    def of(self, pictures: Sequence[Mapping[str, Any] | None] | None) -> list[Picture]:
        """Pictures as `Rows` gives them: {bytes, size, path}, without bytes where they are too large."""
        return [self._one(each or {}) for each in pictures or ()]

    def _one(self, picture: Mapping[str, Any]) -> Picture:
        data, size, path = picture.get("bytes"), picture.get("size"), picture.get("path")
        no_room = "for which the page has no room"
        called = f", called {path}" if path else ""
        if size is None:
            return Picture(None, f"no bytes{called}")
        if data is None:
            why = "too large to show here" if size > PICTURE else no_room
            return Picture(None, f"a file of {size:,} bytes, {why}{called}")
        found = kind(data)
        if found is None:
            return Picture(None, f"a file of {size:,} bytes, no picture that is shown here{called}")
        if size > self._room:
            return Picture(None, f"a picture of {size:,} bytes, {no_room}{called}")
        self._room -= size
        self.shown = True
        address = f"data:{media_type(data)};base64,{base64.b64encode(data).decode()}"
        return Picture(address, f"{found.upper()}, {size:,} bytes{called}")
