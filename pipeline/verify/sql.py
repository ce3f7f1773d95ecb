"""The verifier `sql`: a query against a SQLite or DuckDB file, judged by what it gives (EX).

The reference is one accepted query, or a JSON list of them: an answer that gives the table of any
one that runs is correct. A reference that fails, or exceeds the limits that hold for answers, is
ignored where another one runs, and leaves the row unjudged (`bad_reference: why`) where none does.

When two results are the same table is defined in `sql_execution.comparison`: NULLs, numbers within
a tolerance, duplicates count, names of columns do not. Rows count in order only where the reference
has an ORDER BY of its own, and then ties may come in any order (`sql_execution.ordering`).

The order of columns counts (`columns: ordered`), as in the evaluation of BIRD (Li et al. 2023) and
unlike in Spider's (Zhong et al. 2020), which looks for any permutation that fits: on the few rows
of a typical answer a swapped pair of numbers (the minimum for the maximum) would pass as right. A
wrong answer that only differs in this says so in `detail` (`column_order`), so that one can see
what `columns: any` would change.

Where LIMIT cuts through a group of ties, the answer may have been left with other ones than the
reference: it is correct (`tie_at_limit`) if, without LIMIT, both give the same rows in the same
groups of ties, and these are several. A reference with LIMIT and without ORDER BY means the rows
that it gave.

Two empty tables prove nothing. They are unjudged (`both_empty`), unless SQLite compiles the two
queries to the same program (for DuckDB: unless they are the same text, but for white space,
comments and the case of words): then they give the same rows on every database of this schema, and
the answer is correct, with the same detail. Tables of nothing but zeros and NULLs, which is what
counts and sums over no rows give, are compared as any other; a correct one is marked
(`nothing_found`).

Reward, by `mode` (Think2SQL, arXiv 2504.15077; the released code's "small update"): 0 where the
answer does not run; 1 where it is correct; else `ex` gives 0.1 for running, and `qatch` the mean of
three overlaps (`sql_execution.qatch`), but at least 0.1. The verdict is by EX in both modes, so
that a wrong answer can have a reward above 0. `parts`: `ex`, `executable`, and in mode `qatch`
`cell_precision`, `cell_recall` and `tuple_cardinality`.

Answers that try anything but reading are wrong (`forbidden: what`), and so are those that exceed a
limit that the reference kept to (`time_limit`, `row_limit`, `size_limit`, `memory_limit`).
"""

from functools import cached_property
from typing import Literal

from pydantic import Field

from winnow.pipeline.arguments import Arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.sandbox import SandboxUnavailable
from winnow.pipeline.verify.sql_execution import extraction
from winnow.pipeline.verify.sql_execution.executor import (
    BadDatabase,
    Budget,
    Database,
    Executor,
    Result,
)
from winnow.pipeline.verify.sql_execution.qatch import Overlap, overlap
from winnow.pipeline.verify.sql_execution.reference import Reference, Session
from winnow.pipeline.verify.sql_execution.statement import BadQuery, one_query, reference_queries

ATTEMPTS = 2  # a sandbox that broke is started again
EXECUTABLE_REWARD = 0.1
MEBIBYTE = 2**20
MAX_RESULT_BYTES = 32 * MEBIBYTE
_NOT_THE_QUERYS_FAULT = ("starved", "bad_database")


class SQLArguments(Arguments):
    database: str = Field(description="path of a SQLite or DuckDB file; a copy in memory is read")
    mode: Literal["ex", "qatch"] = Field(
        "ex",
        description="reward of an answer that runs but is wrong: 0.1 (ex), or how far its cells and "
        "number of rows agree with the reference's, from 0.1 to 1 (qatch)",
    )
    columns: Literal["ordered", "any"] = Field(
        "ordered", description="whether the columns must come in the reference's order"
    )
    time_limit: float = Field(
        3.0, gt=0, le=600, strict=False, description="processor seconds that each query may take"
    )
    row_limit: int = Field(100_000, ge=1, description="rows that a result may have")
    memory_limit: int = Field(512, ge=64, le=65_536, description="MiB that each query may take")


