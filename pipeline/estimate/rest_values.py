"""Values of the steps of a search tree: ReST-MCTS*, arXiv 2406.03816.

A tree search ends in leaves whose final answers are judged; these functions turn the judgements into
a label for every step on the way, as training data of a value or process reward model. Forms: `full`
(value model), `simple` (one solved path) and `process` (process reward model).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Reasoning distance of a node from which no judged answer is reached. The authors' 1024 would limit
# the depth of a tree.
_UNKNOWN = math.inf


@dataclass(frozen=True, eq=False)
class Tree:
    """A search tree of n nodes, the root first and each parent before its children.

    `parent` (n,): index of the parent, -1 for the root. `finished` (n,): the end of a solution was
    detected there. `value` (n,): what the search's value model said. `correct` (n,): whether the
    final answer of an end leaf is right, None where it is not judged; of other nodes it is not read.
    Flags may be numpy's, or 1 and 0.

    Raises ValueError where the lists do not make such a tree.
    """

    parent: Sequence[int]
    finished: Sequence[bool]
    value: Sequence[float]
    correct: Sequence[bool | None]

    def __post_init__(self) -> None:
        n = len(self.parent)
        if n == 0 or {len(self.finished), len(self.value), len(self.correct)} != {n}:
            raise ValueError("a tree needs a root, and lists of one length")
        if self.parent[0] != -1 or any(
            not 0 <= parent < node for node, parent in enumerate(self.parent) if node
        ):
            raise ValueError("the root comes first (parent -1), each parent before its children")
        if set(self.correct) - {True, False, None}:  # NaN for None would count as right
            raise ValueError("correct holds something else than true, false and None")

    def __len__(self) -> int:
        return len(self.parent)

    def children(self) -> list[list[int]]:
        """The children of each node, in order."""
        found: list[list[int]] = [[] for _ in range(len(self))]
        for node in range(1, len(self)):
            found[self.parent[node]].append(node)
        return found

    def end_leaves(self, end_gate: float) -> list[int]:
        """Nodes without children that are finished or whose value is at least `end_gate`."""
        return [
            node
            for node, children in enumerate(self.children())
            if not children and (self.finished[node] or self.value[node] >= end_gate)
        ]

    def path(self, node: int) -> list[int]:
        """From the node up to the root, both included."""
        found = [node]
        while found[-1]:
            found.append(self.parent[found[-1]])
        return found


@dataclass(frozen=True, eq=False)
class StepValues:
    """`value` (n,) float64 per node, NaN where there is none; `samples`: nodes whose text so far and
    value make a training sample, in ascending order."""

    value: NDArray[np.float64]
    samples: list[int]


def full_values(tree: Tree, *, end_gate: float = 0.9) -> StepValues:
    """Values in the value model's form, from the reasoning distance m of each node.

    A correct end leaf has m = 1, and each ancestor of one 1 + the smallest m of its children. A wrong
    end leaf, with the nodes up to its nearest ancestor of known m, takes over that m. From the root,
    whose value is 0, down the nodes of known m,

        V = max(0, V_parent + (1 - V_parent) r / m),

    r = 1 on the way to a correct leaf, else -1. Every such node but the root is a sample; there are
    none where no leaf is correct. `end_gate`: 0.9 in the authors' class, 0.8 in their script. An end
    leaf that is not judged counts as one that was never expanded (ours).
    """
    ends = tree.end_leaves(end_gate)
    m, right = _distances(tree, ends)
    value = np.full(len(tree), np.nan)
    samples: list[int] = []
    if not right[0]:
        return StepValues(value, samples)
    value[0] = 0.0
    for node in range(1, len(tree)):
        before = value[tree.parent[node]]
        if m[node] < _UNKNOWN and not np.isnan(before):
            sign = 1 if right[node] else -1
            value[node] = max(0.0, before + (1 - before) * sign / m[node])
            samples.append(node)
    return StepValues(value, samples)


def paper_step(before: float, m: int, correct: bool) -> float:
    """The same step as the paper writes it: max(v + w, 0), w = (1 - v) / (m' + 1) (1 - 2 r').

    m' = m - 1 steps are still missing after this one; r' = 0 for a correct step, 1 for a wrong one.
    """
    missing, wrong = m - 1, 0 if correct else 1
    return max(before + (1 - before) / (missing + 1) * (1 - 2 * wrong), 0.0)


def simple_values(tree: Tree, *, end_gate: float = 0.9, solved: int | None = None) -> StepValues:
    """Values from one solved path of depth D, that to the end leaf `solved`.

    A node of the path at depth d has d / D, a child of the path that is not on it max(0, (d - 2) / D),
    d its depth. `solved`: the first correct end leaf, if None (ours); nothing has a value where there
    is none. Raises ValueError where `solved` is no correct end leaf.
    """
    value = np.full(len(tree), np.nan)
    right = [node for node in tree.end_leaves(end_gate) if tree.correct[node]]
    if solved is not None and solved not in right:
        raise ValueError(f"node {solved} is no correct end leaf")
    if not right or right == [0]:
        return StepValues(value, [])
    path = tree.path(right[0] if solved is None else solved)[::-1]
    length = len(path) - 1
    children = tree.children()
    for depth, node in enumerate(path):
        for child in children[node]:  # at depth + 1
            value[child] = max((depth - 1) / length, 0.0)
    for depth, node in enumerate(path):
        value[node] = depth / length
    return StepValues(value, [node for node in range(1, len(tree)) if not np.isnan(value[node])])


def process_values(tree: Tree, *, end_gate: float = 0.9) -> StepValues:
    """Hard estimates in the process reward model's form: 1 where a correct end leaf is below, else 0.

    Only nodes on the way to a judged end leaf have one; all of them but the root are samples.
    """
    value = np.full(len(tree), np.nan)
    for leaf in tree.end_leaves(end_gate):
        if tree.correct[leaf] is not None:
            for node in tree.path(leaf):
                value[node] = max(float(bool(tree.correct[leaf])), np.nan_to_num(value[node]))
    return StepValues(value, [node for node in range(1, len(tree)) if not np.isnan(value[node])])


def _distances(tree: Tree, ends: Sequence[int]) -> tuple[list[float], list[bool]]:
    """The reasoning distance of each node, and whether a correct end leaf lies at or below it."""
    m = [_UNKNOWN] * len(tree)
    right = [False] * len(tree)
    for leaf in ends:
        if tree.correct[leaf]:
            for steps, node in enumerate(tree.path(leaf)):
                m[node] = min(m[node], 1 + steps)
                right[node] = True
    for leaf in ends:
        if tree.correct[leaf] is not None and not tree.correct[leaf]:
            above = tree.path(leaf)
            known = next((at for at, node in enumerate(above) if m[node] < _UNKNOWN), None)
            for node in above[:known] if known is not None else ():
                m[node] = m[above[known or 0]]
    return m, right
