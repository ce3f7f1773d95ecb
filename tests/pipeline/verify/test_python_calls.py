"""Tests that are read instead of run: what is read, and that both ways give the same verdict."""

import ast
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify import python_calls, python_code
from winnow.pipeline.verify.python_calls import (
    CallTest,
    TooDeep,
    constant,
    read_asserts,
    read_check,
)
from winnow.pipeline.verify.python_code import PythonCode

VERIFIER = PythonCode()


def value(text: str) -> Any:
    return constant(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize(
    "text",
    ["1", "-1", "1.5e3", "'a'", "b'a'", "None", "True", "[1, (2,), {3: {4}}]", "set()", "1 + 2j", "2 ** 10",
     "3 * 5 * 7", "1.0 / 3", "7 // 2 % 2", "'ab' * 3 + 'c'", "[1] * 3 + [2]", "[0 ** 0, -0]", "(3 + 5, 3 * 5)"],
)  # fmt: skip
def test_constants_have_pythons_value(text: str) -> None:
    assert value(text) == eval(text)
    assert type(value(text)) is type(eval(text))


@pytest.mark.parametrize(
    "text",
    ["x", "f(1)", "[x]", "1 if True else 2", "x.y", "10 ** 1000", "9 ** 9 ** 9", "'a' * 10 ** 9",
     "[0] * 10 ** 9", "'%s' % 1", "'%999999999d' % 1", "1 / 0", "1 << 2", "f'{1}'", "[*x]", "{**x}", "lambda: 1",
     "[x for x in 'ab']", "1 < 2", "not 1", "'a' + 1"],
)  # fmt: skip
def test_all_else_is_no_constant(text: str) -> None:
    with pytest.raises(ValueError):
        value(text)


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
                              st.text(), st.binary()),
                    lambda inner: st.one_of(st.lists(inner), st.lists(inner).map(tuple),
                                            st.dictionaries(st.text(), inner)), max_leaves=8))  # fmt: skip
def test_every_literal_is_a_constant(literal: Any) -> None:
    assert value(repr(literal)) == literal


def holding(test: str, returned: Any) -> bool:
    found = read_asserts([test])
    assert found is not None and len(found) == 1
    return found[0].holds(returned)


@pytest.mark.parametrize(
    ("test", "yes", "no"),
    [
        ("assert f(1) == 2", 2, 3),
        ("assert 2 == f(1), 'message'", 2.0, 3),
        ("assert f()", [0], []),
        ("assert not f()", 0, 1),
        ("assert f() is True", True, 1),
        ("assert f() is None", None, 0),
        ("assert abs(f() - 0.5) < 0.1", 0.55, 0.65),
        ("assert abs(f() - 1) <= 1", 2, 2.5),
        ("assert f() == (3 + 5, 3 * 5)", (8, 15), [8, 15]),
    ],
)
def test_what_is_read(test: str, yes: Any, no: Any) -> None:
    assert holding(test, yes)
    assert not holding(test, no)


def test_calls_are_read_whole() -> None:
    found = read_asserts(["assert f(1, [2], k='x', n=-3) == 1"])
    assert found is not None
    assert (found[0].function, found[0].args, found[0].keywords) == (
        "f",
        [1, [2]],
        {"k": "x", "n": -3},
    )
    assert json.loads(json.dumps(found[0].call)) == [
        "f",
        ["l", 1, ["l", 2]],
        ["d", "k", "x", "n", -3],
        [],
    ]


@pytest.mark.parametrize(
    "test",
    ["assert f(x) == 1", "assert f(1) == g(1)", "assert f(1) != 2", "assert f(1) == 1 == 1", "assert f(*[1]) == 1",
     "assert f(**{'a': 1}) == 1", "x = 1\nassert f(1) == 1", "f(1)", "assert f(1).x == 1", "assert m.f(1) == 1",
     "assert f(g(1)) == 1", "assert f(1) is 5", "assert sorted(f(1)) == [1]", "assert sum(1) == 1",
     "assert gcd(1, 2) == 1", "assert f(1) == 1 and f(2) == 2", "assert abs(f(1) - 1, 2) < 1", "assert f(", "",
     "def test():\n    assert f(1) == 1", "assert f(1) < 2", "assert f(lambda: 1) == 1"],
)  # fmt: skip
def test_what_must_be_run(test: str) -> None:
    assert read_asserts([test]) is None


def test_tests_of_several_functions_must_be_run() -> None:
    assert read_asserts(["assert f(1) == 1", "assert g(1) == 1"]) is None


CHECK = "def check(candidate):\n    assert candidate(1) == 1\n"


@pytest.mark.parametrize(
    ("source", "count"),
    [
        (CHECK, 1),
        (
            f"METADATA = {{'author': 'x'}}\n\n\n{CHECK}    assert True, 'fine'\n    assert not candidate(2)\n",
            2,
        ),
        (f"{CHECK}    'a text'\n    pass\n", 1),
        (f"import math\n{CHECK}", None),
        (f"{CHECK}    x = candidate(1)\n", None),
        (f"{CHECK}    for n in range(3):\n        assert candidate(n) == n\n", None),
        (f"{CHECK}    assert other(1) == 1\n", None),
        (f"{CHECK}    assert False\n", None),
        (f"{CHECK}\ncheck(f)\n", None),
        ("def check(candidate):\n    assert True\n", None),
        ("def check(candidate, more):\n    assert candidate(1) == 1\n", None),
        ("def test(candidate):\n    assert candidate(1) == 1\n", None),
        ("@decorated\n" + CHECK, None),
        ("check = 1\n" + CHECK, None),
    ],
)
def test_what_is_read_of_check(source: str, count: int | None) -> None:
    found = read_check(source, "f")
    assert (None if found is None else len(found)) == count
    assert found is None or all(test.function == "f" for test in found)


