"""Rules applied one after another, each drop written down with what the rule saw."""

import polars as pl
import pyarrow as pa

from winnow.pipeline import schema


class Sieve:
    """Rows still in the running, and the ledger of those that are not.

    `rows` has a column `key` that names each row; `stage` is the ledger's stage.
    """

    def __init__(self, rows: pl.DataFrame, key: str, stage: str) -> None:
        self.rows = rows
        self._key, self._stage = key, stage
        self._ledger: list[pl.DataFrame] = []

    def require(
        self,
        rule: str,
        condition: pl.Expr,
        *,
        value: pl.Expr | None = None,
        threshold: str | None = None,
        detail: pl.Expr | None = None,
        otherwise: str = "dropped",
    ) -> None:
        """Keep the rows where `condition` is true; null counts as false.

        `value` is what the rule looked at and `threshold` what it asked for; `otherwise` is the
        decision about the others (dropped, or pending where it can still change).
        """
        passes = condition.fill_null(False)
        self._write(self.rows.filter(~passes), otherwise, rule, value, threshold, detail)
        self.rows = self.rows.filter(passes)

    def top(
        self, rule: str, count: int, order: list[pl.Expr], within: str | list[str] | None = None
    ) -> None:
        """Keep the first `count` rows by `order` (ascending), in each group of `within` or in all.

        A null group is a group of its own.
        """
        number = pl.int_range(1, pl.len() + 1)
        self.rows = self.rows.sort(order, nulls_last=True).with_columns(
            _place=number.over(within) if within else number
        )
        self.require(
            rule, pl.col("_place") <= count, value=pl.col("_place"), threshold=f"<= {count}"
        )
        self.rows = self.rows.drop("_place")

    def finish(self, rule: str = "selected") -> pa.Table:
        """The ledger: one row per row that came in. What is left was kept."""
        self._write(self.rows, "kept", rule, None, None, None)
        ledger = pl.concat(self._ledger).sort("row_id")
        columns = [ledger[name].to_arrow().cast(pa.string()) for name in schema.LEDGER.names]
        return pa.table(columns, schema=schema.LEDGER)

    def _write(
        self,
        rows: pl.DataFrame,
        decision: str,
        rule: str,
        value: pl.Expr | None,
        threshold: str | None,
        detail: pl.Expr | None,
    ) -> None:
        text = pl.lit(None, pl.String)
        self._ledger.append(
            rows.select(
                row_id=pl.col(self._key),
                stage=pl.lit(self._stage),
                decision=pl.lit(decision),
                rule=pl.lit(rule),
                value=value.cast(pl.String) if value is not None else text,
                threshold=pl.lit(threshold, pl.String),
                detail=detail.cast(pl.String) if detail is not None else text,
            )
        )
