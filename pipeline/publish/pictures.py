"""Pictures of recorded signals: PNG bytes, drawn without a display.

The same values give the same bytes wherever the same matplotlib, Pillow and numpy are installed: the
user's own matplotlib settings do not count, and no time or version is written into the file.
"""

import io
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Libraries that decide about the bytes.
LIBRARIES = ("matplotlib", "pillow")
_MOST_POINTS = 5_000
_SHOWN_CLUSTERS = 20


def libraries() -> dict[str, str]:
    """Versions of the libraries that the pictures' bytes depend on."""
    return {name: version(name) for name in LIBRARIES}


def pass_rate_histogram(rates: Sequence[float | None]) -> bytes:
    """Tasks by pass rate in 20 bins over [0, 1]; tasks that were not judged are counted aside."""
    known = [rate for rate in rates if rate is not None]

    def draw(axes: Any) -> None:
        axes.hist(known, bins=np.linspace(0, 1, 21), color="#4667d9", edgecolor="white")
        axes.set_xlim(0, 1)
        axes.set_xlabel("pass rate")
        axes.set_ylabel("tasks")
        axes.yaxis.get_major_locator().set_params(integer=True)
        missing = len(rates) - len(known)
        axes.set_title(f"{len(known)} tasks" + (f", {missing} more not judged" if missing else ""))

    return _png(6.0, 3.0, draw)


def cluster_scatter(x: NDArray[Any], y: NDArray[Any], cluster: NDArray[Any]) -> bytes:
    """Prompts on the plane of `x` and `y` (n each), coloured by cluster; at most 5,000 of them.

    The twenty largest clusters have colours of their own, the others share one.
    """
    title = f"{len(x)} prompts, {len(np.unique(cluster))} clusters"
    if len(x) > _MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(x), _MOST_POINTS, replace=False)
        x, y, cluster = x[chosen], y[chosen], cluster[chosen]
        title += f" ({_MOST_POINTS} of them drawn)"

    def draw(axes: Any) -> None:
        rest = cluster >= _SHOWN_CLUSTERS
        axes.scatter(x[rest], y[rest], s=12, color="#c4c8d0", linewidths=0)
        own = ~rest
        axes.scatter(x[own], y[own], s=16, c=cluster[own], cmap="tab20", vmin=0,
                     vmax=_SHOWN_CLUSTERS - 1, linewidths=0)  # fmt: skip
        axes.set_xlabel("first principal component")
        axes.set_ylabel("second")
        axes.set_title(title)

    return _png(6.0, 4.5, draw)


def _png(width: float, height: float, draw: Callable[[Any], None]) -> bytes:
    """`draw` on axes of `width` by `height` inches, at 100 pixels an inch."""
    import matplotlib.style

    # A figure of its own, not pyplot's: no global state, no choice of backend.
    from matplotlib.figure import Figure

    sink = io.BytesIO()
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()
