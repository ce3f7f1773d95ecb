"""Who stays among rows that are pairwise duplicates, and what the others are duplicates of.

A connected component can chain: A is like B and B like C, though A and C have little in common. So a
component is a *group*, but not a reason to drop: a row is dropped only against a survivor that it
was itself verified to be like. The survivors are the greedy maximal independent set of the pairs,
taken best row first; it depends on the rows' ranks and pairs alone.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Rows = NDArray[np.int64]
_MANY = 4_000_000  # links in memory before they are reduced to a forest


class Survivors:
    """Takes verified pairs of rows, numbered by rank (0 is the best), block by block.

    After the last block, for every row: `kept`; `keeper`, the survivor that a dropped row is most
    like (-1 where kept); `score`, their similarity.
    """

    def __init__(self, n: int) -> None:
        self.kept = np.ones(n, dtype=np.bool_)
        self.keeper = np.full(n, -1, dtype=np.int64)
        self.score = np.zeros(n, dtype=np.float64)
        self._links: list[tuple[Rows, Rows]] = []
        self._held = 0

    def block(self, start: int, later: Rows, earlier: Rows, score: NDArray[np.float64]) -> None:
        """All pairs whose worse row, `later`, is in this block, which begins at row `start`.

        Every `earlier` row is better than its `later` one. Blocks come in order and do not overlap.
        """
        if not len(later):
            return
        kept = self.kept
        before = earlier < start
        kept[later[before][kept[earlier[before]]]] = False
        order = np.argsort(earlier, kind="stable")
        order = order[~before[order]]
        heads, first = np.unique(earlier[order], return_index=True)
        followers = np.split(later[order], first[1:]) if len(heads) else []
        for head, rows in zip(heads, followers, strict=True):
            if kept[head]:
                kept[rows] = False
        valid = kept[earlier] & ~kept[later]
        rows, keepers, scores = later[valid], earlier[valid], score[valid]
        best = np.lexsort((keepers, -scores, rows))
        rows, first = np.unique(rows[best], return_index=True)
        self.keeper[rows] = keepers[best][first]
        self.score[rows] = scores[best][first]
        self._links.append((later, earlier))
        self._held += len(later)
        if self._held > _MANY:
            labels = self.components()
            _, root = np.unique(labels, return_index=True)
            linked = np.flatnonzero(root[labels] != np.arange(len(labels)))
            self._links = [(linked, root[labels[linked]])]
            self._held = len(linked)

    def components(self) -> Rows:
        """Label of each row's connected component over all pairs, shape (n,)."""
        n = len(self.kept)
        if not self._links:
            return np.arange(n)
        rows = np.concatenate([later for later, _ in self._links])
        columns = np.concatenate([earlier for _, earlier in self._links])
        graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n))
        return connected_components(graph.tocsr(), directed=False)[1].astype(np.int64)

    def absorb(self, rows: Rows, part: "Survivors") -> None:
        """Take over what was found among `rows`, ascending, which are in no pair with others."""
        self.kept[rows] = part.kept
        dropped = part.keeper >= 0
        self.keeper[rows[dropped]] = rows[part.keeper[dropped]]
        self.score[rows] = part.score
        labels = part.components()
        _, root = np.unique(labels, return_index=True)
        linked = np.flatnonzero(root[labels] != np.arange(len(labels)))
        if len(linked):
            self._links.append((rows[linked], rows[root[labels[linked]]]))
