"""What several selections of one pool have in common and what each prefers, as tables.

Pure: traits of the rows and finished runs in, tables out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.names import canonical_json
from winnow.pipeline.schema import column
from winnow.selectors.comparison.runs import POOL, Run
from winnow.selectors.comparison.traits import Traits
from winnow.selectors.rows import ROW_ID

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_NOT_RUN = "the selector did not run"
_NONE_SELECTED = "nothing is selected, or the pool has no such trait"


def _spread(name: str, what: str) -> list[pa.Field]:
    return [
        column(f"{name}_mean", pa.float64(), f"Mean {what} of the selected rows.",
               null=_NONE_SELECTED),
        *(column(f"{name}_q{round(100 * q)}", pa.float64(), f"{q:g} quantile of it.",
                 null=_NONE_SELECTED) for q in QUANTILES),
        column(f"{name}_shift", pa.float64(), "Its mean less the pool's, in standard deviations of "
               "the pool.", null=f"{_NONE_SELECTED}, or all rows of the pool are alike"),
    ]  # fmt: skip


SUMMARY = pa.schema(
    [
        column("selector", pa.string(), f"Label of the run; {POOL!r}: all rows."),
        column("name", pa.string(), "Name of the selector.", null="the pool"),
        column("parameters", pa.string(), "Parameters that were set, canonical JSON.",
               null="the pool"),
        column("status", pa.string(), "ran, not_run (the pool lacks what it needs) or failed."),
        column("why", pa.string(), "Why it did not run.", null="it ran"),
        column("rows", pa.int64(), "Rows selected.", null=_NOT_RUN),
        column("share", pa.float64(), "The same as a share of the pool.", null=_NOT_RUN),
        column("qualify", pa.int64(), "Rows that its rule lets be selected.", null=_NOT_RUN),
        column("lacking", pa.list_(pa.struct([("column", pa.string()), ("rows", pa.int64())])),
               "Rows that were set aside because they lack a value, by column.", null=_NOT_RUN),
        column("tokens", pa.float64(), "Tokens of the selected rows.",
               null="the pool has no n_tokens"),
        column("difficulty_measure", pa.string(), "What difficulty is here.",
               null="the pool has none"),
        *_spread("difficulty", "difficulty"),
        column("length_measure", pa.string(), "What length is here.", null="the pool has none"),
        *_spread("length", "length"),
        column("clusters", pa.int64(), "Clusters with a selected row.", null=_NONE_SELECTED),
        column("cluster_share", pa.float64(), "The same as a share of the pool's clusters.",
               null=_NONE_SELECTED),
        column("cluster_evenness", pa.float64(), "Entropy of the selected rows over the clusters / "
               "log of the pool's number of clusters: 1 = as many in each.",
               null=f"{_NONE_SELECTED}, or the pool has one cluster"),
        column(
            "clusters_by_chance",
            pa.float64(),
            "Mean of `clusters` over all draws of as many rows.",
            null=_NONE_SELECTED,
        ),
        column(
            "evenness_by_chance",
            pa.float64(),
            "The same of `cluster_evenness`, which is lower the fewer rows there are.",
            null=f"{_NONE_SELECTED}, or the pool has one cluster",
        ),
        column("sources", pa.list_(pa.struct([("source", pa.string()), ("rows", pa.int64()),
                                              ("share", pa.float64())])),
               "Selected rows by source, the most first.", null=_NONE_SELECTED),
        column("source_shift", pa.float64(), "Half the summed distance of the sources' shares from "
               "the pool's: 0 = the same mix, 1 = no source in common.", null=_NONE_SELECTED),
        column("effective_rows", pa.float64(), "(sum of weights)^2 / sum of squared weights of the "
               "selected rows.", null="nothing is selected, or all weights are 0"),
        column("seconds", pa.float64(), "Wall time of choosing.", null=_NOT_RUN),
        column("peak_bytes", pa.int64(), "The columns it reads, and resident memory on top while it "
               "chose.", null=_NOT_RUN),
    ]
)  # fmt: skip

JACCARD = pa.schema(
    [
        column("a", pa.string(), "Label of a run."),
        column("b", pa.string(), "Label of a run."),
        column("both", pa.int64(), "Rows that both select."),
        column("either", pa.int64(), "Rows that at least one selects."),
        column("jaccard", pa.float64(), "both / either.", null="neither selects a row"),
        column("by_chance", pa.float64(), "The same of two independent uniform draws of these sizes, "
               "with both and either at their means.", null="neither selects a row"),
    ]
)  # fmt: skip

SELECTIONS = pa.schema(
    [
        column(ROW_ID, pa.string(), "Name of the row."),
        column("selector", pa.string(), "Label of the run."),
        column("selected", pa.bool_(), "Whether it chose the row."),
        column("rank", pa.int64(), "Place in its order of preference, from 0.",
               null="the row does not qualify"),
        column("score", pa.float64(), "Its score.", null="the row has none"),
        column("weight", pa.float64(), "Training weight; 0 where the row is not selected."),
        column("reason", pa.string(), "Why the row is not selected, or what speaks for it."),
    ]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """`summary`: the pool, then a row per run. `jaccard`: a row per ordered pair of runs that ran.
    `selections`: a row per run that ran and row of the input, in its order."""

    traits: Traits
    runs: Sequence[Run]
    summary: pa.Table
    jaccard: pa.Table
    selections: pa.Table

    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Which rows each run that ran selected."""
        return masks(self.runs)


