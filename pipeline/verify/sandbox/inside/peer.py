"""One end of the line between two processes that call each other's functions.

Messages, each a length of four bytes and JSON:

    ["?", operation, [operands, keywords], states]       please do
    ["=", result, changes, states, printed]              done
    ["!", classes, name, args, attributes, changes, states, printed]   it raised

`changes` says what mutable arguments hold now, by their numbers. Either side may ask while it is
asked (a function given as an argument is called back). The other side is believed in nothing: what
it sends is a value, an exception, or the end of the conversation.
"""

import builtins
import contextlib
import copy
import enum
import itertools
import json
import operator
import os
import struct
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .forms import Malformed, Node
from .remote import OPERATORS, Remote, RemoteCallable, RemoteCoroutine, RemoteIterator
from .values import Decoder, Encoder, changed, snapshot

_HEAP_TYPE = 1 << 9
_DEEP = 20_000  # recursion that a deeply nested value may need
_MAX_KEPT = 1_000_000  # objects that may be held for the other side
_EXCEPTIONS: dict[str, type[BaseException]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}
_LENGTHS = {"?": 4, "=": 5, "!": 8, "ready": 3}
# These would end a loop or a generator on our side as if it had come to its end.
_NOT_RAISED = ("StopIteration", "StopAsyncIteration", "GeneratorExit")


class Lost(BaseException):
    """The other side is gone, or what it sent makes no sense. Not an Exception: tests that catch
    everything do not catch it, and `Peer.lost` remembers it for those that do."""


class OutputLimit(Exception):
    """A value is too large to pass on."""


