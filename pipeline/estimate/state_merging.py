"""Merging of search states that say the same: FETCH, arXiv 2502.11183.

The children of an expansion whose last steps have close embeddings become one hyper-node, so that a
tree search does not pay for one thought twice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

DISTANCE = 0.15  # of beam search, best-first search and MCTS; the authors' server has 0.1

HyperValue = Literal["max", "mean", "min", "first"]


@dataclass(frozen=True)
class HyperNode:
    """`members`: indices of the merged states, the highest value first. `value`: of the whole.
    `finished`: whether the best member is."""

    members: tuple[int, ...]
    value: float
    finished: bool


def merge_states(
    embeddings: ArrayLike, *, distance: float = DISTANCE, apart: Sequence[object] | None = None
) -> NDArray[np.int64]:
    """A cluster number (n,) for each state, from 0 in the order of the clusters' first members.

    `embeddings` (n, d): of the last step's text only, not of the path. Agglomerative clustering with
    cosine distance and average linkage: clusters merge while their linkage distance is below
    `distance` (at exactly `distance` they do not). Fewer than two states are one cluster.
    `apart` (n,): states with different values never merge; beam search keeps finished ones and others
    apart, best-first search and MCTS do not. Time and memory grow with the square of n.

    Raises ValueError for an embedding that is 0 or not finite, and for a distance that is not above 0.
    """
    vectors = np.atleast_2d(np.asarray(embeddings, np.float64))
    if not distance > 0:
        raise ValueError(f"distance is {distance}; it must be above 0")
    n = len(vectors) if vectors.size else 0
    if n and not (np.isfinite(vectors).all() and (np.linalg.norm(vectors, axis=1) > 0).all()):
        raise ValueError("an embedding is 0 or not finite: it has no direction")
    labels = np.zeros(n, dtype=np.int64)
    kinds = [0] * n if apart is None else list(apart)
    if len(kinds) != n:
        raise ValueError(f"apart has {len(kinds)} entries for {n} states")
    for number, kind in enumerate(dict.fromkeys(kinds)):
        rows = np.array([row for row in range(n) if kinds[row] == kind])
        labels[rows] = _clusters(vectors[rows], distance) + number * n
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels]


def hyper_nodes(
    labels: Sequence[int] | NDArray[np.int64],
    values: Sequence[float],
    finished: Sequence[bool],
    *,
    value: HyperValue = "max",
) -> list[HyperNode]:
    """The hyper-nodes of clustered states, in the order of their labels.

    Members by value, the highest first (the first generated of equals). `value`: `max`; best-first
    search also has `mean` and `min`; `first` is what the released MCTS does, against its own
    comment: the value of the member that was generated first.
    """
    members: dict[int, list[int]] = {}
    for state, label in enumerate(np.asarray(labels).tolist()):
        members.setdefault(label, []).append(state)
    found = []
    for label in sorted(members):
        states = members[label]
        best_first = sorted(states, key=lambda state: -values[state])  # stable
        whole = _whole([values[state] for state in states], value)
        found.append(HyperNode(tuple(best_first), whole, bool(finished[best_first[0]])))
    return found


def continuations(members: int, budget: int) -> list[int]:
    """How many of `budget` continuations each member of a hyper-node gets: one after the other, the
    best first."""
    return [budget // members + (at < budget % members) for at in range(members)]


def prior(members: int, children: int) -> float:
    """Weight of a hyper-node's exploration in MCTS: 0.8 + 0.2 (its share of the children)."""
    return 0.8 + 0.2 * members / children


def upper_bound(
    mean: float, prior: float, visits: int, parent_visits: int, *, c: float = 0.6
) -> float:
    """UCB of the MCTS variant: Q + c p sqrt(ln N_parent / N), N = rewards received + 1.

    Raises ValueError for visits below 1: no node has fewer by that count.
    """
    if visits < 1 or parent_visits < 1:
        raise ValueError(
            f"visits ({visits}) and parent_visits ({parent_visits}) must be at least 1"
        )
    return mean + c * prior * math.sqrt(math.log(parent_visits) / visits)


def child_budget(members: int, *, root: bool, at_root: int = 8, elsewhere: int = 4) -> int:
    """Continuations that a hyper-node of the MCTS variant draws: its budget, 8 at the root and 4
    elsewhere, and round(min(members / 2, budget)) more, halves to the even number. That both budgets
    are the same number is our reading."""
    budget = at_root if root else elsewhere
    return budget + round(min(0.5 * members, budget))


def search_reward(value: float, rollouts: Sequence[float]) -> float:
    """Reward of the MCTS variant: half the value, half the mean value of the roll-outs (2 there)."""
    return 0.5 * value + 0.5 * _mean(rollouts)


def _whole(values: Sequence[float], form: HyperValue) -> float:
    match form:
        case "max":
            return max(values)
        case "mean":
            return _mean(values)
        case "min":
            return min(values)
        case "first":
            return values[0]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _clusters(vectors: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(vectors) < 2:
        return np.zeros(len(vectors), dtype=np.int64)
    merges = linkage(vectors, method="average", metric="cosine")
    # fcluster merges up to and including its threshold.
    below = np.nextafter(distance, -np.inf)
    return np.asarray(fcluster(merges, below, criterion="distance"), np.int64)
