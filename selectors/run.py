"""One selector over one table: input checked, order cut at the budget, a row out per row in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Progress, Silent
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.budget import Budget, read_budget
from winnow.selectors.columns import N_TOKENS
from winnow.selectors.gather import Gathered, gather
from winnow.selectors.pool import Pool
from winnow.selectors.registry import get_selector
from winnow.selectors.rows import ROW_ID, Rows, TableRows

COMMON = pa.schema(
    [
        column("score", pa.float64(), "The selector's own number.", null="the row has none"),
        column("selected", pa.bool_(), "Whether the row is chosen."),
        column("rank", pa.int64(), "Place in the order of preference, from 0.",
               null="the row does not qualify"),
        column("weight", pa.float64(), "Training weight; 0 where the row is not selected."),
        column("reason", pa.string(), "Why the row is not selected, or what speaks for it."),
    ]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Selection:
    """`table`: one row per row of the input, in its order: row_id, the columns of `COMMON` and the
    selector's own. `reasons` counts them; `budget_rows` is None where the budget was none or in
    tokens."""

    table: pa.Table
    reasons: Counter[str]
    budget_rows: int | None

    @property
    def selected(self) -> int:
        return int(np.count_nonzero(self.table["selected"].to_numpy()))


def select(
    name: str,
    table: Any,
    *,
    budget: "Budget | str | int | float | None" = None,
    seed: int = 0,
    features: Sequence[Any] = (),
    columns: Mapping[str, str] | None = None,
    **parameters: Any,
) -> pa.Table:
    """Run the selector `name` over a pyarrow or polars table; returns `Selection.table`.

    `budget`: an int for rows, a float for a share, or text (`50000tok`). `features`: tables to join
    on `row_id`. `columns`: where an input stands under another name, {"pass_rate": "my_rate"}.
    Raises UsageError for an input that makes no sense.

        select("pass_rate", table, budget=0.1, low=0.25, high=0.75)
    """
    return select_rows(
        get_selector(name),
        TableRows(table),
        [TableRows(f, f"features[{at}]") for at, f in enumerate(features)],
        parameters=parameters,
        budget=read_budget(budget),
        seed=seed,
        columns=columns or {},
    ).table


def select_rows(
    selector: Selector[Any],
    source: Rows,
    features: Sequence[Rows] = (),
    *,
    parameters: Mapping[str, Any],
    budget: Budget | None,
    seed: int,
    columns: Mapping[str, str],
    progress: Progress | None = None,
) -> Selection:
    """The same over rows wherever they are. Raises UsageError."""
    read = selector.parameters.read(parameters)
    if seed < 0:
        raise UsageError(f"a seed of {seed}: seeds count from 0")
    if budget is None and selector.needs_budget:
        raise UsageError(f"{selector.name} needs a budget: rows (1000), a share (0.1) or 50000tok")
    inputs = list(selector.inputs(read))
    if (
        budget is not None
        and budget.unit == "tokens"
        and N_TOKENS.name not in {c.name for c in inputs}
    ):
        inputs.append(N_TOKENS)
    found = gather(
        source, features, inputs, renamed=columns, seed=seed, progress=progress or Silent()
    )
    pool = found.pool
    if pool.has(N_TOKENS.name) and len(pool) and pool[N_TOKENS.name].min() < 0:
        row = pool.ids[int(pool[N_TOKENS.name].argmin())]
        raise UsageError(f"{source.label}, row {row!r}: {N_TOKENS.name} is below 0")
    room = allowed_rows(budget, len(found.ids), pool)
    if len(pool):
        choice = selector.choose(pool, room, read)
    else:
        choice = Choice(np.zeros(0, np.int64), np.zeros(0))
    check_choice(selector, choice, len(pool))
    taken = cut(choice, budget, len(found.ids), pool)
    result = _table(selector, found, choice, taken, budget)
    return Selection(
        result,
        Counter(result["reason"].to_pylist()),
        None if budget is None else budget.rows(len(found.ids)),
    )


def allowed_rows(budget: Budget | None, rows: int, pool: Pool) -> int | None:
    """The `room` of a budget for an input of `rows` rows, of which `pool` are usable."""
    if budget is None:
        return None
    allowed = budget.rows(rows)
    if allowed is None:
        mean = float(pool[N_TOKENS.name].mean()) if len(pool) else 1.0
        allowed = int(budget.amount / mean) if mean > 0 else len(pool)
    return min(allowed, len(pool))


def check_choice(selector: Selector[Any], choice: Choice, n: int) -> None:
    """What every selector promises; a broken promise is a bug in it, not in the input."""
    order = choice.order
    sane = len(np.unique(order)) == len(order) and (
        len(order) == 0 or 0 <= order.min() <= order.max() < n
    )
    lengths = {len(choice.score), *(len(v) for v in choice.columns.values())}
    for each in (choice.reason, choice.weight):
        lengths |= {len(each)} if each is not None else set()
    own = n == 0 or set(choice.columns) == set(selector.own.names)
    if not sane or lengths != {n} or not own:
        raise AssertionError(
            f"selector {selector.name} returned a choice that does not fit its pool"
        )


def cut(choice: Choice, budget: Budget | None, rows: int, pool: Pool) -> NDArray[np.bool_]:
    """Which entries of the order are selected."""
    n = len(choice.order)
    ends = _unit_ends(choice)
    if budget is not None and budget.unit == "tokens":
        return _fit(choice.order, ends, pool[N_TOKENS.name], int(budget.amount))
    most = n if choice.count is None else choice.count
    if budget is not None:
        allowed = budget.rows(rows)
        assert allowed is not None
        most = min(allowed, n)
    whole = ends[ends <= most]
    taken = np.zeros(n, dtype=bool)
    taken[: whole[-1] if len(whole) else 0] = True
    return taken


def _unit_ends(choice: Choice) -> NDArray[np.int64]:
    """After which entries of the order it may be cut."""
    n = len(choice.order)
    if choice.unit is None:
        return np.arange(1, n + 1)
    change = np.flatnonzero(np.diff(choice.unit)) + 1
    return np.append(change, n) if n else np.zeros(0, np.int64)


def _fit(
    order: NDArray[np.int64], ends: NDArray[np.int64], tokens: NDArray[np.int64], budget: int
) -> NDArray[np.bool_]:
    """In the order of preference, each unit that still fits."""
    cost = np.concatenate([[0], np.cumsum(tokens[order])])
    taken = np.zeros(len(order), dtype=bool)
    start, left = 0, budget
    for end in ends.tolist():
        price = int(cost[end] - cost[start])
        if price <= left:
            taken[start:end] = True
            left -= price
        start = end
    return taken


def _table(
    selector: Selector[Any],
    found: Gathered,
    choice: Choice,
    taken: NDArray[np.bool_],
    budget: Budget | None,
) -> pa.Table:
    """The result in the input's order."""
    n = len(found.pool)
    rank = np.full(n + 1, -1, dtype=np.int64)  # the last entry stands for rows outside the pool
    rank[choice.order] = np.arange(len(choice.order))
    selected = np.zeros(n + 1, dtype=bool)
    selected[choice.order[taken]] = True
    weight = np.ones(n + 1) if choice.weight is None else np.append(choice.weight, 0.0)
    said = [None] * n if choice.reason is None else list(choice.reason)
    cut = "not_chosen" if budget is None else "budget"
    reasons = [
        said[i] or "selected" if selected[i] else cut if rank[i] >= 0 else said[i] or "rule"
        for i in range(n)
    ]
    at = found.place
    out = at < 0
    own = {
        field.name: _padded(choice.columns.get(field.name, []), field.type, at)
        for field in selector.own
    }
    score = np.append(choice.score, np.nan)[at]
    ranks = rank[at]
    arrays = {
        ROW_ID: pa.array(found.ids, pa.string()),
        "score": pa.array(score, pa.float64(), mask=~np.isfinite(score)),
        "selected": pa.array(selected[at]),
        "rank": pa.array(ranks, pa.int64(), mask=ranks < 0),
        "weight": pa.array(np.where(selected[at], weight[at], 0.0)),
        "reason": pa.array(
            [
                f"no_{missing}" if lacks else reasons[i]
                for i, lacks, missing in zip(at.tolist(), out.tolist(), found.missing, strict=True)
            ],
            pa.string(),
        ),
        **own,
    }
    # Rows that are set aside have none of the selector's own values, whatever it declares.
    own_fields = [field.with_nullable(True) for field in selector.own]
    fields = [column(ROW_ID, pa.string(), "Name of the row."), *COMMON, *own_fields]
    return pa.table(list(arrays.values()), schema=pa.schema(fields))


def _padded(values: Any, kind: pa.DataType, at: NDArray[np.int64]) -> pa.Array:
    """Pool values in the input's order, null for rows outside the pool."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        array = pa.array(values, mask=np.isnan(values)).cast(kind)
    elif isinstance(values, pa.Array):
        array = values.cast(kind)
    else:
        array = pa.array(values, kind)
    return array.take(pa.array(at, mask=at < 0)) if len(array) else pa.nulls(len(at), kind)


def declared(selector: Selector[Any], parameters: Mapping[str, Any]) -> list[Column]:
    """The inputs under these parameters. Raises UsageError."""
    return list(selector.inputs(selector.parameters.read(parameters)))