class Peer:
    """The line over the socket `descriptor`.

    `serves(peer, operation, target, operands)` says whether the other side may have an operation on an
    object of ours; `shared` are the names of classes that both sides have in their `namespace`.
    `receives` and `sends` limit the size of a message, in bytes.
    """

    def __init__(
        self,
        descriptor: int,
        namespace: Mapping[str, Any],
        shared: Iterable[str],
        serves: Callable[["Peer", str, object, tuple[object, ...]], bool],
        *,
        receives: int,
        sends: int,
    ) -> None:
        self.knows_classes = False
        self.lost: str | None = None
        self.raised: BaseException | None = None  # the last that came from the other side
        self.printed: Callable[[], str] = lambda: ""
        self.exceptions: dict[str, type[BaseException]] = {}
        self._descriptor = descriptor
        self._namespace = namespace
        self._shared = frozenset(shared)
        self._serves = serves
        self._receives = receives
        self._sends = sends
        self._kept: dict[int, object] = {}
        self._numbers: dict[int, int] = {}
        self._stand_ins: dict[int, Remote] = {}
        self._count = itertools.count()

    def holds(self, value: object) -> bool:
        """Whether the other side has been given a handle of exactly this object."""
        number = self._numbers.get(id(value))
        return number is not None and self._kept[number] is value

    # What `values` asks about what is not a value.

    def export(self, value: object) -> Node:
        if isinstance(value, Remote) and value._winnow_line is self:
            return ["h", "yours", value._winnow_number]
        number = self._numbers.get(id(value))
        if number is None:
            if len(self._kept) >= _MAX_KEPT:
                raise MemoryError("too many objects are held")
            number = next(self._count)
            self._numbers[id(value)] = number
            self._kept[number] = value
        kind = "o"
        if hasattr(type(value), "__next__"):
            kind = "n"
        elif callable(value):
            kind = "c"
        elif isinstance(value, types.CoroutineType):
            kind = "a"
        name = getattr(value, "__name__", "")
        return ["h", "mine", number, kind, name if isinstance(name, str) else ""]

    def imported(self, handle: list[Node]) -> object:
        if handle[1] == "yours":
            return self._kept[handle[2]]
        _, _, number, kind, name = handle
        if type(number) is not int or type(name) is not str:
            raise Malformed("a handle")
        if number not in self._stand_ins:
            made = {"o": Remote, "c": RemoteCallable, "n": RemoteIterator, "a": RemoteCoroutine}[
                kind
            ]
            self._stand_ins[number] = made(self, number, name)
        return self._stand_ins[number]

    def shared_class(self, name: str) -> type | None:
        kind = self._namespace.get(name) if name in self._shared else None
        if not isinstance(kind, type):
            return None
        plain = all(base is object or _is_made_by_code(base) for base in kind.__mro__)
        return kind if plain or issubclass(kind, enum.Enum) else None

    # The conversation.

    def ask(self, operation: str, *operands: object, **keywords: object) -> Any:
        """The answer of the other side; raises what it raised, or Lost."""
        encoder = Encoder(self)
        with Deep():
            tree = [encoder.value(list(operands)), encoder.value(keywords)]
            self.send(["?", operation, tree, encoder.states()])
        while True:
            message = self.receive()
            if message[0] == "?":
                self.answer(message)
            else:
                return self._take(message, encoder.objects)

    def send(self, message: Node) -> None:
        """Raises Lost."""
        if self.lost is not None:
            raise Lost(self.lost)
        with Deep():
            data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > self._sends:
            raise OutputLimit(f"{len(data)} bytes are too much to pass on")
        view = memoryview(struct.pack("<I", len(data)) + data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self._lose("gone")

    def receive(self) -> Node:
        """The next message. Raises Lost."""
        if self.lost is not None:
            raise Lost(self.lost)
        (size,) = struct.unpack("<I", self._read(4))
        if size > self._receives:
            self._lose("too_large")
        data = self._read(size)
        try:
            with Deep():
                message = json.loads(data)
        except (ValueError, RecursionError):
            self._lose("malformed")
        if type(message) is not list or not message or type(message[0]) is not str:
            self._lose("malformed")
        if len(message) != _LENGTHS.get(message[0]):
            self._lose("malformed")
        return message

    def answer(self, message: Node) -> None:
        """Do what the other side asks, if it may."""
        _, operation, tree, states = message
        decoder = Decoder(self)
        with Deep():
            operands, keywords = self._checked(lambda: [decoder.value(node) for node in tree])
            self._checked(decoder.states, states)
        if type(operands) is not list or type(keywords) is not dict:
            self._lose("malformed")
        before = [snapshot(one) for one in decoder.objects]
        try:
            if operands and not self._serves(self, operation, operands[0], tuple(operands[1:])):
                # AttributeError, so that code that asks whether there is one gets its answer.
                raise AttributeError(f"{operation} is not for the other side")
            result = OPERATIONS[operation](*operands, **keywords)
        except Lost:
            raise
        except BaseException as error:  # noqa: BLE001 - it belongs to the other side
            self._send_error(error, decoder.objects, before)
            return
        try:
            self._send_result(result, decoder.objects, before)
        except Exception as error:  # noqa: BLE001 - the result cannot be passed on
            self._send_error(error, [], [])

    def _send_result(self, result: object, objects: list[object], before: list[Any]) -> None:
        encoder = Encoder(self, objects)
        with Deep():
            tree = encoder.value(result)
            changes = self._changes(encoder, before)
            self.send(["=", tree, changes, encoder.states(), self.printed()])

    def _send_error(self, error: BaseException, objects: list[object], before: list[Any]) -> None:
        encoder = Encoder(self, objects)
        classes = [kind.__name__ for kind in type(error).__mro__]
        try:
            with Deep():
                args = encoder.value(tuple(error.args))
                state = encoder.value(dict(error.__dict__))
                changes = self._changes(encoder, before)
                states = encoder.states()
        except Exception:  # noqa: BLE001 - what it carries cannot be passed on
            args, state, changes, states = ["t"], ["d"], [], []
        self.send(
            ["!", classes, type(error).__name__, args, state, changes, states, self.printed()]
        )

    def _changes(self, encoder: Encoder, before: list[Any]) -> list[Node]:
        return [
            [number, encoder.content(encoder.objects[number])]
            for number, held in enumerate(before)
            if changed(encoder.objects[number], held)
        ]

    def _take(self, message: Node, objects: list[object]) -> Any:
        decoder = Decoder(self, objects)
        with Deep():
            if message[0] == "=":
                _, tree, changes, states, printed = message
                (result,) = self._decoded(decoder, [tree])
                error = None
            elif message[0] == "!":
                _, classes, name, args, attributes, changes, states, printed = message
                result = None
                error = self._checked(self._exception, decoder, classes, name, args, attributes)
            else:
                self._lose("malformed")
            for number, content in self._checked(list, changes):
                self._checked(decoder.refill, objects[number], content)
            self._checked(decoder.states, states)
        if type(printed) is not str:
            self._lose("malformed")
        if printed:
            print(printed, end="")
        if error is not None:
            self.raised = error
            raise error
        return result

    def _exception(
        self, decoder: Decoder, classes: Node, name: Node, args: Node, attributes: Node
    ) -> BaseException:
        values, state = self._decoded(decoder, [args, attributes])
        if type(name) is not str or type(values) is not tuple or type(state) is not dict:
            self._lose("malformed")
        error = self.exception_class(classes, name)
        if error.__name__ in _NOT_RAISED:
            return RuntimeError(f"{error.__name__} was raised")
        base = _EXCEPTIONS.get(name)
        try:
            made = error(*values) if error is base else error.__new__(error, *values)
        except Exception:  # noqa: BLE001 - it asks for other arguments
            made = error.__new__(error)
        made.args = values
        made.__dict__.update({str(key): value for key, value in state.items()})
        return made

    def exception_class(self, classes: list[str], name: str) -> type[BaseException]:
        """The class on our side for one of the other side that is called `name` and derives from
        `classes`: the same one each time, so that tests can catch it by name or by its base."""
        base = next((_EXCEPTIONS[one] for one in classes if one in _EXCEPTIONS), Exception)
        if issubclass(base, BaseExceptionGroup):
            base = Exception
        if base.__name__ in _NOT_RAISED or name == base.__name__ or not name.isidentifier():
            return base
        if name not in self.exceptions:
            shared = self._namespace.get(name) if name in self._shared else None
            if isinstance(shared, type) and issubclass(shared, base):
                self.exceptions[name] = shared
            else:
                self.exceptions[name] = type(name, (base,), {})
        return self.exceptions[name]

    def _decoded(self, decoder: Decoder, nodes: Node) -> list[Any]:
        values: list[Any] = self._checked(lambda: [decoder.value(node) for node in nodes])
        return values

    def _checked(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            return step(*args)
        except (Malformed, TypeError, ValueError, LookupError) as error:
            self._lose(f"malformed: {error}")

    def _read(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = os.read(self._descriptor, min(size, 1 << 20))
            except OSError:
                part = b""
            if not part:
                self._lose("gone")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _lose(self, why: str) -> Any:
        self.lost = self.lost or why
        raise Lost(why)


def _is_made_by_code(kind: type) -> bool:
    return bool(kind.__flags__ & _HEAP_TYPE) and kind.__module__ not in sys.stdlib_module_names


class Deep:
    """Room for values that are nested deeply. The limit that a program has set comes back."""

    def __enter__(self) -> None:
        self._before = sys.getrecursionlimit()
        if self._before < _DEEP:
            sys.setrecursionlimit(_DEEP)

    def __exit__(self, *_: object) -> None:
        if self._before < _DEEP:
            with contextlib.suppress(RecursionError):  # we stand close to it
                sys.setrecursionlimit(self._before)


def _next(iterator: Any, count: int) -> tuple[list[Any], bool]:
    """Up to `count` items, and whether it has come to its end."""
    items = list(itertools.islice(iterator, count))
    return items, len(items) < count


def _run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda function, /, *args, **keywords: function(*args, **keywords),
    "getattr": getattr,
    "setattr": setattr,
    "delattr": delattr,
    "repr": repr,
    "str": str,
    "bool": bool,
    "len": len,
    "int": int,
    "float": float,
    "index": operator.index,
    "iter": iter,
    "next": _next,
    "run": _run,
    "contains": operator.contains,
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "enter": lambda manager: type(manager).__enter__(manager),
    "exit": lambda manager, *error: type(manager).__exit__(manager, *error),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "isinstance": isinstance,
    "issubclass": issubclass,
    **OPERATORS,
}
