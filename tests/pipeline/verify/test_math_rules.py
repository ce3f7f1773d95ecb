"""Every rule of the verifier `math` is guarded: without it, a labelled pair comes out wrong.

Tables are taken apart entry by entry; other rules are replaced by what would stand there without
them. A table entry that no pair needs is dead, and fails here.
"""

from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from winnow.pipeline.verify import (
    arithmetic,
    equivalence,
    expression,
    extract,
    final_answer,
    math_answer,
    notation,
    numerals,
    plain_number,
    real_sets,
    relations,
    self_test,
    structure,
    symbolic,
    textual,
    units,
    values,
)
from winnow.pipeline.verify.self_test import Pair
from winnow.pipeline.verify.worker_pool import judged

MODULES = [
    arithmetic, equivalence, expression, extract, final_answer, math_answer, notation, numerals,
    plain_number, real_sets, relations, structure, symbolic, textual, units, values,
]  # fmt: skip
TABLES: list[tuple[ModuleType, str]] = [
    (arithmetic, "EXACT"),
    (equivalence, "LAYERS"),
    (expression, "CONSTANTS"),
    (expression, "FIGURES"),
    (expression, "FUNCTIONS"),
    (expression, "GREEK"),
    (expression, "INVERSES"),
    (expression, "PYTHON"),
    (expression, "UNKNOWN_FUNCTIONS"),
    (extract, "COMMENTS"),
    (notation, "CHARACTERS"),
    (notation, "COMMANDS"),
    (notation, "LOWERED"),
    (notation, "RAISED"),
    (notation, "UPRIGHT"),
    (numerals, "HAN_DIGITS"),
    (numerals, "HAN_GROUPS"),
    (numerals, "HAN_SCALES"),
    (numerals, "ONES"),
    (numerals, "PARTS"),
    (numerals, "SCALES"),
    (numerals, "TENS"),
    (plain_number, "NOT_UNITS"),
    (real_sets, "ALL"),
    (real_sets, "NOTHING"),
    (real_sets, "READERS"),
    (relations, "FLIPPED"),
    (structure, "MATRICES"),
    (structure, "READERS"),
    (structure, "ROWS"),
    (textual, "NUMBER_BASES"),
    (textual, "SYNONYMS"),
    (units, "AFTER"),
    (units, "PER"),
    (units, "POWERS"),
    (units, "UNITS"),
    (values, "NUMERIC"),
]


@cache
def pairs() -> list[Pair]:
    return self_test.read("math")


def forget() -> None:
    """Caches hold what the rules made."""
    for module in MODULES:
        for member in vars(module).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    forget()
    yield
    forget()


def passes(first: str = "") -> bool:
    """Whether all pairs hold; those whose rule names `first` are tried first."""
    forget()
    ordered = sorted(pairs(), key=lambda pair: first not in f"{pair.rule} ".replace("'", ""))
    return all(pair.holds(judged("math", pair.completion, pair.task)) for pair in ordered)


def test_all_rules_together_pass() -> None:
    assert self_test.run_here("math").passed
    assert passes()


def entries() -> list[Any]:
    return [
        pytest.param(module, name, entry, id=f"{name}-{entry!r}")
        for module, name in TABLES
        for entry in sorted(getattr(module, name), key=repr)
    ]


@pytest.mark.parametrize(("module", "name", "entry"), entries())
def test_no_entry_of_a_table_is_dead(
    module: ModuleType, name: str, entry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = getattr(module, name)
    if isinstance(table, dict):
        monkeypatch.delitem(table, entry)
    elif isinstance(table, frozenset):
        monkeypatch.setattr(module, name, table - {entry})
    else:
        monkeypatch.setattr(module, name, tuple(item for item in table if item != entry))
    assert not passes(f"{name} {entry} ")