def masks(runs: Sequence[Run]) -> dict[str, NDArray[np.bool_]]:
    return {
        run.label: run.table["selected"].to_numpy(zero_copy_only=False)
        for run in runs
        if run.table is not None
    }


def compare(traits: Traits, runs: Sequence[Run]) -> Comparison:
    """Compare finished runs over the rows that `traits` describes.

    Raises ValueError for a run over another number of rows.
    """
    for run in runs:
        if run.table is not None and run.table.num_rows != traits.rows:
            raise ValueError(f"{run.label}: {run.table.num_rows} rows, the pool has {traits.rows}")
    rows = [_pool_row(traits), *(_summary_row(run, traits) for run in runs)]
    return Comparison(
        traits,
        runs,
        pa.Table.from_pylist(rows, schema=SUMMARY),
        jaccard(masks(runs)),
        _selections(runs),
    )


def jaccard(chosen: Mapping[str, NDArray[np.bool_]]) -> pa.Table:
    """Overlap of every ordered pair of selections, each (n,) bool."""
    labels = list(chosen)
    n = len(next(iter(chosen.values()))) if chosen else 0
    matrix = np.array([chosen[label] for label in labels], dtype=np.float32).reshape(-1, n)
    # Whole numbers up to 2^24 are exact in float32: larger pools go piece by piece.
    both = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for start in range(0, n, 2**20):
        part = matrix[:, start : start + 2**20]
        both += np.rint(part @ part.T).astype(np.int64)
    sizes = np.diag(both)
    rows = []
    for i, a in enumerate(labels):
        for j, b in enumerate(labels):
            common, either = int(both[i, j]), int(sizes[i] + sizes[j] - both[i, j])
            chance = sizes[i] * sizes[j] / n if n else 0.0
            rows.append(
                {
                    "a": a,
                    "b": b,
                    "both": common,
                    "either": either,
                    "jaccard": common / either if either else None,
                    "by_chance": chance / (sizes[i] + sizes[j] - chance) if either else None,
                }
            )
    return pa.Table.from_pylist(rows, schema=JACCARD)


def _pool_row(traits: Traits) -> dict[str, Any]:
    everything = np.ones(traits.rows, dtype=bool)
    return {
        "selector": POOL,
        "status": "ran",
        "rows": traits.rows,
        "share": 1.0,
        "qualify": traits.rows,
        "lacking": [],
        **_described(everything, traits),
        "effective_rows": float(traits.rows),
    }


def _summary_row(run: Run, traits: Traits) -> dict[str, Any]:
    row: dict[str, Any] = {
        "selector": run.label,
        "name": run.contender.selector.name,
        "parameters": canonical_json(dict(run.contender.parameters)),
        "status": run.status,
        "why": run.why,
        "seconds": run.seconds,
        "peak_bytes": run.peak_bytes,
    }
    if run.table is None:
        return row
    mask = run.table["selected"].to_numpy(zero_copy_only=False)
    weight = run.table["weight"].to_numpy(zero_copy_only=False)[mask]
    squares = float((weight * weight).sum())
    return row | {
        "rows": int(mask.sum()),
        "share": float(mask.mean()),
        "qualify": traits.rows - run.table["rank"].null_count,
        "lacking": _lacking(run),
        **_described(mask, traits),
        "effective_rows": float(weight.sum()) ** 2 / squares if squares > 0 else None,
    }


def _lacking(run: Run) -> list[dict[str, Any]]:
    assert run.table is not None
    counts = Counter(run.table["reason"].to_pylist())
    found = [(c.name, counts[f"no_{c.name}"]) for c in run.contender.inputs if not c.nulls]
    if "no_n_tokens" in counts and "n_tokens" not in dict(found):  # read for a budget in tokens
        found.append(("n_tokens", counts["no_n_tokens"]))
    return [{"column": name, "rows": rows} for name, rows in found if rows]


