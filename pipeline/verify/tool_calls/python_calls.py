"""Calls written as Python, as BFCL asks for them: `[f(a=1, b="x"), g.h()]`.

The text is parsed (`ast`), never evaluated. Values are literals; `true`, `false` and `null` are
read as JSON's. Anything else (a variable, a lambda, a calculation) stands for its source. Calls are
looked for in the first of these that is there: `<tool_call>` tags, the text as a whole, and anywhere
in it. In the middle of a sentence, `f()` or `f(a, b)` mentions a function; a call is one of a
known function with a literal or a named argument, one alone on its line, or a list of calls. Every
call that stands there counts: none is picked out. What is meant as a call and cannot be read makes
the whole answer unreadable.
"""

import ast
import re
from typing import Any

from winnow.pipeline.verify.literals import NoLiteral, python_tree, segments, tag_blocks, unfenced
from winnow.pipeline.verify.tool_calls.calls import Call, Expression, UnreadableCall
from winnow.pipeline.verify.tool_calls.functions import Functions

_NAME = r"[A-Za-z_]\w*(?:\s?\.\s?[A-Za-z_]\w*)*"
_START = re.compile(rf"(?=\[\s*{_NAME}\s*\()|(?<![\w.]){_NAME}\s*(?=\()")
_BEFORE = re.compile(r"(?:[-*>]+|\d+[.)]|[\w ]{1,30}:)?")  # a list's mark, a label
_CONSTANTS = {"true": True, "false": False, "null": None}


def read(text: str, functions: Functions) -> list[Call]:
    """The calls that `text` makes, in their order. Raises UnreadableCall."""
    if tagged := _tagged(text):
        return [call for block in tagged for call in read_all(unfenced(block))]
    try:
        return read_all(unfenced(text))
    except UnreadableCall:
        return _scattered(text, functions)


def _tagged(text: str) -> list[str]:
    """What stands in `<tool_call>` tags, where it could be a call."""
    return [block for block, _ in tag_blocks(text, "tool_call") if "(" in block]


def read_all(text: str) -> list[Call]:
    """The calls that `text` consists of. Raises UnreadableCall where anything else stands in it."""
    try:
        statements = python_tree(text.strip(), "exec").body  # type: ignore[attr-defined]
        return [call for statement in statements for call in _in_statement(statement)]
    except (NoLiteral, RecursionError) as error:
        raise UnreadableCall(str(error)[:200]) from None


def _in_statement(statement: ast.stmt) -> list[Call]:
    value = statement.value if isinstance(statement, ast.Expr) else None
    items = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
    return [_call(item) for item in items]


def _call(node: ast.AST | None) -> Call:
    if not isinstance(node, ast.Call):
        raise UnreadableCall("not a call")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise UnreadableCall("arguments behind **")
        arguments[keyword.arg] = _value(keyword.value)
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        raise UnreadableCall("arguments behind *")
    return Call(_name(node.func), arguments, tuple(_value(argument) for argument in node.args))


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    raise UnreadableCall("what is called has no name")


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = node.operand.value if isinstance(node.operand, ast.Constant) else None
        if isinstance(number, int | float) and not isinstance(number, bool):
            return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return _object(node)
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    return Expression(ast.unparse(node))


def _object(node: ast.Dict) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in zip(node.keys, node.values, strict=True):
        # JSON has text keys only, so that a number here can mean nothing but its text.
        name = key.value if isinstance(key, ast.Constant) else None
        if not isinstance(name, str | int) or isinstance(name, bool):
            raise UnreadableCall("a key that is no text")
        if str(name) in found:
            raise UnreadableCall("a key stands twice in one object")
        found[str(name)] = _value(item)
    return found


def _scattered(text: str, functions: Functions) -> list[Call]:
    found: list[Call] = []
    try:
        for start, segment in segments(text, _START):
            found += _at(text, start, segment, functions)
    except NoLiteral as error:
        raise UnreadableCall(str(error)) from None
    return found


def _at(text: str, start: re.Match[str], segment: str | None, functions: Functions) -> list[Call]:
    """The calls that begin at `start`, in the midst of a text; none for a mere mention."""
    alone = segment is None or _is_alone(text, start.start(), start.start() + len(segment))
    if start[0]:
        name = re.sub(r"\s", "", start[0])
        if name not in functions and not (alone and not functions.names):
            return []
    try:
        if segment is None:
            raise UnreadableCall("a bracket is not closed")
        calls = read_all(segment)
    except UnreadableCall:
        if alone and _is_attempt(text[start.start() :], functions):
            raise
        return []
    if start[0]:
        return calls if alone or _says_something(calls[0]) else []
    return calls if alone or any(call.name in functions for call in calls) else []


def _says_something(call: Call) -> bool:
    """Not only a function's name, or its signature."""
    literal = any(not isinstance(value, Expression) for value in call.positional)
    return literal or bool(call.arguments)


def _is_alone(text: str, start: int, end: int) -> bool:
    """Whether nothing else stands on the lines of `text[start:end]` but a list's mark or a label."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    newline = text.find("\n", end)
    after = text[end : newline if newline >= 0 else len(text)]
    return not after.strip("` \t\r.,;") and _BEFORE.fullmatch(before.strip("` \t")) is not None


def _is_attempt(text: str, functions: Functions) -> bool:
    """Whether `text` begins as a call of a known function, or as a list of calls, does."""
    match = re.compile(rf"(\[?)\s*({_NAME})\s*\(").match(text)
    return match is not None and (bool(match[1]) or re.sub(r"\s", "", match[2]) in functions)
