"""The three methods against brute force, and what must hold whatever the texts are."""

import random
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.clean.dedup import Method, by_length, by_order, deduplicate
from winnow.pipeline.clean.normalise import fold
from winnow.pipeline.clean.signature import formal_signature
from winnow.pipeline.progress import Step

DATA = Path(__file__).parents[4] / ".." / "shared" / "data"


def gsm8k() -> list[str]:
    path = DATA / "gsm8k_train.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    return pq.read_table(path)["question"].to_pylist()


def columns(table: pa.Table) -> dict[str, list[Any]]:
    return table.to_pydict()


def grouped(ids: list[str]) -> set[frozenset[int]]:
    rows = defaultdict(set)
    for row, name in enumerate(ids):
        rows[name].add(row)
    return {frozenset(group) for group in rows.values()}


def true_jaccard(one: str, other: str, window: int) -> float:
    """From the definition, over shingles of strings."""

    def sets(text: str) -> set[tuple[str, ...]]:
        tokens = re.findall(r"\w+", fold(text))
        if not tokens:
            return set()
        pad = [""] * (window - 1)
        tokens = pad + tokens + pad
        return {tuple(tokens[i : i + window]) for i in range(len(tokens) - window + 1)}

    a, b = sets(one), sets(other)
    return len(a & b) / len(a | b) if a | b else 0.0


def components(n: int, pairs: list[tuple[int, int]]) -> set[frozenset[int]]:
    groups = [{i} for i in range(n)]
    for a, b in pairs:
        joined = groups[a] | groups[b]
        for i in joined:
            groups[i] = joined
    return {frozenset(g) for g in groups}


TEXTS = st.lists(
    st.lists(
        st.sampled_from(str.split("tom has sold some big red w12 clips 3 4 not")), max_size=8
    ).map(" ".join),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, derandomize=True)  # a pair may be missed, if seldom
@given(TEXTS, st.sampled_from([0.4, 0.7, 1.0]), st.integers(1, 3))
def test_minhash_groups_what_brute_force_groups(
    texts: list[str], threshold: float, window: int
) -> None:
    """512 permutations, so that pairs well above the threshold are all found."""
    found = columns(
        deduplicate(texts, "minhash", threshold=threshold, window=window, permutations=512)
    )
    alike = [
        (a, b)
        for a in range(len(texts))
        for b in range(a)
        if fold(texts[a]) == fold(texts[b])
        or (
            formal_signature(texts[a]) == formal_signature(texts[b])
            and true_jaccard(texts[a], texts[b], window) >= threshold
        )
    ]
    # Just above the threshold `banding` promises 95 % of the pairs, no more.
    sure = [
        (a, b)
        for a, b in alike
        if fold(texts[a]) == fold(texts[b])
        or true_jaccard(texts[a], texts[b], window) >= min(threshold + 0.1, 1)
    ]
    groups = grouped(found["group_id"])
    for group in groups:
        assert all(group & other in (frozenset(), other) for other in components(len(texts), sure))
        assert any(group <= other for other in components(len(texts), alike))
    if sure == alike:
        assert groups == components(len(texts), alike)


def near(draw: np.random.Generator, vectors: np.ndarray, noise: float) -> np.ndarray:
    out = vectors + noise * draw.standard_normal(vectors.shape)
    return (out / np.linalg.norm(out, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 5))
def test_semantic_groups_what_brute_force_groups(texts: list[str], seed: int) -> None:
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((3, 8))
    vectors = near(draw, centres[draw.integers(0, 3, len(texts))], 0.25)
    found = columns(deduplicate(texts, "semantic", vectors=vectors, threshold=0.9))
    # Rows of one text stand together as their best row, whose vector counts.
    lengths = by_length(texts)
    best: dict[str, int] = {}
    for row in sorted(range(len(texts)), key=lambda r: (-lengths[r], texts[r])):
        best.setdefault(fold(texts[row]), row)
    heads = [best[fold(text)] for text in texts]
    cosine = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    alike = [
        (a, b)
        for a in range(len(texts))
        for b in range(a)
        if heads[a] == heads[b]
        or (
            formal_signature(texts[a]) == formal_signature(texts[b])
            and cosine[heads[a], heads[b]] >= 0.9
        )
    ]
    assert grouped(found["group_id"]) == components(len(texts), alike)


METHOD_NAMES: tuple[Method, ...] = ("exact", "minhash", "semantic")
METHODS = st.sampled_from(METHOD_NAMES)


