"""Seeded draws without replacement inside clusters."""

import numpy as np
from numpy.typing import NDArray


def softmax(
    values: NDArray[np.float64], group: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """exp(v_i) / sum of exp(v_j) over the entries of its group (all of them, if None); (n,), n > 0.

    -inf gives 0; a group of -inf only is uniform.
    """
    group = np.zeros(len(values), np.int64) if group is None else group
    largest = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(largest, group, values)
    lowest = np.where(np.isfinite(largest), largest, 0.0)
    values = np.where(np.isfinite(largest[group]), values, 0.0)
    mass = np.exp(values - lowest[group])
    share: NDArray[np.float64] = mass / np.bincount(group, mass)[group]
    return share


def standing(
    log_weight: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """A number for each row such that the k highest of any group are k successive draws without
    replacement from it, each with probability proportional to exp(log_weight) of the rows left.

    Gumbel top-k (arXiv 1903.06059): the highest values of log_weight + Gumbel noise. Rows of
    weight 0 come after all others, in random order. The numbers are ranks, n (best) to 1.
    """
    noise = generator.gumbel(size=len(log_weight))
    order = np.lexsort((-noise, -(log_weight + noise)))
    result = np.empty(len(order))
    result[order] = np.arange(len(order), 0, -1)
    return result
