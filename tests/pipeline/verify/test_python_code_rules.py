"""Every rule of the verifier `python` is guarded by at least one labelled pair.

A rule out here is taken away by patching a function; a rule of the far side by giving the sandbox a
copy of its package in which one piece of text is replaced.
"""

import ast
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import python_code, python_output, python_text, self_test
from winnow.pipeline.verify.python_code import PythonCode
from winnow.pipeline.verify.sandbox import Sandbox, Status, client, runs
from winnow.pipeline.verify.sandbox.inside import caller

Removal = Callable[["Patch"], None]
INSIDE = client.INSIDE
NEVER = re.compile(r"(?!)")


class Patch:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder / "inside"

    def set(self, where: object, name: str, value: object) -> None:
        self._monkeypatch.setattr(where, name, value)

    def inside(self, file: str, old: str, new: str) -> None:
        """Let the sandbox run a copy of the far side with one piece of text replaced."""
        self._folder.mkdir()
        for path in INSIDE.glob("*.py"):
            text = path.read_text(encoding="utf-8")
            if path.stem == file:
                assert text.count(old) == 1, (file, old)
                text = text.replace(old, new)
                ast.parse(text)
            (self._folder / path.name).write_text(text, encoding="utf-8")
        self.set(client, "INSIDE", self._folder)
        workers = [self._folder / worker.name for worker in python_code.WORKERS]
        self.set(python_code, "WORKERS", workers)


def text(name: str, value: object) -> Removal:
    """Another function in `python_text`."""
    return lambda patch: patch.set(python_text, name, value)


def code(name: str, value: object) -> Removal:
    """Another function in `python_code`."""
    return lambda patch: patch.set(python_code, name, value)


def output(name: str, value: object) -> Removal:
    """Another function in `python_output`."""
    return lambda patch: patch.set(python_output, name, value)


def inside(file: str, old: str, new: str) -> Removal:
    return lambda patch: patch.inside(file, old, new)


def equal(old: str, new: str) -> Removal:
    """Expected values compared by a copy of `equal` with one piece of text replaced."""

    def remove(patch: Patch) -> None:
        source = (INSIDE / "equal.py").read_text(encoding="utf-8")
        assert source.count(old) == 1, old
        changed: dict[str, Any] = {}
        exec(source.replace(old, new), changed)  # noqa: S102 - our own code
        patch.set(python_code, "same", changed["same"])

    return remove


def status(was: Status, now: Status) -> Removal:
    """A run that ends as `was` counts as one that ended as `now`."""
    original = runs.Run.outcome

    def outcome(self: runs.Run) -> Any:
        found = original(self)
        return dataclasses.replace(found, status=now) if found.status == was else found

    return lambda patch: patch.set(runs.Run, "outcome", outcome)


def nothing(*_: Any, **__: Any) -> list[Any]:
    return []


CLOSED, CHOSEN, BODIES = python_text._closed, python_text._chosen, python_text._bodies
SAME_OUTPUT, JUDGED = python_output.same_output, python_code._judged


def closed_only(*args: Any) -> Any:
    return CLOSED(*args) if args[2] else (None, "", None)


def first_closer(source: str, opening: Any, closers: Any, language: str) -> Any:
    return CLOSED(source, opening, closers[:1], language)


