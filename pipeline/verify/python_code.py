"""Judges Python programs by running them, in a sandbox, against tests that they cannot reach.

The program runs in one process and answers calls. Tests that only compare what a call returns are
read here and never run (`python_calls`); others run in a process of their own, which nobody but this
module hears. What the program returns crosses as plain values (`sandbox.inside.values`), so it can
neither report a success of its own nor return an object that is equal to everything. Objects, classes
and functions of the program stay where they are, and tests use them through stand-ins: what tests
cannot do is derive from a class of the program or patch its modules.

`setup` and a HumanEval prompt come before the answer: helpers that they define are theirs in the
tests, whatever the answer defines under the same name, and so are the names that Python offers
(`sandbox.inside.names`). A setup that needs the answer is no setup.

An answer that fails, takes too much or ends early is `wrong`, with what happened as the detail.
`unjudged` is what is not the answer's doing: no sandbox on this machine, tests that are no Python,
a machine too busy to run the program within its wall limit.
"""

import ast
import json
from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from winnow.pipeline.arguments import Arguments
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import python_calls, python_text
from winnow.pipeline.verify.python_calls import CallTest, TooDeep
from winnow.pipeline.verify.python_output import same_output
from winnow.pipeline.verify.sandbox import (
    Job,
    Limits,
    Outcome,
    Sandbox,
    SandboxUnavailable,
    protections,
)
from winnow.pipeline.verify.sandbox.client import INSIDE
from winnow.pipeline.verify.sandbox.inside.equal import same

ATTEMPTS = 2  # sandboxes that may break under one answer
WORKERS = [INSIDE / f"{name}.py" for name in ("candidate", "checker", "caller", "program")]
_CHECKER_BYTES = 2 * 2**30


class InputOutput(Arguments):
    """One run of a program."""

    input: str = Field(description="what the program finds on stdin")
    output: str = Field(description="what it must print")


class FunctionCall(Arguments):
    """One call of a function."""

    args: list[Any] = Field(default=[], description="positional arguments")
    kwargs: dict[str, Any] = Field(default={}, description="keyword arguments")
    expected: Any = Field(description="what it must return")


