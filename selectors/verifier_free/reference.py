"""Checks of what the scorer says about the tokens of a reference answer."""

import numpy as np

from winnow.pipeline.errors import UsageError
from winnow.selectors.base import Column
from winnow.selectors.pool import Pool, Ragged

_ROUNDING = 1e-3  # log-softmax in half precision can end a little above 0


def check_logprobs(pool: Pool, column: Column) -> Ragged:
    """The column. Raises UsageError naming a row whose reference is empty or has a log-probability
    above 0."""
    values = check_filled(pool, column)
    if len(values.values) and values.values.max() > _ROUNDING:
        row = row_of(values, int(values.values.argmax()))
        raise UsageError(
            f"row {pool.ids[row]!r}: {column.name}: holds {values.values.max():.4g}; "
            "a log-probability is at most 0"
        )
    return values


def check_filled(pool: Pool, column: Column) -> Ragged:
    """The column. Raises UsageError naming a row whose list is empty."""
    values: Ragged = pool[column.name]
    empty = np.flatnonzero(values.lengths == 0)
    if len(empty):
        raise UsageError(
            f"row {pool.ids[empty[0]]!r}: {column.name}: is empty; a reference needs at least one token"
        )
    return values


def row_of(values: Ragged, at: int) -> int:
    """The row that the value at this place belongs to."""
    return int(np.searchsorted(values.offsets, at, "right")) - 1
