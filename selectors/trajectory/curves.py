"""Trajectories of one length, out of a column of lists."""

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.selectors.pool import Pool, Ragged


def curves(pool: Pool, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Indices (m,) of the rows that have a list in the column `name`, and the lists (m, length).

    A null within a list is NaN. Raises UsageError for lists of different lengths, naming two rows,
    and where no row has a list.
    """
    lists: Ragged = pool[name]
    rows = np.flatnonzero(lists.lengths > 0)
    if not len(rows):
        raise UsageError(f"{name}: no row has any")
    lengths = lists.lengths[rows]
    other = np.flatnonzero(lengths != lengths[0])
    if len(other):
        raise UsageError(
            f"{name}: row {pool.ids[rows[other[0]]]} has {lengths[other[0]]} values, "
            f"row {pool.ids[rows[0]]} has {lengths[0]}; all must be of one length (null: unknown)"
        )
    return rows, lists.values.reshape(len(rows), int(lengths[0]))
