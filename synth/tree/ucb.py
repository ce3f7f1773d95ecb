"""Which child a tree search goes to: the published rules."""

import math
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def thinklite_code(rewards: float, visits: int, parent_visits: int, *, c: float = 1.0) -> float:
    """ThinkLite-VL's released code (arXiv 2504.07934): W/n + c sqrt(ln N / n), UCB1.

    `rewards` W: sum of the child's rewards; `visits` n, `parent_visits` N. A child that was never
    visited has +infinity.
    """
    if visits == 0:
        return math.inf
    return rewards / visits + c * math.sqrt(math.log(parent_visits) / visits)


def thinklite_paper(visits: int, parent_visits: int, *, c: float = 1.0) -> float:
    """ThinkLite-VL's paper: c sqrt(N) / (1 + n), by visits alone."""
    return c * math.sqrt(parent_visits) / (1 + visits)


def rest_mcts(
    value: float, visits: int, parent_visits: int, *, c: float = 0.7, unvisited: float = 1.0
) -> float:
    """ReST-MCTS* (arXiv 2406.03816, code): V + c sqrt(2 ln N / n); V + `unvisited` where n = 0."""
    if visits == 0:
        return value + unvisited
    return value + c * math.sqrt(2 * math.log(parent_visits) / visits)


def first_best(items: Sequence[T], scores: Sequence[float]) -> T:
    """The first item with the highest score: one that only equals an earlier one does not win."""
    return items[max(range(len(items)), key=scores.__getitem__)]


def all_best(items: Sequence[T], scores: Sequence[float]) -> list[T]:
    """Every item with the highest score, in order."""
    best = max(scores)
    return [item for item, score in zip(items, scores, strict=True) if score == best]
