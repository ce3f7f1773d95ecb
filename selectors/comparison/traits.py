"""What a comparison looks at in the rows of a pool: difficulty, length, source, cluster, place.

Each trait comes from the first of the columns below that holds a value, else from what can be made
without a model: the length from the texts, clusters and places from the embeddings.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from winnow.pipeline.errors import UsageError
from winnow.pipeline.progress import Progress, Silent
from winnow.selectors.base import Column
from winnow.selectors.columns import (
    CLUSTER,
    EMBEDDING,
    LOGPROB_MEAN,
    N_TOKENS,
    PASS_RATE,
    SOURCE,
    but,
)
from winnow.selectors.gather import Gathered, gather
from winnow.selectors.rows import TEXTS, Rows

_X = Column("x", "number", "Place on a plane, for plots.")
_Y = Column("y", "number", "Place on a plane, for plots.")
# Clusters may have names: they are only told apart here.
_CLUSTER = but(CLUSTER, kind="text")
COLUMNS = [
    but(each, optional=True, nulls=True)
    for each in (PASS_RATE, LOGPROB_MEAN, N_TOKENS, SOURCE, _CLUSTER, _X, _Y, EMBEDDING)
]
_TRAINED_ON = 100_000  # rows that k-means sees at most
_BLOCK = 8_192


@dataclass(frozen=True, eq=False)
class Traits:
    """Of n rows, in the input's order; None where the pool has no such trait.

    difficulty (n,) and length (n,) float64, NaN where a row has none; `difficulty_name` and
    `length_name` say what they are (a higher pass rate is easier, a higher loss harder). source (n,)
    names. cluster (n,) int64, -1 where a row has none; plane (n, 2) float64, NaN where it has none.
    tokens (n,): the length where it is one in tokens.
    """

    rows: int
    difficulty: NDArray[np.float64] | None = None
    difficulty_name: str = "difficulty"
    length: NDArray[np.float64] | None = None
    length_name: str = "length"
    tokens: NDArray[np.float64] | None = None
    source: Sequence[str | None] | None = None
    cluster: NDArray[np.int64] | None = None
    clusters_made: bool = False
    plane: NDArray[np.float64] | None = None


def traits(
    source: Rows,
    features: Sequence[Rows] = (),
    *,
    columns: Mapping[str, str] | None = None,
    clusters: int = 100,
    seed: int = 0,
    progress: Progress | None = None,
) -> Traits:
    """The traits of `source`'s rows. Raises UsageError for a pool of no rows and for a column of the
    wrong type.

    `clusters`: how many k-means makes where the pool has embeddings and no `cluster`, at most one
    for every ten rows.
    """
    progress = progress or Silent()
    renamed = {k: v for k, v in (columns or {}).items() if k in {c.name for c in COLUMNS}}
    found = gather(source, features, COLUMNS, renamed=renamed, seed=seed, progress=progress)
    n = len(found.ids)
    if n == 0:
        raise UsageError(f"{source.label}: holds no rows to choose from")
    difficulty, difficulty_name = _numbers(found, PASS_RATE), "pass rate"
    if difficulty is None:
        logprob = _numbers(found, LOGPROB_MEAN)
        difficulty = None if logprob is None else -logprob
        difficulty_name = "loss (nats a token)"
    tokens = _numbers(found, N_TOKENS)
    length, length_name = tokens, "length (tokens)"
    if length is None:
        length, length_name = _characters(source), "length (characters)"
    vectors = _vectors(found)
    named = _named(found, _CLUSTER.name)
    cluster = None if named is None else _codes(named)
    made = False
    if cluster is None and vectors is not None:
        cluster = _clustered(vectors, clusters, seed, progress)
        made = cluster is not None
    return Traits(
        rows=n,
        difficulty=difficulty,
        difficulty_name=difficulty_name,
        length=length,
        length_name=length_name,
        tokens=tokens,
        source=_named(found, SOURCE.name),
        cluster=cluster,
        clusters_made=made,
        plane=_plane(found, vectors),
    )


def _numbers(found: Gathered, column: Column) -> NDArray[np.float64] | None:
    """The values in the input's order; None where no row has one."""
    if not found.pool.has(column.name):
        return None
    values: NDArray[np.float64] = found.pool[column.name][found.place]
    return values if np.isfinite(values).any() else None


