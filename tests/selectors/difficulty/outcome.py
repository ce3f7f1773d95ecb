"""A selection over a few rows, in a form that is easy to compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from winnow.selectors.run import select


@dataclass(frozen=True)
class Outcome:
    """`rows` in the order of the input; `order`, the numbers of the rows that qualify, best first."""

    rows: list[dict[str, Any]]

    @property
    def order(self) -> list[int]:
        ranked = [(row["rank"], at) for at, row in enumerate(self.rows) if row["rank"] is not None]
        return [at for _, at in sorted(ranked)]

    @property
    def selected(self) -> list[int]:
        return [at for at in self.order if self.rows[at]["selected"]]

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def outcome(
    selector: str,
    columns: Mapping[str, Sequence[Any] | pa.Array],
    budget: float | str | None = None,
    seed: int = 0,
    **parameters: Any,
) -> Outcome:
    """Rows are called r000, r001, ... in the order given, which so is the canonical one."""
    n = len(next(iter(columns.values())))
    table = pa.table({"row_id": [f"r{at:03d}" for at in range(n)], **columns})
    found = select(selector, table, budget=budget, seed=seed, **parameters)
    return Outcome(found.to_pylist())
