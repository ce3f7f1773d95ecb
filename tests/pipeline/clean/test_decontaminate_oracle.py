"""The coverage and n-gram rules against their definitions, spelt out word by word."""

import random
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.clean.decontaminate import (
    DecontaminateConfig,
    Decontaminator,
    EvaluationSet,
)
from winnow.pipeline.clean.decontamination.config import Rule
from winnow.pipeline.clean.decontamination.grams import RunningHash, window_ids

Words = tuple[str, ...]
SENTENCES = st.lists(st.sampled_from("abcd"), min_size=1, max_size=14).map(tuple)
MANY = st.lists(SENTENCES, min_size=1, max_size=8)
CONTAINED = 8


def grams(words: Words, n: int) -> list[Words]:
    return [words[i : i + n] for i in range(len(words) - n + 1)]


def stands_in(item: Words, row: Words) -> bool:
    return item in grams(row, len(item))


def boilerplate(items: set[Words], rows: list[Words], n: int, config: DecontaminateConfig,
                rows_in_all: int) -> set[Words]:  # fmt: skip
    if config.boilerplate_items is None:
        return set()
    by_items = Counter(g for item in items for g in set(grams(item, n)))
    found = {
        g
        for g, count in by_items.items()
        if count > config.boilerplate_items
        or (count >= 3 and count > config.boilerplate_item_share * len(items))
    }
    holders: dict[Words, set[Words]] = defaultdict(set)
    for row in rows:
        for g in set(grams(row, n)) & (by_items.keys() - found):
            copies = [
                i
                for i in items
                if stands_in(i, row) and g in grams(i, n) and set(grams(i, n)) - found
            ]
            if not copies:
                holders[g].add(("".join(row),))  # rows of the same letters are one
    most = max(config.boilerplate_rows, config.boilerplate_row_share * rows_in_all)
    return found | {g for g, held in holders.items() if len(held) > most}


def score(
    item: Words, row: Words, n: int, common: set[Words], by_items: set[Words], low: Fraction
) -> Fraction:
    """The item's score against the row; -1 where no n-gram that counts is shared."""
    if len(item) >= n and stands_in(item, row) and set(grams(item, n)) - by_items:
        return Fraction(1)
    if item == row:
        return Fraction(1)
    counts = [True] * len(item)
    for i, g in enumerate(grams(item, n)):
        if g in common:
            counts[i : i + n] = [False] * n
    shared = set(grams(row, n))
    covered: set[int] = set()
    for i, g in enumerate(grams(item, n)):
        if g in shared and 2 * sum(counts[i : i + n]) >= n:
            covered.update(range(i, i + n))
    if not covered:
        return Fraction(-1)
    weight = [Fraction(1) if full else low for full in counts]
    return sum((weight[i] for i in covered), Fraction(0)) / sum(weight)


def expected(items: list[Words], rows: list[Words], n: int, config: DecontaminateConfig,
             rule: str) -> list[Fraction | None]:  # fmt: skip
    distinct = set(items)
    low = Fraction(config.boilerplate_weight).limit_denominator(1000)
    common = boilerplate(distinct, rows, n, config, len(rows))
    by_items = boilerplate(distinct, [], n, config, 0)
    result: list[Fraction | None] = []
    for row in rows:
        scores = [score(item, row, n, common, by_items, low) for item in items]
        if rule == "ngram":
            scores += [Fraction(1) for i in items if CONTAINED <= len(i) < n and stands_in(i, row)]
            hits = [s for s in scores if s >= 0]
        else:
            hits = [s for s in scores if s > Fraction(str(config.coverage_above))]
        result.append(max(hits, default=None))
    return result


def found(items: list[Words], rows: list[Words], config: DecontaminateConfig,
          **how: Any) -> list[Fraction | None]:  # fmt: skip
    made = Decontaminator([EvaluationSet("e", [" ".join(i) for i in items])], config, **how).check(
        [" ".join(r) for r in rows]
    )
    scores = made["hit_score"].to_pylist()
    return [None if s is None else Fraction(s).limit_denominator(1000) for s in scores]