def vectors_of(texts: list[str]) -> np.ndarray:
    """Counts of letters: vectors that follow from the text alone."""
    counts = np.array([[text.count(c) + 0.1 for c in "abcdegilmnorst"] for text in texts])
    return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None)
@given(TEXTS, METHODS, st.sampled_from([None, 1, 2]), st.randoms(use_true_random=False))
def test_the_rows_order_decides_nothing(
    texts: list[str], method: Method, per_template: int | None, shuffler: random.Random
) -> None:
    def outcome(order: list[int]) -> dict[int, tuple[str, str, bool, str]]:
        some = [texts[i] for i in order]
        table = columns(
            deduplicate(
                some,
                method,
                vectors=vectors_of(some),
                threshold=0.6 if method == "minhash" else 0.98,
                per_template=per_template,
                tiebreak=[str(i) for i in order],
                ids=[f"r{i}" for i in order],
            )
        )
        rows = zip(
            table["group_id"], table["template_id"], table["keep"], table["reason"], strict=True
        )
        return dict(zip(order, rows, strict=True))

    order = list(range(len(texts)))
    first = outcome(order)
    shuffler.shuffle(order)
    assert outcome(order) == first


@settings(deadline=None)
@given(TEXTS, METHODS)
def test_every_group_is_of_one_signature_and_keeps_a_row(texts: list[str], method: Method) -> None:
    table = columns(deduplicate(texts, method, vectors=vectors_of(texts), threshold=0.5))
    for group in grouped(table["group_id"]):
        assert len({formal_signature(texts[row]) for row in group}) == 1
        assert any(table["keep"][row] for row in group)
    for row, reason in enumerate(table["reason"]):
        assert table["keep"][row] == (reason is None)
        if reason:
            keeper = int(re.search(r"row (\d+)", reason)[1])  # type: ignore[index]
            assert table["keep"][keeper]
            assert table["group_id"][keeper] == table["group_id"][row]


@settings(deadline=None)
@given(TEXTS, METHODS)
def test_survivors_are_no_duplicates_of_each_other(texts: list[str], method: Method) -> None:
    keep = columns(deduplicate(texts, method, vectors=vectors_of(texts)))["keep"]
    left = [text for text, kept in zip(texts, keep, strict=True) if kept]
    assert all(columns(deduplicate(left, method, vectors=vectors_of(left)))["keep"])


def test_a_chain_is_one_group_but_its_far_end_stays() -> None:
    words = [f"word{chr(97 + i)}{chr(97 + j)}" for i in range(6) for j in range(10)]
    first = " ".join(["firstandbestandlongestword", *words[1:]])  # so the best
    middle = " ".join(["qqq", "qqq", "qqq", "qqq", *words[4:]])
    last = " ".join(["qqq", "qqq", "qqq", "qqq", *words[4:-4], "yy", "yy", "yy", "yy"])
    table = columns(deduplicate([first, middle, last], "minhash", threshold=0.7))
    assert len(set(table["group_id"])) == 1
    assert table["keep"] == [True, False, True]
    assert true_jaccard(first, last, 5) < 0.7


def test_numbers_are_never_merged() -> None:
    """GSM8K questions beside the same with one number changed."""
    texts = [text for text in gsm8k() if re.search(r"(?<!\w)\d", text)][:2000]
    changed = [re.sub(r"(?<!\w)\d+", lambda m: str(int(m[0]) + 7), text, count=1) for text in texts]
    both = [*texts, *changed]
    alike = np.full((len(both), 4), 0.5, dtype=np.float32)  # all rows look the same
    for method in METHOD_NAMES[1:]:
        table = columns(deduplicate(both, method, vectors=alike))
        for row in range(len(texts)):
            assert table["group_id"][row] != table["group_id"][row + len(texts)]
            assert table["template_id"][row] == table["template_id"][row + len(texts)]


def test_planted_copies_are_found() -> None:
    draw = random.Random(0)
    texts = [" ".join(f"w{draw.randrange(20_000)}" for _ in range(80)) for _ in range(1000)]
    copies = []
    for text in texts[:300]:
        words = text.split()
        for at in draw.sample(range(80), 2):
            words[at] = f"w{draw.randrange(20_000)}"
        copies.append(" ".join(words))
    table = columns(deduplicate([*texts, *copies], "minhash"))
    found = sum(table["group_id"][i] == table["group_id"][1000 + i] for i in range(300))
    assert found >= 297
    assert len(set(table["group_id"])) == 1300 - found
    assert len(set(table["template_id"])) == 1300


