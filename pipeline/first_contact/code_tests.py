"""Rows whose answers are programs, with tests: MBPP's assert statements, HumanEval's check function."""

import ast
from collections.abc import Sequence
from typing import Any

from winnow.pipeline.first_contact.judged import Judged, asked, filled, most, rows_with
from winnow.pipeline.first_contact.look import Look
from winnow.pipeline.first_contact.roles import Roles
from winnow.pipeline.first_contact.trials import Bench, Case

_RUNS = 24  # programs that are run
_SETUPS = ("test_setup_code", "test_imports", "setup_code", "setup")


async def python(look: Look, roles: Roles, bench: Bench) -> Judged | None:
    """Columns of tests, and how many reference solutions pass them here."""
    columns = look.columns
    lists = [n for n, c in columns.items() if c.kind == "texts" and most(c.values, _asserts)]
    checks = [n for n, c in columns.items() if c.kind == "text" and most(c.values, _checks)]
    setup = next((n for n in columns if n.lower() in _SETUPS), None)
    entry = next((n for n in columns if n.lower() == "entry_point"), None)
    if lists:
        tests = max(lists, key=lambda name: columns[name].filled)
        arguments = {"tests": tests} | ({"setup": setup} if setup else {})
        kind, what = "asserts", "lists of assert statements"
    elif checks and entry:
        tests = checks[0]
        arguments = {"test": tests, "entry_point": entry}
        if len(roles.prompt) == 1:
            arguments["prompt"] = roles.prompt[0]
        kind, what = "check", "functions check(candidate)"
    else:
        return None
    args = {"kind": kind}
    ran = ""
    if roles.completion is not None:
        cases = [
            Case(row[roles.completion], args=args | filled(row, arguments))
            for row in rows_with(look, roles.completion, tests)[:_RUNS]
            if isinstance(row[roles.completion], str)
        ]
        tried = await bench.attempt("python", cases)
        ran = f"; {tried.accepted:.0%} of {len(cases)} reference solutions pass them here"
    more: tuple[str, ...] = ()
    beware = ""
    untold = _untold(look, roles, tests) if kind == "asserts" else 0.0
    if untold > 0.5:
        more = (tests,)
        beware = (
            f"the prompts of {untold:.0%} of the rows do not name the function that the tests call, "
            "so that the tests were made a part of the prompt"
        )
    return Judged("python", f"{what}{ran}", None, args, arguments, prompt=more, beware=beware)


def _asserts(value: Any) -> bool:
    return bool(value) and all("assert" in item for item in value)


def _checks(value: Any) -> bool:
    return "def check(" in value


def _untold(look: Look, roles: Roles, tests: str) -> float:
    """Share of the rows whose prompt does not name what its tests call."""
    told = [
        any(name in asked(row, roles) for name in _called(row[tests]))
        for row in rows_with(look, tests, *roles.prompt)
    ]
    return 1 - sum(told) / len(told) if told else 0.0


def _called(tests: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for test in tests:
        try:
            tree = ast.parse(test)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
        found |= {call.id for call in calls if isinstance(call, ast.Name)}
    return found
