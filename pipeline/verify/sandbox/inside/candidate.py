"""A worker: runs the code on trial and answers calls to what it defines, over the line to a judge.

Nothing here protects anything: the code shares this process and can change all of it. It is the
other side (`checker`) that believes nothing.
"""

import contextlib
import io
import json
import os
import sys
import types
from typing import Any

from .child import LINK, call_depth
from .peer import Lost, Peer

MODULE = "solution"
CALLS_OF_OURS = 5  # between main and what the judge calls
_MAX_PRINTED = 1 << 16  # characters of one call's output that tests can see
_MAX_RECEIVED = 256 * 2**20


def main(payload: bytes) -> bytes:
    """`payload` is JSON: `code`; `prelude`, sources that come before and may fail; `shared`, names of
    classes; `output_bytes`, of one answer. Runs the code, then serves until the judge is gone."""
    given = json.loads(payload)
    namespace = namespace_of()
    printed = _Printed()
    sys.stdout = printed.stream
    peer = Peer(
        LINK,
        namespace,
        given["shared"],
        lambda *_: True,
        receives=_MAX_RECEIVED,
        sends=given["output_bytes"],
    )
    peer.printed = printed.taken
    resolver = Resolver(namespace)
    peer.export(resolver)  # the first handle, which the other side can count on
    # The code is to have all of the usual depth, beside what stands below it.
    sys.setrecursionlimit(sys.getrecursionlimit() + call_depth() + CALLS_OF_OURS)
    error = run_code(given, namespace)
    peer.send(["ready", None if error else _kinds(namespace), error])
    with contextlib.suppress(Lost):
        while True:
            peer.answer(peer.receive())
    return b""


def namespace_of() -> dict[str, Any]:
    """The names of a new module for the code. It is not `__main__`: what a file does only when it
    is run as a program is not wanted here."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    return vars(module)


def run_code(given: dict[str, Any], namespace: dict[str, Any]) -> str | None:
    """Run the sources; the exception that ended the code as "Class: message"."""
    for source in given["prelude"]:
        with contextlib.suppress(Exception):
            exec(compile(source, "<prelude>", "exec"), namespace)  # noqa: S102 - the sandbox is for this
    try:
        exec(compile(given["code"], "<solution>", "exec"), namespace)  # noqa: S102 - the sandbox is for this
    except BaseException as error:  # noqa: BLE001 - it is the answer's, whatever it is
        return f"{type(error).__name__}: {error}"
    finally:
        sys.stdout.flush()
    return None


def _kinds(namespace: dict[str, Any]) -> dict[str, str]:
    """What each name of the module is: a class or a function of its own, an imported one, an
    exception (with its classes), a module (with its own name), or a value."""
    kinds = {}
    for name, value in list(namespace.items()):
        if isinstance(value, type) and issubclass(value, BaseException):
            kinds[name] = "exception:" + ",".join(kind.__name__ for kind in value.__mro__)
        elif isinstance(value, type):
            kinds[name] = "class" if value.__module__ == MODULE else "imported"
        elif isinstance(value, types.ModuleType):
            kinds[name] = f"module:{value.__name__}"
        elif callable(value):
            own = getattr(value, "__module__", None) == MODULE
            kinds[name] = "function" if own else "imported"
        elif not name.startswith("__"):
            kinds[name] = "value"
    return kinds


class Resolver:
    """Finds what a name, or an expression like `Solution().method`, stands for."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace

    def __call__(self, expression: str) -> Any:
        """Raises NameError or AttributeError. A function that is not there is looked for in a
        class `Solution`, which judges of programs often ask for."""
        first, *rest = expression.split(".")
        name = first.removesuffix("()")
        if name not in self._namespace:
            solution = self._namespace.get("Solution")
            if not rest and isinstance(solution, type) and hasattr(solution, name):
                return getattr(solution(), name)
            raise NameError(f"name {name!r} is not defined")
        value = self._namespace[name]
        for part in (first, *rest):
            attribute = part.removesuffix("()")
            if part is not first:
                value = getattr(value, attribute)
            if part.endswith("()"):
                value = value()
        return value


class _Printed:
    """stdout that is also kept, up to a limit, for the judge to see what a call printed."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self.stream = io.TextIOWrapper(
            io.BufferedWriter(_Raw(self._kept)), encoding="utf-8", errors="surrogatepass"
        )

    def taken(self) -> str:
        """What was printed since it was last asked."""
        with contextlib.suppress(Exception):
            self.stream.flush()
        text = self._kept.decode(errors="replace")
        self._kept.clear()
        return text


class _Raw(io.RawIOBase):
    def __init__(self, kept: bytearray) -> None:
        self._kept = kept

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def write(self, data: Any) -> int:
        written = os.write(1, data)
        if len(self._kept) < _MAX_PRINTED:
            self._kept += bytes(data[:written])
        return written
