"""Boilerplate: what is too frequent to count, on either side, and what it must not hide."""

import random
from string import ascii_lowercase
from typing import Any, Literal

import pytest

from winnow.pipeline.clean.decontaminate import (
    DecontaminateConfig,
    Decontaminator,
    EvaluationSet,
)
from winnow.pipeline.clean.decontamination.config import Rule

HEADER = (
    "Answer the following multiple choice question. Think step by step and finish with the "
    "letter of the option that you choose on a line of its own."
)
OVERLAP: list[Rule | Literal["all"]] = ["coverage", "ngram"]


def question(seed: int, words: int = 14) -> str:
    """Words that no other question has, so that only headers are shared."""
    letters = random.Random(seed)
    return " ".join("".join(letters.choices(ascii_lowercase, k=9)) for _ in range(words))


def contaminated(made: Decontaminator, rows: list[str]) -> list[bool]:
    found: list[bool] = made.check(rows)["contaminated"].to_pylist()
    return found


def made_of(items: list[str], **config: Any) -> Decontaminator:
    return Decontaminator([EvaluationSet("set", items)], DecontaminateConfig(**config))


@pytest.mark.parametrize("rule", OVERLAP)
@pytest.mark.parametrize("count", [4, 30])
def test_a_header_of_many_items_is_no_hit(rule: str, count: int) -> None:
    items = [f"{HEADER} {question(i)}" for i in range(count)]
    rows = [f"{HEADER} {question(1000 + i)}" for i in range(5)] + [question(2), items[3]]
    made = made_of(items, rules=[rule])
    assert contaminated(made, rows) == [False] * 5 + [True, True]
    assert (
        contaminated(made_of(items, rules=[rule], boilerplate_items=None), rows)[:5] == [True] * 5
    )


@pytest.mark.parametrize("rule", OVERLAP)
def test_a_header_and_a_few_more_words_are_no_hit(rule: str) -> None:
    items = [f"{HEADER} {question(i)}" for i in range(20)]
    made = made_of(items, rules=[rule], coverage_n=8, ngram_n=8, coverage_above=0.1)
    rows = [f"{HEADER} {question(3, own)} {question(500)}" for own in (1, 3, 4)]
    assert contaminated(made, rows) == [False, False, True]


def test_the_header_does_not_thin_the_coverage() -> None:
    items = [f"{HEADER} {question(i, 12)}" for i in range(20)]
    # 9 of the question's 12 words; of all words of the item they would be a quarter.
    assert contaminated(made_of(items, rules=["coverage"]), [question(3, 9)]) == [True]


@pytest.mark.parametrize("rule", OVERLAP)
def test_a_phrase_of_many_prompts_is_no_hit(rule: str) -> None:
    items = [f"{HEADER} {question(0)}", question(1)]
    rows = [f"{HEADER} {question(1000 + i)}" for i in range(11)] + [items[0], question(0)]
    assert contaminated(made_of(items, rules=[rule]), rows) == [False] * 11 + [True] * 2
    # Ten prompts are not many.
    assert contaminated(made_of(items, rules=[rule]), rows[:10]) == [True] * 10


@pytest.mark.parametrize("rule", OVERLAP)
def test_copies_of_an_item_do_not_make_it_boilerplate(rule: str) -> None:
    item = " ".join(f"word{i % 17} {i}" for i in range(20))
    wrapped = [f"Task {question(50 + i)}: {item}" for i in range(40)]
    numbers = [item.replace("3", str(10 + i)) for i in range(40)]
    part = item.rsplit(" ", 12)[0]
    made = made_of([item], rules=[rule])
    assert contaminated(made, wrapped + numbers + [part]) == [True] * 81


def test_the_share_of_prompts_counts_too() -> None:
    items = [f"{HEADER} {question(0)}"]
    rows = [f"{HEADER} {question(1000 + i)}" for i in range(15)]
    rows += [question(5000 + i, 5) for i in range(85)]
    few = made_of(items, rules=["ngram"], boilerplate_row_share=0.15)
    assert sum(contaminated(few, rows)) == 15  # 15 of 100 is not more than 0.15
    many = made_of(items, rules=["ngram"], boilerplate_row_share=0.149)
    assert sum(contaminated(many, rows)) == 0


def test_boilerplate_is_listed() -> None:
    items = [f"Read the text below and name its topic: {question(i)}" for i in range(12)]
    items.append(f"{HEADER} {question(99)}")
    rows = [f"{HEADER} {question(1000 + i)}" for i in range(20)] + ["read the text below and name"]
    made = made_of(items, rules=["coverage"])
    made.check(rows)
    listed = made.boilerplate().to_pylist()
    assert listed[0] == {
        "n": 8, "ngram": "and finish with the letter of the option",
        "items": 1, "rows": 20, "reason": "rows",
    }  # fmt: skip
    assert [r for r in listed if r["reason"] == "items"] == [
        {"n": 8, "ngram": "read the text below and name its topic", "items": 12, "rows": 0,
         "reason": "items"}
    ]  # fmt: skip
    header = HEADER.lower().replace(".", "").split()
    assert {r["ngram"] for r in listed if r["reason"] == "rows"} == {
        " ".join(header[i : i + 8]) for i in range(len(header) - 7)
    }


def test_equal_items_are_one_item() -> None:
    """The same questions in several files do not make each other boilerplate."""
    items = [question(i) for i in range(5)]
    sets = [EvaluationSet(f"copy {i}", items) for i in range(15)]
    made = Decontaminator(sets, DecontaminateConfig(rules=OVERLAP))
    part = question(0, 13)
    assert contaminated(made, [part, question(7)]) == [True, False]
    assert len(made.boilerplate()) == 0
    assert made.report().filter(made.report()["rule"].to_numpy() == "any")["rows_hit"].to_pylist() == (
        [1] * 15
    )  # fmt: skip


def test_a_survey_takes_the_place_of_one_large_check() -> None:
    items = [f"{HEADER} {question(0)}", question(1)]
    rows = [f"{HEADER} {question(1000 + i)}" for i in range(30)] + [question(1), question(2)]
    random.Random(0).shuffle(rows)
    whole = contaminated(made_of(items, rules=OVERLAP), rows)
    parts = [rows[i : i + 4] for i in range(0, len(rows), 4)]
    made = made_of(items, rules=OVERLAP)
    for part in parts:
        made.survey(part)
    assert [c for part in parts for c in contaminated(made, part)] == whole
    assert sum(whole) == 1


def test_items_that_are_nothing_but_boilerplate_match_in_full() -> None:
    items = [f"{HEADER} {question(i)}" for i in range(12)] + [HEADER]
    rows = [HEADER, f"{HEADER} {question(77)}"]
    assert contaminated(made_of(items, rules=OVERLAP), rows) == [True, False]
