"""What every column of log-probabilities must be."""

import numpy as np

from winnow.pipeline.errors import UsageError
from winnow.selectors.pool import Pool, Ragged

_ROUNDING = 0.01


def check_logprobs(pool: Pool, name: str) -> None:
    """Raises UsageError where the column holds a number above 0 by more than rounding: most likely a
    loss, with which every preference would be the reverse of what is meant."""
    column = pool[name]
    values = column.values if isinstance(column, Ragged) else column
    above = np.flatnonzero(values > _ROUNDING)  # NaN is not
    if len(above):
        at = first = int(above[0])
        if isinstance(column, Ragged):
            at = int(np.searchsorted(column.offsets, first, side="right")) - 1
        raise UsageError(
            f"row {pool.ids[at]}: {name} holds {values[first]:.6g}, but log-probabilities are at most 0 "
            "(is it a loss?)"
        )
