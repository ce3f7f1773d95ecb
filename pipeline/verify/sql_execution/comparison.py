"""When two results are the same table (execution accuracy, EX).

Cells: NULL equals NULL only. Numbers are compared by value, whatever their type (1 is 1.0 and, in
DuckDB, true); two of which one is no whole number may differ by 1e-6 of the larger or by 1e-9, for
sums come out otherwise in another order. Text is compared to the letter and is no number ('1' is
not 1). A date is its midnight. Blobs, lists and structs are compared exactly.

Rows are a multiset: duplicates count. Where the reference orders, groups of ties follow each other
(`ordering`). Names of columns do not count, their order does.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

Cell = Any
Row = tuple[Cell, ...]

RELATIVE = 1e-6
ABSOLUTE = 1e-9
MAX_PAIRS = 4_000_000  # of rows that are nearly the same, compared each with each
MAX_PERMUTATIONS = 500
MAX_CELLS = 5_000_000  # looked at in search of a permutation of columns

_NUMBER = "number"


def close(first: float, second: float) -> bool:
    """Whether two numbers count as the same."""
    if isinstance(first, int) and isinstance(second, int):
        return first == second
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return math.isclose(first, second, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def canonical(cell: Cell) -> tuple[str, Any]:
    """Equal (and hashed alike) for cells that are exactly the same."""
    if isinstance(cell, bool):
        return (_NUMBER, int(cell))
    if isinstance(cell, int):
        return (_NUMBER, cell)
    if isinstance(cell, float):
        if math.isnan(cell):
            return (_NUMBER, "nan")  # which is not equal to itself
        return (_NUMBER, int(cell) if cell.is_integer() and abs(cell) < 2**53 else cell)
    if isinstance(cell, tuple):
        return (str(cell[0]), cell[1])
    return (type(cell).__name__, cell)


def same_rows(rows: Sequence[Row], reference: Sequence[Row]) -> bool:
    """Whether two tables hold the same rows, each as often, in any order."""
    if len(rows) != len(reference):
        return False
    given = Counter(tuple(map(canonical, row)) for row in rows)
    wanted = Counter(tuple(map(canonical, row)) for row in reference)
    if given == wanted:
        return True
    tolerant = _tolerant_columns([*given, *wanted])
    if not tolerant:
        return False
    groups, others = _by_exact_cells(given, tolerant), _by_exact_cells(wanted, tolerant)
    return groups.keys() == others.keys() and all(
        _matched(group, others[key]) for key, group in groups.items()
    )


def _tolerant_columns(rows: Sequence[Row]) -> set[int]:
    """Columns with a number that is not whole."""
    return {
        column
        for row in rows
        for column, (kind, value) in enumerate(row)
        if kind == _NUMBER and isinstance(value, float)
    }


def _by_exact_cells(
    rows: Counter[Row], tolerant: set[int]
) -> dict[tuple[Any, ...], list[tuple[float, ...]]]:
    """The numbers of the `tolerant` columns of each row, by all its other cells."""
    groups: dict[tuple[Any, ...], list[tuple[float, ...]]] = defaultdict(list)
    for row, count in rows.items():
        is_free = [i in tolerant and c[0] == _NUMBER and c[1] != "nan" for i, c in enumerate(row)]
        exact = tuple(None if free else c for free, c in zip(is_free, row, strict=True))
        numbers = tuple(c[1] for free, c in zip(is_free, row, strict=True) if free)
        groups[exact] += [numbers] * count
    return groups


def _matched(rows: list[tuple[float, ...]], others: list[tuple[float, ...]]) -> bool:
    """Whether rows of numbers can be paired with the others so that all are close."""
    if len(rows) != len(others):
        return False
    rows, others = sorted(rows), sorted(others)
    if all(map(_all_close, rows, others)):
        return True
    return len(rows[0]) > 1 and _paired(rows, others)


def _all_close(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(map(close, first, second))


def _paired(rows: list[tuple[float, ...]], others: list[tuple[float, ...]]) -> bool:
    """As `_matched`, by a maximum matching over all pairs that are close (one column needs only be
    sorted). Tables with more than MAX_PAIRS candidates are taken to differ."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    firsts = [each[0] for each in others]
    at, to, candidates = [], [], 0
    for i, row in enumerate(rows):
        slack = max(ABSOLUTE, 2 * RELATIVE * abs(row[0])) if math.isfinite(row[0]) else 0.0
        first = bisect_left(firsts, row[0] - slack)
        for j in range(first, len(others)):
            candidates += 1
            if firsts[j] > row[0] + slack or candidates > MAX_PAIRS:
                break
            if _all_close(row, others[j]):
                at.append(i)
                to.append(j)
    if candidates > MAX_PAIRS:
        return False
    graph = csr_array(([1] * len(at), (at, to)), shape=(len(rows), len(others)))
    return bool((maximum_bipartite_matching(graph, perm_type="column") >= 0).all())


def same_order(rows: Sequence[Row], groups: Sequence[Sequence[Row]]) -> bool:
    """Whether `rows` are those of `groups`, one group after the other."""
    position = 0
    for group in groups:
        if not same_rows(rows[position : position + len(group)], group):
            return False
        position += len(group)
    return position == len(rows)


def grouped(rows: Sequence[Row], keys: Sequence[int], width: int) -> list[list[Row]]:
    """The first `width` cells of each row, in groups of neighbours with the same `keys`."""
    groups: list[list[Row]] = []
    last = None
    for row in rows:
        key = tuple(canonical(row[column]) for column in keys)
        if key != last:
            groups.append([])
            last = key
        groups[-1].append(row[:width])
    return groups


def permutations(rows: Sequence[Row], reference: Sequence[Row]) -> list[tuple[int, ...]]:
    """Orders of the columns of `rows`, other than their own, in which every column holds what the
    column of `reference` at its place holds. At most MAX_PERMUTATIONS, and none for tables so large
    that looking would take more than MAX_CELLS."""
    if not rows or not reference or len(rows[0]) != len(reference[0]):
        return []
    width = len(rows[0])
    if len(rows) * width**2 > MAX_CELLS:
        return []
    columns = [[(row[i],) for row in rows] for i in range(width)]
    wanted = [[(row[i],) for row in reference] for i in range(width)]
    fits = [[i for i in range(width) if same_rows(columns[i], each)] for each in wanted]
    most = min(MAX_PERMUTATIONS, MAX_CELLS // (len(rows) * width))
    found: list[tuple[int, ...]] = []

    def extend(chosen: tuple[int, ...]) -> None:
        if len(found) == most:
            return
        if len(chosen) < width:
            for column in fits[len(chosen)]:
                if column not in chosen:
                    extend((*chosen, column))
        elif chosen != tuple(range(width)):
            found.append(chosen)

    if all(fits):
        extend(())
    return found


def permuted(rows: Sequence[Row], order: Sequence[int]) -> list[Row]:
    """`rows` with their columns in another order."""
    return [tuple(row[column] for column in order) for row in rows]