class PythonCode:
    """Runs `task.args` against the program in the answer. Reward 1 where all tests pass, else 0;
    `parts` has `test_0`, `test_1`, ... (1 or 0 each) and `passed_share`."""

    name = "python"
    version = "1"
    needs_answer = False

    class Arguments(Arguments):
        kind: Literal["asserts", "check", "stdio", "calls"] = Field(
            description="asserts: statements that call the program's functions (MBPP); check: a "
            "function check(candidate) (HumanEval); stdio: whole programs; calls: calls of one function"
        )
        tests: list[str] = Field(default=[], description="asserts: the statements")
        setup: str = Field(default="", description="asserts, check: code to run before the tests")
        test: str = Field(default="", description="check: the source that defines check(candidate)")
        entry_point: str | None = Field(
            default=None,
            description="check, calls: the function to test, by name or as Class().method",
        )
        prompt: str = Field(
            default="",
            description="check: put before an answer that does not define the entry point",
        )
        cases: list[InputOutput] | list[FunctionCall] = Field(
            default=[], description="stdio: input and output; calls: args, kwargs and expected"
        )
        cpu_seconds: int = Field(
            default=4,
            ge=1,
            le=600,
            description="processor time of the program (stdio: of each case)",
        )
        wall_seconds: float | None = Field(
            default=None, gt=0, description="by default 2 * cpu_seconds + 1"
        )
        memory_mib: int = Field(default=1024, ge=16, description="memory of the program, in MiB")
        output_kib: int = Field(
            default=8192, ge=1, description="what it may print, and return at once, in KiB"
        )
        tolerance: float = Field(
            default=0.0,
            ge=0,
            description="stdio, calls: numbers may differ by so much, absolutely or relatively",
        )

        @model_validator(mode="after")
        def _complete(self) -> Self:
            needed = {
                "asserts": ("tests",),
                "check": ("test", "entry_point"),
                "stdio": ("cases",),
                "calls": ("cases", "entry_point"),
            }
            for name in needed[self.kind]:
                if not getattr(self, name):
                    raise ValueError(f"{self.kind} needs {name}")
            case = InputOutput if self.kind == "stdio" else FunctionCall
            if not all(isinstance(one, case) for one in self.cases):
                raise ValueError(f"cases of {self.kind} have other keys")
            return self

        @property
        def limits(self) -> Limits:
            return Limits(
                cpu_seconds=self.cpu_seconds,
                wall_seconds=self.wall_seconds,
                memory_bytes=self.memory_mib * 2**20,
                output_bytes=self.output_kib * 2**10,
            )

    def __init__(self) -> None:
        self._sandbox: Sandbox | None = None

    def warm(self) -> None:
        """Start the sandbox. Raises SandboxUnavailable."""
        self._box.start()

    def verify(self, completion: str, task: Task) -> Verdict:
        """Raises BadArguments where `task.args` is not what it should be."""
        args = self.Arguments.read(task.args)
        code, before = _program(completion, args)
        if code is None:
            return Verdict("wrong", 0.0, {}, None, "no_answer")
        if python_text.parsed(code) is None:
            return Verdict("wrong", 0.0, {}, code, "syntax_error")
        judge = self._by_output if args.kind == "stdio" else self._by_calls
        for attempt in range(ATTEMPTS):
            try:
                return judge(code, before, args)
            except SandboxUnavailable as error:
                if attempt + 1 == ATTEMPTS:
                    return Verdict.unjudged(f"sandbox_unavailable: {error}", code)
        raise AssertionError("unreachable")

    def notes(self) -> list[str]:
        """What the sandbox gives on this machine, a line for each protection."""
        found = protections(limits=False)
        return [f"sandbox: {meaning}: {holds}" for _, meaning, holds in found.rows]

    @property
    def _box(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(WORKERS)
        return self._sandbox

    def _by_calls(self, code: str, before: str, args: Arguments) -> Verdict:
        """Where the tests only compare what calls return; `_by_tests` where they do more."""
        tests = _call_tests(args)
        if tests is None:
            return self._by_tests(code, before, args)
        given = {
            "code": code,
            "prelude": [before],
            "calls": [test.call for test in tests],
            "lists": args.kind == "calls",
            "output_bytes": args.limits.output_bytes,
        }
        outcome = self._box.run("caller", _json(given), args.limits)
        if outcome.status == "starved":
            return Verdict.unjudged("timeout", code)
        try:
            found = python_calls.results(tests, outcome.reports)
        except TooDeep:
            if args.kind != "calls":
                return self._by_tests(code, before, args)
            return _judged(code, [0.0] * len(tests), "error: RecursionError")
        return _read(code, found.each, found.lost, outcome)

    def _by_tests(self, code: str, before: str, args: Arguments) -> Verdict:
        limits = args.limits
        shared = _classes(args.setup if args.kind == "asserts" else f"{before}\n{args.setup}")
        # Of the setup, the answer gets what it can need, and no values that the tests compare with.
        prelude = [before, *_declarations(args.setup)]
        given = {
            "code": code,
            "prelude": prelude,
            "shared": shared,
            "output_bytes": limits.output_bytes,
        }
        tests = {
            **args.model_dump(include={"kind", "tests", "setup", "test"}),
            "prelude": [python_text.whole(args.prompt)] if args.kind == "check" else [],
            "shared": shared,
            "entry_point": args.entry_point,
            "output_bytes": limits.output_bytes,
        }
        checker = Limits(
            cpu_seconds=limits.cpu_seconds + 2,
            wall_seconds=limits.wall + 2,
            memory_bytes=_CHECKER_BYTES,
        )
        theirs, ours = self._box.run_linked(
            Job("candidate", _json(given), limits),
            Job("checker", _json(tests), checker, scratch=False),
        )
        return _verdict(code, theirs, ours)

    def _by_output(self, code: str, _: str, args: Arguments) -> Verdict:
        parts: list[float] = []
        problem = None
        for number, case in enumerate(args.cases):
            assert isinstance(case, InputOutput)
            outcome = self._box.run(
                "program",
                code.encode(errors="replace"),
                args.limits,
                stdin=case.input.encode(errors="replace"),
            )
            if outcome.status == "starved":
                return Verdict.unjudged("timeout", code)
            found = _output_problem(outcome, case.output, args.tolerance)
            parts.append(0.0 if found else 1.0)
            if found and problem is None:
                problem = f"{found}: test_{number}" if found == "wrong_value" else found
            if outcome.status == "time_limit":
                break  # the others would take as long
        parts += [0.0] * (len(args.cases) - len(parts))
        return _judged(code, parts, problem)


def _program(completion: str, args: PythonCode.Arguments) -> tuple[str | None, str]:
    """The program, and what comes before it."""
    if args.kind == "check":
        assert args.entry_point is not None
        return python_text.continued(completion, args.prompt, args.entry_point)
    if args.kind == "calls":
        assert args.entry_point is not None
        return python_text.program(
            completion, [args.entry_point.split(".")[0].removesuffix("()")]
        ), ""
    if args.kind == "asserts":
        wanted = {args.entry_point} if args.entry_point else _called(args.tests)
        return python_text.program(completion, wanted), ""
    return python_text.program(completion), ""


def _call_tests(args: PythonCode.Arguments) -> list[CallTest] | None:
    """The tests as calls whose results are compared; None where they are more than that."""
    if args.kind == "calls":
        return [_expecting(str(args.entry_point), one, args.tolerance) for one in args.cases]
    if args.setup.strip():
        return None
    if args.kind == "check":
        return python_calls.read_check(args.test, str(args.entry_point))
    tests = python_calls.read_asserts(args.tests)
    return tests if tests and args.entry_point in (None, tests[0].function) else None


def _expecting(function: str, case: InputOutput | FunctionCall, tolerance: float) -> CallTest:
    assert isinstance(case, FunctionCall)
    expected = case.expected
    return CallTest(
        function, case.args, case.kwargs, lambda value: same(expected, value, tolerance)
    )


def _verdict(code: str, theirs: Outcome, ours: Outcome) -> Verdict:
    """From how the program ended and what the tests say."""
    if ours.status in ("starved", "time_limit") or theirs.status == "starved":
        return Verdict.unjudged("timeout", code)
    if ours.status != "finished":
        return Verdict.unjudged(f"checker_failed: {ours.status}: {ours.error}", code)
    found = json.loads(ours.result)
    if found["reference"] is not None:
        return Verdict.unjudged(f"bad_reference: {found['reference']}", code)
    return _read(code, found["results"], found["lost"], theirs)


def _read(code: str, results: Sequence[str | None], lost: str | None, theirs: Outcome) -> Verdict:
    """The verdict where `results` has None for each test that passed, else why it did not."""
    if theirs.status == "output_limit":
        return _judged(code, [0.0] * len(results), "output_limit")
    problem = None
    for number, result in enumerate(results):
        if result is not None:
            problem = _named(result, lost, theirs)
            problem += f": test_{number}" if problem == "wrong_value" else ""
            break
    return _judged(code, [float(result is None) for result in results], problem)


def _judged(code: str, parts: Sequence[float], problem: str | None) -> Verdict:
    named = {f"test_{number}": part for number, part in enumerate(parts)}
    named["passed_share"] = sum(parts) / len(parts)
    if problem is None:
        return Verdict("correct", 1.0, named, code)
    return Verdict("wrong", 0.0, named, code, problem)


def _named(result: str, lost: str | None, theirs: Outcome) -> str:
    """What went wrong with a test, in the words of the contract."""
    if result == "not_run":
        if theirs.status in ("time_limit", "memory_limit", "output_limit"):
            return theirs.status
        if lost is not None and lost.startswith("error: "):
            result = lost
        elif lost == "too_large":
            return "output_limit"
        elif lost is not None and lost.startswith("malformed"):
            return "bad_reply"
        else:
            return f"ended_early: {theirs.error or 'no answer to a call'}"
    if result.startswith("error: MemoryError"):
        return "memory_limit"
    if result.startswith("error: OutputLimit"):
        return "output_limit"
    return result.replace("error: SystemExit", "ended_early: SystemExit")


def _output_problem(outcome: Outcome, expected: str, tolerance: float) -> str | None:
    if outcome.status in ("time_limit", "memory_limit", "output_limit"):
        return outcome.status
    if outcome.status == "failed":
        return f"error: {outcome.error}"
    if outcome.status == "exited":
        return f"ended_early: {outcome.error}"
    if outcome.result != b"0":
        return f"error: exit code {outcome.result.decode(errors='replace')[:20]}"
    printed = outcome.output.decode(errors="replace")
    return None if same_output(expected, printed, tolerance) else "wrong_value"


def _called(tests: Sequence[str]) -> set[str]:
    """Names of what the tests call."""
    return {
        node.func.id
        for test in tests
        for node in ast.walk(python_text.parsed(test) or ast.Module([], []))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }


def _classes(source: str) -> list[str]:
    tree = python_text.parsed(source)
    return [node.name for node in (tree.body if tree else ()) if isinstance(node, ast.ClassDef)]


def _declarations(setup: str) -> list[str]:
    """Imports and classes of a setup, one source each."""
    tree = python_text.parsed(setup)
    kinds = ast.Import | ast.ImportFrom | ast.ClassDef
    return [ast.unparse(node) for node in (tree.body if tree else ()) if isinstance(node, kinds)]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
