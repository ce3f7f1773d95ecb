"""UDS: utility-diversity online batch selection (arXiv 2510.16882), as one pass over recorded signals.

Candidates come in batches. A row's utility u is the nuclear norm of its logits, its diversity v the
mean Euclidean distance of its sketch to those in a first-in first-out buffer (0 while that is
empty), its score c = u + alpha v. The `keep` best of each batch are selected and enter the buffer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from winnow.pipeline.features.sketch import Projection, norm_ratio


@dataclass(frozen=True, eq=False)
class UDSResult:
    """One entry per row, in the order of the input: step int32 (batch, from 0), utility, diversity
    and score float64, selected bool, rank int32 (place by score within the batch, from 0).
    """

    step: NDArray[np.int32]
    utility: NDArray[np.float64]
    diversity: NDArray[np.float64]
    score: NDArray[np.float64]
    selected: NDArray[np.bool_]
    rank: NDArray[np.int32]


def uds(
    ids: Sequence[str],
    nuclear_norm: NDArray[np.floating],
    sketch: NDArray[np.floating],
    *,
    alpha: float = 2.5e-3,
    buffer: int = 1024,
    batch: int = 8,
    keep: int = 4,
    seed: int = 0,
    projection: Projection = "official",
    vocab: int | None = None,
    T: int = 512,
) -> UDSResult:
    """Select `keep` of every `batch` rows, given nuclear norms (n,) and sketches (n, d).

    The stream is the sorted ids, permuted by a generator seeded with `seed`: the order of the input
    rows changes nothing. Equal scores rank by the lower id. Of a last batch shorter than `keep`
    everything is selected. The selected enter the buffer best first; where `keep` exceeds the
    buffer, the later ones overwrite. `alpha` is in the scale of the official projection, whose
    distances are sqrt(V T) / 2 times as long as orthonormal ones: with `projection="orthonormal"`
    it is multiplied by that factor, so both rank alike, and `vocab` (V) is required.

    Distances are float64 differences, not the matrix-product form, which loses near duplicates.
    Raises ValueError for parameters outside their range, for shapes that do not match, for a
    repeated id, and for a signal that is not finite, naming the id.
    """
    n = len(ids)
    u = np.asarray(nuclear_norm, dtype=np.float64)
    z = np.asarray(sketch)
    weight = _weight(alpha, projection, vocab, T)
    if not 1 <= keep <= batch:
        raise ValueError(f"keep ({keep}) must be at least 1 and at most batch ({batch})")
    if buffer < 1:
        raise ValueError(f"buffer ({buffer}) must be at least 1")
    _check_rows(ids, u, z)

    order = _stream(ids, seed)
    result = UDSResult(
        step=np.zeros(n, np.int32),
        utility=u.copy(),
        diversity=np.zeros(n),
        score=np.zeros(n),
        selected=np.zeros(n, bool),
        rank=np.zeros(n, np.int32),
    )
    recent = _Buffer(buffer, z.shape[1])
    for step, start in enumerate(range(0, n, batch)):
        # By id within the batch, so that the stable sort below breaks ties by the lower id.
        rows = np.array(sorted(order[start : start + batch], key=ids.__getitem__))
        candidates = z[rows].astype(np.float64)
        diversity = recent.mean_distance(candidates)
        score = u[rows] + weight * diversity
        best = np.argsort(-score, kind="stable")
        result.step[rows] = step
        result.diversity[rows] = diversity
        result.score[rows] = score
        result.rank[rows[best]] = np.arange(len(rows))
        result.selected[rows[best[:keep]]] = True
        recent.push(candidates[best[:keep]])
    return result


class _Buffer:
    """The last `slots` sketches that were pushed."""

    def __init__(self, slots: int, width: int) -> None:
        self._values = np.zeros((slots, width))
        self._next = 0
        self._filled = 0

    def mean_distance(self, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.spatial.distance import cdist

        if self._filled == 0:
            return np.zeros(len(candidates))
        distance: NDArray[np.float64] = cdist(candidates, self._values[: self._filled])
        return distance.mean(axis=1)

    def push(self, sketches: NDArray[np.float64]) -> None:
        for sketch in sketches:
            self._values[self._next] = sketch
            self._next = (self._next + 1) % len(self._values)
        self._filled = min(self._filled + len(sketches), len(self._values))


def _stream(ids: Sequence[str], seed: int) -> list[int]:
    """Row indices in the order in which they are met."""
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    rng = np.random.Generator(np.random.PCG64(seed))
    shuffled: list[int] = by_id[rng.permutation(len(ids))].tolist()
    return shuffled


def _weight(alpha: float, projection: Projection, vocab: int | None, T: int) -> float:
    """alpha in the scale of the sketches."""
    if not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha ({alpha}) must be a finite number of at least 0")
    if projection == "official":
        return alpha
    if projection != "orthonormal":
        raise ValueError(f"projection must be official or orthonormal, not {projection!r}")
    if vocab is None or vocab < 1 or T < 1:
        raise ValueError("the orthonormal projection needs vocab and T, both at least 1")
    return alpha * norm_ratio(vocab, T)


def _check_rows(ids: Sequence[str], u: NDArray[np.float64], z: NDArray[np.floating]) -> None:
    n = len(ids)
    if u.shape != (n,) or z.ndim != 2 or len(z) != n:
        raise ValueError(f"{n} ids, but norms of shape {u.shape} and sketches of shape {z.shape}")
    if len(set(ids)) != n:
        seen: set[str] = set()
        repeated = next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise ValueError(f"the id {repeated} stands for more than one row")
    for name, finite in (("nuclear norm", np.isfinite(u)), ("sketch", np.isfinite(z).all(axis=1))):
        bad = sorted(ids[i] for i in np.flatnonzero(~finite))
        if bad:
            raise ValueError(f"the {name} of {bad[0]} is not finite")
