"""Values as text that cannot run anything: what crosses between code on trial and what judges it.

A closed encoding on top of JSON. What comes out of `Decoder` is of exactly a built-in type (or one
that both sides have by name), never of a class of the other side's making, so that no value brings
an `__eq__` of its own along. Pickle could not promise that.

JSON's null, booleans, strings, numbers stand for themselves (integers beyond 64 bits as hexadecimal
text); all else is an array whose first item is a tag:

    l, t, s, f, d   list, tuple, set, frozenset, dict (keys and values in turn)
    q, C, O, e      deque (maxlen first), Counter, OrderedDict, defaultdict (factory first)
    b, B, i, c, g   bytes, bytearray, int, complex, range
    D, F, w         Decimal, Fraction, datetime types
    K, V, I         views of a dict: keys, values, items
    T, N, m         a built-in type, a built-in function, a method of a built-in type, by name
    a               a NumPy array: type, shape, bytes
    r               a mutable object that came before, by its number
    n               a new instance of a shared class; its attributes follow, apart from the tree
    E               a member of a shared enumeration
    p               a named tuple: its name, its fields, its values
    h               a handle of something that stays on its side (`remote`)
    _               Ellipsis or NotImplemented

Mutable objects are numbered in the order in which they are met, so that shared and cyclic structures
come out as they went in, and a reply can say what happened to each of a call's arguments.
"""

import collections
import enum
import operator
import types
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from .forms import (
    DECODE,
    ENCODE,
    FUNCTION_NAMES,
    METHODS,
    MUTABLE,
    REFILL,
    TYPE_NAMES,
    Malformed,
    Node,
    base_value,
    field_names,
    is_numpy,
    write_numpy,
)

_PLAIN = frozenset({type(None), bool, float, str})
_INT64 = 1 << 63


class Borders(Protocol):
    """What an encoder and a decoder ask about what is not a value."""

    def export(self, value: object) -> Node:
        """A handle of `value`, which stays on this side."""
        ...

    def imported(self, handle: list[Node]) -> object:
        """What a handle stands for. Raises Malformed."""
        ...

    def shared_class(self, name: str) -> type | None:
        """The class of that name which both sides have, if there is one. It derives from nothing
        built in but `object`, or is an Enum."""
        ...


