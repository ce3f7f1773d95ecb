"""The picture of a comparison: one row per selector, read across, and a map of what each one took.

Left to right: overlap with the others (Jaccard), difficulty, length, clusters, sources, time, memory;
below, the chosen points on the plane of the embeddings. Panels for traits that the pool lacks are
left out. A selector has one colour everywhere, from palettes that hold for colour-blind readers; past
nine selectors the colours come again, and the names tell them apart. Names are shown literally.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.pipeline.histogram import bins
from winnow.selectors.comparison.runs import POOL
from winnow.selectors.comparison.tables import Comparison

DPI = 130
# Okabe and Ito, then Tol's "muted" where they end.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
            "#332288", "#882255", "#999933")  # fmt: skip
_BASELINE = "#6B7078"
_POOL = "#C6CAD2"
_INK, _FAINT, _GRID = "#22262E", "#6B7078", "#E4E6EA"
_RANDOM = "random"

_MARGIN = 0.35  # all sizes in inches
_GAP = 0.34
_MAP = 1.8  # the least
_BETWEEN, _OVER_MAP = 0.12, 0.3
_MOST_POINTS = 20_000  # of a map
_SOURCES = 7
_LABEL, _TICK = 9.0, 7.5  # points


@dataclass(frozen=True)
class Picture:
    """One figure in two formats."""

    png: bytes
    svg: bytes


def check_matplotlib() -> None:
    """Raises UsageError where the picture cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            "the picture needs matplotlib, which is not installed: pip install matplotlib (or the "
            "extra winnow-data[dagster]); --no-picture goes without"
        )


def draw(found: Comparison, title: str) -> Picture:
    """The picture of a comparison in which at least one selector ran. Raises UsageError without
    matplotlib."""
    check_matplotlib()
    import matplotlib

    settings = {
        # A name with two dollar signs is a name, no formula.
        "text.parse_math": False,
        "text.usetex": False,
        "axes.formatter.use_mathtext": False,
        "font.family": "DejaVu Sans",
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _FAINT,
        "ytick.color": _FAINT,
        "xtick.labelsize": _TICK,
        "axes.edgecolor": _FAINT,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "svg.hashsalt": "winnow",
    }
    with matplotlib.rc_context(settings):
        figure = _Drawing(found, title).figure()
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
        figure.savefig(svg, format="svg", dpi=DPI, metadata={"Date": None})
    return Picture(png.getvalue(), svg.getvalue())


def colours(labels: Sequence[str]) -> dict[str, str]:
    """The colour of each selector; the baseline is grey."""
    others = [label for label in labels if label != _RANDOM]
    found = {label: _COLOURS[at % len(_COLOURS)] for at, label in enumerate(others)}
    return {label: found.get(label, _BASELINE) for label in labels}


