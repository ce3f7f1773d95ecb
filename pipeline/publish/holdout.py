"""Which groups of prompts go to the `holdout` split."""

from collections.abc import Iterable

from winnow.pipeline.names import digest

_RANGE = 1 << 64


def group_holdout(groups: Iterable[str], share: float, seed: int) -> set[str]:
    """The groups that are held out: about `share` of them, in [0, 1), and never part of a group.

    A group is drawn by its own name and the seed alone, so a group never changes sides when others
    come or go, and a larger share holds out the same groups and more. The price: the share holds on
    average (standard deviation sqrt(share (1 - share) / n) over n groups), and counts groups, not
    rows; a few groups may give none.

    Raises ValueError when `share` is outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"share is {share}, but must be in [0, 1)")
    limit = share * _RANGE
    return {group for group in groups if _place(group, seed) < limit}


def _place(group: str, seed: int) -> int:
    """Uniform in [0, 2^64)."""
    return int(digest("holdout/1", [seed, group])[:16], 16)
