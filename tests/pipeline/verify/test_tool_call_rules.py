"""Every rule of the verifier `tool_call` is guarded by at least one labelled pair."""

import ast
import json
import re
from collections import Counter
from typing import Any

import pytest

from winnow.pipeline.verify import literals, self_test, tool_call
from winnow.pipeline.verify.tool_calls import (
    functions,
    graded,
    json_calls,
    matching,
    python_calls,
    reference,
    tagged,
    values,
)
from winnow.pipeline.verify.tool_calls.calls import Call, Reading, UnreadableCall


def never(*_: Any, **__: Any) -> bool:
    return False


def always(*_: Any, **__: Any) -> bool:
    return True


def nothing(*_: Any, **__: Any) -> None:
    return None


def refuse(*_: Any, **__: Any) -> Any:
    raise UnreadableCall("rule taken away")


def greedy(fits: list[list[bool]]) -> bool:
    used: set[int] = set()
    for row in fits:
        at = next((i for i, fit in enumerate(row) if fit and i not in used), None)
        if at is None:
            return False
        used.add(at)
    return True


def greedy_from_the_end(fits: list[list[bool]]) -> bool:
    return greedy([row[::-1] for row in fits[::-1]])


def first_key_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


def lenient_object(node: Any) -> dict[str, Any]:
    return {k.value: python_calls._value(v) for k, v in zip(node.keys, node.values, strict=True)}


def digits_are_numbers(value: Any, options: Any, schema: Any) -> bool:
    is_number = isinstance(value, str) and value.isdigit()
    return ACCEPTED(int(value) if is_number else value, options, schema)


def unordered(same: Any, value: list[Any], wanted: list[Any], schema: Any) -> bool:
    return len(value) == len(wanted) and all(any(same(a, b, {}) for b in wanted) for a in value)


def shortest(same: Any, value: list[Any], wanted: list[Any], schema: Any) -> bool:
    return all(same(a, b, {}) for a, b in zip(value, wanted, strict=False))


def last_call_only(text: str, offered: Any) -> list[Call]:
    return READ_JSON(text, offered)[-1:]


def last_python_call_only(text: str, offered: Any) -> list[Call]:
    return READ_PYTHON(text, offered)[-1:]


def last_block_only(text: str, offered: Any) -> list[Call] | None:
    found = READ_TAGGED(text, offered)
    return found[-1:] if found else found


def first_block_only(text: str, offered: Any) -> list[Call]:
    return READ_BLOCKS(text, offered)[:1]


def positional_dropped(self: Any, call: Call) -> Call:
    return Call(self.known(call.name), call.arguments)


def positional_overwritten(self: Any, call: Call) -> Call:
    name = self.known(call.name)
    places = zip(self.get(name).parameters, call.positional, strict=False)
    return Call(name, {**dict(places), **call.arguments})


def evaluated(node: Any) -> Any:
    try:
        return eval(ast.unparse(node))
    except NameError:
        return VALUE(node)


def starred_ignored(node: Any) -> Call:
    if not isinstance(node, ast.Call):
        raise UnreadableCall("not a call")
    keywords = {k.arg: VALUE(k.value) for k in node.keywords if k.arg is not None}
    for keyword in node.keywords:
        if keyword.arg is None:
            keywords |= VALUE(keyword.value)
    plain = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
    return Call(python_calls._name(node.func), keywords, tuple(VALUE(a) for a in plain))


def set_jaccard(a: Any, b: Any) -> float:
    return len(set(a) & set(b)) / len(set(a) | set(b)) if a or b else 1.0


def jaccard_of_nothing(a: Any, b: Any) -> float:
    union = (a | b).total()
    return (a & b).total() / union if union else 0.0


def ungraded_reuse(calls: Any, wanted: Any, offered: Any) -> graded.Grade:
    """`grade` without marking calls as used."""
    if not calls:
        return graded.Grade.worst()
    names = JACCARD(Counter(one.name for one in wanted), Counter(call.name for call in calls))
    total = sum(max(graded._score(c, one, offered) for c in calls) for one in wanted)
    largest = sum(1 + len(graded._due(one)) for one in wanted)
    return graded.Grade(6 * (names + total) / (1 + largest) - 3, names, total / largest)


def unreadable_reference(*_: Any) -> Any:
    raise reference.BadReference("rule taken away")