def literal(text: str, width: int) -> str:
    """`text` as it is, in one line of at most `width` characters: what the font cannot draw, and what
    would turn the direction of writing or the like, becomes an escape."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    line = "".join(
        c if c.isprintable() and ord(c) in known else c.encode("unicode_escape", "replace").decode()
        for c in " ".join(text.split())
    )
    return line if len(line) <= width else line[: width - 1] + "…"


@dataclass(frozen=True)
class _Panel:
    """A column of the page: its title, its width, and what draws it from the left edge at x."""

    title: str
    width: float
    draw: Callable[[float], None]


class _Drawing:
    def __init__(self, found: Comparison, title: str) -> None:
        self._found, self._title = found, title
        self._masks = found.masks()
        self._labels = list(self._masks)
        self._colours = colours(self._labels)
        self._summary = {row["selector"]: row for row in found.summary.to_pylist()[1:]}
        self._pool = found.summary.slice(0, 1).to_pylist()[0]
        self._names = {label: literal(label, 24) for label in self._labels}
        n = len(self._labels)
        self._row = 0.62 if n <= 10 else 0.5 if n <= 18 else 0.42
        self._gutter = 0.25 + 0.078 * max(len(name) for name in (*self._names.values(), POOL, ""))
        self._panels = self._chosen_panels()

    def figure(self) -> Any:
        from matplotlib.figure import Figure

        gaps = _GAP * len(self._panels)
        body = self._gutter + sum(panel.width for panel in self._panels) + gaps
        self._width = max(body + 2 * _MARGIN, 9.0)
        n, maps = len(self._labels), self._found.traits.plane is not None
        inner = self._width - 2 * _MARGIN
        most = int((inner + _BETWEEN) // (_MAP + _BETWEEN))
        columns = -(-(n + 1) // -(-(n + 1) // most))  # as many in each row as can be
        self._map = min((inner + _BETWEEN) / columns - _BETWEEN, 1.5 * _MAP)
        self._top = 0.95 + max(0.0, self._heads() - self._row)
        self._foot = 0.72 + 0.17 * self._legend_rows()
        notes = self._notes()
        rows_of_maps = -(-(n + 1) // columns) if maps else 0
        under = self._top + (n + 1) * self._row + self._foot
        self._height = under + rows_of_maps * (self._map + _OVER_MAP) + (0.12 if maps else 0.0)
        self._height += 0.19 * len(notes) + 0.32
        self._page = Figure(figsize=(self._width, self._height), facecolor="white")
        self._text(_MARGIN, 0.36, self._title, size=12.5, weight="bold")
        self._row_labels()
        x = _MARGIN + self._gutter
        for panel in self._panels:
            y = self._top - 0.13
            if panel.draw == self._overlap:  # above the names
                y = min(y, self._y(1) - self._heads() - 0.05)
            self._text(x, y, panel.title, size=_LABEL, weight="bold")
            panel.draw(x)
            x += panel.width + _GAP
        if maps:
            self._maps(under, columns)
        for at, note in enumerate(notes):
            y = self._height - 0.2 - 0.19 * (len(notes) - 1 - at)
            self._text(_MARGIN, y, note, size=8, color=_FAINT)
        return self._page

    # Layout

    def _chosen_panels(self) -> list[_Panel]:
        traits, n = self._found.traits, len(self._labels)
        panels = []
        if n > 1:
            panels.append(_Panel("overlap (Jaccard)", max(1.3, min(0.46 * n, 5.2)), self._overlap))
        if traits.difficulty is not None:
            panels.append(_Panel(traits.difficulty_name, 2.3, self._difficulty))
        if traits.length is not None:
            panels.append(_Panel(traits.length_name, 2.3, self._length))
        if traits.cluster is not None:
            panels.append(_Panel("clusters covered", 1.75, self._coverage))
        if traits.source is not None:
            panels.append(_Panel("sources", 2.3, self._sources))
        panels.append(_Panel("time (s)", 1.3, self._time))
        panels.append(_Panel("memory (MiB)", 1.3, self._memory))
        return panels

    def _heads(self) -> float:
        """Height that the names above the overlap need."""
        if len(self._labels) < 2:
            return 0.0
        return 0.12 + 0.007 * self._head_size() * max(map(len, self._names.values()))

    def _head_size(self) -> float:
        """Points of the names above the overlap."""
        return 8.0 if self._panels[0].width / len(self._labels) >= 0.2 else 6.0

    def _y(self, row: int) -> float:
        """Top edge of row `row`; the pool is row 0."""
        return self._top + row * self._row

    def _axes(self, x: float, y: float, width: float, height: float) -> Any:
        """Axes whose top left corner is at (x, y) from the page's."""
        w, h = self._width, self._height
        axes = self._page.add_axes((x / w, 1 - (y + height) / h, width / w, height / h))
        axes.set_facecolor("none")
        return axes

    def _text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Text whose baseline begins at (x, y)."""
        self._page.text(x / self._width, 1 - y / self._height, text, **style)

    def _row_labels(self) -> None:
        middle = 0.5 * self._row + 0.05
        self._text(_MARGIN, self._y(0) + middle, POOL, size=_LABEL, color=_FAINT, weight="bold")
        for at, label in enumerate(self._labels, 1):
            self._text(_MARGIN, self._y(at) + middle, self._names[label], size=_LABEL,
                       color=self._colours[label], weight="bold")  # fmt: skip
            rows = self._summary[label]["rows"]
            self._text(_MARGIN, self._y(at) + middle + 0.15, f"{rows:,} rows", size=7, color=_FAINT)
        self._text(_MARGIN, self._y(0) + middle + 0.15, f"{self._pool['rows']:,} rows", size=7,
                   color=_FAINT)  # fmt: skip

    # Panels

    def _overlap(self, x: float) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        n = len(self._labels)
        values = np.full((n, n), np.nan)
        place = {label: at for at, label in enumerate(self._labels)}
        for row in self._found.jaccard.to_pylist():
            if row["jaccard"] is not None:
                values[place[row["a"]], place[row["b"]]] = row["jaccard"]
        others = values[~np.eye(n, dtype=bool)]
        top = max(0.4, float(np.nanmax(others)) if np.isfinite(others).any() else 0.0)
        width = self._panels[0].width
        axes = self._axes(x, self._y(1), width, n * self._row)
        shown = np.where(np.eye(n, dtype=bool), np.nan, values)
        scale = LinearSegmentedColormap.from_list(
            "overlap", ["#F4F5F7", "#7F93B2", "#1B2A49"]
        ).with_extremes(bad="#FFFFFF")
        axes.imshow(shown, cmap=scale, vmin=0, vmax=top, aspect="auto", interpolation="nearest")
        cell = width / n
        for i in range(n):
            for j in range(n):
                if i == j or np.isnan(values[i, j]) or cell < 0.2:
                    continue
                text = f"{values[i, j]:.2f}"
                axes.text(j, i, text if cell >= 0.34 else text.lstrip("0"), ha="center",
                          va="center", size=8 if cell >= 0.34 else 6,
                          color="white" if values[i, j] > 0.5 * top else _INK)  # fmt: skip
        axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.set_yticks([])
        axes.set_xticks(range(n), [self._names[label] for label in self._labels], rotation=90,
                        va="bottom")  # fmt: skip
        axes.xaxis.tick_top()
        axes.tick_params(axis="x", labelsize=self._head_size(), pad=3, length=0)
        for tick, label in zip(axes.get_xticklabels(), self._labels, strict=True):
            tick.set_color(self._colours[label])
        axes.spines[:].set_visible(False)

    def _difficulty(self, x: float) -> None:
        traits = self._found.traits
        assert traits.difficulty is not None
        bounds = (0.0, 1.0) if traits.difficulty_name == "pass rate" else None
        self._histograms(x, traits.difficulty, "difficulty", bounds)

    def _length(self, x: float) -> None:
        assert self._found.traits.length is not None
        self._histograms(x, self._found.traits.length, "length", None)

    def _histograms(
        self, x: float, values: NDArray[np.float64], name: str, bounds: tuple[float, float] | None
    ) -> None:
        from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

        edges, log = bins(values, bounds)
        pool = _shares(values, np.ones(len(values), dtype=bool), edges)
        own = {label: _shares(values, mask, edges) for label, mask in self._masks.items()}
        peak = max(float(each.max()) for each in (pool, *own.values()))
        # One selector in a single bin must not press the others flat.
        top = min(peak, 4.0 * float(pool.max())) or 1.0
        height = self._row - 0.08
        room = height / (height - 0.14)  # the mean in words stands above the bars
        for at, label in enumerate([POOL, *self._labels]):
            axes = self._axes(x, self._y(at) + 0.08, 2.3, height)
            shares = pool if at == 0 else own[label]
            colour = _POOL if at == 0 else self._colours[label]
            axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=colour,
                     alpha=1.0 if at == 0 else 0.85, linewidth=0)  # fmt: skip
            if at:
                axes.stairs(pool, edges, color=_FAINT, linewidth=0.8)
            row = self._pool if at == 0 else self._summary[label]
            mean = row[f"{name}_mean"]
            if mean is not None:
                axes.axvline(mean, ymax=1 / room, color=_INK, linewidth=0.9)
                axes.text(0.99, 0.98, f"mean {_short(mean)}", transform=axes.transAxes, ha="right",
                          va="top", size=7, color=_FAINT)  # fmt: skip
            for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True):
                if share > top * 1.02:
                    middle = (left * right) ** 0.5 if log else (left + right) / 2
                    axes.text(middle, top * 1.0, f"{share:.0%}", ha="center", va="top", size=6,
                              color="white", rotation=90)  # fmt: skip
            axes.set_ylim(0, room * top)
            if log:
                axes.set_xscale("log")
            axes.set_xlim(edges[0], edges[-1])
            axes.set_yticks([])
            axes.xaxis.set_minor_locator(NullLocator())
            if log:
                axes.set_xticks(_decades(edges[0], edges[-1]))
            else:
                axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
            axes.spines[["top", "right", "left"]].set_visible(False)
            if at < len(self._labels):
                axes.tick_params(labelbottom=False)

    def _coverage(self, x: float) -> None:
        axes = self._bars_axes(x, 1.75, pool=True)
        total = self._pool["clusters"]
        for at, label in enumerate([POOL, *self._labels]):
            row = self._pool if at == 0 else self._summary[label]
            share, even = row["cluster_share"] or 0.0, row["cluster_evenness"]
            colour = _POOL if at == 0 else self._colours[label]
            axes.barh(at, share, 0.42, color=colour, alpha=0.85)
            if even is not None:
                chance = row["evenness_by_chance"]
                axes.plot([chance] * 2, [at - 0.36, at + 0.36], color=_INK, linewidth=0.9)
                axes.plot([even], [at], marker="D", markersize=4.5, color=_INK, clip_on=False,
                          markeredgecolor="white", markeredgewidth=0.6, zorder=3)  # fmt: skip
            axes.text(0, at - 0.27, f"{row['clusters'] or 0} of {total}", size=7, color=_FAINT,
                      va="bottom")  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_xlabel("share, evenness ◆ (chance |)", size=_TICK)

    def _sources(self, x: float) -> None:
        from matplotlib.patches import Patch

        axes = self._bars_axes(x, 2.3, pool=True)
        shown, palette = self._legend()
        for at, label in enumerate([POOL, *self._labels]):
            row = self._pool if at == 0 else self._summary[label]
            shares = {each["source"]: each["share"] for each in row["sources"] or []}
            left = 0.0
            parts = [shares.get(source, 0.0) for source in shown]
            if len(palette) > len(shown):
                parts.append(max(0.0, sum(shares.values()) - sum(parts)))
            for part, colour in zip(parts, palette, strict=True):
                axes.barh(at, part, 0.5, left=left, color=colour, edgecolor="white", linewidth=0.8)
                left += part
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        names = [literal(source, 34) for source in shown]
        if len(palette) > len(shown):
            names.append(f"{self._count_sources() - len(shown)} more")
        # Patches by hand: a label that begins with an underscore would stay out of a made legend.
        axes.legend([Patch(color=colour) for colour in palette], names, loc="upper left",
                    bbox_to_anchor=(-0.02, -0.3 / ((len(self._labels) + 1) * self._row)),
                    fontsize=_TICK, frameon=False, borderaxespad=0, labelspacing=0.25,
                    handlelength=1.0, handleheight=0.8, borderpad=0, ncols=2, columnspacing=1.2)  # fmt: skip

    def _time(self, x: float) -> None:
        self._costs(x, {label: self._summary[label]["seconds"] for label in self._labels})

    def _memory(self, x: float) -> None:
        self._costs(
            x, {label: self._summary[label]["peak_bytes"] / 2**20 for label in self._labels}
        )

    def _costs(self, x: float, values: Mapping[str, float]) -> None:
        axes = self._bars_axes(x, 1.3, pool=False)
        top = max(values.values()) or 1.0
        for at, label in enumerate(self._labels, 1):
            value = values[label]
            axes.barh(at, value, 0.42, color=self._colours[label], alpha=0.85)
            said = _short(value) if value >= 0.01 or value == 0 else "<0.01"
            axes.text(value + 0.02 * top, at, said, size=7, color=_INK, va="center")
        axes.set_xlim(0, 1.45 * top)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)

    def _bars_axes(self, x: float, width: float, *, pool: bool) -> Any:
        """Axes over all rows, one unit of y per row; row 0 is the pool's."""
        first, n = 0 if pool else 1, len(self._labels)
        axes = self._axes(x, self._y(first), width, (n + 1 - first) * self._row)
        axes.set_ylim(n + 0.5, first - 0.5)
        axes.set_yticks([])
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines["left"].set_color(_GRID)
        return axes

    def _maps(self, top: float, columns: int) -> None:
        traits = self._found.traits
        assert traits.plane is not None
        plane = traits.plane
        known = np.isfinite(plane).all(axis=1)
        self._text(_MARGIN, top + 0.12, "where the chosen rows lie", size=_LABEL, weight="bold")
        self._text(_MARGIN + 2.0, top + 0.12, "first two principal components of the embeddings; "
                   "grey: the pool", size=8, color=_FAINT)  # fmt: skip
        low, high = np.quantile(plane[known], [0.002, 0.998], axis=0)
        pad = 0.06 * np.where(high > low, high - low, 1.0)
        limits = (low - pad, high + pad)
        everything = _some(np.flatnonzero(known))
        for at, label in enumerate([POOL, *self._labels]):
            x = _MARGIN + (at % columns) * (self._map + _BETWEEN)
            y = top + 0.44 + (at // columns) * (self._map + _OVER_MAP)
            name = POOL if at == 0 else self._names[label]
            self._text(x, y - 0.05, name, size=8.5, weight="bold",
                       color=_FAINT if at == 0 else self._colours[label])  # fmt: skip
            axes = self._axes(x, y, self._map, self._map)
            axes.scatter(*plane[everything].T, s=1.6, color=_POOL, linewidths=0, rasterized=True)
            if at:
                own = _some(np.flatnonzero(known & self._masks[label]))
                axes.scatter(*plane[own].T, s=_dot(len(own)), color=self._colours[label],
                             linewidths=0, alpha=0.8, rasterized=True)  # fmt: skip
            axes.set_xlim(limits[0][0], limits[1][0])
            axes.set_ylim(limits[0][1], limits[1][1])
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color(_GRID)

    # Words and lists

    def _count_sources(self) -> int:
        return len(self._pool["sources"] or [])

    def _legend(self) -> tuple[list[str], list[Any]]:
        """The sources with a colour of their own, and all colours: one more where there is a rest."""
        import matplotlib

        names = [each["source"] for each in self._pool["sources"] or []]
        rest = len(names) > _SOURCES + 1
        shown = names[:_SOURCES] if rest else names
        scale = matplotlib.colormaps["cividis"]
        palette = [scale(at) for at in np.linspace(0.05, 0.95, max(len(shown), 2))[: len(shown)]]
        return shown, [*palette, "#D9DBE0"] if rest else palette

    def _legend_rows(self) -> int:
        return -(-min(self._count_sources(), _SOURCES + 1) // 2)  # in two columns

    def _notes(self) -> list[str]:
        notes = []
        chances = [
            row["by_chance"]
            for row in self._found.jaccard.to_pylist()
            if row["a"] != row["b"] and row["by_chance"] is not None
        ]
        if chances:
            low, high = min(chances), max(chances)
            span = f"{low:.2f}" if high - low < 0.005 else f"{low:.2f} to {high:.2f}"
            notes.append(f"Overlap of independent random draws of these sizes: {span}. Grey lines "
                         "over the bars: the pool; dark ones: the mean.")  # fmt: skip
        for run in self._found.runs:
            if run.status != "ran":
                said = "not run" if run.status == "not_run" else "failed"
                width = int((self._width - 2 * _MARGIN) / 0.068)
                notes.append(literal(f"{run.label} {said}: {run.why}", width))
        return notes


def _shares(
    values: NDArray[np.float64], mask: NDArray[np.bool_], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    own = values[mask & np.isfinite(values)]
    counts = np.histogram(np.clip(own, edges[0], edges[-1]), edges)[0]
    return counts / max(len(own), 1)


def _decades(low: float, high: float) -> list[float]:
    """1, 3 and 10 of each power of ten in the range, every second of them where they are many."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    found = [m * 10.0**p for p in powers for m in (1, 3) if low <= m * 10.0**p <= high]
    return found[:: 2 if len(found) > 6 else 1]


def _some(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    if len(rows) <= _MOST_POINTS:
        return rows
    return np.random.default_rng(0).choice(rows, _MOST_POINTS, replace=False)


def _dot(n: int) -> float:
    """Size of a point, so that few stand out and many do not run together."""
    return float(np.clip(2600 / max(n, 1), 1.5, 9.0))


def _short(value: float) -> str:
    """Three digits at most: 0.042, 1.2, 340, 12k."""
    if value == 0:
        return "0"
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            divisor = 1e3 if suffix == "k" else size
            return f"{value / divisor:.3g}{suffix}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.2g}" if abs(value) < 1 else f"{value:.3g}"
    return text if "e" not in text else "<0.001" if 0 < value < 0.001 else text
