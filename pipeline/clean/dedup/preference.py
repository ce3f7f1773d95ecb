"""Which of two duplicates stays: a stated rule, never an accident of order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def by_length(texts: Sequence[str | None]) -> NDArray[np.float64]:
    """Longer is better; shape (n,), in characters. None is worse than empty."""
    return np.array([-1 if text is None else len(text) for text in texts], dtype=np.float64)


def by_order(values: Sequence[Any], best_first: Sequence[Any]) -> NDArray[np.float64]:
    """What stands earlier in `best_first` is better; shape (n,). What is not listed comes last."""
    place = {value: -float(at) for at, value in enumerate(best_first)}
    return np.array([place.get(value, -float(len(best_first))) for value in values])


def ranked(
    prefer: Sequence[NDArray[Any]], texts: Sequence[bytes], ties: Sequence[bytes] | None
) -> NDArray[np.int64]:
    """Row numbers, best first; shape (n,).

    `prefer` are keys of shape (n,), the first counting most, larger values better and NaN worst.
    Rows that are equal in all of them are ordered by `texts` and then `ties`, hashes of 16 bytes of
    the rows' content, so that only rows which are the same in everything stand in input order.

    Raises ValueError where a key has another length.
    """
    keys: list[NDArray[Any]] = [np.arange(len(texts))]
    for hashes in (ties, texts):
        if hashes is not None:
            halves = np.frombuffer(b"".join(hashes), dtype=">u8").reshape(-1, 2)
            keys += [halves[:, 1], halves[:, 0]]
    for key in reversed(prefer):
        column = np.asarray(key, dtype=np.float64)
        if column.shape != (len(texts),):
            raise ValueError(f"a preference has shape {column.shape}, but {len(texts)} rows")
        keys.append(-np.where(np.isnan(column), -np.inf, column))
    return np.asarray(np.lexsort(keys), dtype=np.int64)
