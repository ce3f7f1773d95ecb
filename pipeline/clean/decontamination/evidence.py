"""What a hit is shown by: the overlapping text, in the training row's own words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.clean.decontamination.words import locate

_MOST_COMPARISONS = 5_000_000


def shortened(text: str, limit: int) -> str:
    """The text on one line, with its middle left out where it is longer than `limit`."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    head = (limit - 3) // 2
    return f"{line[:head]} … {line[len(line) - (limit - 3 - head) :]}"


def longest_shared(
    found: Sequence[str],
    item: Sequence[str],
    counted: Sequence[bool] | NDArray[np.bool_] | None = None,
) -> tuple[int, int]:
    """Where the longest common run of words begins in `found`, and its length; (0, 0) for none.

    Where `counted` flags the item's words, the run with the most such words is taken, the longer
    one of equals, the first one of those.
    """
    places: dict[str, list[int]] = {}
    for place, word in enumerate(item):
        places.setdefault(word, []).append(place)
    found = _affordable(found, places)
    running = [0]
    for flag in counted if counted is not None else [True] * len(item):
        running.append(running[-1] + bool(flag))
    best, result = (0, 0), (0, 0)
    previous: dict[int, int] = {}
    for end, word in enumerate(found):
        current = {place: previous.get(place - 1, 0) + 1 for place in places.get(word, ())}
        for place, length in current.items():
            value = (running[place + 1] - running[place + 1 - length], length)
            if value > best:
                best, result = value, (end + 1 - length, length)
        previous = current
    return result


def _affordable(found: Sequence[str], places: dict[str, list[int]]) -> Sequence[str]:
    """The beginning of `found` that can be compared in bounded time: "a a a ..." is quadratic."""
    work = 0
    for end, word in enumerate(found):
        work += len(places.get(word, ()))
        if work > _MOST_COMPARISONS:
            return found[:end]
    return found


def overlap(text: str, item: Sequence[str], counted: NDArray[np.bool_] | None = None) -> str:
    """The longest stretch of a text that an item shares, as it is written there."""
    located = locate(text)
    first, length = longest_shared(located.words, item, counted)
    return located.quote(first, first + length - 1) if length else ""
