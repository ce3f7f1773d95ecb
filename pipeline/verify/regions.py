"""Boxes and time spans: reading them from a text, and how much two of them overlap.

A region is a tuple of numbers: a box (x1, y1, x2, y2), a span (start, end), in any one unit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from winnow.pipeline.verify.literals import NoLiteral, literal, segments, unfenced

Kind = Literal["box", "span"]
Region = tuple[float, ...]

SIZES: dict[Kind, int] = {"box": 4, "span": 2}
MAX_REGIONS = 1_000

_PLACES = ("bbox", "bbox_2d", "box", "position", "coordinates", "span", "interval", "segment")
_CONFIDENCES = ("confidence", "score")
_START = re.compile(r"(?=[\[{(])")
_NUMBER = r"(\d+(?:\.\d+)?)"
_UNIT = r"\s{0,3}(?:s|secs?|seconds?)?\s{0,3}"
_FROM_TO = re.compile(
    rf"(?<![\d.:-]){_NUMBER}{_UNIT}(?:-|\u2013|\u2014|,|to|and|until){_UNIT}{_NUMBER}(?![\d:])",
    re.IGNORECASE,
)


class NotRegions(ValueError):
    """The text or value holds something that is no region of the kind."""


@dataclass(frozen=True)
class Found:
    """A region with the confidence in [0, 1] that was given for it, if any."""

    region: Region
    confidence: float | None = None


def read(text: str, kind: Kind) -> list[Found]:
    """Every region that `text` gives, in order; none where it gives none.

    JSON or Python literals: a region, a list of them, or objects with a place (`bbox`, `Position`,
    ...) and perhaps a confidence; spans also as "3.5 to 7 seconds". Raises NotRegions where one of
    them is malformed: other numbers than the kind has, an end before its start, infinite numbers.
    """
    text = unfenced(text)
    found: list[Found] = []
    try:
        for _, segment in segments(text, _START):
            value = _literal(segment)
            if value is not None:
                found += regions_in(value, kind)
    except NoLiteral as error:
        raise NotRegions(str(error)) from None
    if not found and kind == "span":
        pairs = [(float(start), float(end)) for start, end in _FROM_TO.findall(text)]
        found = [Found(checked(pair, kind)) for pair in pairs]
    if len(found) > MAX_REGIONS:
        raise NotRegions("too many")
    return found


def regions_in(value: Any, kind: Kind) -> list[Found]:
    """The regions that a JSON value gives. Raises NotRegions."""
    if isinstance(value, Mapping):
        inner = [item for item in value.values() if isinstance(item, list | dict)]
        if len(inner) == 1 and not any(str(key).lower() in _PLACES for key in value):
            return regions_in(inner[0], kind)  # {"objects": [...]}
        return [_described(value, kind)]
    if isinstance(value, list) and all(_is_number(item) for item in value) and value:
        return [Found(checked(value, kind))]
    if isinstance(value, list):
        return [region for item in value for region in regions_in(item, kind)]
    raise NotRegions(f"{value!r} is no {kind}"[:100])


def checked(numbers: Sequence[float], kind: Kind) -> Region:
    """The region of `numbers`. Raises NotRegions where they are none."""
    half = SIZES[kind] // 2
    if len(numbers) != SIZES[kind] or not all(_is_number(n) for n in numbers):
        raise NotRegions(f"a {kind} has {SIZES[kind]} numbers")
    # A whole number can be too large for a float, and is then no place anywhere.
    region = tuple(float(n) if abs(n) < 1e300 else float("inf") for n in numbers)
    if not all(isfinite(n) for n in region):
        raise NotRegions("not finite")
    if any(region[i] > region[half + i] for i in range(half)):
        raise NotRegions("ends before it starts")
    return region


def iou(a: Region, b: Region) -> float:
    """Intersection over union, in [0, 1]; 0 for two empty regions."""
    half = len(a) // 2
    overlap = 1.0
    for i in range(half):
        overlap *= max(0.0, min(a[half + i], b[half + i]) - max(a[i], b[i]))
    union = size(a) + size(b) - overlap
    return overlap / union if union > 0 else 0.0


def hull_iou(a: Region, b: Region) -> float:
    """Overlap of two spans over the time from the earlier start to the later end (Temporal-R1). For
    spans that overlap this is `iou`; for others, both are 0."""
    overlap = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    whole = max(a[1], b[1]) - min(a[0], b[0])
    return overlap / whole if whole > 0 else 0.0


def size(region: Region) -> float:
    """Area of a box, length of a span."""
    half = len(region) // 2
    product = 1.0
    for i in range(half):
        product *= region[half + i] - region[i]
    return product


def _described(value: Mapping[str, Any], kind: Kind) -> Found:
    lowered = {str(key).lower(): item for key, item in value.items()}
    places = [lowered[key] for key in _PLACES if key in lowered]
    if len(places) != 1 or not isinstance(places[0], list):
        raise NotRegions("an object without one place")
    given = [lowered[key] for key in _CONFIDENCES if key in lowered]
    if len(given) > 1 or not all(_is_number(c) and 0 <= c <= 1 for c in given):
        raise NotRegions("a confidence outside of [0, 1]")
    return Found(checked(places[0], kind), float(given[0]) if given else None)


def _literal(segment: str | None) -> Any:
    """The list or object that `segment` writes; None for brackets in prose."""
    if segment is None or not re.search(r"\d", segment):
        return None
    try:
        value = literal(segment)
    except NoLiteral:
        if re.fullmatch(r"[\[({][\d\s,.+\-eE]*[\])}]", segment) or segment[0] == "{":
            raise NotRegions("brackets that do not parse") from None
        return None
    if not isinstance(value, list | dict):
        return None
    is_citation = isinstance(value, list) and len(value) == 1 and _is_number(value[0])
    return None if is_citation else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
