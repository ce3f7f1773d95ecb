"""Which names of a test mean the code on trial, and which mean Python.

In the benchmarks' own runners tests run in the namespace of the code, so that an answer which
defines `abs`, `set` or `isclose` changes what the test says. Here a name that Python offers means
Python, unless nothing else could be under test.
"""

import ast
import builtins
import collections
import copy
import datetime
import decimal
import fractions
import functools
import importlib
import itertools
import math
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

# Names that tests take for granted without importing them, because the reference imports them.
OFFERED: dict[str, object] = {
    name: value
    for module in (
        typing,
        copy,
        itertools,
        functools,
        fractions,
        decimal,
        datetime,
        collections,
        math,
    )
    for name in (getattr(module, "__all__", None) or dir(module))
    if not name.startswith("_") and not isinstance(value := getattr(module, name), ModuleType)
}
_BUILTIN = frozenset(dir(builtins))
# Modules under the names that they are usually imported as.
_ALIASES = {"np": "numpy", "pd": "pandas", "sp": "scipy", "nx": "networkx"}


def loaded(trees: Iterable[ast.AST]) -> list[str]:
    """Names that are read anywhere in `trees`, in the order in which they stand first."""
    found: dict[str, None] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found[node.id] = None
    return list(found)


def on_trial(tests: Sequence[ast.AST], kinds: Mapping[str, str], entry: str | None) -> list[str]:
    """Names of `tests` that mean the code on trial, which defines `kinds`."""
    used = loaded(tests)
    own = [
        name for name in used
        if name in kinds and name not in _BUILTIN and name not in OFFERED
        and not kinds[name].startswith("module:") and name not in sys.stdlib_module_names
    ]  # fmt: skip
    if entry in used and entry not in own:
        own.append(entry)
    if any(kinds.get(name) != "value" for name in own):
        return own
    # A function that is called like one of Python's: one that every test calls.
    defined = {name for name, kind in kinds.items() if not kind.startswith("module:")}
    everywhere = defined.intersection(*(loaded([test]) for test in tests))
    same = [name for name in used if name in everywhere and name not in own]
    functions = [name for name in same if not isinstance(getattr(builtins, name, None), type)]
    return own + (functions or same)


def offered(names: Iterable[str], kinds: Mapping[str, str]) -> dict[str, object]:
    """What Python itself puts behind those of `names` that are none of the built-in ones."""
    found: dict[str, object] = {}
    for name in names:
        if name in _BUILTIN:
            continue
        module = name if name in sys.stdlib_module_names else _ALIASES.get(name)
        if module is None and kinds.get(name, "").startswith("module:"):
            module = kinds[name].removeprefix("module:")
            if module.partition(".")[0] not in {*sys.stdlib_module_names, *_ALIASES.values()}:
                continue
        if module is None:
            if name in OFFERED:
                found[name] = OFFERED[name]
            continue
        try:
            found[name] = importlib.import_module(module)
        except ImportError:
            continue
    return found
