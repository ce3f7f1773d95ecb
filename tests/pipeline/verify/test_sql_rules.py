"""Every rule of the verifier `sql` is guarded: without it, the self-test fails."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.contracts import Verdict
from winnow.pipeline.verify import extract, get_verifier, self_test
from winnow.pipeline.verify import sql as verifier
from winnow.pipeline.verify.sql_execution import (
    comparison,
    executor,
    extraction,
    lexer,
    ordering,
    qatch,
    reference,
    statement,
)
from winnow.pipeline.verify.sql_execution.inside import run_query

WORKER = Path(run_query.__file__)


@pytest.fixture(autouse=True)
def same_databases(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The databases are made once, so that most results are known from the test before."""
    folder = tmp_path_factory.getbasetemp() / "self-test"
    folder.mkdir(exist_ok=True)
    ready = self_test._ready
    monkeypatch.setattr(self_test, "_ready", lambda pair, scratch: ready(pair, folder))


class Patch:
    """Ways to take a rule away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder

    def set(self, where: object, name: str, value: object) -> None:
        self._monkeypatch.setattr(where, name, value)

    def worker(self, *changes: tuple[str, str]) -> None:
        """Let the sandbox run a changed copy of the worker."""
        text = WORKER.read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        copy = self._folder / WORKER.name
        copy.write_text(text, encoding="utf-8")
        self.set(run_query, "__file__", str(copy))
        # In place of the verifier's own, which has a sandbox with the real worker.
        self.set(get_verifier("sql"), "_executor", executor.Executor())


Removal = Callable[[Patch], None]
NEVER = re.compile(r"(?!)")


def nothing(*_: Any, **__: Any) -> None:
    return None


def never(*_: Any, **__: Any) -> bool:
    return False


def always(*_: Any, **__: Any) -> bool:
    return True


def first_block(patch: Patch) -> None:
    """The first code block instead of the last."""

    class Reversed:
        def __init__(self, pattern: re.Pattern[str]) -> None:
            self._pattern = pattern

        def finditer(self, text: str) -> list[re.Match[str]]:
            return list(self._pattern.finditer(text))[:1]

    patch.set(extraction, "_FENCE", Reversed(extraction._FENCE))


def any_block(patch: Patch) -> None:
    patch.set(extraction, "_WHOLE", re.compile(""))


def exact_cells(patch: Patch) -> None:
    patch.set(comparison, "_tolerant_columns", lambda rows: set())


def loose_text(patch: Patch) -> None:
    original = comparison.canonical

    def canonical(cell: object) -> tuple[str, object]:
        kind, value = original(cell)
        return (kind, value.lower()) if isinstance(value, str) else (kind, value)

    patch.set(comparison, "canonical", canonical)


def texts_are_numbers(patch: Patch) -> None:
    original = comparison.canonical

    def canonical(cell: object) -> tuple[str, object]:
        if isinstance(cell, str) and cell.isdigit():
            return original(int(cell))
        return original(cell)

    patch.set(comparison, "canonical", canonical)


def null_is(value: object) -> Removal:
    def remove(patch: Patch) -> None:
        original = comparison.canonical
        patch.set(comparison, "canonical", lambda c: original(value if c is None else c))

    return remove


def blobs_are_text(patch: Patch) -> None:
    original = comparison.canonical

    def canonical(cell: object) -> tuple[str, object]:
        return original(cell.decode("latin-1") if isinstance(cell, bytes) else cell)

    patch.set(comparison, "canonical", canonical)


def types_of_numbers_count(patch: Patch) -> None:
    original = comparison.canonical

    def canonical(cell: object) -> tuple[str, object]:
        return ("float", cell) if isinstance(cell, float) else original(cell)

    patch.set(comparison, "canonical", canonical)


def rows_are_a_set(patch: Patch) -> None:
    original = comparison.same_rows

    def same_rows(rows: Any, others: Any) -> bool:
        return original(list(dict.fromkeys(rows)), list(dict.fromkeys(others)))

    for module in (comparison, reference):
        patch.set(module, "same_rows", same_rows)


def order_counts_everywhere(patch: Patch) -> None:
    patch.set(ordering, "is_ordered", always)
    patch.set(ordering, "keyed", nothing)


def whole_numbers_within_tolerance(patch: Patch) -> None:
    def close(first: float, second: float) -> bool:
        return abs(first - second) <= comparison.RELATIVE * max(abs(first), abs(second))

    patch.set(comparison, "close", close)
    patch.set(
        comparison,
        "_tolerant_columns",
        lambda rows: {i for row in rows for i, cell in enumerate(row) if cell[0] == "number"},
    )


def permuted_columns(patch: Patch) -> None:
    accepts = reference.Reference.accepts

    def any_order(self: reference.Reference, rows: Any, *, any_columns: bool = False) -> bool:
        return accepts(self, rows, any_columns=True)

    patch.set(reference.Reference, "accepts", any_order)


def permuted_without_rows(patch: Patch) -> None:
    """Columns compared one by one instead of row by row."""
    patch.set(reference.Reference, "accepts", lambda self, rows, any_columns=False: (
        any_columns and bool(comparison.permutations(rows, self.result.rows))
    ) or comparison.same_rows(rows, self.result.rows))  # fmt: skip


def only_columns_are_keys(patch: Patch) -> None:
    original = ordering.keyed

    def keyed(*args: Any) -> ordering.Keyed | None:
        found = original(*args)
        return found if found is None or found.is_same else None

    patch.set(ordering, "keyed", keyed)


def only_numbers_and_names_are_keys(patch: Patch) -> None:
    original = ordering.keyed

    def keyed(*args: Any) -> ordering.Keyed | None:
        found = original(*args)
        return None if found is not None and found.is_same else found

    patch.set(ordering, "keyed", keyed)


def order_in_the_answer_does_not_count(patch: Patch) -> None:
    patch.set(ordering, "is_ordered", never)


def only_one_group(patch: Patch) -> None:
    """A row beside the tied ones, which makes two groups of every one."""
    original = reference.Session._groups

    def groups(self: reference.Session, *args: Any) -> Any:
        found = original(self, *args)
        return found if found is None else [[], *found]

    patch.set(reference.Session, "_groups", groups)


def first_reference_only(patch: Patch) -> None:
    original = statement.reference_queries
    patch.set(verifier, "reference_queries", lambda answer: original(answer)[:1])


def last_reference_for_overlap(patch: Patch) -> None:
    original = verifier._different
    patch.set(verifier, "_different", lambda result, refs, *rest: original(result, refs[:1], *rest))


def all_cells(patch: Patch) -> None:
    """Every cell counts for QATCH, not every distinct one."""

    def overlap(rows: Any, others: Any) -> qatch.Overlap:
        given = [cell for row in rows for cell in row]
        wanted = [cell for row in others for cell in row]
        if not given or not wanted:
            return qatch.Overlap(0.0, 0.0, 0.0)
        return qatch.Overlap(
            sum(cell in wanted for cell in given) / len(given),
            sum(cell in given for cell in wanted) / len(wanted),
            min(len(rows), len(others)) / max(len(rows), len(others)),
        )

    patch.set(verifier, "overlap", overlap)


def constant(where: object, name: str, value: object) -> Removal:
    return lambda patch: patch.set(where, name, value)


def worker(*changes: tuple[str, str]) -> Removal:
    return lambda patch: patch.worker(*changes)


def no_luck(patch: Patch) -> None:
    patch.set(statement, "_LUCK", set())
    patch.worker(('    *("random", "randomblob"),\n', ""))


RULES: dict[str, Removal] = {
    "thinking is cut off": constant(extract, "after_thinking", lambda text: text),
    "answer tags go first": constant(extract, "last_tagged", nothing),
    "sql tags": constant(extraction, "_last_between", nothing),
    "blocks marked sql": constant(extraction, "_LABELS", frozenset({"python"})),
    "code blocks": constant(extraction, "_in_block", nothing),
    "the last block": first_block,
    "an unmarked block begins like a query": any_block,
    "a query in running text": constant(extraction, "_LINES", NEVER),
    "a query in code marks": constant(extraction, "_WORDS", NEVER),
    "a blank line ends a query": constant(extraction, "_BLANK_LINE", NEVER),
    "a clause goes on behind a blank line": constant(extraction, "_GOES_ON", frozenset()),
    "statements behind a query belong to it": constant(extraction, "_STATEMENT", NEVER),
    "comments and strings are told from SQL": constant(
        lexer, "_TOKEN", {"sqlite": re.compile(r"(?P<space>\s)|(?P<word>\w+)|(?P<sign>.)")}
    ),
    "one statement": constant(statement, "statements", lambda *args: lexer.statements(*args)[:1]),
    "a query and nothing else": constant(
        statement, "_FIRST_WORDS", (*statement._FIRST_WORDS, "EXPLAIN")
    ),
    "no luck": no_luck,
    "no PRAGMA as a table": worker(
        ("        return sqlite3.SQLITE_DENY\n", "        return sqlite3.SQLITE_OK\n")
    ),
    "more than its time is the query's fault": constant(
        verifier, "_NOT_THE_QUERYS_FAULT", ("starved", "bad_database", "time_limit")
    ),
    "row limit": worker(('if len(rows) > request["rows"]:', "if False:")),
    "an error is wrong": lambda patch: patch.set(
        verifier, "_wrong", lambda detail, args, answer: Verdict.unjudged(detail)
    ),
    "a failing reference is ignored where another runs": first_reference_only,
    "a failing reference is no reference": constant(
        verifier, "_references", lambda answer, session: ([], "x")
    ),
    "a list of references": constant(
        verifier, "reference_queries", lambda answer: [answer] if answer else []
    ),
    "duplicates count": rows_are_a_set,
    "whole floats are integers": types_of_numbers_count,
    "relative tolerance": constant(comparison, "RELATIVE", 0.0),
    "absolute tolerance": constant(comparison, "ABSOLUTE", 0.0),
    "tolerance at all": exact_cells,
    "tolerance is narrow": constant(comparison, "RELATIVE", 0.01),
    "whole numbers are exact": whole_numbers_within_tolerance,
    "rows with tolerance are matched": constant(comparison, "_paired", never),
    "text is exact": loose_text,
    "text is no number": texts_are_numbers,
    "NULL is not empty": null_is(""),
    "NULL is not zero": null_is(0),
    "blobs are no text": blobs_are_text,
    "the order of columns counts": permuted_columns,
    "any order of columns on request": constant(reference, "permutations", lambda *_: []),
    "rows stay whole under a permutation": permuted_without_rows,
    "order counts": order_in_the_answer_does_not_count,
    "order counts only where the reference orders": order_counts_everywhere,
    "only the top-level ORDER BY": constant(
        ordering, "is_ordered", lambda query, dialect: "ORDER BY" in query.upper()
    ),
    "ties by output columns": only_numbers_and_names_are_keys,
    "ties by other keys": only_columns_are_keys,
    "ties at LIMIT": constant(reference.Session, "chose_other_ties", never),
    "ties at LIMIT are among other rows": only_one_group,
    "ties at LIMIT have the same rows behind them": constant(
        reference.Session,
        "chose_other_ties",
        lambda self, query, result, ref: len(result.rows) == len(ref.result.rows),
    ),
    "two empty tables prove nothing": constant(reference.Session, "surely_same", always),
    "the same program": worker(("        program = json.dumps(", "        program = None and (")),
    "running earns a little": constant(verifier, "EXECUTABLE_REWARD", 0.0),
    "the nearest reference": last_reference_for_overlap,
    "distinct cells": all_cells,
    "cells that are close": constant(qatch, "_is_close_to_one", never),
    "a database that is there": constant(
        verifier, "Database", lambda path: executor.Database(__file__.replace("missing", ""))
    ),
}  # fmt: skip


def test_the_self_test_passes() -> None:
    score = self_test.run_here("sql")
    assert score.passed, [*score.false_accepts, *score.false_rejects]
    assert score.accept >= 20
    assert score.reject >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_the_rule_the_self_test_fails(
    rule: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    RULES[rule](Patch(monkeypatch, tmp_path))
    assert not self_test.run_here("sql").passed
