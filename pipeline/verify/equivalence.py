r"""Whether an answer means what the reference means.

Layers, the first that can decide does: exact text; plain numbers as exact fractions; texts
(choices, words, times, ratios, bases); relations; sets of real numbers; lists, tuples, intervals,
sets and matrices, part by part; expressions by their values; and, for what only it can read
(integrals, sums, limits), SymPy behind math-verify's parser. Nothing in here takes a number out of
a text that it cannot read.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from winnow.pipeline.verify import real_sets, relations, symbolic, textual, values
from winnow.pipeline.verify.expression import CannotParse, parse
from winnow.pipeline.verify.extract import closing_braces
from winnow.pipeline.verify.notation import key, normalise
from winnow.pipeline.verify.plain_number import (
    PlainNumber,
    plain_number,
    same_number,
)
from winnow.pipeline.verify.quantity import quantity, same_quantity
from winnow.pipeline.verify.relations import Stated, chain, stated
from winnow.pipeline.verify.structure import Parts, order, split

MAX_LENGTH = 4_000  # characters of an answer that are looked at as mathematics
MAX_ITEMS = 64
MAX_DEPTH = 6
_CONTENT = re.compile(r"[0-9A-Za-z]|[^\x00-\x7f]|\\\{\s*\\\}")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


class BadReference(Exception):
    """The reference cannot be read, so that nothing can be said about any answer."""


class UnreadableAnswer(Exception):
    """The answer is no mathematics, where the reference is."""


def equivalent(reference: str, answer: str) -> bool:
    """Whether `answer` means `reference`. Raises BadReference, UnreadableAnswer."""
    gold = _reference(reference)
    if len(answer) > MAX_LENGTH or len(gold) > MAX_LENGTH:
        return key(gold) == key(normalise(answer))
    return _same(gold, normalise(answer), 0)


@lru_cache(maxsize=4096)
def _reference(text: str) -> str:
    gold = normalise(text)
    if not _CONTENT.search(key(gold)) or not _balanced(gold):
        raise BadReference(text[:100])
    return gold


def _balanced(text: str) -> bool:
    if "{" not in text and "}" not in text:
        return True
    braces = _BRACES.findall(text)
    return braces.count("{") == braces.count("}") == len(closing_braces(text))


def _same(gold: str, answer: str, depth: int) -> bool:
    if gold == answer or key(gold) == key(answer):
        return True
    if not answer:
        raise UnreadableAnswer("empty")
    if depth > MAX_DEPTH:
        raise UnreadableAnswer("nested too deeply")
    for layer in LAYERS.values():
        decided = layer(gold, answer, depth)
        if decided is not None:
            return decided
    if not _readable(gold):
        raise BadReference(gold[:100])
    raise UnreadableAnswer(answer[:100])


# Each layer takes (reference, answer, depth) and says True, False, or None where it cannot tell.


def _numbers(gold: str, answer: str, depth: int) -> bool | None:
    gold_number = plain_number(gold)
    number = plain_number(answer) if gold_number else None
    return same_number(gold_number, number) if gold_number and number else None


def _choices(gold: str, answer: str, depth: int) -> bool | None:
    return textual.same_choice(gold, answer)


def _times(gold: str, answer: str, depth: int) -> bool | None:
    return textual.same_time(gold, answer)


def _ratios(gold: str, answer: str, depth: int) -> bool | None:
    return textual.same_ratio(gold, answer)


def _bases(gold: str, answer: str, depth: int) -> bool | None:
    return textual.same_base(gold, answer)


def _congruences(gold: str, answer: str, depth: int) -> bool | None:
    return relations.same_congruence(gold, answer)


def _real_sets(gold: str, answer: str, depth: int) -> bool | None:
    return real_sets.same_set(gold, answer)


def _words(gold: str, answer: str, depth: int) -> bool | None:
    return textual.same_words(gold, answer)


def _lists(gold: str, answer: str, depth: int) -> bool | None:
    """Parts of the same structure, one by one."""
    first, second = split(gold), split(answer)
    if first is None and second is None:
        return None
    if first is None and second is not None and second.kind == "list":
        # One value in several notations: "1/2 or 0.5".
        if len(second.items) > MAX_ITEMS:
            return False
        return all(_same_part(gold, item, depth) for item in second.items)
    if first is None or second is None:
        # An equation or a set may still be read on the other side; a number is not several.
        single = gold if first is None else answer
        return None if chain(single) or "\\" in single and not plain_number(single) else False
    return _same_items(first, second, depth)


def _same_items(first: Parts, second: Parts, depth: int) -> bool | None:
    how = order(first, second)
    if first.kind == second.kind == "set":
        first = Parts("set", _distinct(first.items, depth))
        second = Parts("set", _distinct(second.items, depth))
    if how is None or len(first.items) != len(second.items) or len(first.items) > MAX_ITEMS:
        return False
    pairs = list(zip(first.items, second.items, strict=True))
    if how == "any":
        # x = 1, y = 2 names what is what; the bare 2, 1 does not.
        how = "ordered" if _is_named(first) != _is_named(second) else "any"
    if how == "ordered" or all(key(a) == key(b) for a, b in pairs):
        return all(_same_part(a, b, depth) for a, b in pairs)
    return _paired(first.items, second.items, depth)


def _is_named(parts: Parts) -> bool:
    names = set()
    for item in parts.items:
        found = chain(item)
        said = stated(found) if found else None
        if said is None or said.name is None:
            return False
        names.add(key(said.name))
    return len(names) == len(parts.items)


def _distinct(items: tuple[str, ...], depth: int) -> tuple[str, ...]:
    """A set has each element once."""
    kept: list[str] = []
    for item in items[:MAX_ITEMS]:
        if not any(_same_part(item, other, depth) for other in kept):
            kept.append(item)
    return (*kept, *items[MAX_ITEMS:])


def _same_part(a: str, b: str, depth: int) -> bool:
    try:
        return _same(a, b, depth + 1)
    except UnreadableAnswer:
        return False


def _paired(gold: tuple[str, ...], answer: tuple[str, ...], depth: int) -> bool:
    """Whether the items pair up in some order. Equality is transitive, so greedy is enough."""
    left = list(answer)
    for item in gold:
        at = next((k for k, other in enumerate(left) if _same_part(item, other, depth)), None)
        if at is None:
            return False
        del left[at]
    return True


def _relations(gold: str, answer: str, depth: int) -> bool | None:
    """Equations and inequalities; a value may stand as `x = value`."""
    if _is_list(gold) or _is_list(answer):
        return None
    first, second = chain(gold), chain(answer)
    if first is None and second is None:
        return None
    gold_said = stated(first) if first else Stated(None, (gold,))
    said = stated(second, quantities=first is None) if second else Stated(None, (answer,))
    if gold_said and said:
        decided = _same_stated(gold_said, said, depth)
        if decided is not False or not (first and second):
            return decided
    if first and second:
        return relations.same_relation(first, second)
    if second and set(second.signs) == {"="}:  # (x + 1)^2 = x^2 + 2x + 1
        return all(_same_part(gold, side, depth) for side in second.sides)
    return None if symbolic.is_wanted(gold) else False


def _is_list(text: str) -> bool:
    parts = split(text)
    return parts is not None and parts.kind in ("list", "cases")


def _same_stated(gold: Stated, answer: Stated, depth: int) -> bool | None:
    """`x = 5` and 5; `x = 5` and `y = 5` differ. Values of one answer that differ say two things."""
    if gold.name and answer.name and key(gold.name).lower() != key(answer.name).lower():
        if gold.kind is None or gold.kind != answer.kind:
            return False
    if not all(_consistent(answer.values[-1], value, depth) for value in answer.values[:-1]):
        return False
    return any(_same_part(g, a, depth) for g in gold.values for a in answer.values)


def _consistent(last: str, value: str, depth: int) -> bool:
    """Whether two sides of an answer's chain may be one value: `2/3 = 0.67`, `9 + 16 = 25`."""
    try:
        first, second = parse(value), parse(last)
    except CannotParse:
        return plain_number(value) is None or _same_part(value, last, depth)
    if first.names or second.names or _same_part(value, last, depth):
        return True
    a, b = values.number(first), values.number(second)
    decimals = [
        number for text in (value, last) if (number := plain_number(text)) and number.places
    ]
    if a is None or b is None or not decimals:
        return False
    places = min(number.places or 0 for number in decimals)
    return abs(a - b) < Fraction(1, 10**places)


