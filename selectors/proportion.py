"""An order in which every beginning holds the groups in proportion."""

import numpy as np
from numpy.typing import NDArray


def in_proportion(order: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of `order`, rearranged so that a cut anywhere keeps the shares of the groups.

    `group` (n,): each row's group, by row number, from 0. Within a group the order stays. The r-th
    row (from 0) of a group of m comes at (r + 1/2) / m, the sequence of the divisor method of
    Webster and Sainte-Lague; of rows at the same place the one that was earlier in `order` is first.
    """
    groups = group[order]
    sizes = np.bincount(groups)
    together = np.argsort(groups, kind="stable")
    starts = np.cumsum(sizes) - sizes
    within = np.empty(len(order), np.int64)
    within[together] = np.arange(len(order)) - np.repeat(starts, sizes)
    return order[np.argsort((2 * within + 1) / (2 * sizes[groups]), kind="stable")]
