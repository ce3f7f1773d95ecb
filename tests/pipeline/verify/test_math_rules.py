"""Every rule of the verifier `math` is guarded: without it, a labelled pair comes out wrong.

Tables are taken apart entry by entry; other rules are replaced by what would stand there without
them. A table entry that no pair needs is dead, and fails here.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    numeric,
    plain_number,
    quantity,
    real_sets,
    relations,
    self_test,
    structure,
    symbolic,
    textual,
    tokens,
    units,
    values,
)
from winnow.pipeline.verify.self_test import Pair
from winnow.pipeline.verify.worker_pool import judged

MODULES = [
    arithmetic, equivalence, expression, extract, final_answer, math_answer, notation, numerals,
    numeric, plain_number, quantity, real_sets, relations, structure, symbolic, textual, tokens,
    units, values,
]  # fmt: skip
TABLES: list[tuple[ModuleType, str]] = [
    (arithmetic, "EXACT"),
    (equivalence, "LAYERS"),
    (tokens, "CONSTANTS"),
    (expression, "FIGURES"),
    (tokens, "FUNCTIONS"),
    (tokens, "GREEK"),
    (tokens, "INVERSES"),
    (tokens, "PYTHON"),
    (expression, "UNKNOWN_FUNCTIONS"),
    (extract, "COMMENTS"),
    (notation, "CHARACTERS"),
    (notation, "COMMANDS"),
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
    (numeric, "NUMERIC"),
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
        with without(table, entry):
            assert not passes(f"{name} {entry} ")
        return
    others = [item for item in table if item != entry]
    monkeypatch.setattr(module, name, type(table)(others))
    assert not passes(f"{name} {entry} ")


@contextmanager
def without(table: dict[Any, Any], entry: Any) -> Iterator[None]:
    """Modules share a table, and the order of its entries can matter."""
    before = dict(table)
    del table[entry]
    try:
        yield
    finally:
        table.clear()
        table.update(before)


NEVER = re.compile(r"(?!)")


def no(*args: Any, **kwargs: Any) -> bool:
    return False


def nothing(*args: Any, **kwargs: Any) -> None:
    return None


def yes(*args: Any, **kwargs: Any) -> bool:
    return True


def same(text: str, *args: Any) -> str:
    return text


# (module, what is replaced, by what): the rule is gone.
RULES: list[tuple[Any, str, Any]] = [
    # how an answer is found
    (extract, "after_thinking", same),
    (extract, "_END_TOKEN", NEVER),
    (extract, "_NEXT_QUESTION", NEVER),
    (extract, "_CHECKING", NEVER),
    (extract, "HEADING", NEVER),
    (extract, "HAN", NEVER),
    (extract, "_last_box", nothing),
    (extract, "_HASHES", NEVER),
    (extract, "_BETWEEN_BOXES", NEVER),
    (extract, "_REPLACES", NEVER),
    (extract, "_HEDGES", NEVER),
    (extract, "_PERCENT", NEVER),
    (extract, "first_sentence", same),
    (final_answer, "_later", nothing),
    (final_answer, "_LABEL", NEVER),
    (final_answer, "_LINE_LABEL", NEVER),
    (final_answer, "_NOT_THAT", NEVER),
    (final_answer, "_SHORT_WORDS", NEVER),
    (final_answer, "_REASONS", NEVER),
    (final_answer, "_UNIT_AFTER", NEVER),
    (final_answer, "_ANOTHER", NEVER),
    (final_answer, "_BOLD", NEVER),
    (final_answer, "_ALTERNATIVES", NEVER),
    (final_answer, "_JOIN", NEVER),
    (final_answer, "_TAIL", NEVER),
    (final_answer, "_ONLY_TEXT", NEVER),
    (final_answer, "_END_OF_PROOF", NEVER),
    (final_answer, "_CLOSING", NEVER),
    (final_answer, "_HAN_SENTENCE", NEVER),
    (final_answer, "_only_number", nothing),
    (final_answer, "_is_expression", no),
    (final_answer, "_is_formula", yes),
    (math_answer, "_agrees", yes),
    # notation
    (notation, "_without_dollars", same),
    (notation, "_group", lambda match: match.group()),
    (notation, "_unwrapped", same),
    (notation, "braced_fractions", same),
    (notation, "_ascii_digit", lambda match: match.group()),
    (notation, "_LEADING", NEVER),
    (notation, "_DELIMITERS", NEVER),
    (notation, "_RAISED", NEVER),
    (notation, "_LOWERED", NEVER),
    (notation, "_FENCES", NEVER),
    (notation, "_JOIN", NEVER),
    (notation, "_DEGREES", NEVER),
    (notation, "_ARGUMENTS", NEVER),
    (notation, "_SPACED_GROUPS", NEVER),
    (notation, "_TWO_NUMBERS", NEVER),
    (notation, "_BRACED", NEVER),
    (notation, "words", same),
    # numbers and units
    (plain_number, "_ABOUT", NEVER),
    (plain_number, "same_number", lambda gold, answer: gold.value == answer.value),
    (plain_number, "_NOTE", NEVER),
    (plain_number, "_CURRENCY_CODE", NEVER),
    (plain_number, "_HALF_DAY", NEVER),
    (plain_number, "_PERCENT", NEVER),
    (plain_number, "ROUNDED_DIGITS", 1),
    (plain_number, "ROUNDED_DIGITS", 1000),
    (plain_number, "_spelled", nothing),
    (plain_number, "_sum_of_quantities", nothing),
    (plain_number, "_is_rate_of", no),
    (plain_number, "_is_unit", yes),
    (plain_number, "_is_unit", no),
    (plain_number, "changes_value", no),
    (plain_number, "_repeating", lambda fixed, repeated: 0),
    # expressions
    (expression._Reader, "mixed", lambda self, whole: whole),
    (expression._Reader, "degrees", lambda self, base: base),
    (expression._Reader, "absolute", lambda self: self.group()),
    (arithmetic, "rational_power", nothing),
    (numeric, "_is_odd_root", no),
    (numeric, "SPARE_BITS", 2000),
    (values, "POINTS", tuple(abs(point) for point in values.POINTS)),
    (values, "RESIDUES", 0),
    (quantity, "_in_radians", no),
    (quantity, "_degrees", no),
    (quantity, "_rounded", no),
    # texts
    (textual, "_ANOTHER", NEVER),
    (textual, "_SAID", NEVER),
    (textual, "is_text", yes),
    (textual, "_of_day", lambda time: time),
    # structure
    (structure, "_OPPOSITE", NEVER),
    (structure, "_CONDITION", re.compile(" *& *")),
    (structure, "_GROUPED", NEVER),
    (structure, "order", lambda gold, answer: "any"),
    (structure, "order", lambda gold, answer: "ordered"),
    (equivalence, "_is_named", no),
    (equivalence, "_distinct", lambda items, depth: items),
    (equivalence, "_LABELLED", NEVER),
    # relations and sets
    (equivalence, "_consistent", yes),
    (relations, "_KINDS", {}),
    (relations, "_QUANTITY", NEVER),
    (relations, "_is_constant", no),
    (relations, "same_congruence", nothing),
    (relations, "_same_link", no),
    (relations, "_same_link", yes),
    (real_sets, "_joined", same),
    (real_sets, "_touches", no),
    (real_sets, "_intersection", lambda a, b: a),
    (real_sets, "_same_end", yes),
]


@pytest.mark.parametrize(
    ("owner", "name", "instead"), RULES, ids=[f"{name}-{k}" for k, (_, name, _) in enumerate(RULES)]
)
def test_no_rule_is_unguarded(
    owner: Any, name: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., Any] = getattr(owner, name)
    # Modules that import the name have it under the same one.
    for module in MODULES:
        if vars(module).get(name) is original:
            monkeypatch.setattr(module, name, instead)
    monkeypatch.setattr(owner, name, instead)
    assert not passes()
