"""What every column of log-probabilities, or of entropies, must be."""

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.selectors.pool import Pool, Ragged

_ROUNDING = 0.01


def check_logprobs(pool: Pool, name: str) -> None:
    """Raises UsageError where the column holds a number above 0 by more than rounding: most likely a
    loss, with which every preference would be the reverse of what is meant."""
    _refuse(
        pool,
        name,
        _values(pool, name) > _ROUNDING,
        "log-probabilities are at most 0 (is it a loss?)",
    )


def check_entropies(pool: Pool, name: str) -> None:
    """Raises UsageError where the column holds a number below 0 by more than rounding."""
    _refuse(pool, name, _values(pool, name) < -_ROUNDING, "entropies are at least 0")


def _values(pool: Pool, name: str) -> NDArray[np.float64]:
    column = pool[name]
    values: NDArray[np.float64] = column.values if isinstance(column, Ragged) else column
    return values


def _refuse(pool: Pool, name: str, bad: NDArray[np.bool_], why: str) -> None:
    """Raises UsageError for the first of the column's values that is bad; NaN never is."""
    if bad.any():
        at = first = int(bad.argmax())
        if isinstance(column := pool[name], Ragged):
            at = int(np.searchsorted(column.offsets, first, side="right")) - 1
        value = _values(pool, name)[first]
        raise UsageError(f"row {pool.ids[at]}: {name} holds {value:.6g}, but {why}")