def _named(found: Gathered, column: str) -> list[str | None] | None:
    if not found.pool.has(column):
        return None
    values = found.pool[column]
    ordered = [values[i] for i in found.place.tolist()]
    return ordered if any(v is not None for v in ordered) else None


def _codes(names: Sequence[str | None]) -> NDArray[np.int64]:
    """Numbers from 0 in sorted order of the names, -1 for None."""
    place = {name: at for at, name in enumerate(sorted({v for v in names if v is not None}))}
    return np.array([-1 if v is None else place[v] for v in names], dtype=np.int64)


def _vectors(found: Gathered) -> NDArray[np.float32] | None:
    """The embeddings in the input's order, NaN where a row has none."""
    if not found.pool.has(EMBEDDING.name):
        return None
    matrix: NDArray[np.float32] = found.pool[EMBEDDING.name]
    if matrix.shape[1] == 0:
        return None
    ordered = matrix[found.place]
    for start in range(0, len(ordered), _BLOCK):
        part = ordered[start : start + _BLOCK]
        # A missing vector arrives as zeros, and one of zeros has no direction either.
        part[~np.isfinite(part).all(axis=1) | ~part.any(axis=1)] = np.nan
    return ordered if np.isfinite(ordered[:, 0]).any() else None


def _clustered(
    vectors: NDArray[np.float32], k: int, seed: int, progress: Progress
) -> NDArray[np.int64] | None:
    from importlib.util import find_spec

    if find_spec("faiss") is None:
        progress.note(
            "no clusters: the pool has no column cluster, and k-means needs faiss "
            "(pip install faiss-cpu)"
        )
        return None
    from winnow.pipeline.features.clusters import kmeans

    known = np.flatnonzero(np.isfinite(vectors[:, 0]))
    trained = known
    if len(known) > _TRAINED_ON:
        rng = np.random.default_rng(seed)
        trained = np.sort(rng.choice(known, _TRAINED_ON, replace=False))
    k = max(1, min(k, len(known) // 10))
    progress.note(f"k-means: {k} clusters of {len(known)} embeddings")
    model = kmeans(vectors[trained], k, seed=seed, starts=1)
    cluster = np.full(len(vectors), -1, dtype=np.int64)
    if len(trained) == len(known):
        cluster[known] = model.assignment
        return cluster
    half = 0.5 * (model.centroids**2).sum(axis=1)
    for start in range(0, len(known), _BLOCK):
        part = known[start : start + _BLOCK]
        cluster[part] = (half - vectors[part] @ model.centroids.T).argmin(axis=1)
    return cluster


def _plane(found: Gathered, vectors: NDArray[np.float32] | None) -> NDArray[np.float64] | None:
    x, y = _numbers(found, _X), _numbers(found, _Y)
    if x is not None and y is not None:
        return np.column_stack([x, y])
    if vectors is None:
        return None
    from winnow.pipeline.features.clusters import project_2d

    known = np.isfinite(vectors[:, 0])
    points = np.full((len(vectors), 2), math.nan)
    points[known] = project_2d(vectors[known])
    return points


def _characters(source: Rows) -> NDArray[np.float64] | None:
    """Characters of a row's texts together; None where it has no texts."""
    names = [name for name in TEXTS if name in source.columns]
    if not names:
        return None
    total = np.zeros(source.num_rows)
    for name in names:
        start = 0
        for block in source.blocks(name):
            total[start : start + len(block)] += _text_lengths(block)
            start += len(block)
    return total if total.any() else None


def _text_lengths(block: pa.Array) -> NDArray[np.float64]:
    if pa.types.is_string(block.type) or pa.types.is_large_string(block.type):
        lengths = pc.utf8_length(block).fill_null(0)
        return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.array([_length(value) for value in block.to_pylist()], dtype=np.float64)


def _length(value: Any) -> int:
    """Characters of a text, or of the contents of messages."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(_length(each) for each in value)
    if isinstance(value, dict):
        return _length(value.get("content"))
    return 0
