"""How much of a table another one has: three of QATCH's metrics.

Papicchio, Papotti, Cagliero, "QATCH: Benchmarking SQL-centric tasks with Table Representation
Learning Models on Your Data", NeurIPS 2023 (Datasets and Benchmarks). With T and P the sets of
distinct cell values of the reference (target) and of the prediction, and |t|, |p| their numbers of
rows:

    cell precision     = |T & P| / |P|
    cell recall        = |T & P| / |T|
    tuple cardinality  = min(|t|, |p|) / max(|t|, |p|)

Both tables empty: 1 each; only one of them: 0 each. Think2SQL (arXiv 2504.15077) rewards their
mean. Cells are the same where `comparison` says so, so that with numbers that are close the two
intersections may differ in size.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from winnow.pipeline.verify.sql_execution.comparison import (
    ABSOLUTE,
    RELATIVE,
    Row,
    canonical,
    close,
)


@dataclass(frozen=True)
class Overlap:
    """The metrics, each from 0 to 1."""

    cell_precision: float
    cell_recall: float
    tuple_cardinality: float

    @property
    def mean(self) -> float:
        return (self.cell_precision + self.cell_recall + self.tuple_cardinality) / 3


def overlap(rows: Sequence[Row], reference: Sequence[Row]) -> Overlap:
    """The metrics of a prediction's `rows`."""
    if not rows or not reference:
        value = float(not rows and not reference)
        return Overlap(value, value, value)
    predicted = set(map(canonical, chain.from_iterable(rows)))
    target = set(map(canonical, chain.from_iterable(reference)))
    return Overlap(
        _found(predicted, target) / len(predicted),
        _found(target, predicted) / len(target),
        min(len(rows), len(reference)) / max(len(rows), len(reference)),
    )


def _found(cells: set[tuple[str, Any]], among: set[tuple[str, Any]]) -> int:
    """How many of `cells` are in the other set, or close to one there."""
    numbers = sorted(value for kind, value in among if kind == "number" and value != "nan")
    fractions = [number for number in numbers if isinstance(number, float)]
    return sum(
        cell in among or _is_close_to_one(cell, fractions if isinstance(cell[1], int) else numbers)
        for cell in cells
    )


def _is_close_to_one(cell: tuple[str, Any], numbers: Sequence[float]) -> bool:
    """Whether one of the sorted `numbers` counts as the same."""
    kind, value = cell
    if kind != "number" or value == "nan" or not math.isfinite(value):
        return False
    slack = max(ABSOLUTE, 2 * RELATIVE * abs(value))
    at = bisect_left(numbers, value - slack)
    while at < len(numbers) and numbers[at] <= value + slack:
        if close(value, numbers[at]):
            return True
        at += 1
    return False
