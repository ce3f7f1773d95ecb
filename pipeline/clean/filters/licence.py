"""Whether a source's licence lets its rows in."""

from collections.abc import Sequence
from typing import Literal

from winnow.pipeline.clean.filters.drop import Drop


def unlicensed(
    licence: str | None,
    allowed: Sequence[str] | None,
    denied: Sequence[str],
    unknown: Literal["keep", "drop"],
) -> Drop | None:
    """`licence_unknown`, `licence_denied` or `licence_not_allowed`.

    Names are compared without letter case and ends' spaces; a denied licence is out even if allowed.
    """
    name = (licence or "").strip().casefold()
    if not name or name in ("unknown", "other", "none"):
        return Drop("licence_unknown", licence) if unknown == "drop" else None
    if name in {each.strip().casefold() for each in denied}:
        return Drop("licence_denied", licence, ", ".join(denied))
    if allowed is not None and name not in {each.strip().casefold() for each in allowed}:
        return Drop("licence_not_allowed", licence, ", ".join(allowed))
    return None
