"""A worker: runs a program as `python program.py` would, with its own stdin and stdout."""

import atexit
import json
import sys
import types

from .child import call_depth


def main(payload: bytes) -> bytes:
    """`payload` is the program's text. Returns its exit code as JSON; raises what it raised."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    code = 0
    sys.setrecursionlimit(sys.getrecursionlimit() + call_depth())
    try:
        exec(compile(payload, "program.py", "exec"), vars(module))  # noqa: S102 - the sandbox is for this
    except SystemExit as exit:
        code = _exit_code(exit.code)
    import threading

    # Threads that are no daemons go on after the last line; programs that need a larger stack do
    # all of their work in one.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    return json.dumps(code).encode()


def _exit_code(value: object) -> int:
    if value is None:
        return 0
    return value if isinstance(value, int) else 1
