"""What the names of a test mean."""

import ast
import collections
import math

import pytest

from winnow.pipeline.verify.sandbox.inside import names


def on_trial(kinds: dict[str, str], *tests: str, entry: str | None = None) -> set[str]:
    return set(names.on_trial([ast.parse(test) for test in tests], kinds, entry))


@pytest.mark.parametrize(
    ("kinds", "tests", "expected"),
    [
        ({"f": "function"}, ["assert f(1) == 2"], {"f"}),
        # A name that Python offers means Python,
        ({"f": "function", "abs": "function"}, ["assert abs(f(1)) < 1"], {"f"}),
        ({"f": "function", "isclose": "function"}, ["assert isclose(f(1), 1)"], {"f"}),
        ({"f": "function", "math": "value"}, ["assert math.isclose(f(1), 1)"], {"f"}),
        ({"f": "function", "set": "class"}, ["assert set(f(1)) == set([1])"], {"f"}),
        # unless nothing else can be meant,
        ({"sum": "function"}, ["assert sum(1, 2) == 3", "assert sum(2, 2) == 4"], {"sum"}),
        ({"gcd": "function", "x": "value"}, ["assert gcd(4, 6) == 2"], {"gcd"}),
        # and then the one that every test calls, rather a function than a type.
        ({"max": "function", "len": "function"}, ["assert max([1]) == 1", "assert len(max([2])) == 1"],
         {"max"}),
        ({"sorted": "function", "list": "class"}, ["assert list(sorted([1])) == [1]"], {"sorted"}),
        ({"math": "module:math", "sum": "function"}, ["assert math.isclose(sum(1), 1)"], {"sum"}),
        # Values, classes and exceptions of the code.
        ({"LIMIT": "value", "f": "function"}, ["assert f(LIMIT) == 1"], {"LIMIT", "f"}),
        ({"P": "class", "f": "function"}, ["assert f(P(1)) == 1"], {"P", "f"}),
        ({"f": "function"}, ["assert g(1) == 1"], set()),
    ],
)  # fmt: skip
def test_what_is_on_trial(kinds: dict[str, str], tests: list[str], expected: set[str]) -> None:
    assert on_trial(kinds, *tests) == expected


def test_an_entry_point_is_always_on_trial() -> None:
    kinds = {"abs": "function", "helper": "function"}
    assert on_trial(kinds, "assert abs(helper(1)) == 1", entry="abs") == {"abs", "helper"}


def test_names_are_found_in_order_and_once() -> None:
    trees = [ast.parse("assert f(g(x)) == f(2)"), ast.parse("y = g(1)")]
    assert names.loaded(trees) == ["f", "g", "x"]


def test_what_python_offers() -> None:
    kinds = {"np": "module:numpy", "m": "module:math", "evil": "module:nowhere"}
    found = names.offered(["isclose", "Counter", "math", "m", "evil", "len", "f"], kinds)
    assert found["isclose"] is math.isclose
    assert found["Counter"] is collections.Counter
    assert found["math"] is math and found["m"] is math
    assert not {"evil", "len", "f"} & set(found)


def test_a_module_of_python_is_itself_whatever_the_code_calls_it() -> None:
    assert names.offered(["math"], {"math": "module:random"})["math"] is math
