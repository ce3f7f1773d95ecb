"""Tests that are no more than calls with values whose results are compared with values.

Most tests of MBPP and HumanEval read `assert f(1, [2]) == 3`. Such a test need not be run: the call
is made in the sandbox, the value that comes back is compared here. `sandbox.inside.checker` runs all
other tests; both give the same verdicts.
"""

import ast
import builtins
import json
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from winnow.pipeline.verify import python_text
from winnow.pipeline.verify.sandbox.inside.caller import ValuesOnly
from winnow.pipeline.verify.sandbox.inside.forms import Malformed, Node
from winnow.pipeline.verify.sandbox.inside.names import OFFERED
from winnow.pipeline.verify.sandbox.inside.values import Decoder, Encoder

_MAX_SIZE = 10_000  # of a number's digits or a sequence's items that arithmetic may make


class TooDeep(Exception):
    """A value is nested too deeply to be compared here."""


@dataclass(frozen=True)
class CallTest:
    """A call of `function`, and whether a value that it returns `holds` (which may raise)."""

    function: str
    args: Sequence[Any]
    keywords: Mapping[str, Any]
    holds: Callable[[Any], bool]

    @property
    def call(self) -> Node:
        """As `sandbox.inside.caller` takes it."""
        encoder = Encoder(ValuesOnly())
        args, keywords = encoder.value(list(self.args)), encoder.value(dict(self.keywords))
        return [self.function, args, keywords, encoder.states()]


@dataclass
class Results:
    """What came of each test (None where it passed, else why not), and what ended the code early."""

    each: list[str | None] = field(default_factory=list)
    lost: str | None = None


def read_asserts(tests: Sequence[str]) -> list[CallTest] | None:
    """MBPP's tests, each one assertion about the same function; None where one is more than that."""
    found = []
    for test in tests:
        tree = python_text.parsed(test.replace("\r\n", "\n"))
        if tree is None or len(tree.body) != 1:
            return None
        found.append(_read(tree.body[0]))
    names = {test.function for test in found if test is not None}
    # What Python offers under the same name may be meant: that takes a look at the code.
    if None in found or len(names) != 1 or names & _PYTHONS:
        return None
    return [test for test in found if test is not None]


def read_check(source: str, entry_point: str) -> list[CallTest] | None:
    """The tests in a `check(candidate)` that has nothing else in it; None where it has."""
    tree = python_text.parsed(source.replace("\r\n", "\n"))
    checks = [node for node in (tree.body if tree else ()) if not _says_nothing(node)]
    if len(checks) != 1 or not isinstance(check := checks[0], ast.FunctionDef):
        return None
    if check.name != "check" or len(check.args.args) != 1 or check.decorator_list:
        return None
    body = [_read(node) for node in check.body if not _says_nothing(node)]
    candidate = check.args.args[0].arg
    if not body or any(test is None or test.function != candidate for test in body):
        return None
    return [
        CallTest(entry_point, test.args, test.keywords, test.holds)
        for test in body
        if test is not None
    ]


def results(tests: Sequence[CallTest], reports: Sequence[bytes]) -> Results:
    """What the reports of `sandbox.inside.caller` say about `tests`. The reports are believed in
    nothing but the values that they hold. Raises TooDeep."""
    found = Results()
    for test, report in zip(tests, reports, strict=False):
        message = _message(report)
        if message[0] == "failed":
            found.lost = f"error: {message[1]}"
            break
        if message[0] == "!":
            found.each.append(f"error: {message[1]}")
            continue
        if message[0] == "malformed":
            found.lost = "malformed"
            break
        found.each.append(_result(test, message[1]))
    found.each += ["not_run"] * (len(tests) - len(found.each))
    return found


def _result(test: CallTest, value: Any) -> str | None:
    try:
        return None if test.holds(value) else "wrong_value"
    except RecursionError:
        raise TooDeep from None
    except Exception as error:  # noqa: BLE001 - what the comparison of the test would have raised
        return f"error: {type(error).__name__}: {error}"


