"""The entry: texts in, and for every row its group, its template, whether it stays, and why not."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.pipeline.clean.dedup import minhash, semantic
from winnow.pipeline.clean.dedup.preference import by_length, ranked
from winnow.pipeline.clean.dedup.shingles import shingles
from winnow.pipeline.clean.dedup.survivors import Survivors
from winnow.pipeline.clean.normalise import fold
from winnow.pipeline.clean.signature import formal_signature
from winnow.pipeline.clean.templates import template_id
from winnow.pipeline.progress import Progress, Silent, Step

Method = Literal["exact", "minhash", "semantic"]
THRESHOLDS = {"minhash": 0.7, "semantic": 0.9}
SCHEMA = pa.schema(
    [
        pa.field("group_id", pa.string(), nullable=False),
        pa.field("template_id", pa.string(), nullable=False),
        pa.field("keep", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
_BATCH = 5000  # texts per task of a worker


def deduplicate(
    texts: Sequence[str | None],
    method: Method,
    *,
    vectors: NDArray[np.float32] | None = None,
    threshold: float | None = None,
    window: int = 5,
    permutations: int = 128,
    per_template: int | None = None,
    prefer: Sequence[NDArray[Any]] | None = None,
    tiebreak: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    device: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> pa.Table:
    """Group duplicates and choose who stays; one row per text, in order (columns: `SCHEMA`).

    - `exact`: texts that are equal when folded (case, white space, typography). None is like "".
    - `minhash`: also texts of one `formal_signature` whose sets of `window`-word shingles have a
      Jaccard similarity of at least `threshold` (default 0.7).
    - `semantic`: also texts of one `formal_signature` whose `vectors`, (n, d) float32 of length 1,
      have a cosine of at least `threshold` (default 0.9).

    `group_id` names the connected component of the duplicates by its least text hash, so it is the
    same in any row order. A row is dropped only against a kept row that it was compared with itself
    (see `survivors`), named in `reason`: `duplicate of row 3`, `near_duplicate of row 3 (jaccard
    0.83)`, with the row's number from 0 or its `ids` entry.

    Who stays: the best by `prefer`, keys of shape (n,), larger is better, the first counts most
    (default: the longest text); then by the hash of the text and of `tiebreak`, which should say
    what else tells two rows apart (such as the row as JSON). So shuffled rows have the same
    survivors.

    `per_template` keeps that many of the survivors of each template, the best ones (None: all);
    the others have the reason `template: k better rows of it are kept`.

    `workers` processes read the texts (1: this one). Raises ValueError on impossible arguments.
    """
    progress = progress or Silent()
    threshold = _checked(method, len(texts), vectors, threshold, window, permutations, per_template)
    read = _read(texts, method != "exact", workers, progress)
    ties = None if tiebreak is None else [_hash(text) for text in tiebreak]
    keys = [by_length(texts)] if prefer is None else list(prefer)
    order = ranked(keys, read.raw, ties)

    # One number per different text, in the order of the best row that has it: a rank.
    numbers: dict[bytes, int] = {}
    rank = np.empty(len(texts), dtype=np.int64)
    best: list[int] = []  # the best row of each different text
    for row in order.tolist():
        text = read.folded_hash[row]
        if text not in numbers:
            numbers[text] = len(best)
            best.append(row)
        rank[row] = numbers[text]

    marks = Survivors(len(best))
    if method == "minhash":
        signatures = _codes([read.signature[row] for row in best])
        of = shingles([read.folded[row] for row in best], window)
        found = minhash.pairs(of, signatures, threshold, permutations, progress)
        marks.block(0, found[1], found[0], found[2])
    elif method == "semantic":
        assert vectors is not None
        signatures = _codes([read.signature[row] for row in best])
        chosen = np.ascontiguousarray(vectors[best], dtype=np.float32)
        marks = semantic.mark(chosen, signatures, threshold, device, progress)

    names = [text.hex() for text in numbers]
    labels = marks.components().tolist()
    group: dict[int, str] = {}
    for label, name in zip(labels, names, strict=True):
        group[label] = min(name, group.get(label, name))
    measure = {"minhash": "jaccard", "semantic": "cosine"}.get(method, "")
    called = ids if ids is not None else [f"row {row}" for row in range(len(texts))]
    reasons: list[str | None] = [None] * len(texts)
    kept_of_template: dict[str, int] = {}
    for row in order.tolist():
        text = rank[row]
        if not marks.kept[text]:
            keeper = called[best[marks.keeper[text]]]
            # Rounded down, so that no score under 1 reads as 1 and none above the threshold below.
            score = math.floor(marks.score[text] * 1000 + 1e-3) / 1000
            reasons[row] = f"near_duplicate of {keeper} ({measure} {score:g})"
        elif best[text] != row:
            reasons[row] = f"duplicate of {called[best[text]]}"
        elif per_template is not None:
            template = read.template[row]
            kept = kept_of_template.get(template, 0)
            if kept == per_template:
                reasons[row] = f"template: {per_template} better rows of it are kept"
            else:
                kept_of_template[template] = kept + 1
    return pa.table(
        [
            pa.array([group[labels[text]] for text in rank.tolist()], pa.string()),
            pa.array(read.template, pa.string()),
            pa.array([reason is None for reason in reasons], pa.bool_()),
            pa.array(reasons, pa.string()),
        ],
        schema=SCHEMA,
    )


def _checked(
    method: Method,
    rows: int,
    vectors: NDArray[np.float32] | None,
    threshold: float | None,
    window: int,
    permutations: int,
    per_template: int | None,
) -> float:
    """The threshold; ValueError on impossible arguments."""
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}, but must be one of {', '.join(get_args(Method))}")
    if threshold is None:
        threshold = THRESHOLDS.get(method, 1.0)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}, but must be above 0 and at most 1")
    if window < 1 or permutations < 2:
        raise ValueError("window must be at least 1 and permutations at least 2")
    if per_template is not None and per_template < 1:
        raise ValueError(f"per_template is {per_template}, but must be at least 1")
    if method == "semantic" and (vectors is None or vectors.ndim != 2 or len(vectors) != rows):
        shape = None if vectors is None else vectors.shape
        raise ValueError(f"semantic needs one vector per text: {rows} texts, vectors {shape}")
    return threshold


@dataclass
class _Read:
    """What each text says; `folded` and `signature` only where a method compares by them."""

    folded_hash: list[bytes]
    raw: list[bytes]
    template: list[str]
    folded: list[str]
    signature: list[str]


def _read(texts: Sequence[str | None], near: bool, workers: int, progress: Progress) -> _Read:
    read = _Read([], [], [], [], [])
    batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
    flags = [near] * len(batches)
    for part in _mapped(batches, flags, workers):
        read.folded_hash += part.folded_hash
        read.raw += part.raw
        read.template += part.template
        read.folded += part.folded
        read.signature += part.signature
        progress.step(Step("dedup: read", len(read.raw), len(texts)))
    return read


def _mapped(
    batches: list[Sequence[str | None]], flags: list[bool], workers: int
) -> Iterator[_Read]:
    if workers <= 1 or len(batches) < 4:  # a process takes longer to start than that
        yield from map(_read_batch, batches, flags)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_read_batch, batches, flags)


def _read_batch(texts: Sequence[str | None], near: bool) -> _Read:
    plain = [text or "" for text in texts]
    folded = [fold(text) for text in plain]
    return _Read(
        [_hash(text) for text in folded],
        [_hash(text) for text in plain],
        [template_id([{"role": "user", "content": text}]) for text in plain],
        folded if near else [],
        [formal_signature(text) for text in folded] if near else [],
    )


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _codes(values: Sequence[str]) -> NDArray[np.int64]:
    """Equal numbers for equal values."""
    codes: dict[str, int] = {}
    return np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int64)
