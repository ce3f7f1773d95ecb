"""Whether a value is the one that JSON could write down as expected."""

import math
from typing import Any


def same(expected: Any, value: Any, tolerance: float) -> bool:
    """Python's `==`, with what JSON cannot say made up for: a tuple is a list, a set is a list of
    the same items in any order without repetition, keys of a dict may be written as text; nan is
    nan. Numbers may differ by `tolerance`, absolutely or relatively to `expected`.

    `value` must hold built-in types only (`values.Decoder`). Raises RecursionError for cycles.
    """
    if isinstance(expected, list):
        if isinstance(value, set | frozenset):
            return _same_items(expected, value, tolerance)
        if not isinstance(value, list | tuple) or len(value) != len(expected):
            return False
        return all(same(e, v, tolerance) for e, v in zip(expected, value, strict=True))
    if isinstance(expected, dict):
        return _same_dict(expected, value, tolerance)
    if _is_number(expected) and _is_number(value):
        return _close(expected, value, tolerance)
    return bool(expected == value)


def _same_items(expected: list[Any], value: Any, tolerance: float) -> bool:
    left = list(value)
    for item in expected:
        found = next((at for at, one in enumerate(left) if same(item, one, tolerance)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _same_dict(expected: dict[str, Any], value: Any, tolerance: float) -> bool:
    if not isinstance(value, dict) or len(value) != len(expected):
        return False
    texts: dict[Any, Any] = {}
    for key, held in value.items():
        text = key if isinstance(key, str) else _key(key)
        if text in texts:
            return False
        texts[text] = held
    return all(key in texts and same(held, texts[key], tolerance) for key, held in expected.items())


def _key(key: Any) -> Any:
    """How JSON writes a key that is no text."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    return repr(key) if isinstance(key, int | float) else key


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(expected: float, value: float, tolerance: float) -> bool:
    if expected == value:
        return True
    try:
        if math.isnan(expected) and math.isnan(value):
            return True
        return tolerance > 0 and math.isclose(
            expected, value, rel_tol=min(tolerance, 1.0), abs_tol=tolerance
        )
    except OverflowError:  # an integer beyond all floats
        return False