class Encoder:
    """Encodes into one message. `known` are mutable objects that the other side has by number."""

    def __init__(self, borders: Borders, known: Iterable[object] = ()) -> None:
        self.borders = borders
        self.objects: list[object] = list(known)  # kept, so that no number is given out twice
        self._numbers = {id(value): at for at, value in enumerate(self.objects)}
        self._states: list[Node] = []
        self._waiting: collections.deque[object] = collections.deque()

    def value(self, value: Any) -> Node:
        """The tree of one value. `states` must be asked for after the last."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if -_INT64 <= value < _INT64 else ["i", hex(value)]
        number = self._numbers.get(id(value))
        if number is not None:
            return ["r", number]
        encode = ENCODE.get(kind)
        if encode is not None:
            if kind in MUTABLE:
                self._number(value)
            return encode(self, value)
        return self._other(value, kind)

    def content(self, value: Any) -> Node:
        """The tree of what a mutable object holds, under its old number."""
        encode = ENCODE.get(type(value))
        return self._attributes(value) if encode is None else encode(self, value)

    def states(self) -> list[Node]:
        """The attributes of the new instances, in the order of their numbers."""
        while self._waiting:
            self._states.append(self._attributes(self._waiting.popleft()))
        return self._states

    def items(self, tag: str, values: Iterable[Any]) -> Node:
        value = self.value
        return [tag, *[v if type(v) in _PLAIN else value(v) for v in values]]

    def pairs(self, tag: str, pairs: Iterable[tuple[Any, Any]]) -> Node:
        return self.items(tag, (side for pair in pairs for side in pair))

    def _number(self, value: object) -> None:
        self._numbers[id(value)] = len(self.objects)
        self.objects.append(value)

    def _attributes(self, value: object) -> Node:
        return self.pairs("d", attributes(value))

    def _other(self, value: Any, kind: type) -> Node:
        if isinstance(value, type):
            name = TYPE_NAMES.get(value)
            return self.borders.export(value) if name is None else ["T", name]
        if kind is types.BuiltinFunctionType and value in FUNCTION_NAMES:
            return ["N", FUNCTION_NAMES[value]]
        if kind in METHODS and not value.__name__.startswith("_"):
            if (name := TYPE_NAMES.get(value.__objclass__)) is not None:
                return ["m", name, value.__name__]
        shared = self.borders.shared_class(kind.__name__)
        if shared is not None and kind.__qualname__ == kind.__name__:
            if isinstance(value, enum.Enum):
                return ["E", kind.__name__, value.name]
            self._number(value)
            self._waiting.append(value)
            return ["n", kind.__name__]
        if is_numpy(value) and (node := write_numpy(self, value)) is not None:
            return node
        if isinstance(value, tuple) and (fields := field_names(value)) is not None:
            return ["p", kind.__name__, fields, *self.items("", tuple.__iter__(value))[1:]]
        base = base_value(value)
        return self.borders.export(value) if base is None else self.value(base)


class Decoder:
    """Decodes one message. `known` as for the encoder on the other side."""

    def __init__(self, borders: Borders, known: Iterable[object] = ()) -> None:
        self.borders = borders
        self.objects: list[object] = list(known)
        self._waiting: collections.deque[object] = collections.deque()

    def value(self, node: Node) -> Any:
        """The value of a tree. Raises Malformed, also for what is too deep."""
        try:
            return self.raw(node)
        except Malformed:
            raise
        except (
            TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError,
            ImportError,
        ) as error:  # fmt: skip
            raise Malformed(f"{type(error).__name__}: {error}") from None

    def states(self, states: Sequence[Node]) -> None:
        """Give the new instances their attributes; after all trees. Raises Malformed."""
        for state in states:
            if not self._waiting:
                raise Malformed("attributes of no instance")
            self.refill(self._waiting.popleft(), state)
        if self._waiting:
            raise Malformed("an instance without attributes")

    def refill(self, target: Any, node: Node) -> None:
        """Make a mutable object hold what `content` gave. Raises Malformed."""
        decoded = Decoder(self.borders, self.objects)
        decoded.objects, decoded._waiting = self.objects, self._waiting
        kind = type(target)
        try:
            tag, *rest = node
            if kind in MUTABLE:
                if tag != MUTABLE[kind]:
                    raise Malformed(f"{tag} is no {kind.__name__}")
                REFILL[kind](self, target, rest)
            else:
                _set_attributes(target, self.pairs(rest))
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            raise Malformed(f"{type(error).__name__}: {error}") from None

    def raw(self, node: Node) -> Any:
        kind = type(node)
        if kind in _PLAIN or kind is int:
            return node
        if kind is not list:
            raise Malformed("an object")
        return DECODE[node[0]](self, node)

    def _new(self, value: Any) -> Any:
        self.objects.append(value)
        return value

    def items(self, nodes: Sequence[Node]) -> list[Any]:
        value = self.raw
        return [node if type(node) in _PLAIN else value(node) for node in nodes]

    def pairs(self, nodes: Sequence[Node]) -> list[tuple[Any, Any]]:
        sides = self.items(nodes)
        return list(zip(sides[::2], sides[1::2], strict=True))

    def instance(self, node: Node) -> Any:
        shared = self.borders.shared_class(node[1])
        if shared is None:
            raise Malformed(f"no class {node[1]}")
        value = self._new(object.__new__(shared))
        self._waiting.append(value)
        return value

    def filled(self, value: Any, nodes: Sequence[Node]) -> Any:
        """A new mutable object, numbered before what it holds."""
        self._new(value)
        REFILL[type(value)](self, value, nodes)
        return value


def attributes(value: Any) -> list[tuple[str, Any]]:
    """Attributes of an instance, those in slots included."""
    found = list(getattr(value, "__dict__", {}).items())
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found.append((name, getattr(value, name)))
    return found


def snapshot(value: Any) -> list[Any]:
    """What a mutable object holds now, to be compared with `changed` later."""
    if isinstance(value, dict):
        return [side for pair in value.items() for side in pair]
    if type(value) in MUTABLE:
        return list(value)
    return [side for pair in attributes(value) for side in pair]


def changed(value: Any, before: list[Any]) -> bool:
    """Whether a mutable object holds other objects than `before`, or in another order."""
    now = snapshot(value)
    return len(now) != len(before) or any(map(operator.is_not, now, before))


def _set_attributes(target: Any, pairs: list[tuple[Any, Any]]) -> None:
    kind = type(target)
    for name, _ in attributes(target):
        object.__delattr__(target, name)
    for name, value in pairs:
        # A method stays what its class makes it.
        of_class = getattr(kind, name, None)
        if not isinstance(of_class, types.FunctionType | types.MethodType | property):
            object.__setattr__(target, name, value)
