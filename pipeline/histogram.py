"""Where the bins of a histogram begin and end."""

import numpy as np
from numpy.typing import NDArray

_DISCRETE = 17  # values up to which each has a bar of its own


def bins(
    values: NDArray[np.float64], bounds: tuple[float, float] | None = None
) -> tuple[NDArray[np.float64], bool]:
    """Edges for a histogram of `values` (not all NaN), and whether they are spaced by ratio.

    Few evenly spaced values have a bar each. Otherwise there are 20 to 24 bins over `bounds`, or over
    all but the outermost 0.5 % on either side, which count in the last bins; by ratio where the
    values are positive and the 99 % quantile is more than four times the median.
    """
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    low, high = float(distinct[0]), float(distinct[-1])
    if len(distinct) == 1:
        width = abs(low) * 0.1 or 0.5
        return low + width * np.array([-1.5, -0.5, 0.5, 1.5]), False
    gap = float(np.diff(distinct).min())
    if len(distinct) <= _DISCRETE and high - low <= 2 * _DISCRETE * gap:
        steps = (distinct - low) / gap
        if np.abs(steps - np.round(steps)).max() < 0.01:
            count = round(float(steps[-1])) + 1
            return np.linspace(low - gap / 2, high + gap / 2, count + 1), False
    if bounds is not None:
        return np.linspace(*bounds, 21), False
    inner, middle, outer = np.quantile(known, [0.005, 0.5, 0.995])
    if inner < outer:
        low, high = float(inner), float(outer)
    if low > 0 and np.quantile(known, 0.99) > 4 * middle:
        return np.geomspace(low, high, 25), True
    return np.linspace(low, high, 25), False
