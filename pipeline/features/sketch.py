"""Nuclear norm and random sketch of a logits matrix: the two signals of UDS (arXiv 2510.16882).

L is the (N, V) logits matrix of one sequence: N token positions, V words. The norm is the sum of
its singular values. The sketch multiplies the words by random signs, takes the real part of an
unnormalised DFT along the vocabulary and keeps r2 of its columns, then does the same along time
(zero-padded to T positions), keeping r1 rows: d = r1 * r2 numbers, row-major.

Where the head is linear, L = H W' + b, the logits are never formed. With P = [W b] and rows [H 1],
the norm follows from the eigenvalues of H (P'P) H', and the vocabulary DFT from H (P'C), where C
holds the signed cosines of the kept columns; P'P and P'C are computed once per model. All of it is
float64: a float32 Gram matrix of logits is 1e-4 off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Projection = Literal["official", "orthonormal"]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_] | None

_CHUNK = 8192  # words at a time: bounds the float64 copies of a float32 head


@dataclass(frozen=True, eq=False)
class Projector:
    """Signs and kept indices of the sketch: s2 (V,) and c (r2,) for words, s1 (T,) and r (r1,) for
    positions. Indices may repeat, so r2 > V is legal. Raises ValueError for anything else.
    """

    s1: NDArray[np.int8]
    s2: NDArray[np.int8]
    c: NDArray[np.int64]
    r: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, signs in (("s1", self.s1), ("s2", self.s2)):
            if signs.ndim != 1 or not signs.size or not np.isin(signs, (-1, 1)).all():
                raise ValueError(f"{name} must be a non-empty list of signs, each -1 or 1")
        for name, indices, end in (("c", self.c, self.vocab), ("r", self.r, self.positions)):
            if (
                indices.ndim != 1
                or not indices.size
                or not np.issubdtype(indices.dtype, np.integer)
            ):
                raise ValueError(f"{name} must be a non-empty list of integers")
            if indices.min() < 0 or indices.max() >= end:
                raise ValueError(f"{name} must lie in 0..{end - 1}")

    @property
    def vocab(self) -> int:
        """V."""
        return int(self.s2.size)

    @property
    def positions(self) -> int:
        """T, the longest sequence that can be sketched."""
        return int(self.s1.size)

    @property
    def size(self) -> int:
        """d = r1 * r2."""
        return int(self.r.size * self.c.size)


def draw(vocab: int, seed: int, *, r1: int = 8, r2: int = 128, T: int = 512) -> Projector:
    """A projector from numpy's PCG64, in the order s2, s1, c, r; indices with replacement."""
    rng = np.random.Generator(np.random.PCG64(seed))
    s2, s1 = (rng.integers(0, 2, n, dtype=np.int8) * 2 - 1 for n in (vocab, T))
    return Projector(s1, s2, c=rng.integers(0, vocab, r2), r=rng.integers(0, T, r1))


def norm_ratio(vocab: int, positions: int) -> float:
    """sqrt(V T) / 2: how much longer official sketches, and their distances, are than orthonormal
    ones. Neither DFT of the official projection is normalised.
    """
    return float(np.sqrt(float(vocab) * positions)) / 2.0


def cosines(projector: Projector, start: int, stop: int) -> Floats:
    """Rows start..stop of C (V, r2): s2[v] cos(2 pi v c_j / V)."""
    v = np.arange(start, stop, dtype=np.int64)[:, None]
    return projector.s2[start:stop, None] * _cosine(v, projector.c, projector.vocab)


def time_cosines(projector: Projector, positions: int) -> Floats:
    """(r1, positions): s1[t] cos(2 pi r_i t / T)."""
    t = np.arange(positions, dtype=np.int64)
    signed: Floats = projector.s1[:positions] * _cosine(
        projector.r[:, None], t, projector.positions
    )
    return signed


def scale(projector: Projector, projection: Projection = "official") -> float:
    """What the sums of the two transforms are multiplied by."""
    kept_words = np.sqrt(projector.vocab / projector.c.size)
    kept_positions = np.sqrt(projector.positions / projector.r.size)
    official = float(kept_words * kept_positions)
    if projection == "orthonormal":
        return official / norm_ratio(projector.vocab, projector.positions)
    return official


def _cosine(i: NDArray[np.int64], j: NDArray[np.int64], n: int) -> Floats:
    """cos(2 pi i j / n), the product reduced modulo n in integers: exact for any vocabulary."""
    return np.cos((i * j % n) * (2.0 * np.pi / n))


