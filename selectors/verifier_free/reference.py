"""Checks of what the scorer says about the tokens of a reference answer."""

import numpy as np

from winnow.pipeline.errors import UsageError
from winnow.selectors.base import Column
from winnow.selectors.logprobs import check_logprobs
from winnow.selectors.pool import Pool, Ragged


def checked(pool: Pool, column: Column) -> Ragged:
    """The column. Raises UsageError naming a row whose reference is empty or has a log-probability
    above 0."""
    values = check_filled(pool, column)
    check_logprobs(pool, column.name)
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