def one_of_them(found: Any, wanted: Any, offered: Any) -> str | None:
    """`_objection` without the number of calls."""
    pairs = [(call, one) for call in found.calls for one in wanted.calls]
    right = any(matching.matches(call, one, offered) for call, one in pairs)
    return None if right or not wanted.calls else "calls_differ"


def any_line(block: str, offered: Any) -> list[Call]:
    try:
        values_there = literals.json_values(block)
    except literals.NoLiteral as error:
        raise UnreadableCall(str(error)) from None
    return [c for value in values_there for c in json_calls.calls_in(value, offered) or []]


READ_JSON, READ_PYTHON = json_calls.read, python_calls.read
READ_TAGGED, READ_BLOCKS = json_calls.read_tagged, tagged.read
VALUE, JACCARD, KIND = python_calls._value, graded._jaccard, values._kind
ACCEPTED = values.accepted
ATTEMPT = json_calls._ATTEMPT
READERS = tool_call._READERS

Removal = list[tuple[Any, str, Any]]

RULES: dict[str, Removal] = {
    "thoughts are not read": [(tool_call, "spoken", str.strip)],
    # JSON
    "tags decide": [(json_calls, "read_tagged", nothing)],
    "a tag that is cut off is a tag": [
        (json_calls, "_is_cut_off", never),
        (json_calls, "_scattered", lambda *_: []),
    ],
    "a mention of a tag is none": [(json_calls, "_is_cut_off", always)],
    "every tag counts": [(json_calls, "read_tagged", last_block_only)],
    "every call counts": [(tool_call, "_READERS", {**READERS, "json": last_call_only})],
    "calls stand anywhere": [(json_calls, "_scattered", lambda *_: [])],
    "a broken call is an attempt": [(json_calls, "_is_attempt", never)],
    "a broken call by its keys": [(json_calls, "_ATTEMPT", re.compile(r"(?!)"))],
    "a broken call by its function": [
        (json_calls, "_is_attempt", lambda text, start, _: ATTEMPT.match(text, start) is not None)
    ],
    "a key stands once": [
        (literals, "_DECODER", json.JSONDecoder(parse_constant=literals._no_constant))
    ],
    "NaN is no JSON": [
        (literals, "_DECODER", json.JSONDecoder(object_pairs_hook=literals._object))
    ],
    "either arguments or parameters": [(json_calls, "_is_ambiguous", never)],
    "arguments may be JSON text": [(json_calls, "_from_text", refuse)],
    "OpenAI's wrapping": [(json_calls, "_wrapped", nothing)],
    "BFCL's keys": [(json_calls, "_keyed", nothing)],
    "a description is no call": [(json_calls, "_is_description", never)],
    # Python
    "python: calls stand anywhere": [(python_calls, "_scattered", lambda *_: [])],
    "python: tags decide": [(python_calls, "_tagged", lambda text: [])],
    "python: every call counts": [
        (tool_call, "_READERS", {**READERS, "python": last_python_call_only})
    ],
    "python: a mention is no call": [(python_calls, "_says_something", always)],
    "python: alone on its line": [(python_calls, "_is_alone", never)],
    "python: a call in a sentence": [(python_calls, "_says_something", never)],
    "python: places have names": [(functions.Functions, "named", positional_dropped)],
    "python: no argument twice": [(functions.Functions, "named", positional_overwritten)],
    "python: constants of JSON": [(python_calls, "_CONSTANTS", {})],
    "python: keys of objects stand once": [(python_calls, "_object", lenient_object)],
    "python: never evaluated": [(python_calls, "_value", evaluated)],
    "python: no unpacking": [(python_calls, "_call", starred_ignored)],
    "python: a broken call is an attempt": [(python_calls, "_is_attempt", never)],
    "python: quotes around words": [(values, "_lacks_quotes", never)],
    "python: variables match their source": [(values, "_lacks_quotes", always)],
    # functions and arguments
    "the function's name": [(matching, "_same_function", always)],
    "dots as underscores": [(functions.Functions, "known", lambda self, name: name)],
    "dots as underscores only where it is clear": [
        (
            functions.Functions,
            "known",
            lambda self, name: self._by_spelling.get(name.replace(".", "_"), [name])[0],
        )
    ],
    "unknown arguments": [(matching, "_has_unknown", never)],
    "arguments may be left out": [(reference.WantedCall, "may_omit", never)],
    "arguments may be left out only where the reference says so": [
        (reference.WantedCall, "may_omit", always)
    ],
    "the schema's required arguments": [(reference, "check", nothing)],
    "values": [(values, "accepted", always)],
    "kinds": [
        (values, "_kind", lambda v: {"boolean": "number"}.get(KIND(v), KIND(v))),
    ],
    "numbers are no texts": [(values, "accepted", digits_are_numbers)],
    "an integer for a float": [
        (values, "_kind", lambda v: "number" if isinstance(v, bool) else type(v).__name__)
    ],
    "no float for an integer": [(values, "_wants_integer", never)],
    "an empty text is no number": [(values, "_may_be_text", always)],
    "an empty text may be a value": [(values, "_may_be_text", never)],
    # strings
    "case, marks and quotes": [(values, "same_text", str.__eq__)],
    "case": [(values, "_spelled", lambda text: text.replace("'", '"'))],
    "quotes": [(values, "_spelled", str.lower)],
    "marks": [(values, "_IGNORED", re.compile(r"\s"))],
    "decimal points": [(values, "_same_points", always)],
    "decimal points as other marks": [(values, "_same_points", lambda a, b: a.points == b.points)],
    "signs": [(values, "_same_signs", always)],
    "a hyphen is no sign": [(values, "_SIGN", re.compile(r"-(?=\.?\d)"))],
    "powers": [(values, "_is_formula", never)],
    "marks alone": [(values, "_says_nothing", never)],
    "exact references": [(values, "equal", lambda v, w, s: values.accepted(v, [w], s))],
    # lists and objects
    "the order of lists": [(values, "_each", unordered)],
    "the length of lists": [(values, "_each", shortest)],
    "objects of accepted values": [
        (values, "_is_accepted_object", lambda value, option, schema: value == option)
    ],
    "all keys of objects": [(values, "_is_accepted_object", always)],
    "an object's value without a list": [
        (values, "_options", lambda inner: inner if isinstance(inner, list) else [])
    ],
    # several calls
    "the number of calls": [(tool_call, "_objection", one_of_them)],
    "a matching": [(matching, "_has_perfect_matching", lambda fits: all(map(any, fits)))],
    "not greedy": [(matching, "_has_perfect_matching", greedy)],
    "not greedy from the end": [(matching, "_has_perfect_matching", greedy_from_the_end)],
    # no call is right
    "no other syntax either": [(tool_call, "_in_passing", lambda *_: [])],
    "an answer says something": [(tool_call, "Reading", lambda calls, answered: Reading(calls))],
    # references
    "a whole target as reference": [(reference, "_target", lambda said: [])],
    "Python as reference": [(reference, "_python", unreadable_reference)],
    "exact values as reference": [(reference, "_exact", unreadable_reference)],
    "accepted values as reference": [(reference, "_accepted", unreadable_reference)],
    # ToolRL
    "one call a line": [(tagged, "_lines", any_line)],
    "every block counts": [(tool_call, "_READERS", {**READERS, "toolrl": first_block_only})],
    "only blocks count": [(tool_call, "_READERS", {**READERS, "toolrl": json_calls.read})],
    "multisets of names": [(graded, "_jaccard", set_jaccard)],
    "nothing is like nothing": [(graded, "_jaccard", jaccard_of_nothing)],
    "the best of several calls": [(graded, "_best", lambda calls, one, offered: calls[0])],
    "each call is used once": [(graded, "grade", ungraded_reuse)],
    "graded: what may be left out": [(graded, "_due", lambda one: set(one.options))],
    "format": [(tagged, "is_well_formed", always)],
    "format is not all": [(tagged, "is_well_formed", never)],
    "format: the reference's blocks": [
        (tagged.Blocks, "of", classmethod(lambda cls, text: cls(True, False)))
    ],
    "format: mentions in thoughts": [
        (tagged, "_THINK", re.compile(r"(\s*)(.*)", re.DOTALL)),
    ],
}


def test_the_untouched_verifier_passes() -> None:
    score = self_test.run_here("tool_call")
    assert score.passed
    assert min(score.accept, score.reject) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_pair_fails(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, replacement in RULES[rule]:
        monkeypatch.setattr(owner, name, replacement)
    score = self_test.run_here("tool_call")
    assert not score.passed
    missed = (*score.false_accepts, *score.false_rejects)
    # A rule is taken away, and nothing else broken.
    assert not any((miss.verdict.detail or "").startswith("verifier_error") for miss in missed)