def _chunks(n: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n, _CHUNK):
        yield start, min(start + _CHUNK, n)


@dataclass(frozen=True, eq=False)
class Head:
    """What is kept of a linear head: gram P'P (h, h) and spectrum P'C (h, r2), float64.

    With a bias, both have one more row for the column of ones that `rows` appends.
    """

    gram: Floats
    spectrum: Floats
    biased: bool

    def rows(self, hidden: ArrayLike) -> Floats:
        """Hidden states (N, h) as float64, with the ones of the bias."""
        h = np.asarray(hidden, dtype=np.float64)
        return np.hstack([h, np.ones((len(h), 1))]) if self.biased else h


def head(weight: NDArray[np.floating], projector: Projector, bias: ArrayLike | None = None) -> Head:
    """Products of a head's weight (V, h) and bias (V,), read in chunks of rows."""
    if weight.shape[0] != projector.vocab:
        raise ValueError(f"the head has {weight.shape[0]} words, the projector {projector.vocab}")
    b = None if bias is None else np.asarray(bias, dtype=np.float64)[:, None]
    width = weight.shape[1] + (b is not None)
    gram, spectrum = np.zeros((width, width)), np.zeros((width, projector.c.size))
    for start, stop in _chunks(projector.vocab):
        part = np.asarray(weight[start:stop], dtype=np.float64)
        if b is not None:
            part = np.hstack([part, b[start:stop]])
        gram += part.T @ part
        spectrum += part.T @ cosines(projector, start, stop)
    return Head(gram, spectrum, b is not None)


def nuclear_norm_from_gram(gram: Floats, mask: Mask = None) -> float:
    """Sum of the singular values of L from L L' (N, N); of its masked-in rows where a mask (N,) is
    given. Eigenvalues that round below zero count as zero. NaN where an entry is not finite.
    """
    if mask is not None:
        gram = gram[np.ix_(mask, mask)]
    if not np.isfinite(gram).all():
        return float("nan")
    return float(np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None)).sum())


def nuclear_norm_from_logits(logits: ArrayLike, mask: Mask = None) -> float:
    """Sum of the singular values of L (N, V), from its float64 Gram matrix."""
    rows = np.asarray(logits, dtype=np.float64)
    if mask is not None:
        rows = rows[mask]
    return nuclear_norm_from_gram(rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows)


def nuclear_norm_from_hidden(hidden: ArrayLike, head: Head, mask: Mask = None) -> float:
    """The same from the hidden states (N, h) that a linear head reads."""
    rows = head.rows(hidden)
    return nuclear_norm_from_gram(rows @ head.gram @ rows.T, mask)


def sketch_from_columns(
    columns: Floats, projector: Projector, projection: Projection = "official", mask: Mask = None
) -> Floats:
    """The sketch (r1 * r2,) from L C (N, r2), the kept columns of the vocabulary DFT.

    A masked-out row counts as zeros and the others keep their positions. Raises ValueError where
    N > T: nothing is cut off silently.
    """
    n, width = columns.shape
    if n > projector.positions:
        raise ValueError(f"{n} positions, but the projector takes at most {projector.positions}")
    if width != projector.c.size:
        raise ValueError(f"{width} columns, but the projector keeps {projector.c.size}")
    if mask is not None:
        columns = np.where(mask[:, None], columns, 0.0)
    z: Floats = (time_cosines(projector, n) @ columns).ravel() * scale(projector, projection)
    return z


def sketch_from_logits(
    logits: ArrayLike, projector: Projector, projection: Projection = "official", mask: Mask = None
) -> Floats:
    """The sketch (r1 * r2,) of logits (N, V). Raises ValueError where N > T or V differs."""
    values = np.asarray(logits)
    if values.ndim != 2 or values.shape[1] != projector.vocab:
        raise ValueError(f"logits of shape {values.shape}, but V is {projector.vocab}")
    columns = np.zeros((values.shape[0], projector.c.size))
    for start, stop in _chunks(projector.vocab):
        part = np.asarray(values[:, start:stop], dtype=np.float64)
        columns += part @ cosines(projector, start, stop)
    return sketch_from_columns(columns, projector, projection, mask)


def sketch_from_hidden(
    hidden: ArrayLike,
    head: Head,
    projector: Projector,
    projection: Projection = "official",
    mask: Mask = None,
) -> Floats:
    """The same from the hidden states (N, h) that a linear head reads."""
    columns = head.rows(hidden) @ head.spectrum
    return sketch_from_columns(columns, projector, projection, mask)