def without_cuts(source: str) -> Iterator[str]:
    readings = list(BODIES(source))
    return iter(readings[: len(readings) // 2])


def compares_only(outcome: Any, expected: str, tolerance: float) -> str | None:
    printed = outcome.output.decode()
    return None if SAME_OUTPUT(expected, printed, tolerance) else "wrong_value"


def unchecked(args: dict[str, Any]) -> Any:
    known = {k: v for k, v in args.items() if k in PythonCode.Arguments.model_fields}
    return PythonCode.Arguments.model_construct(**known)


def without_input(patch: Patch) -> None:
    run = Sandbox.run
    patch.set(Sandbox, "run", lambda self, *args, **_: run(self, *args))


class EqualsAll:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def equal_handles(patch: Patch) -> None:
    patch.set(caller.ValuesOnly, "imported", lambda self, handle: EqualsAll())


def blanks_count(source: str) -> list[str]:
    return source.split("\n")


def no_blank_counts(source: str) -> list[str]:
    return [line.strip() for line in source.strip().split("\n")]


RULES: dict[str, Removal] = {
    # reading the answer
    "thinking is not read": text("after_thinking", lambda answer: answer),
    "code is in fences": text("_fences", nothing),
    "a fence may stay open": text("_closed", closed_only),
    "a fence may stand in a list": text("_body", lambda body, margin: body.strip("\n")),
    "a docstring may hold a fence": text("_closed", first_closer),
    "the fence that defines what is asked for": text("_chosen", lambda f, _: CHOSEN(f, ())),
    "the last fence that defines it": text("_chosen", lambda f, w: CHOSEN(f[::-1], w)),
    "an earlier fence may define what it needs": text("_needed", nothing),
    "fences of other languages are no answer": text("_is_python", lambda language: True),
    "prose may stand around bare code": text("_unfenced", lambda answer: answer),
    "code may stand between [BEGIN] and [DONE]": text("_marked", lambda answer: answer),
    "a body continues the prompt": text("_bodies", nothing),
    "a body may have lost its margin": text("_bodies", lambda body: iter([body])),
    "what follows the body at the margin is cut": text("_bodies", without_cuts),
    "a whole function has the prompt's imports and helpers": text("_before", lambda *_: ""),
    "the tests' helpers are the prompt's own": text("whole", lambda prompt: ""),
    # what is compared
    "the answer is run": code("_judged", lambda c, p, _: JUDGED(c, [1.0] * len(p), None)),
    "a subclass crosses as the built-in value": inside(
        "values", "base = base_value(value)", "base = None"
    ),
    "an object equals no value that is read": equal_handles,
    "an object equals no value": inside("remote", "return NotImplemented", "pass"),
    "an object does not calculate with values": inside(
        "remote", "result = cast(Remote, remote)", "return cast(Remote, remote)"
    ),
    "an object is not ordered with values": inside("remote", "return NotImplemented", "pass"),
    "an object does not say what it contains": inside(
        "remote", "if self._winnow_line.knows_classes:", "if True:"
    ),
    "Python's names mean Python in the tests": inside(
        "names", "and name not in _BUILTIN and name not in OFFERED", ""
    ),
    "a function may be called like one of Python's": inside(
        "names", "return own + (functions or same)", "return own"
    ),
    "tests find the modules that they name": inside(
        "checker", "self._namespace.update(names.offered(others, kinds))", "pass"
    ),
    "arguments changed in place are seen": inside(
        "peer", "if changed(encoder.objects[number], held)", "if False"
    ),
    "an argument comes back as itself": inside(
        "values", 'return ["r", number]', "del self._numbers[id(value)]"
    ),
    "functions cross both ways": inside("peer", 'kind = "c"', 'kind = "o"'),
    "iterators are taken lazily": inside(
        "peer", 'kind = "n"', "return Encoder(self).value(list(itertools.islice(value, 99)))"
    ),
    "classes are tested through their instances": inside(
        "peer", '"getattr": getattr,', '"getattr": lambda *_: None,'
    ),
    "exceptions cross by class": inside(
        "peer", "for one in classes if one in _EXCEPTIONS", "for one in ['Exception']"
    ),
    "StopIteration ends no loop of the tests": inside(
        "peer", '_NOT_RAISED = ("StopIteration", ', "_NOT_RAISED = ("
    ),
    "what is printed can be tested": inside("peer", "if printed:", "if False:"),
    "classes of the setup are shared": code("_classes", nothing),
    "imports of the setup are there": code("_declarations", nothing),
    "values of the setup stay with the tests": code("_declarations", lambda setup: [setup]),
    "methods of a class Solution are found": inside("candidate", "if not rest and", "if False and"),
    "recursion has its usual depth": inside("caller", " + call_depth() + CALLS_OF_OURS", ""),
    "integers of any size cross": inside("values", 'else ["i", hex(value)]', "else value"),
    # references
    "tests that are no Python are no tests": inside(
        "checker",
        'raise BadReference(f"{name}: {_named(error)}") from None\n\n\ndef _check_function',
        "return ast.Module([], [])\n\n\ndef _check_function",
    ),
    "tests that assert nothing are no tests": inside(
        "checker", 'raise BadReference("no test asserts anything")', "pass"
    ),
    "tests that lack a module are no tests": inside(
        "checker", "if error is not self._peer.raised:", "if False:"
    ),
    "a setup that fails is no setup": inside(
        "checker", 'raise BadReference(f"setup: {_named(error)}") from None', "pass"
    ),
    "a test without check is no test": inside("checker", 'node.name == "check" and', ""),
    "arguments are checked": lambda patch: patch.set(PythonCode.Arguments, "read", unchecked),
    "a check that ends with its own call is run once": inside(
        "checker", 'if not _calls(node, "check")', ""
    ),
    # ending early, taking too much
    "a process that ends has failed": inside(
        "checker", "if self._peer.lost is not None:", "if False:"
    ),
    "what fails after the answer is run fails": inside(
        "candidate", 'return f"{type(error).__name__}: {error}"', "return None"
    ),
    "the time limit is the answer's": status("time_limit", "starved"),
    "the wall limit is the answer's": status("time_limit", "starved"),
    "the output limit is the answer's": lambda patch: patch.set(runs.Run, "overflows", False),
    "the memory limit is the answer's": inside(
        "child", 'confinement.base_bytes + limits["memory_bytes"]', "2**31"
    ),
    "nothing outside is there": inside(
        "root", '"/etc/localtime"', '"/etc/localtime", "/etc/passwd"'
    ),
    # programs with stdin and stdout
    "a program is given its input": without_input,
    "a program's threads are waited for": inside("program", "threading._shutdown()", "pass"),
    "blanks at the end do not count": output("_lines", blanks_count),
    "other blanks count": output("_lines", no_blank_counts),
    "numbers are compared as text": code("same_output", lambda a, b, _: SAME_OUTPUT(a, b, 1e-9)),
    "a tolerance is allowed where asked for": code(
        "same_output", lambda a, b, _: SAME_OUTPUT(a, b)
    ),
    "a program that fails is wrong": code("_output_problem", compares_only),
    "an exit code is an error": inside("program", "if isinstance(value, int) else 1", "and 0"),
    "a program that dies is wrong": code("_output_problem", compares_only),
    # calls
    "a call returns what is expected": code("same", lambda *_: True),
    "JSON's lists may be tuples": equal("list | tuple", "list"),
    "JSON's lists may be sets": equal("set | frozenset", "()"),
    "JSON's keys are text": equal("else _key(key)", "else key"),
    "lists have an order": equal(
        "return all(same(e, v, tolerance) for e, v in zip(expected, value, strict=True))",
        "return _same_items(expected, value, tolerance)",
    ),
    "floats are exact unless a tolerance is given": equal(
        "return _close(expected, value, tolerance)", "return _close(expected, value, 1e-6)"
    ),
    "a method can be named": inside("candidate", 'if part.endswith("()"):', "if False:"),
}


def judge(completion: str, task: Task) -> Verdict:
    """By a verifier of its own, whose sandbox starts with what is patched now."""
    if judge.verifier is None:  # type: ignore[attr-defined]
        judge.verifier = PythonCode()  # type: ignore[attr-defined]
    try:
        return judge.verifier.verify(completion, task)  # type: ignore[attr-defined]
    except BadArguments:
        return Verdict.unjudged("bad_arguments")


@pytest.fixture(autouse=True)
def own_verifier() -> Iterator[None]:
    judge.verifier = None  # type: ignore[attr-defined]
    yield
    if judge.verifier is not None and judge.verifier._sandbox is not None:  # type: ignore[attr-defined]
        judge.verifier._sandbox.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_guarded(rule: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only the pairs that name the rule are run: one that fails is enough."""
    named = [pair for pair in self_test.read("python") if pair.rule == rule]
    monkeypatch.setattr(self_test, "read", lambda verifier: named)
    RULES[rule](Patch(monkeypatch, tmp_path))
    assert not self_test.run_here("python", judge).passed


def test_every_pair_names_a_rule() -> None:
    assert {pair.rule for pair in self_test.read("python")} == set(RULES)


def test_with_every_rule_the_self_test_passes() -> None:
    score = self_test.run_here("python", judge)
    assert score.passed, (score.false_accepts, score.false_rejects)


def test_a_copy_of_the_far_side_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What fails above fails for the piece of text that was replaced."""
    Patch(monkeypatch, tmp_path).inside("equal", "import math\n", "import math\n\n")
    some = list(itertools.islice(self_test.read("python"), 40))
    monkeypatch.setattr(self_test, "read", lambda verifier: some)
    assert self_test.run_here("python", judge).passed