TESTS = [CallTest("f", [n], {}, lambda value, n=n: value == n) for n in range(3)]  # type: ignore[misc]


def reports(*messages: Any) -> list[bytes]:
    return [json.dumps(message).encode() for message in messages]


@pytest.mark.parametrize(
    ("messages", "each", "lost"),
    [
        ([["=", 0, []], ["=", 5, []], ["!", "E: x"]], [None, "wrong_value", "error: E: x"], None),
        ([["=", 0, []]], [None, "not_run", "not_run"], None),
        ([["failed", "E: x"]], ["not_run"] * 3, "error: E: x"),
        ([["=", 0, []], ["failed", "E"], ["=", 2, []]], [None, "not_run", "not_run"], "error: E"),
        ([["=", 0, []]] * 9, [None, "wrong_value", "wrong_value"], None),
        ([["=", ["?"], []], ["=", 1, []]], ["not_run"] * 3, "malformed"),
        ([["=", 0, [["d"]]]], ["not_run"] * 3, "malformed"),
        ([["=", 0]], ["not_run"] * 3, "malformed"),
        ([5], ["not_run"] * 3, "malformed"),
        ([["!", 5]], ["not_run"] * 3, "malformed"),
        ([["=", ["h", True], []]], ["wrong_value", "not_run", "not_run"], None),
        ([["=", ["h"], []]], ["not_run"] * 3, "malformed"),
        ([["=", True, []]], ["wrong_value", "not_run", "not_run"], None),
    ],
)
def test_reports_are_believed_in_their_values_only(
    messages: list[Any], each: list[str | None], lost: str | None
) -> None:
    found = python_calls.results(TESTS, reports(*messages))
    assert (found.each, found.lost) == (each, lost)


def test_what_is_no_json_is_malformed() -> None:
    assert python_calls.results(TESTS, [b"\xff[["]).lost == "malformed"


def test_a_value_of_great_depth_is_not_compared_here() -> None:
    deep = '["l",' * 3000 + "1" + "]" * 3000
    with pytest.raises(TooDeep):
        python_calls.results(TESTS, [f'["=", {deep}, []]'.encode()])


CODES = [
    "def f(x): return x",
    "def f(x): return x + 1",
    "def f(x): return [x]",
    "def f(x): return iter([x])",
    "def f(x): return (n for n in [x])",
    "def f(x): return {x: x}.keys()",
    "def f(x): return object()",
    "def f(x): return lambda: x",
    "def f(x): raise ValueError(x)",
    "def f(x): raise AssertionError",
    "def f(x):\n    if x: exit()\n    return x",
    "def f(x):\n    import os\n    if x: os._exit(3)\n    return x",
    "def f(x): return f(x)",
    "def f(x): print(x)",
    "def g(x): return x",
    "f = 5",
    "def f(x, y): return x",
    "raise KeyError('k')",
    "import nowhere",
    "class Solution:\n    def f(self, x): return x",
    "class f:\n    def __init__(self, x): pass\n    def __eq__(self, other): return True",
    "from enum import IntEnum\nclass E(IntEnum):\n    A = 0\n    B = 1\ndef f(x): return E(x)",
    "import numpy as np\ndef f(x): return np.int64(x)",
    "import numpy as np\ndef f(x): return np.array([x, x])",
    "def f(x): return float('nan')",
    "def f(x):\n    deep = [x]\n    for _ in range(900): deep = [deep]\n    return deep",
    "def f(x):\n    loop = []\n    loop.append(loop)\n    return loop",
    "def f(x): return 'x' * 10**7",
    "def f(x): return bytearray(10**10)",
    "import time\ndef f(x): time.sleep(60)",
]
ASSERTS = [
    "assert f(0) == 0",
    "assert f(1) == 1, 'one'",
    "assert not f(0)",
    "assert abs(f(1) - 1) < 1e-6",
]


@pytest.mark.parametrize("code", CODES)
def test_reading_and_running_give_the_same_verdict(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "".join(f"    {test.replace('f(', 'candidate(')}\n" for test in ASSERTS)
    limits = {"wall_seconds": 1.5, "output_kib": 1024}
    tasks = [
        {"kind": "asserts", "tests": ASSERTS, **limits},
        {"kind": "check", "test": f"def check(candidate):\n{body}", "entry_point": "f", **limits},
    ]
    for args in tasks:
        with monkeypatch.context() as patch:
            read = VERIFIER.verify(code, Task([], None, args))
            assert python_code._call_tests(PythonCode.Arguments.read(args)) is not None
            patch.setattr(python_code, "_call_tests", lambda args: None)
            run = VERIFIER.verify(code, Task([], None, args))
        assert (read.verdict, read.parts) == (run.verdict, run.parts)
        assert (read.detail or "")[:12] == (run.detail or "")[:12]
