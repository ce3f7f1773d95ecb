"""Decontamination of real training sets against real evaluation sets."""

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from winnow.pipeline.clean.decontaminate import (
    DecontaminateConfig,
    Decontaminator,
    EvaluationSet,
)
from winnow.pipeline.clean.decontamination.config import Rule
from winnow.pipeline.clean.decontamination.words import words

DATA = Path(__file__).parents[3] / ".." / "shared" / "data"
RULES: list[Rule | Literal["all"]] = ["coverage", "ngram", "exact"]
PROBLEMS = [
    ("math500_test", "problem"),
    ("gsm8k_test", "question"),
    ("gsm8k_train", "question"),
    ("svamp", "question"),
    ("humaneval", "prompt"),
    ("mbpp", "text"),
    ("self_instruct_seeds", "instruction"),
    ("spider_dev_public", "question"),
    ("alpaca_9k", "instruction"),
    ("cruxeval", "code"),
]


def column(name: str, text: str) -> pa.ChunkedArray:
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs {path.name}, which is not on this machine")
    return pq.read_table(path)[text]


@pytest.mark.parametrize(("name", "text"), PROBLEMS)
@pytest.mark.parametrize("rule", RULES)
def test_every_item_is_found_in_its_own_set(name: str, text: str, rule: Rule) -> None:
    texts = column(name, text)
    made = Decontaminator([EvaluationSet(name, texts)], DecontaminateConfig(rules=[rule]))
    result = made.check(texts)
    assert pc.all(result["contaminated"]).as_py()
    assert pc.min(result["hit_score"]).as_py() == 1.0
    # The row shown has the same words, though it may be an earlier copy of them.
    shown = texts.take(result["hit_row"]).to_pylist()
    assert [words(t) for t in shown] == [words(t) for t in texts.to_pylist()]


def test_gsm8k_train_does_not_hold_the_test_set() -> None:
    """The two share no question; what is left are sentences of the same wording."""
    sets = [EvaluationSet("test", column("gsm8k_test", "question"))]
    train = column("gsm8k_train", "question")
    made = Decontaminator(sets, DecontaminateConfig(rules=RULES))
    hits = made.check(train).filter(pc.field("contaminated"))
    assert len(hits) < 0.01 * len(train)
    assert not pc.any(pc.match_substring(hits["evidence"], "exact: the whole text:")).as_py()


def test_math_train_against_math_500() -> None:
    """The sets are disjoint, but MATH holds siblings of its problems with other numbers."""
    train = column("math_train_slice", "problem")
    sets = [EvaluationSet("math500", column("math500_test", "problem"))]
    made = Decontaminator(sets, DecontaminateConfig(rules=RULES))
    hits = made.check(train)
    texts = train.to_pylist()
    by_row = dict(zip(texts, hits.to_pylist(), strict=True))
    sibling = next(
        t for t in texts if t.startswith("What is the sum of all of the multiples of 3 b")
    )
    assert by_row[sibling]["hit_rule"] == "exact"
    assert "multiples of 7 between 100 and 200" in by_row[sibling]["evidence"]
    assert 0.01 < pc.mean(hits["contaminated"].cast(pa.float64())).as_py() < 0.05
    assert "express your answer as a common fraction asy" in made.boilerplate()["ngram"].to_pylist()