def _described(mask: NDArray[np.bool_], traits: Traits) -> dict[str, Any]:
    """What the rows of `mask` are like."""
    found: dict[str, Any] = {}
    for name, values, measure in (
        ("difficulty", traits.difficulty, traits.difficulty_name),
        ("length", traits.length, traits.length_name),
    ):
        if values is not None:
            found[f"{name}_measure"] = measure
            found |= _distribution(name, values, mask)
    if traits.tokens is not None:
        found["tokens"] = float(np.nansum(traits.tokens[mask]))
    if traits.cluster is not None:
        found |= _coverage(traits.cluster, mask)
    if traits.source is not None:
        found |= _mix(traits.source, mask)
    return found


def _distribution(
    name: str, values: NDArray[np.float64], mask: NDArray[np.bool_]
) -> dict[str, float]:
    pool = values[np.isfinite(values)]
    own = values[mask & np.isfinite(values)]
    if not len(own):
        return {}
    found = {f"{name}_mean": float(own.mean())}
    for q, value in zip(QUANTILES, np.quantile(own, QUANTILES), strict=True):
        found[f"{name}_q{round(100 * q)}"] = float(value)
    spread = float(pool.std())
    if spread > 0:
        found[f"{name}_shift"] = float(own.mean() - pool.mean()) / spread
    return found


def _coverage(cluster: NDArray[np.int64], mask: NDArray[np.bool_]) -> dict[str, float]:
    sizes = np.unique(cluster[cluster >= 0], return_counts=True)[1]
    own = cluster[mask & (cluster >= 0)]
    if not len(own):
        return {}
    counts = np.unique(own, return_counts=True)[1]
    reached, entropy = by_chance(sizes, len(own))
    total = len(sizes)
    found: dict[str, float] = {
        "clusters": len(counts),
        "cluster_share": len(counts) / total,
        "clusters_by_chance": reached,
    }
    if total > 1:
        found["cluster_evenness"] = float(np.sum(_surprise(counts / len(own)))) / np.log(total)
        found["evenness_by_chance"] = entropy / np.log(total)
    return found


def by_chance(sizes: NDArray[np.int64], drawn: int) -> tuple[float, float]:
    """Of a uniform draw of `drawn` rows without replacement from clusters of these sizes, the mean
    number of clusters with a row, and the mean entropy over the clusters, nats. Exact but for rounding:
    the rows of one cluster follow a hypergeometric distribution, and counts more than ten standard
    deviations off its mean weigh nothing."""
    from scipy.stats import hypergeom

    n = int(sizes.sum())
    share = sizes / n
    mean, off = drawn * share, 10 + 10 * np.sqrt(drawn * share * (1 - share))
    least = np.maximum(np.floor(mean - off), 1).astype(np.int64)
    most = np.minimum(np.ceil(mean + off).astype(np.int64), np.minimum(sizes, drawn))
    counts = most - least + 1
    size = np.repeat(sizes, counts)
    # least, ..., most for each cluster, one after another.
    x = np.arange(len(size)) + np.repeat(least - (np.cumsum(counts) - counts), counts)
    entropy = float(hypergeom.pmf(x, n, size, drawn) @ _surprise(x / drawn))
    return float(np.sum(1 - hypergeom.pmf(0, n, sizes, drawn))), entropy


def _surprise(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """-p log p of shares above 0."""
    return np.asarray(-share * np.log(share) + 0.0, dtype=np.float64)


def _mix(source: Sequence[str | None], mask: NDArray[np.bool_]) -> dict[str, Any]:
    named = [(s, bool(m)) for s, m in zip(source, mask.tolist(), strict=True) if s is not None]
    pool, own = Counter(s for s, _ in named), Counter(s for s, m in named if m)
    if not own:
        return {}
    rows = own.total()
    shift = sum(abs(own[s] / rows - count / pool.total()) for s, count in pool.items()) / 2
    return {
        "sources": [
            {"source": s, "rows": count, "share": count / rows}
            for s, count in sorted(own.items(), key=lambda each: (-each[1], each[0]))
        ],
        "source_shift": shift,
    }


def _selections(runs: Sequence[Run]) -> pa.Table:
    ran = [run for run in runs if run.table is not None]
    if not ran:
        return SELECTIONS.empty_table()
    # Where the input names no rows, names can depend on what a selector reads: one run's hold for all.
    assert ran[0].table is not None
    ids = ran[0].table[ROW_ID]
    parts = []
    for run in ran:
        assert run.table is not None
        label = pa.array([run.label] * run.table.num_rows, pa.string())
        own = [run.table[name] for name in SELECTIONS.names[2:]]
        parts.append(pa.table([ids, label, *own], schema=SELECTIONS))
    return pa.concat_tables(parts)
