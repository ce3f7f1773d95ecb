"""What is stored of a table's pieces, and computing what is not.

Rows with equal texts share their pieces, and are computed once.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from winnow.pipeline.contracts import Embedder
from winnow.pipeline.features import stored
from winnow.pipeline.features.pair_tokens import Pair, PairTokenizer
from winnow.pipeline.features.pieces import Pieces, Reader, Role, name_of
from winnow.pipeline.features.scorer import CausalScorer, RowSignals, Want
from winnow.pipeline.progress import Progress, Step
from winnow.pipeline.store.store import Store

_PART_TOKENS = 8_192  # scored between two commits
_PART_TEXTS = 1_024  # embedded between two commits
_MEASURED = 8_192  # texts tokenised between two commits


@dataclass(frozen=True)
class Signal:
    """Features that are read from one piece together, and what the scorer must give for them."""

    role: Role
    kind: stored.Kind
    wants: frozenset[Want]


Usable = Mapping[Signal, Mapping[str, int]]  # names of pieces to their tokens


def measure(
    store: Store,
    kind: stored.Kind,
    role: Role,
    reader: Reader,
    pieces: Pieces,
    tokenizer: PairTokenizer,
    progress: Progress,
) -> dict[str, int]:
    """Tokens of every piece of a role, by name (of an `own_answer` those of the answer alone); stored
    where they were not."""
    first = pieces.first_rows(role)
    todo = sorted(first[name] for name in stored.missing(store, kind, list(first)))
    for start in range(0, len(todo), _MEASURED):
        part = todo[start : start + _MEASURED]
        pairs = _pairs(reader, role, part)
        tokens = tokenizer.tokens(pairs)
        part_only = role == "own_answer"
        counts = [row.stop - row.first if part_only else len(row.tokens) for row in tokens]
        stored.put(
            store,
            [
                (kind, name_of(pair), {"n_tokens": count})
                for pair, count in zip(pairs, counts, strict=True)
            ],
        )
        progress.step(Step(f"tokenising {role}", start + len(part), len(todo)))
    values = stored.scalars(store, kind, "n_tokens", list(first))
    return dict(zip(first, values.astype(np.int64).tolist(), strict=True))


def score(
    store: Store,
    usable: Usable,
    reader: Reader,
    pieces: Pieces,
    tokenizer: PairTokenizer,
    scorer: CausalScorer,
    progress: Progress,
) -> int:
    """Compute and store what is missing of the signals; returns of how many pieces.

    `usable` says of which pieces a signal may be computed. What has to be computed of one piece
    comes from one pass. Pieces of like length are worked on together, such parts in a random order
    but the longest first: too little memory shows at once, and the time left can be told.
    """
    parts = _parts(store, usable, pieces)
    total, done, made = sum(part.tokens for part in parts), 0, 0
    if parts:
        progress.note(f"loading {scorer.folder.identity}")
    for part in parts:
        pairs = _pairs(reader, part.role, part.rows)
        wants = frozenset[Want]().union(*(signal.wants for signal in part.signals))
        found = scorer.score(tokenizer.tokens(pairs), wants)
        stored.put(
            store,
            [
                (signal.kind, name_of(pair), _values(signal.kind, each))
                for pair, each in zip(pairs, found, strict=True)
                for signal in part.signals
            ],
        )
        done, made = done + part.tokens, made + len(part.rows)
        progress.step(Step("scoring", done, total, "tokens"))
    return made


def embed(
    store: Store,
    kind: stored.Kind,
    reader: Reader,
    pieces: Pieces,
    embedder: Embedder,
    progress: Progress,
) -> int:
    """Compute and store the embeddings that are missing; returns how many."""
    first = pieces.first_rows("embedded")
    todo = sorted(stored.missing(store, kind, list(first)), key=first.__getitem__)
    if todo:
        progress.note(f"loading {kind.model}")

    def compute(names: Sequence[str]) -> list[stored.Signals]:
        rows = reader.rows([first[name] for name in names])
        texts = [str(row.piece("embedded")) for row in rows]
        return [{"embedding": vector} for vector in embedder.embed(texts)]

    for done in stored.fill(store, kind, todo, compute, chunk=_PART_TEXTS):
        progress.step(Step("embedding", done, len(todo)))
    return len(todo)


@dataclass(frozen=True)
class _Part:
    """Pieces of like length from which the same signals are to be computed."""

    role: Role
    signals: tuple[Signal, ...]
    rows: list[int]
    tokens: int


def _parts(store: Store, usable: Usable, pieces: Pieces) -> list[_Part]:
    lacking: dict[tuple[Role, str], list[Signal]] = {}
    for signal, known in usable.items():
        for name in stored.missing(store, signal.kind, list(known)):
            lacking.setdefault((signal.role, name), []).append(signal)
    groups: dict[tuple[Role, tuple[Signal, ...]], list[str]] = {}
    for (role, name), signals in lacking.items():
        groups.setdefault((role, tuple(signals)), []).append(name)
    parts: list[_Part] = []
    for (role, together), names in groups.items():
        first, lengths = pieces.first_rows(role), usable[together[0]]
        names.sort(key=lambda name: (-lengths[name], name))
        rows: list[int] = []
        tokens = 0
        for name in names:
            if rows and tokens + lengths[name] > _PART_TOKENS:
                parts.append(_Part(role, together, rows, tokens))
                rows, tokens = [], 0
            rows.append(first[name])
            tokens += lengths[name]
        parts.append(_Part(role, together, rows, tokens))
    random.Random(0).shuffle(parts)
    if parts:
        longest = max(range(len(parts)), key=lambda at: parts[at].tokens / len(parts[at].rows))
        parts.insert(0, parts.pop(longest))
    return parts


def _pairs(reader: Reader, role: Role, rows: Sequence[int]) -> list[Pair]:
    pieces = [row.piece(role) for row in reader.rows(rows)]
    return [piece for piece in pieces if isinstance(piece, Pair)]


def _values(kind: stored.Kind, found: RowSignals) -> dict[str, Any]:
    values: dict[str, Any] = {
        "token_logprobs": found.tokens.logprobs,
        "token_entropies": found.tokens.entropies,
        "token_ranks": found.tokens.ranks,
    }
    if found.uds is not None:
        values |= {"nuclear_norm": found.uds.nuclear_norm, "sketch": found.uds.sketch}
    return {feature: values[feature] for feature in kind.features}
