"""UDS: utility-diversity online batch selection (arXiv 2510.16882), as one pass over recorded signals.

Candidates come in batches. A row's utility u is the nuclear norm of its logits, its diversity v the
mean Euclidean distance of its sketch to those in a first-in first-out buffer (0 while that is
empty), its score c = u + alpha v. The `keep` best of each batch are selected and enter the buffer.
There is no term inside the batch: the paper lists one as optional, the authors' code has none.

The distances of several batches to the buffer come from one matrix product, and those among them
from another (`distances`); what a batch puts into the buffer replaces columns of the table of the
batches after it. Scores agree with the direct form to 1e-9, relative, and where two of a batch lie
closer than that the direct form decides, so the choice is the same. Cost: n (buffer + 256) d
products; where many rows are near duplicates (at d = 1,024: within about 1 % of their distance from
the middle) up to what the direct form costs, five times as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.features.sketch import Projection, norm_ratio
from winnow.pipeline.progress import Progress, Silent, Step
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import NUCLEAR_NORM, SKETCH
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.utility.distances import PRECISION, Vectors, direct
from winnow.selectors.utility.recent import Buffer, Sketches, Table, means, together

_ROUNDING = 8 * 2.0**-53  # of the sums and products that make a score
_SCAN = 8192  # rows at a time where a pass over all sketches is made


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
    keep: int | Sequence[int] | NDArray[np.integer] = 4,
    seed: int = 0,
    projection: Projection = "official",
    vocab: int | None = None,
    T: int = 512,
    progress: Progress | None = None,
) -> UDSResult:
    """Select `keep` of every `batch` rows, given nuclear norms (n,) and sketches (n, d).

    The stream is the sorted ids, permuted by a generator seeded with `seed`: the order of the input
    rows changes nothing. Equal scores rank by the lower id. `keep` is one number, at least 1, or
    one for each of the ceil(n / batch) batches, which may be 0 (`spread`); of a batch with fewer
    rows everything is selected. The selected enter the buffer best first; where they exceed it, the
    later ones overwrite. `alpha` is in the scale of the official projection, whose distances are
    sqrt(V T) / 2 times as long as orthonormal ones: with `projection="orthonormal"` it is
    multiplied by that factor, so both rank alike, and `vocab` (V) is required.

    `sketch` is read a few hundred rows at a time and may be a memory-mapped file larger than memory.
    Raises ValueError for parameters outside their range, for shapes that do not match, for a
    repeated id, and for a signal that is not finite, naming the id.
    """
    n = len(ids)
    u = np.asarray(nuclear_norm, dtype=np.float64)
    z = np.asarray(sketch)
    weight = _weight(alpha, projection, vocab, T)
    counts = _counts(keep, batch, n)
    if buffer < 1:
        raise ValueError(f"buffer ({buffer}) must be at least 1")
    _check_rows(ids, u, z)

    order = _stream(ids, seed, batch)
    result = UDSResult(
        step=np.zeros(n, np.int32),
        utility=u.copy(),
        diversity=np.zeros(n),
        score=np.zeros(n),
        selected=np.zeros(n, bool),
        rank=np.zeros(n, np.int32),
    )
    result.step[order] = np.arange(n) // batch
    listener = progress or Silent()
    with Sketches(z, order) as sketches:
        recent = Buffer(buffer, sketches.origin)
        size = max(1, together(buffer) // batch) * batch
        for start in range(0, n, size):
            stop = min(start + size, n)
            rows = order[start:stop]
            candidates = sketches.read(start, stop)
            if not np.isfinite(candidates.squares).all():
                huge = rows[~np.isfinite(candidates.squares)]
                raise ValueError(
                    f"the sketch of {min(ids[i] for i in huge)} is too large to square"
                )
            ends = np.arange(start, stop, batch)
            found = _block(u[rows], candidates, recent, counts[ends // batch], batch, weight)
            result.diversity[rows], result.score[rows] = found.diversity, found.score
            result.selected[rows], result.rank[rows] = found.selected, found.rank
            listener.step(Step("uds", stop, n))
    return result


def spread(total: int, n: int, batch: int) -> NDArray[np.int64]:
    """How many each of ceil(n / batch) batches of n rows takes, so that all take `total` and every
    stretch of the stream its share: floor(total end / n) - floor(total start / n)."""
    if not 0 <= total <= n or batch < 1:
        raise ValueError(f"{total} of {n} rows in batches of {batch}")
    ends = np.append(np.arange(0, n, batch), n)
    shares: NDArray[np.int64] = np.diff(total * ends // max(n, 1))
    return shares


class UdsParameters(Parameters):
    alpha: float = Field(
        2.5e-3,
        ge=0,
        description="Weight of the diversity. Trainer class and finetune.py of the authors: 2.5e-3, "
        "their MMLU script: 1.5e-3; in the scale of the official projection.",
    )
    buffer: int = Field(
        1024,
        ge=1,
        description="Sketches kept to compare with. Trainer class and paper: 1024, finetune.py: 1000.",
    )
    batch: int = Field(
        8, ge=1, description="Candidates in a batch. Paper: 8, the authors' scripts: 4."
    )
    keep: int = Field(
        4,
        ge=1,
        description="Rows to select of each batch where there is no budget. Trainer class: 4, "
        "finetune.py: 2, MMLU script: 1.",
    )
    projection: Projection = Field(
        "official",
        description="Scale of the sketches: official, or orthonormal, for which alpha is multiplied "
        "by sqrt(vocab T) / 2.",
    )
    vocab: int | None = Field(
        None, ge=1, description="Words in the model's vocabulary; needed for orthonormal sketches."
    )
    T: int = Field(512, ge=1, description="Positions of the projector. The authors' code: 512.")

    @model_validator(mode="after")
    def _consistent(self) -> "UdsParameters":
        if self.keep > self.batch:
            raise ValueError(f"keep ({self.keep}) must be at most batch ({self.batch})")
        if self.projection == "orthonormal" and self.vocab is None:
            raise ValueError("the orthonormal projection needs vocab, the model's vocabulary size")
        return self


class Uds(Selector[UdsParameters]):
    """Batch by batch, rows with a high nuclear norm whose sketches lie far from those chosen before.

    The pool is met in an order drawn by the seed. Without a budget each batch selects `keep` rows.
    With a budget of k rows batch t takes floor(k end / n) - floor(k start / n) of its rows, so that
    k are selected in total, spread over the stream (the paper fixes K per batch; this is ours).

    Order: the selected by step and place within the batch, as online training would meet them: a
    budget in tokens is spent in that order. Then the others by score. Scores of different steps were
    measured against different buffers.
    """

    name = "uds"
    paper = "UDS, arXiv 2510.16882"
    parameters = UdsParameters
    own = pa.schema(
        [
            column("step", pa.int32(), "Batch in which the row was met, from 0."),
            column("utility", pa.float64(), "Nuclear norm of the row's logits."),
            column(
                "diversity",
                pa.float64(),
                "Mean distance of the row's sketch to those in the buffer; 0 while it is empty.",
            ),
        ]
    )

    def inputs(self, parameters: UdsParameters) -> Sequence[Column]:
        return NUCLEAR_NORM, SKETCH

    def choose(self, pool: Pool, room: int | None, parameters: UdsParameters) -> Choice:
        p, n = parameters, len(pool)
        norms = pool["nuclear_norm"]
        if norms.min() < 0:
            row = pool.ids[int(norms.argmin())]
            raise UsageError(f"row {row}: nuclear_norm is {norms.min()}, but a norm is at least 0")
        found = uds(
            pool.ids,
            norms,
            pool["sketch"],
            alpha=p.alpha,
            buffer=p.buffer,
            batch=p.batch,
            keep=p.keep if room is None else spread(room, n, p.batch),
            seed=pool.seed,
            projection=p.projection,
            vocab=p.vocab,
            T=p.T,
            progress=pool.progress,
        )
        taken = np.flatnonzero(found.selected)
        taken = taken[np.lexsort((found.rank[taken], found.step[taken]))]
        others = np.flatnonzero(~found.selected)
        others = others[np.argsort(-found.score[others], kind="stable")]
        return Choice(
            np.concatenate([taken, others]),
            found.score,
            count=len(taken),
            columns={
                "step": found.step,
                "utility": found.utility,
                "diversity": found.diversity,
            },
        )


@dataclass(frozen=True, eq=False)
class _Decided:
    """What was found about the rows of some batches, in their order."""

    diversity: NDArray[np.float64]
    score: NDArray[np.float64]
    selected: NDArray[np.bool_]
    rank: NDArray[np.int32]


def _block(
    u: NDArray[np.float64],
    candidates: Vectors,
    recent: Buffer,
    counts: NDArray[np.int64],
    batch: int,
    weight: float,
) -> _Decided:
    """Decide about whole batches of consecutive candidates, and push what they select."""
    n = len(u)
    found = _Decided(np.zeros(n), np.zeros(n), np.zeros(n, bool), np.zeros(n, np.int32))
    table = Table(candidates, recent, alone=n <= batch)
    for start, keep in zip(range(0, n, batch), counts.tolist(), strict=True):
        stop = min(start + batch, n)
        diversity = table.mean_distance(start, stop)
        score = u[start:stop] + weight * diversity
        best = np.argsort(-score, kind="stable")
        if weight and recent.filled:
            close = PRECISION * weight * diversity.max() + _ROUNDING * np.abs(score).max()
            if (np.diff(score[best]) >= -2.0 * close).any():
                exact = candidates.exact[start:stop]
                diversity = _settled(exact, recent, diversity, score, best, 2.0 * close)
                score = u[start:stop] + weight * diversity
                best = np.argsort(-score, kind="stable")
        found.diversity[start:stop] = diversity
        found.score[start:stop] = score
        found.rank[start + best] = np.arange(stop - start)
        if keep:
            chosen = start + best[:keep]
            found.selected[chosen] = True
            table.replace(stop, *recent.push(candidates, chosen))
    return found


def _settled(
    exact: NDArray[np.float64],
    recent: Buffer,
    diversity: NDArray[np.float64],
    score: NDArray[np.float64],
    best: NDArray[np.int64],
    close: float,
) -> NDArray[np.float64]:
    """Diversities that tell rows with close scores apart, or do not, as the direct form does.

    Rows with one sketch get one value, whatever a matrix product makes of their places in it. Where
    others are close, the batch is measured directly.
    """
    tied = np.flatnonzero(np.diff(score[best]) >= -close)
    same = (exact[best[tied]] == exact[best[tied + 1]]).all(axis=1)
    if not same.all():
        return means(direct(exact, recent.held.exact))
    level = diversity.copy()
    for at in tied.tolist():
        level[best[at + 1]] = level[best[at]]
    return level


def _stream(ids: Sequence[str], seed: int, batch: int) -> NDArray[np.int64]:
    """Row indices in the order in which they are met, by id within each batch."""
    n = len(ids)
    by_id = np.array(sorted(range(n), key=ids.__getitem__), dtype=np.int64)
    met = np.random.Generator(np.random.PCG64(seed)).permutation(n)
    whole = n - n % batch
    met[:whole] = np.sort(met[:whole].reshape(-1, batch), axis=1).ravel()
    met[whole:].sort()
    return by_id[met]


def _counts(
    keep: int | Sequence[int] | NDArray[np.integer], batch: int, n: int
) -> NDArray[np.int64]:
    """How many each batch keeps."""
    if batch < 1:
        raise ValueError(f"batch ({batch}) must be at least 1")
    batches = -(-n // batch)
    if isinstance(keep, int | np.integer):
        if not 1 <= keep <= batch:
            raise ValueError(f"keep ({keep}) must be at least 1 and at most batch ({batch})")
        return np.full(batches, keep, dtype=np.int64)
    counts = np.asarray(keep, dtype=np.int64)
    if counts.shape != (batches,):
        raise ValueError(f"keep has shape {counts.shape}, but there are {batches} batches")
    if len(counts) and not 0 <= counts.min() <= counts.max() <= batch:
        raise ValueError(f"keep must lie in 0..{batch} in every batch")
    return counts


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
    finite = [np.isfinite(z[at : at + _SCAN]).all(axis=1) for at in range(0, n, _SCAN)]
    rows = np.concatenate(finite) if finite else np.zeros(0, bool)
    for name, good in (("nuclear norm", np.isfinite(u)), ("sketch", rows)):
        bad = sorted(ids[i] for i in np.flatnonzero(~good))
        if bad:
            raise ValueError(f"the {name} of {bad[0]} is not finite")
