import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.clean.dedup import minhash
from winnow.pipeline.clean.dedup.minhash import banding, pairs
from winnow.pipeline.clean.dedup.shingles import jaccard, mix, sets, shingles
from winnow.pipeline.progress import Silent


@pytest.mark.parametrize(
    ("threshold", "permutations", "expected"),
    [(0.7, 128, (25, 5)), (0.9, 128, (10, 12)), (0.5, 128, (42, 3)), (1.0, 128, (1, 128))],
)
def test_banding(threshold: float, permutations: int, expected: tuple[int, int]) -> None:
    assert banding(threshold, permutations) == expected
    bands, rows = expected
    assert 1 - (1 - threshold**rows) ** bands >= minhash.RECALL
    assert bands * rows <= permutations


def test_recall_at_the_similarity_of_two_words_in_eighty() -> None:
    bands, rows = banding(0.7, 128)
    assert 1 - (1 - 0.77**rows) ** bands > 0.999


def test_mix_is_splitmix64() -> None:
    """The first outputs of SplitMix64 from seed 0 are the mixed multiples of its gamma."""
    gamma = 0x9E3779B97F4A7C15
    state = np.array([gamma, 2 * gamma % 2**64, 3 * gamma % 2**64], dtype=np.uint64)
    assert [f"{x:016X}" for x in mix(state).tolist()] == [
        "E220A8397B1DCDAF",
        "6E789E6AA1B965F4",
        "06C45D188009454F",
    ]


WORDS = st.lists(st.lists(st.sampled_from("abcdef"), max_size=8).map(" ".join), max_size=8)


@settings(deadline=None)
@given(WORDS, st.integers(1, 4))
def test_shingles_are_the_windows_of_the_padded_text(texts: list[str], window: int) -> None:
    of = shingles(texts, window)
    seen: dict[tuple[str, ...], int] = {}
    for row, text in enumerate(texts):
        tokens = text.split()
        padded = [""] * (window - 1) + tokens + [""] * (window - 1)
        expected = [
            tuple(padded[i : i + window]) for i in range(len(padded) - window + 1) if tokens
        ]
        hashes = of.hashes[of.offsets[row] : of.offsets[row + 1]].tolist()
        assert len(hashes) == len(expected)
        for shingle, value in zip(expected, hashes, strict=True):
            assert seen.setdefault(shingle, value) == value
    assert len(set(seen.values())) == len(seen)


@settings(deadline=None)
@given(WORDS)
def test_jaccard_is_that_of_the_sets(texts: list[str]) -> None:
    of = shingles(texts, 2)
    rows = np.arange(len(texts))
    matrix = sets(of, rows)
    for a in rows:
        for b in rows:
            one, other = (
                set(of.hashes[of.offsets[r] : of.offsets[r + 1]].tolist()) for r in (a, b)
            )
            expected = len(one & other) / len(one | other) if one | other else 0
            assert jaccard(matrix, np.array([a]), np.array([b]))[0] == expected


def test_minima_agree_as_often_as_the_sets_are_alike() -> None:
    """Broder's identity, within 4 standard errors of 4,096 permutations."""
    draw = random.Random(0)
    words = [f"word{draw.randrange(10**6)}" for _ in range(200)]
    texts = [" ".join(words), " ".join([*words[:150], *(f"other{i}" for i in range(50))])]
    of = shingles(texts, 1)
    matrix = sets(of, np.arange(2))
    true = jaccard(matrix, np.array([0]), np.array([1]))[0]
    minima = minhash._minima(of, np.arange(2), 4096, Silent())
    error = np.sqrt(true * (1 - true) / 4096)
    assert abs((minima[0] == minima[1]).mean() - true) < 4 * error


def test_a_common_turn_of_phrase_does_not_hide_copies() -> None:
    """500 rows share most of their words, so every bucket is split; the copies are still found."""
    draw = random.Random(0)
    phrase = [f"common{i}" for i in range(40)]
    texts = [
        " ".join([*phrase, *(f"w{draw.randrange(10**6)}" for _ in range(20))]) for _ in range(500)
    ]
    texts += [f"{text} last" for text in texts[:50]]
    of = shingles(texts, 5)
    a, b, score = pairs(of, np.zeros(len(texts), dtype=np.int64), 0.8)
    assert {(i, 500 + i) for i in range(50)} <= set(zip(a.tolist(), b.tolist(), strict=True))
    assert (score >= 0.8).all()


def test_rows_that_are_all_alike_stay_cheap() -> None:
    """5,000 variants of one text are 12 million pairs, of which few are looked at."""
    texts = [" ".join([*(f"common{i}" for i in range(60)), f"w{n}"]) for n in range(5_000)]
    of = shingles(texts, 5)
    a, b, _ = pairs(of, np.zeros(len(texts), dtype=np.int64), 0.8)
    assert len(a) < 200 * len(texts)
    assert len(np.unique(np.concatenate([a, b]))) == len(texts)


def test_groups_are_never_compared() -> None:
    of = shingles(["one two three four five six"] * 4, 3)
    a, b, _ = pairs(of, np.array([5, 7, 5, 7]), 0.7)
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 2), (1, 3)]
