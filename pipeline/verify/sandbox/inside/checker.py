"""A worker: runs the tests, in a process that the code on trial cannot reach.

What the tests call are stand-ins (`remote`) for functions of the other process (`candidate`). The
result goes to our side alone.
"""

import ast
import builtins
import contextlib
import json
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

from . import names
from .child import LINK
from .peer import Lost, Peer

MODULE = "tests"
_MAX_SENT = 256 * 2**20
_RECORD = "__winnow_test__"


class BadReference(Exception):
    """The tests cannot be run at all, whatever the answer is."""


class Record:
    """What came of each test (None where it passed, else why not), and how the line was lost."""

    def __init__(self) -> None:
        self.results: list[str | None] = []
        self.lost: str | None = None


def main(payload: bytes) -> bytes:
    """`payload` is JSON: `kind`, `tests`, `test`, `setup`, `prelude`, `entry_point`, `shared`,
    `output_bytes`. Returns JSON: `reference` (why the tests are no tests, or null), `results`, and
    `lost` (how the other process was lost, or null)."""
    given = json.loads(payload)
    sys.stdout = open("/dev/null", "w", encoding="utf-8", errors="replace")  # noqa: PTH123, SIM115
    record = Record()
    reference = None
    try:
        _Judge(given, record).run()
    except BadReference as error:
        reference = str(error)[:300]
    return json.dumps(
        {"reference": reference, "results": record.results, "lost": record.lost}
    ).encode()