def test_the_stated_rule_decides() -> None:
    texts = ["How are you?", "how are  YOU?", "How are you?"]
    table = columns(deduplicate(texts, "exact"))
    assert table["keep"] == [False, True, False]  # one more character
    assert table["reason"][0] == "duplicate of row 1"
    sources = by_order(["web", "forum", "book"], ["book", "web"])
    table = columns(deduplicate(texts, "exact", prefer=[sources], ids=["a", "b", "c"]))
    assert table["keep"] == [False, False, True]
    assert table["reason"] == ["duplicate of c", "duplicate of c", None]
    missing_is_worst = np.array([np.nan, 1.0, np.nan])
    assert columns(deduplicate(texts, "exact", prefer=[missing_is_worst]))["keep"][1]


def test_the_reason_says_how_alike() -> None:
    text = " ".join(f"word{chr(97 + i)}{chr(97 + j)}" for i in range(4) for j in range(10))
    table = columns(deduplicate([text, text.replace("wordbb", "other")], "minhash"))
    # 44 shingles each, 5 of which hold the word: 39 / 49 = 0.7959, rounded down
    assert table["reason"].count("near_duplicate of row 0 (jaccard 0.795)") == 1
    vectors = np.array([[1, 0], [0.96, 0.28]], dtype=np.float32)
    table = columns(deduplicate(["the bigness", "size"], "semantic", vectors=vectors))
    assert table["reason"] == [None, "near_duplicate of row 0 (cosine 0.96)"]


def test_templates_are_thinned_by_the_same_rule() -> None:
    texts = ["Add 1 to 2.", "Add 10 to 2.", "Add 100 to 2.", "Take 5."]
    table = columns(deduplicate(texts, "minhash", per_template=2))
    assert table["keep"] == [False, True, True, True]
    assert table["reason"][0] == "template: 2 better rows of it are kept"
    assert len(set(table["group_id"])) == 4
    assert len(set(table["template_id"])) == 2


def test_texts_of_nothing() -> None:
    table = columns(deduplicate([None, "", " ", "!!!", "???", "\ud800"], "minhash"))
    assert table["keep"] == [False, False, True, True, True, True]
    assert deduplicate([], "minhash").num_rows == 0
    assert deduplicate([], "semantic", vectors=np.zeros((0, 3), np.float32)).num_rows == 0


def test_scripts_without_spaces_have_tokens() -> None:
    text = "我今天早上去超市买了很多新鲜的水果和蔬菜然后回家做了一顿丰盛的午餐给家人吃"
    table = columns(deduplicate([text, text.replace("午", "晚")], "minhash"))
    assert len(set(table["group_id"])) == 1


def test_more_workers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winnow.pipeline.clean.dedup.entry._BATCH", 100)
    draw = random.Random(1)
    texts = [" ".join(draw.choices(str.split("red blue 3 x + big"), k=6)) for _ in range(1_000)]
    assert deduplicate(texts, "minhash", workers=2) == deduplicate(texts, "minhash")


def test_it_tells_how_far_it_is() -> None:
    steps: list[Step] = []

    class Listener:
        def step(self, step: Step) -> None:
            steps.append(step)

        def note(self, text: str) -> None:
            raise AssertionError(text)

    deduplicate(["some words here", "some words there"], "minhash", progress=Listener())
    assert [s.stage for s in steps if s.done == s.total] == [
        "dedup: read",
        "dedup: hash",
        "dedup: compare",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "fuzzy"}, "must be one of exact, minhash, semantic"),
        ({"method": "semantic"}, "2 texts, vectors None"),
        ({"method": "semantic", "vectors": np.zeros((3, 2), np.float32)}, r"vectors \(3, 2\)"),
        ({"method": "semantic", "vectors": np.zeros((2, 2), np.float32)}, "must be of length 1"),
        (
            {"method": "semantic", "vectors": np.full((2, 2), np.nan, np.float32)},
            "must be of length 1",
        ),
        ({"method": "minhash", "threshold": 0.0}, "above 0"),
        ({"method": "minhash", "threshold": 1.1}, "at most 1"),
        ({"method": "minhash", "window": 0}, "window"),
        ({"method": "exact", "per_template": 0}, "per_template"),
        ({"method": "exact", "prefer": [np.zeros(3)]}, "2 rows"),
    ],
)
def test_impossible_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deduplicate(["a", "b"], **arguments)
