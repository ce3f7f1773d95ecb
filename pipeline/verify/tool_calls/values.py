"""Whether the value of an argument is one that a reference accepts.

JSON's kinds never mix: `"1"` is not 1, and `true` is not 1. Numbers compare by value, so that an
integer does for a float; a float does not for a parameter that the schema calls an integer. Lists
compare element by element, tuples as lists.

Strings compare exactly where the reference gives exact values. In references with lists of accepted
values (BFCL) they compare as there: without case, spaces and the marks ``, . / - _ * ^``, and with
either kind of quotes, so that `April 1, 2024` is `april 1 2024`. BFCL's rule alone would also call 3.5
and 35, -5 and 5, `x**2` and `2*x`, or two operators equal. So four things stay that it drops: decimal
points between digits, minus signs of numbers, the power signs of formulas (`x**2` and `x^2` are
one), and strings that hold nothing but those marks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from winnow.pipeline.verify.tool_calls.calls import Expression

OMITTED = ""  # among accepted values: the argument may be left out

_IGNORED = re.compile(r"[\s,./\-_*^]")
_DECIMAL_POINT = re.compile(r"(?<![\d.])\d+(\.)\d+(?![\d.])")
_SIGN = re.compile(r"(?<![\w.)\]])(?<!\d\s)-(?=\.?\d)")
_FORMULA = re.compile(r"\*\*|\^|[a-z0-9)]\s*[*+]\s*[a-z0-9(]", re.IGNORECASE)


def accepted(value: Any, options: Sequence[Any], schema: Mapping[str, Any]) -> bool:
    """Whether `value` is one of a BFCL argument's accepted values.

    An object among them gives for each of its keys the accepted values in turn.
    """
    return any(_is_option(value, option, schema) for option in options)


def equal(value: Any, wanted: Any, schema: Mapping[str, Any]) -> bool:
    """Whether `value` is the one exact value `wanted`."""
    if _kind(value) != _kind(wanted):
        return False
    if isinstance(value, dict):
        return value.keys() == wanted.keys() and all(
            equal(value[key], wanted[key], _property(schema, key)) for key in wanted
        )
    if isinstance(value, list):
        return _each(equal, value, wanted, schema)
    if isinstance(value, str):
        return value == wanted and not _lacks_quotes(value, schema)
    return _same_number(value, wanted, schema)


def _is_option(value: Any, option: Any, schema: Mapping[str, Any]) -> bool:
    if _kind(value) != _kind(option):
        return False
    if isinstance(value, dict):
        return _is_accepted_object(value, option, schema)
    if isinstance(value, list):
        return _each(_is_option, value, option, schema)
    if isinstance(value, str):
        if option == OMITTED and not _may_be_text(schema):
            return False
        return same_text(value, option) and not _lacks_quotes(value, schema)
    return _same_number(value, option, schema)


def _kind(value: Any) -> str:
    """JSON's kind of value; whole and other numbers are one kind, and truth values are none."""
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((int | float, "number"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def _each(
    same: Callable[[Any, Any, Mapping[str, Any]], bool],
    value: list[Any],
    wanted: list[Any],
    schema: Mapping[str, Any],
) -> bool:
    """Whether two lists are the same element by element, in their order."""
    return len(value) == len(wanted) and all(
        same(a, b, _items(schema)) for a, b in zip(value, wanted, strict=True)
    )


def _is_accepted_object(
    value: dict[str, Any], option: dict[str, Any], schema: Mapping[str, Any]
) -> bool:
    options = {key: _options(inner) for key, inner in option.items()}
    return value.keys() <= options.keys() and all(
        accepted(value[key], options[key], _property(schema, key))
        if key in value
        else OMITTED in options[key]
        for key in options
    )


def _options(inner: Any) -> list[Any]:
    """The accepted values of an object's key; some references have one value and no list."""
    return inner if isinstance(inner, list) else [inner]


def _same_number(value: Any, wanted: Any, schema: Mapping[str, Any]) -> bool:
    """Of two numbers, truth values or nulls."""
    if isinstance(value, float) and _wants_integer(schema):
        return False
    return bool(value == wanted)


def same_text(value: str, option: str) -> bool:
    """Whether two strings are one under BFCL's rule and its four exceptions (see above)."""
    if value.strip() == option.strip():
        return True
    value, option = _spelled(value), _spelled(option)
    if _is_formula(value) or _is_formula(option):
        return _formula(value) == _formula(option)
    kept = _IGNORED.sub("", value)
    if _says_nothing(kept) or kept != _IGNORED.sub("", option):
        return False
    a, b = _Marks(value), _Marks(option)
    return _same_points(a, b) and _same_signs(a, b)


def _spelled(text: str) -> str:
    return text.lower().replace("'", '"')


def _says_nothing(kept: str) -> bool:
    return not kept


def _is_formula(text: str) -> bool:
    return bool(_FORMULA.search(text))


def _formula(text: str) -> str:
    return re.sub(r"[\s*]", "", text.replace("**", "^"))


def _same_points(a: "_Marks", b: "_Marks") -> bool:
    """Every decimal point of one has some mark at its place in the other: 3.5 is not 35, but
    12.30 may be 12-30."""
    return a.points <= b.gaps and b.points <= a.gaps


def _same_signs(a: "_Marks", b: "_Marks") -> bool:
    return a.signs == b.signs


class _Marks:
    """Where the marks that are ignored stand in `text`: before how many characters that count."""

    def __init__(self, text: str) -> None:
        place, places = 0, []
        for character in text:
            places.append(place)
            place += not _IGNORED.match(character)
        self.gaps = {places[match.start()] for match in _IGNORED.finditer(text)}
        self.points = {places[match.start(1)] for match in _DECIMAL_POINT.finditer(text)}
        self.signs = {places[match.start()] for match in _SIGN.finditer(text)}


def _lacks_quotes(value: str, schema: Mapping[str, Any]) -> bool:
    """A bare word where a string belongs is a missing pair of quotes, no variable."""
    return isinstance(value, Expression) and value.isidentifier() and _type(schema) == {"string"}


def _may_be_text(schema: Mapping[str, Any]) -> bool:
    return not _type(schema) or bool(_type(schema) & {"string", "any"})


def _wants_integer(schema: Mapping[str, Any]) -> bool:
    types = _type(schema)
    return bool(types & {"integer", "int", "long"}) and not types & {"number", "float", "double"}


def _type(schema: Mapping[str, Any]) -> set[str]:
    types = schema.get("type")
    types = types if isinstance(types, list) else [types]
    return {t.lower() for t in types if isinstance(t, str) and t != "null"}


def _property(schema: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    properties = schema.get("properties")
    found = properties.get(key) if isinstance(properties, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("items")
    return found if isinstance(found, Mapping) else {}