def _message(report: bytes) -> tuple[str, Any]:
    try:
        message = json.loads(report)
        kind, *rest = message
        if kind in ("failed", "!") and type(rest[0]) is str:
            return kind, rest[0]
        if kind == "=":
            decoder = Decoder(ValuesOnly())
            value = decoder.value(rest[0])
            decoder.states(rest[1])
            return kind, value
    except RecursionError:
        raise TooDeep from None
    except (Malformed, TypeError, ValueError, LookupError) as error:
        if "RecursionError" in str(error):
            raise TooDeep from None
    return "malformed", None


_PYTHONS = {*dir(builtins), *OFFERED, *sys.stdlib_module_names}


def _read(node: ast.stmt) -> CallTest | None:
    """`node` as a test of one call, if it is one."""
    if not isinstance(node, ast.Assert):
        return None
    match node.test:
        case ast.Call():
            return _call(node.test, bool)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call):
            return _call(call, operator.not_)
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            return _equals(left, right) or _equals(right, left)
        case ast.Compare(
            left=ast.Call() as call, ops=[ast.Is()], comparators=[ast.Constant(value)]
        ):
            if value is None or isinstance(value, bool):
                return _call(call, lambda found: found is value)
        case ast.Compare(
            left=ast.Call(
                func=ast.Name("abs"), args=[ast.BinOp(left, ast.Sub(), right)], keywords=[]
            ),
            ops=[ast.Lt() | ast.LtE() as order],
            comparators=[limit],
        ):
            return _near(
                left, right, limit, operator.lt if isinstance(order, ast.Lt) else operator.le
            )
    return None


def _equals(call: ast.expr, value: ast.expr) -> CallTest | None:
    try:
        expected = constant(value)
    except ValueError:
        return None
    return _call(call, lambda found: bool(found == expected))


def _near(
    call: ast.expr, value: ast.expr, limit: ast.expr, compare: Callable[[Any, Any], bool]
) -> CallTest | None:
    try:
        expected, bound = constant(value), constant(limit)
    except ValueError:
        return None
    return _call(call, lambda found: bool(compare(abs(found - expected), bound)))


def _call(node: ast.expr, holds: Callable[[Any], bool]) -> CallTest | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    try:
        args = [constant(arg) for arg in node.args]
        keywords = {str(k.arg): constant(k.value) for k in node.keywords if k.arg is not None}
    except ValueError:
        return None
    if len(keywords) != len(node.keywords):
        return None
    return CallTest(node.func.id, args, keywords, holds)


def constant(node: ast.expr) -> Any:
    """The value of an expression of literals and a little arithmetic with them. Raises ValueError
    for every other one. Nothing is evaluated but what stands here."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    match node:
        case ast.List(items):
            return [constant(item) for item in items]
        case ast.Tuple(items):
            return tuple(constant(item) for item in items)
        case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
            one, other = constant(left), constant(right)
            if _is_small(one, other, type(op)):
                try:
                    return _ARITHMETIC[type(op)](one, other)
                except (TypeError, ArithmeticError) as error:
                    raise ValueError(str(error)) from None
    raise ValueError("no constant")


_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}  # fmt: skip


def _is_small(one: Any, other: Any, operation: type[ast.operator]) -> bool:
    """Whether arithmetic with these is quick, and means what it looks like."""
    if not all(isinstance(each, int | float | str | list | tuple) for each in (one, other)):
        return False
    sizes = [
        len(each) if isinstance(each, str | list | tuple) else abs(each) for each in (one, other)
    ]
    if operation is ast.Mod:  # of a text: formatting
        return isinstance(one, int | float)
    if operation is ast.Pow:
        return max(sizes) <= 100
    if operation is ast.Mult and not all(isinstance(each, int | float) for each in (one, other)):
        return sizes[0] * sizes[1] <= _MAX_SIZE
    return True


def _says_nothing(node: ast.stmt) -> bool:
    """A docstring, an assignment of a constant (METADATA), or an assertion of what is always so."""
    match node:
        case ast.Expr(ast.Constant()) | ast.Pass():
            return True
        case ast.Assign([ast.Name(name)], value):
            return name != "check" and _is_constant(value)
        case ast.Assert(test=ast.Constant(value)):
            return bool(value)
    return False


def _is_constant(node: ast.expr) -> bool:
    try:
        constant(node)
    except ValueError:
        return False
    return True
