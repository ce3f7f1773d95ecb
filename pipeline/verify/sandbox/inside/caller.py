"""A worker: runs the code on trial, calls its functions with values, and reports what each returned.

For tests that only compare what a call returns with a value: nothing but values goes either way, so
our side compares, and no second process is needed. Like `candidate`, it protects nothing by itself.
"""

import itertools
import json
import sys

from .candidate import CALLS_OF_OURS, Resolver, namespace_of, run_code
from .child import call_depth, report
from .forms import Node
from .peer import Deep
from .values import Decoder, Encoder

_MAX_ITEMS = 1_000_000


class ValuesOnly:
    """Borders that let nothing but values across: of all else, the other side sees its truth."""

    def export(self, value: object) -> Node:
        return ["h", bool(value)]

    def imported(self, handle: list[Node]) -> object:
        return Opaque(bool(handle[1]))

    def shared_class(self, name: str) -> type | None:
        return None


class Opaque:
    """What was no value. It equals nothing."""

    def __init__(self, truth: bool) -> None:
        self._truth = truth

    def __bool__(self) -> bool:
        return self._truth


def main(payload: bytes) -> bytes:
    """`payload` is JSON: `code`, `prelude` and `output_bytes` as for `candidate`; `calls`, each
    `[function, args, keywords, states]`; `lists`, whether an iterator is to come as a list.

    Reports JSON, one for each call as soon as it is done: `["=", value, states]` or `["!", error]`;
    or, once and instead, `["failed", error]`.
    """
    given = json.loads(payload)
    namespace = namespace_of()
    sys.setrecursionlimit(sys.getrecursionlimit() + call_depth() + CALLS_OF_OURS)
    error = run_code(given, namespace)
    if error is not None:
        report(json.dumps(["failed", error]).encode())
        return b""
    resolve = Resolver(namespace)
    for call in given["calls"]:
        data = json.dumps(_called(resolve, call, given["lists"])).encode()
        if len(data) > given["output_bytes"]:
            data = json.dumps(["!", f"OutputLimit: {len(data)} bytes"]).encode()
        report(data)
    return b""


def _called(resolve: Resolver, call: list[Node], lists: bool) -> Node:
    name, args, keywords, states = call
    decoder, encoder = Decoder(ValuesOnly()), Encoder(ValuesOnly())
    try:
        with Deep():
            args, keywords = decoder.value(args), decoder.value(keywords)
            decoder.states(states)
        value = resolve(name)(*args, **keywords)
        if lists and hasattr(type(value), "__next__"):
            value = list(itertools.islice(value, _MAX_ITEMS))
        with Deep():
            return ["=", encoder.value(value), encoder.states()]
    except BaseException as error:  # noqa: BLE001 - it is the answer's, whatever it is
        return ["!", f"{type(error).__name__}: {error}"]
