"""Refusing values that admit no answer, by row and column."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.selectors.pool import Pool

SLACK = 1e-6  # far below the distance of two rates of so many answers, far above float32's error


def refuse(pool: Pool, bad: Any, column: str, problem: str) -> None:
    """Raise UsageError for the first row (in canonical order) that is `bad` (n,), if there is one."""
    rows = np.flatnonzero(bad)
    if len(rows):
        value = np.asarray(pool[column], dtype=object)[rows[0]] if pool.has(column) else ""
        raise UsageError(f"row {pool.ids[rows[0]]}: {column} {value}: {problem}")


def counts(pool: Pool, column: str) -> NDArray[np.float64]:
    """A column of counts, float64, NaN where null is allowed and there. Raises UsageError below 0."""
    values = np.asarray(pool[column], np.float64)
    refuse(pool, values < 0, column, "a count must be at least 0")
    return values


def rates(pool: Pool, column: str) -> NDArray[np.float64]:
    """A column of pass rates, float64, NaN where null is allowed and there. Raises UsageError outside
    [0, 1] by more than rounding."""
    values = np.asarray(pool[column], np.float64)
    refuse(pool, (values < -SLACK) | (values > 1 + SLACK), column, "is no share")
    return values
