"""The images of prompts, scaled down: what a page has room for.

They come from the home's store, by the names in the prompts' table. Each is decoded and written anew as
JPEG, so that nothing of a stranger's file but its pixels is on the page.
"""

import base64
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from winnow.pipeline.images import kind
from winnow.pipeline.publish.report.signals import Signals

SIDE = 320  # pixels, of the longer side
ROOM = 4_000_000  # bytes of all of them in the page
MOST = 400  # images that are read
_BYTES, _PIXELS = 32_000_000, 50_000_000  # of an image that is decoded
_AT_ONCE = 8  # images read together
_QUALITY = 80
_MODES = ("RGBA", "LA", "PA", "La", "RGBa")  # with transparency


@dataclass(frozen=True)
class Thumbnails:
    """`of` maps a prompt to its images, each as a `data:` address, or None where the page has no room
    for it or it cannot be shown; `total` counts them."""

    of: Mapping[str, list[str | None]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(map(len, self.of.values()))


def gather(signals: Signals, ids: Sequence[str], room: int = ROOM) -> Thumbnails:
    """The images of the prompts `ids`, until their addresses fill `room` bytes."""
    named = _named(signals, ids)
    wanted = list(dict.fromkeys(name for images in named.values() for name in images))[:MOST]
    made: dict[str, str] = {}
    for name, data in _read(signals, wanted):
        address = scaled(data)
        if address is not None:
            room -= len(address)
            if room < 0:
                break
            made[name] = address
    return Thumbnails({prompt: [made.get(n) for n in names] for prompt, names in named.items()})


def scaled(data: bytes) -> str | None:
    """An image as a `data:` address, `SIDE` pixels at most on white; None for what is no image of a
    kind that is shown, or too large to decode."""
    from PIL import Image

    if kind(data) is None or len(data) > _BYTES:
        return None
    made = io.BytesIO()
    try:
        # A bomb is a warning, which is raised here, before it is decoded.
        with warnings.catch_warnings(action="error"), Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _PIXELS:
                return None
            image.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded no larger than needed
            shown = _opaque(image)
            shown.thumbnail((SIDE, SIDE))
            shown.save(made, "JPEG", quality=_QUALITY)
    except Exception:  # noqa: BLE001 - decoders of strangers' bytes raise whatever they like
        return None
    return f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode()}"


def _opaque(image: Any) -> Any:
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits a pixel
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("RGB")
    if image.mode not in _MODES and "transparency" not in image.info:
        return image.convert("RGB")
    whole = image.convert("RGBA")
    paper = Image.new("RGBA", whole.size, "white")
    return Image.alpha_composite(paper, whole).convert("RGB")


def _named(signals: Signals, ids: Sequence[str]) -> dict[str, list[str]]:
    """Names of the images of those prompts that show some, in the order of `ids`."""
    columns = (
        signals.rows("SELECT column_name FROM (DESCRIBE prompts)") if signals.has("prompts") else []
    )
    if ("images",) not in columns:
        return {}
    rows = dict(
        signals.rows(
            "SELECT prompt_id, any_value(images) FROM prompts WHERE len(images) > 0 "
            "AND prompt_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY prompt_id",
            list(ids),
        )
    )
    return {prompt: rows[prompt] for prompt in ids if prompt in rows}


def _read(signals: Signals, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for start in range(0, len(names), _AT_ONCE):
        asked = names[start : start + _AT_ONCE]
        found = signals.images(asked)
        yield from ((name, found[name]) for name in asked if name in found)
