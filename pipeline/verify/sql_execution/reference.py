"""What an answer is compared with: the rows of a reference, and the orders that it allows."""

from collections.abc import Sequence
from dataclasses import dataclass

from winnow.pipeline.verify.sql_execution import ordering
from winnow.pipeline.verify.sql_execution.comparison import (
    Row,
    grouped,
    permutations,
    permuted,
    same_order,
    same_rows,
)
from winnow.pipeline.verify.sql_execution.executor import Budget, Database, Executor, Result
from winnow.pipeline.verify.sql_execution.lexer import same_text


@dataclass(frozen=True)
class Reference:
    """A reference that ran. `groups`: its rows in groups of ties, where it orders them."""

    query: str
    result: Result
    groups: list[list[Row]] | None

    def accepts(self, rows: Sequence[Row], *, any_columns: bool = False) -> bool:
        """Whether `rows` are its rows, in an order that it allows; with `any_columns`, perhaps
        after a permutation of their columns."""
        if self.groups is None:
            fits = same_rows(rows, self.result.rows)
        else:
            fits = same_order(rows, self.groups)
        if fits or not any_columns:
            return fits
        orders = permutations(rows, self.result.rows)
        return any(self.accepts(permuted(rows, order)) for order in orders)

    def difference(self, rows: Sequence[Row]) -> str:
        """In a few words, how `rows`, which are not accepted, differ."""
        wanted = self.result.rows
        if not rows or not wanted:
            return "no_rows" if wanted else "too_many_rows"
        if len(rows[0]) != len(wanted[0]):
            return "other_columns"
        if same_rows(rows, wanted):
            return "row_order"
        if self.accepts(rows, any_columns=True):
            return "column_order"
        if len(rows) == len(wanted):
            return "other_values"
        if same_rows(list(dict.fromkeys(rows)), list(dict.fromkeys(wanted))):
            return "duplicates"
        return "too_many_rows" if len(rows) > len(wanted) else "too_few_rows"


@dataclass(frozen=True)
class Session:
    """Queries against one database within one budget."""

    executor: Executor
    database: Database
    budget: Budget

    def run(self, query: str) -> Result:
        """Raises as `Executor.run` does."""
        return self.executor.run(query, self.database, self.budget)

    def reference(self, query: str, result: Result) -> Reference:
        """The reference `query`, which gave `result`."""
        if not ordering.is_ordered(query, self.database.dialect):
            return Reference(query, result, None)
        groups = self._groups(query, result)
        # What is known of the ties must agree with what the reference gave.
        if groups is None or not same_order(result.rows, groups):
            groups = [[row] for row in result.rows]
        return Reference(query, result, groups)

    def chose_other_ties(self, query: str, result: Result, reference: Reference) -> bool:
        """Whether `query` differs from the reference only in which of several tied rows its LIMIT
        has left: without LIMIT, both give the same rows, in the same groups of ties."""
        if len(result.rows) != len(reference.result.rows):
            return False
        of_answer = ordering.unlimited(query, self.database.dialect)
        of_reference = ordering.unlimited(reference.query, self.database.dialect)
        if of_answer is None or of_reference is None or of_answer[1] != of_reference[1]:
            return False
        given, wanted = self.run(of_answer[0]), self.run(of_reference[0])
        if given.status != "ok" or wanted.status != "ok":
            return False
        groups_given = self._groups(of_answer[0], given)
        groups_wanted = self._groups(of_reference[0], wanted)
        if groups_given is None or groups_wanted is None or len(groups_wanted) < 2:
            return (
                False  # where all rows tie, any order would agree: the rows must then be the same
            )
        return same_order(given.rows, groups_wanted) and same_order(wanted.rows, groups_given)

    def surely_same(self, query: str, result: Result, reference: Reference) -> bool:
        """Whether two queries that gave no rows give the same rows on every database: SQLite has
        compiled them to the same program, or, for DuckDB, they are the same text."""
        if result.program is None or reference.result.program is None:
            return same_text(query, reference.query, self.database.dialect)
        return result.program == reference.result.program

    def _groups(self, query: str, result: Result) -> list[list[Row]] | None:
        """The rows of an ordered query in groups of ties; None where they cannot be told."""
        keyed = ordering.keyed(query, result.columns, self.database.dialect)
        if keyed is None:
            return None
        with_keys = result if keyed.is_same else self.run(keyed.query)
        if with_keys.status != "ok":
            return None
        return grouped(with_keys.rows, keyed.keys, len(result.columns))