@pytest.mark.parametrize("rule", ["coverage", "ngram"])
@settings(max_examples=150, deadline=None)
@given(items=MANY, rows=MANY, n=st.integers(1, 5), above=st.sampled_from([0.0, 0.5, 0.7]))
def test_without_boilerplate(
    rule: Rule, items: list[Words], rows: list[Words], n: int, above: float
) -> None:
    config = DecontaminateConfig(
        rules=[rule], coverage_n=n, ngram_n=n, coverage_above=above, boilerplate_items=None
    )
    assert found(items, rows, config) == expected(items, rows, n, config, rule)


@pytest.mark.parametrize("rule", ["coverage", "ngram"])
@settings(max_examples=150, deadline=None)
@given(
    items=MANY,
    rows=MANY,
    n=st.integers(1, 4),
    most_items=st.integers(1, 4),
    item_share=st.sampled_from([0.3, 1.0]),
    most_rows=st.integers(1, 4),
    row_share=st.sampled_from([0.0, 0.5]),
    weight=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_with_boilerplate(
    rule: Rule,
    items: list[Words],
    rows: list[Words],
    n: int,
    most_items: int,
    item_share: float,
    most_rows: int,
    row_share: float,
    weight: float,
) -> None:
    config = DecontaminateConfig(
        rules=[rule],
        coverage_n=n,
        ngram_n=n,
        boilerplate_items=most_items,
        boilerplate_item_share=item_share,
        boilerplate_rows=most_rows,
        boilerplate_row_share=row_share,
        boilerplate_weight=weight,
    )
    assert found(items, rows, config) == expected(items, rows, n, config, rule)


@settings(max_examples=100, deadline=None)
@given(
    items=st.lists(st.lists(st.sampled_from("ab"), min_size=6, max_size=12).map(tuple), min_size=1),
    rows=st.lists(st.lists(st.sampled_from("ab"), min_size=6, max_size=16).map(tuple), min_size=1),
    n=st.integers(9, 12),
)
def test_items_shorter_than_n_inside_prompts(items: list[Words], rows: list[Words], n: int) -> None:
    config = DecontaminateConfig(rules=["ngram"], ngram_n=n, boilerplate_items=None)
    assert found(items, rows, config) == expected(items, rows, n, config, "ngram")


@settings(max_examples=100, deadline=None)
@given(items=MANY, rows=MANY, n=st.integers(1, 4), bits=st.integers(0, 3))
def test_colliding_hashes_make_no_hits(
    items: list[Words], rows: list[Words], n: int, bits: int
) -> None:
    config = DecontaminateConfig(rules=["coverage", "ngram", "exact"], coverage_n=n,
                                 ngram_n=n, boilerplate_items=2, boilerplate_rows=2)  # fmt: skip
    assert found(items, rows, config, hash_bits=bits) == found(items, rows, config)


@settings(max_examples=60, deadline=None)
@given(items=MANY, rows=MANY, seed=st.integers(0, 9), chunk=st.integers(1, 60))
def test_neither_order_nor_chunks_matter(
    items: list[Words], rows: list[Words], seed: int, chunk: int
) -> None:
    config = DecontaminateConfig(rules=["coverage", "ngram", "exact"], coverage_n=3, ngram_n=4,
                                 boilerplate_items=3, boilerplate_rows=2)  # fmt: skip
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    sets = [EvaluationSet("e", [" ".join(i) for i in items])]
    texts = [" ".join(r) for r in rows]
    plain = Decontaminator(sets, config).check(texts)
    shuffled = Decontaminator(sets, config, chunk_bytes=chunk).check([texts[i] for i in order])
    assert shuffled.to_pylist() == plain.take(order).to_pylist()


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 9))
def test_window_ids_are_equal_exactly_for_equal_windows(ids: list[int], n: int) -> None:
    made = window_ids(np.array(ids, np.int32), n).tolist()
    windows = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    assert len(made) == len(windows)
    assert len(set(zip(made, windows, strict=True))) == len(set(made)) == len(set(windows))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), st.integers(1, 8))
def test_running_hash_is_the_polynomial(hashes: list[int], n: int) -> None:
    base = 0x9E3779B97F4A7C15
    running = RunningHash(np.array(hashes, np.uint64))
    direct = [
        sum(h * pow(base, k, 2**64) for k, h in enumerate(hashes[j : j + n])) % 2**64
        for j in range(len(hashes) - n + 1)
    ]
    assert running.windows(n).tolist() == direct
    first = np.arange(len(direct))
    assert running.stretches(first, np.full(len(first), n)).tolist() == direct