class _Judge:
    def __init__(self, given: dict[str, Any], record: Record) -> None:
        self._given = given
        self._record = record
        self._entry: str | None = given["entry_point"]
        module = types.ModuleType(MODULE)
        sys.modules[MODULE] = module
        self._namespace = vars(module)
        self._peer = Peer(
            LINK,
            self._namespace,
            given["shared"],
            _serves,
            receives=given["output_bytes"],
            sends=_MAX_SENT,
        )
        self._resolve: Any = None
        self._values: list[str] = []
        self._complete = False  # check may return before its last statement

    def run(self) -> None:
        """Fill the record. Raises BadReference."""
        steps = {"asserts": self._asserts, "check": self._check}
        total, run = steps[self._given["kind"]]()
        self._set_up()
        try:
            self._meet()
            run()
        except Lost as error:
            self._record.lost = str(error)
        self._record.lost = self._record.lost or self._peer.lost
        if not self._complete:
            self._record.results += ["not_run"] * (total - len(self._record.results))

    # Each kind: how many tests there are, and what runs them.

    def _asserts(self) -> tuple[int, Any]:
        tests = [_parsed(text, f"test_{at}") for at, text in enumerate(self._given["tests"])]
        if not any(
            isinstance(n, ast.Assert | ast.Raise | ast.Call) for t in tests for n in ast.walk(t)
        ):
            raise BadReference("no test asserts anything")

        def run() -> None:
            self._bind(tests)
            for at, tree in enumerate(tests):
                self._refresh()
                with self._recorded():
                    self._execute(tree, f"test_{at}")
                    for function in _test_functions(tree):
                        self._namespace[function]()

        return len(tests), run

    def _check(self) -> tuple[int, Any]:
        tree = _parsed(self._given["test"], "test")
        check = _check_function(tree)
        total = _mark(check)
        if not total:
            raise BadReference("check asserts nothing")
        # Some sets end with a call of check, which is ours to make.
        tree.body = [node for node in tree.body if not _calls(node, "check")]

        def run() -> None:
            self._namespace[_RECORD] = self._recorded
            self._bind([tree])
            with self._recorded(only_failure=True):
                self._execute(tree, "test")
                self._namespace["check"](self._resolve(self._entry))
                self._complete = True

        return total, run

    def _meet(self) -> None:
        """Wait until the code has been run. Raises Lost; a code that failed fails every test."""
        _, kinds, error = self._peer.receive()
        if error is not None:
            raise Lost(f"error: {error}")
        if type(kinds) is not dict or any(type(kind) is not str for kind in kinds.values()):
            raise Lost("malformed")
        self._kinds: dict[str, str] = kinds
        self._resolve = self._peer.imported(["h", "mine", 0, "c", "resolve"])

    def _set_up(self) -> None:
        """Run what comes before the tests and before the answer, which it cannot use. Raises
        BadReference."""
        for source in self._given["prelude"]:
            with contextlib.suppress(Exception):
                exec(compile(source, "<prelude>", "exec"), self._namespace)  # noqa: S102 - the sandbox is for this
        setup = _parsed(self._given["setup"], "setup")
        try:
            self._execute(setup, "setup")
        except Exception as error:  # noqa: BLE001 - tests' code raises what it likes
            raise BadReference(f"setup: {_named(error)}") from None

    def _bind(self, tests: Sequence[ast.Module]) -> None:
        """Put what the tests name, and do not define, into their namespace."""
        used = names.loaded(tests)
        ours = {name for name in self._namespace if name != self._entry}
        kinds = {name: kind for name, kind in self._kinds.items() if name not in ours}
        on_trial = names.on_trial(tests, kinds, self._entry)
        others = [name for name in used if name not in on_trial and name not in ours]
        self._namespace.update(names.offered(others, kinds))
        if "Solution" in kinds:  # its methods are meant where nothing else has that name
            known = {*dir(builtins), *self._namespace, *on_trial}
            on_trial += [name for name in used if name not in known]
        for name in on_trial:
            kind = kinds.get(name, "")
            if kind == "value":
                self._values.append(name)
            elif kind.startswith("exception:"):
                bases = kind.removeprefix("exception:").split(",")
                self._namespace[name] = self._peer.exception_class(bases, name)
            else:
                self._peer.knows_classes |= kind == "class"
                with contextlib.suppress(Exception):  # then the test finds no such name
                    self._namespace[name] = self._resolve(name)

    def _refresh(self) -> None:
        for name in self._values:
            with contextlib.suppress(Exception):
                self._namespace[name] = self._resolve(name)

    def _execute(self, tree: ast.Module, name: str) -> None:
        try:
            code = compile(tree, f"<{name}>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise BadReference(f"{name}: {_named(error)}") from None
        exec(code, self._namespace)  # noqa: S102 - the sandbox is for this

    @contextlib.contextmanager
    def _recorded(self, *, only_failure: bool = False) -> Iterator[None]:
        """One test: whatever is raised inside is its result."""
        problem = None
        try:
            yield
        except (Lost, BadReference):
            raise
        except ImportError as error:
            if error is not self._peer.raised:
                # Something that the tests need is not here: no answer could pass.
                raise BadReference(_named(error)) from None
            problem = f"error: {_named(error)}"
        except AssertionError as error:
            theirs = error is self._peer.raised
            problem = f"error: {_named(error)}" if theirs else "wrong_value"
        except BaseException as error:  # noqa: BLE001 - tests' code raises what it likes
            problem = f"error: {_named(error)}"
        if self._peer.lost is not None:  # and the test has caught it
            raise Lost(self._peer.lost)
        if problem is not None or not only_failure:
            self._record.results.append(problem)


def _serves(peer: Peer, operation: str, target: object, operands: tuple[object, ...]) -> bool:
    """What code on trial may do with an object that a test gave it: call a function, take from an
    iterator, use an instance of a class of the tests. Never what leads to the tests themselves."""
    if not peer.holds(target):
        return False
    if operation in ("call", "iter", "next", "repr", "str", "bool"):
        return True
    if type(target).__module__ != MODULE:
        return False
    if operation in ("getattr", "setattr", "delattr"):
        return type(operands[0]) is str and not operands[0].startswith("_")
    return True


def _parsed(text: str, name: str) -> ast.Module:
    try:
        return ast.parse(text.replace("\r\n", "\n"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadReference(f"{name}: {_named(error)}") from None


def _check_function(tree: ast.Module) -> ast.FunctionDef:
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == "check" and node.args.args:
            return node
    raise BadReference("no check(candidate)")


def _mark(check: ast.FunctionDef) -> int:
    """Make each statement of `check` that tests something a test of its own; how many there are.

    What fails is recorded and the next statement runs, so that parts say how much is right."""
    candidate = check.args.args[0].arg
    total = 0
    body: list[ast.stmt] = []
    for node in check.body:
        asserts = any(_can_fail(inner) for inner in ast.walk(node))
        runs = isinstance(node, ast.Expr | ast.For | ast.While | ast.If | ast.With | ast.Try)
        uses = candidate in names.loaded([node])
        if asserts or (runs and uses):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                total += 1
                block = ast.parse(f"with {_RECORD}():\n    pass").body[0]
                assert isinstance(block, ast.With)
                block.body = [node]
                body.append(ast.fix_missing_locations(ast.copy_location(block, node)))
                continue
        body.append(node)
    check.body = body
    return total


def _can_fail(node: ast.AST) -> bool:
    """Not `assert True`, which some sets have for its message."""
    if isinstance(node, ast.Assert):
        return not (isinstance(node.test, ast.Constant) and node.test.value)
    return isinstance(node, ast.Raise)


def _calls(node: ast.stmt, name: str) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == name
    )


def _test_functions(tree: ast.Module) -> list[str]:
    """Functions that a test defines for a runner to call."""
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test")
        and not (node.args.args or node.args.posonlyargs or node.args.kwonlyargs)
    ]


def _named(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - its __str__ may ask the other side
        text = ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
