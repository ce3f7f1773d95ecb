"""The ledger: who decided what about which row, with the value that was looked at."""

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from winnow.pipeline.publish.browse.asked import NotFound
from winnow.pipeline.publish.browse.database import Database
from winnow.pipeline.publish.browse.rows import PAGE, Page, require_page
from winnow.pipeline.publish.manifest import stage_order

FILTERS = ("stage", "decision", "rule")
_COLUMNS = "row_id, stage, decision, rule, value, threshold, detail"


@dataclass(frozen=True)
class Tally:
    """So many rows were decided on so."""

    stage: str
    decision: str
    rule: str
    rows: int


class Decisions:
    """Questions about the ledger. Its view is called `ledger`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.tallies = functools.cache(self._tallies)
        self._totals = functools.lru_cache(maxsize=256)(self._total)

    def page(self, asked: Mapping[str, str], number: int) -> Page:
        """Entries with the stage, decision and rule in `asked`, where they are, and with a row id
        that begins with `row`; raises NotFound behind the last page."""
        tests = [f"{name} = ?" for name in FILTERS if name in asked]
        values = [asked[name] for name in FILTERS if name in asked]
        if "row" in asked:
            tests, values = [*tests, "starts_with(row_id, ?)"], [*values, asked["row"]]
        where = " AND ".join(tests) or "true"
        total = self._totals(where, tuple(values))
        require_page(number, total)
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM ledger WHERE {where} ORDER BY row_id, stage, decision, rule "
            f"LIMIT {PAGE} OFFSET {PAGE * (number - 1)}",
            values,
        )
        return Page(rows, total, number)

    def about(self, names: Collection[str]) -> list[dict[str, Any]]:
        """All entries about the rows called `names`, in the order in which the stages ran."""
        found = self._db.among("ledger", "row_id", sorted(names), _COLUMNS)
        return sorted(found, key=lambda d: (*stage_order(d["stage"]), d["row_id"], d["rule"]))

    def beginning_with(self, start: str) -> list[str]:
        """At most two names of rows that begin so."""
        found = self._db.rows(
            "SELECT DISTINCT row_id FROM ledger WHERE starts_with(row_id, ?) LIMIT 2", [start]
        )
        return [row["row_id"] for row in found]

    def require(self, asked: Mapping[str, str]) -> None:
        """Raises NotFound for a stage, decision or rule that the ledger does not know."""
        for name in FILTERS:
            known = {getattr(tally, name) for tally in self.tallies()}
            if name in asked and asked[name] not in known:
                raise NotFound(f"the ledger has no {name} {asked[name]}")

    def _tallies(self) -> tuple[Tally, ...]:
        found = self._db.rows(
            "SELECT stage, decision, rule, count(*) AS rows FROM ledger GROUP BY ALL"
        )
        tallies = [Tally(**row) for row in found]
        return tuple(
            sorted(tallies, key=lambda t: (*stage_order(t.stage), t.decision, -t.rows, t.rule))
        )

    def _total(self, where: str, values: tuple[str, ...]) -> int:
        return self._db.number(f"SELECT count(*) FROM ledger WHERE {where}", values)