def _quantities(gold: str, answer: str, depth: int) -> bool | None:
    return same_quantity(gold, answer)


def _beyond(gold: str, answer: str, depth: int) -> bool | None:
    """What only SymPy can work out: integrals, sums, limits. Only where the reference has one: an
    answer that leaves an integral to be worked out is none."""
    return symbolic.same(gold, answer) if symbolic.is_wanted(gold) else None


_LABELLED = re.compile(r"(?:\\text\s*\{)?\s*\(?(?P<letter>[A-J])[).:]+\s*\}?\s*(?P<text>[^\s})].*)")


def _labelled(gold: str, answer: str, depth: int) -> bool | None:
    """`(C) 12`: a choice with its text. What the reference has of the two must agree."""
    first, second = _LABELLED.fullmatch(gold), _LABELLED.fullmatch(answer)
    if first and second:
        return first["letter"] == second["letter"] and _same_part(
            first["text"], second["text"], depth
        )
    if first:
        return _same_part(f"({first['letter']})", answer, depth) or _same_part(
            first["text"], answer, depth
        )
    return _same_part(gold, second["text"], depth) if second else None


LAYERS: dict[str, Callable[[str, str, int], bool | None]] = {
    "numbers": _numbers,
    "bases": _bases,
    "choices": _choices,
    "labelled": _labelled,
    "times": _times,
    "ratios": _ratios,
    "congruences": _congruences,
    "real_sets": _real_sets,
    "words": _words,
    "relations": _relations,
    "lists": _lists,
    "expressions": _quantities,
    "beyond": _beyond,
}


def _readable(gold: str) -> bool:
    """Whether anything could have been compared with this reference."""
    if plain_number(gold) or split(gold) or textual.is_text(gold) or real_sets.real_set(gold):
        return True
    found = chain(gold)
    if found is not None:
        return True
    try:
        quantity(gold)
    except CannotParse:
        return symbolic.is_wanted(gold) and symbolic.is_readable(gold)
    return True


__all__ = ["BadReference", "PlainNumber", "UnreadableAnswer", "equivalent"]
