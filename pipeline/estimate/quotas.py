"""How many rows each group gives: whole numbers that add up exactly."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def deal(total: int, weights: ArrayLike, capacity: ArrayLike) -> NDArray[np.int64]:
    """Quotas (g,) in proportion to `weights` (g,), none above `capacity` (g,), adding up to `total`.

    A group whose share reaches its capacity gives all it has; what it cannot give is dealt to the
    others in proportion to their weights, until none is over. The shares that are left are made
    whole by largest remainders, the first of equals first. A group of weight 0 gives nothing, so
    the sum is the smaller of `total` and the capacity of the groups with weight.

    Raises ValueError for a negative or infinite weight, and for a negative total or capacity.
    """
    w = np.asarray(weights, np.float64)
    room = np.asarray(capacity, np.int64)
    if w.ndim != 1 or w.shape != room.shape:
        raise ValueError("weights and capacity must be lists of one length")
    if not np.isfinite(w).all() or (w < 0).any() or (room < 0).any() or total < 0:
        raise ValueError("weights, capacity and total must be finite and at least 0")
    quotas = np.zeros(len(w), np.int64)
    if not w.any():
        return quotas
    w = w / w.max()  # so that the sum of very large weights stays finite
    open_ = (w > 0) & (room > 0)
    left = min(int(total), int(room[w > 0].sum()))
    while open_.any():
        share = np.where(open_, left * (w / w[open_].sum()), 0.0)
        full = open_ & (share >= room)
        if not full.any():
            quotas[open_] = _whole(left, share[open_])
            break
        quotas[full] = room[full]
        left -= int(room[full].sum())
        open_ &= ~full
    return quotas


def _whole(total: int, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Shares that add up to about `total`, rounded so that they do exactly: largest remainders."""
    whole = np.floor(shares).astype(np.int64)
    # Equal remainders differ in their last bits, which must not decide who is first.
    first = np.argsort(-np.round(shares - whole, 9), kind="stable")
    whole[first[: total - int(whole.sum())]] += 1
    return whole


def balanced(total: int, sizes: ArrayLike) -> NDArray[np.int64]:
    """Quotas (g,) that differ by at most 1 among the groups that have more to give: the water level
    at which min(size, level) adds up to `total`.

    What the level cannot share out evenly goes to the largest groups (the first of equals), one row
    each. A group smaller than the level gives all it has. Raises ValueError as `deal` does.
    """
    room = np.asarray(sizes, np.int64)
    largest_first = np.argsort(-room, kind="stable")
    quotas = np.zeros_like(room)
    quotas[largest_first] = deal(total, np.ones(len(room)), room[largest_first])
    return quotas


def proportional(total: int, sizes: ArrayLike) -> NDArray[np.int64]:
    """Quotas (g,) in proportion to the groups' sizes, by largest remainders in exact integers (the
    first of equals first). Raises ValueError for a negative total or size."""
    room = np.asarray(sizes, np.int64)
    if (room < 0).any() or total < 0:
        raise ValueError("sizes and total must be at least 0")
    rows = int(room.sum())
    if total >= rows:
        return room.copy()
    whole, remainder = np.divmod(total * room, rows)
    first = np.argsort(-remainder, kind="stable")
    whole[first[: total - int(whole.sum())]] += 1
    return whole


def square_root(total: int, sizes: ArrayLike) -> NDArray[np.int64]:
    """Quotas (g,) in proportion to the square roots of the groups' sizes, between `balanced` and
    `proportional`; see `deal`. Raises ValueError for a negative total or size."""
    room = np.asarray(sizes, np.int64)
    if (room < 0).any():
        raise ValueError("sizes must be at least 0")
    return deal(total, np.sqrt(room), room)