class SQLQuery:
    """Judges SQL queries by execution; see the module."""

    name = "sql"
    version = "1"
    Arguments = SQLArguments

    @cached_property
    def _executor(self) -> Executor:
        return Executor()

    def warm(self) -> None:
        import scipy.sparse.csgraph  # noqa: F401 - slow to import

        self._executor.start("sqlite")

    def verify(self, completion: str, task: Task) -> Verdict:
        """Judge the query in `completion` against `task.answer`. Raises BadArguments."""
        args = SQLArguments.read(task.args)
        for _ in range(ATTEMPTS):
            try:
                return self._verify(completion, task.answer, args)
            except SandboxUnavailable as error:
                reason = str(error)
        return Verdict.unjudged(f"sandbox_unavailable: {reason}")

    def _verify(self, completion: str, answer: str | None, args: SQLArguments) -> Verdict:
        budget = Budget(
            args.time_limit, args.row_limit, MAX_RESULT_BYTES, args.memory_limit * MEBIBYTE
        )
        try:
            session = Session(self._executor, Database(args.database), budget)
            references, failed = _references(answer, session)
            query = extraction.query(completion, session.database.dialect)
            if not references:
                return Verdict.unjudged(failed, query)
            if query is None:
                return _wrong("no_answer", args, None)
            return _judged(query, references, session, args)
        except BadDatabase as error:
            return Verdict.unjudged(f"bad_database: {error}")


def _references(answer: str | None, session: Session) -> tuple[list[Reference], str]:
    """The references that run, and why the last other one does not."""
    found, failed = [], "bad_reference"
    for text in reference_queries(answer):
        try:
            query = one_query(text, session.database.dialect)
        except BadQuery as error:
            failed = f"bad_reference: {error}"
            continue
        result = session.run(query)
        if result.status == "ok":
            found.append(session.reference(query, result))
        elif result.status in _NOT_THE_QUERYS_FAULT:
            failed = result.reason
        else:
            failed = f"bad_reference: {result.reason}"
    return found, failed


def _judged(
    answer: str, references: list[Reference], session: Session, args: SQLArguments
) -> Verdict:
    try:
        query = one_query(answer, session.database.dialect)
    except BadQuery as error:
        return _wrong(str(error), args, answer)
    result = session.run(query)
    if result.status in _NOT_THE_QUERYS_FAULT:
        return Verdict.unjudged(result.reason, answer)
    if result.status != "ok":
        return _wrong(result.reason, args, answer)
    empty = [reference for reference in references if not reference.result.rows]
    others = [reference for reference in references if reference.result.rows]
    if not result.rows and empty:
        if any(session.surely_same(query, result, reference) for reference in empty):
            return _correct("both_empty", args, answer)
        return Verdict.unjudged("both_empty", answer)
    any_columns = args.columns == "any"
    if any(reference.accepts(result.rows, any_columns=any_columns) for reference in others):
        return _correct("nothing_found" if _is_nothing(result) else None, args, answer)
    if any(session.chose_other_ties(query, result, reference) for reference in others):
        return _correct("tie_at_limit", args, answer)
    return _different(result, references, args, answer)


def _is_nothing(result: Result) -> bool:
    """Whether a table has only zeros and NULLs."""
    return all(cell is None or cell == 0 for row in result.rows for cell in row)


def _correct(detail: str | None, args: SQLArguments, answer: str) -> Verdict:
    parts = {"ex": 1.0, "executable": 1.0}
    if args.mode == "qatch":
        parts |= vars(Overlap(1.0, 1.0, 1.0))
    return Verdict("correct", 1.0, parts, answer, detail)


def _different(
    result: Result, references: list[Reference], args: SQLArguments, answer: str
) -> Verdict:
    """The verdict on an answer that gave another table. The nearest reference counts."""
    overlaps = [overlap(result.rows, reference.result.rows) for reference in references]
    best = max(overlaps, key=lambda each: each.mean)
    parts = {"ex": 0.0, "executable": 1.0}
    reward = EXECUTABLE_REWARD
    if args.mode == "qatch":
        parts |= vars(best)
        reward = max(EXECUTABLE_REWARD, best.mean)
    detail = references[overlaps.index(best)].difference(result.rows)
    return Verdict("wrong", reward, parts, answer, detail)


def _wrong(detail: str, args: SQLArguments, answer: str | None) -> Verdict:
    """The verdict on an answer that gave no table."""
    parts = {"ex": 0.0, "executable": 0.0}
    if args.mode == "qatch":
        parts |= vars(Overlap(0.0, 0.0, 0.0))
    return Verdict("wrong", 0.0, parts, answer, detail)
