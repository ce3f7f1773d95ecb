"""Texts as sets of hashed word shingles, in flat arrays."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

# Scripts that are written without spaces: each letter is a token. Elsewhere a token is a run of
# letters, digits and underscores.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = rf"[{_UNSPACED}]|[\w--[{_UNSPACED}]]+"
_CHUNK = 50_000  # texts whose tokens are in memory as strings at one time


class Shingles(NamedTuple):
    """`hashes` (uint64) of all rows' shingles end to end; row i has [offsets[i], offsets[i + 1])."""

    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A bijection of 64-bit words under which every input bit moves every output bit.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def shingles(folded: Sequence[str], window: int) -> Shingles:
    """Runs of `window` tokens of each folded text, which is padded by `window` - 1 blanks a side.

    The padding makes every token part of exactly `window` shingles. Without it a text's last word
    counts for a fifth of any other, and "How many arrangements are there of the letters in CEASE?"
    is all but the same as the one for TARTAR.

    A text of m > 0 tokens has m + window - 1 shingles, one without tokens none; one that stands
    twice is there twice. Hashes are of 64 bits and the same on every machine: with k different
    shingles in all, two of them share a hash with probability below k^2 / 2^65.
    """
    tokens, lengths = _tokens(folded)
    pad = window - 1
    padded = np.where(lengths == 0, 0, lengths + 2 * pad)
    ends = np.cumsum(padded)
    flat = np.zeros(ends[-1] if len(ends) else 0, dtype=np.uint64)  # 0 is no token's hash
    flat[np.arange(len(tokens)) + np.repeat(ends - padded + pad - _starts(lengths), lengths)] = (
        tokens
    )
    total = max(len(flat) - pad, 0)
    sums = np.zeros(total, dtype=np.uint64)
    for place in range(window):
        sums += flat[place : place + total] * _multiplier(place)
    counts = np.where(padded == 0, 0, padded - pad)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    at = np.arange(offsets[-1]) + np.repeat(ends - padded - offsets[:-1], counts)
    return Shingles(mix(sums[at]), offsets)


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(lengths) - lengths


def _multiplier(place: int) -> np.uint64:
    """An odd number per place, so that the order of the tokens counts."""
    return np.uint64(mix(np.array([place + 1], dtype=np.uint64))[0] | np.uint64(1))


def _tokens(folded: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of all tokens end to end, and the number of tokens of each text."""
    hashes, lengths = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for start in range(0, len(folded), _CHUNK):
        texts = [_whole(text) for text in folded[start : start + _CHUNK]]
        lists = pl.Series(texts, dtype=pl.String).str.extract_all(_TOKEN)
        lengths.append(lists.list.len().to_numpy().astype(np.int64))
        flat = lists.explode().drop_nulls().to_arrow().dictionary_encode()
        words = [_hash(word) for word in flat.dictionary.to_pylist()]
        table = np.frombuffer(b"".join(words), dtype="<u8").astype(np.uint64)
        hashes.append(table[flat.indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(hashes), np.concatenate(lengths)


def _whole(text: str) -> str:
    """`text` without lone surrogates, which no encoder takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _hash(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=8).digest()


def sets(of: Shingles, rows: NDArray[np.int64]) -> csr_array:
    """The shingle sets of `rows` as a 0/1 matrix (len(rows), number of different shingles)."""
    counts = of.offsets[rows + 1] - of.offsets[rows]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(indptr[-1]) + np.repeat(of.offsets[rows] - indptr[:-1], counts)
    names, ids = np.unique(of.hashes[at], return_inverse=True)
    matrix = csr_array(
        (np.ones(len(ids), dtype=np.int32), ids.astype(np.int32), indptr),
        shape=(len(rows), max(len(names), 1)),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def jaccard(
    matrix: csr_array, first: NDArray[np.int64], second: NDArray[np.int64], chunk: int = 50_000
) -> NDArray[np.float64]:
    """|A & B| / |A | B| of the sets in rows `first` and `second` of a `sets` matrix; 0 for none."""
    size = np.diff(matrix.indptr).astype(np.float64)
    out = np.zeros(len(first), dtype=np.float64)
    for start in range(0, len(first), chunk):
        a, b = first[start : start + chunk], second[start : start + chunk]
        shared = matrix[a].multiply(matrix[b]).sum(axis=1)
        both = size[a] + size[b] - shared
        out[start : start + chunk] = np.divide(shared, both, out=np.zeros(len(a)), where=both > 0)
    return out
