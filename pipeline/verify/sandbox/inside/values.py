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

import builtins
import collections
import datetime
import decimal
import enum
import fractions
import math
import operator
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

Node = Any  # what JSON holds
_PLAIN = frozenset({type(None), bool, float, str})
_INT64 = 1 << 63

_NOT_PURE = {
    "eval", "exec", "compile", "open", "input", "__import__", "breakpoint", "exit", "quit", "help",
    "globals", "locals", "vars", "dir", "getattr", "setattr", "delattr", "__build_class__",
    "memoryview", "copyright", "credits", "license", "super", "property", "classmethod",
    "staticmethod",
}  # fmt: skip
TYPES: dict[str, type] = {
    **{
        name: value
        for name, value in vars(builtins).items()
        if isinstance(value, type) and name not in _NOT_PURE
    },
    **{
        kind.__name__: kind
        for kind in (
            collections.deque, collections.Counter, collections.OrderedDict,
            collections.defaultdict, decimal.Decimal, fractions.Fraction, datetime.date,
            datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, type(None),
        )
    },
}  # fmt: skip
_TYPE_NAMES = {kind: name for name, kind in TYPES.items()}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    f"{module.__name__}.{name}": value
    for module in (builtins, operator, math)
    for name, value in vars(module).items()
    if isinstance(value, types.BuiltinFunctionType)
    and not name.startswith("_")
    and name not in _NOT_PURE
}
_FUNCTION_NAMES = {value: name for name, value in _FUNCTIONS.items()}
_METHODS = (types.MethodDescriptorType, types.WrapperDescriptorType)
_NUMPY_KINDS = "biufcSU"


class Malformed(Exception):
    """What came is not in the encoding."""


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
        self._borders = borders
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
        encode = _ENCODE.get(kind)
        if encode is not None:
            if kind in _MUTABLE:
                self._number(value)
            return encode(self, value)
        return self._other(value, kind)

    def content(self, value: Any) -> Node:
        """The tree of what a mutable object holds, under its old number."""
        encode = _ENCODE.get(type(value))
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
            name = _TYPE_NAMES.get(value)
            return self._borders.export(value) if name is None else ["T", name]
        if kind is types.BuiltinFunctionType and value in _FUNCTION_NAMES:
            return ["N", _FUNCTION_NAMES[value]]
        if kind in _METHODS and value.__objclass__ in _TYPE_NAMES:
            return ["m", _TYPE_NAMES[value.__objclass__], value.__name__]
        shared = self._borders.shared_class(kind.__name__)
        if shared is not None and kind.__qualname__ == kind.__name__:
            if isinstance(value, enum.Enum):
                return ["E", kind.__name__, value.name]
            self._number(value)
            self._waiting.append(value)
            return ["n", kind.__name__]
        if kind.__module__ == "numpy":
            return self._numpy(value)
        if isinstance(value, tuple) and (fields := _fields(value)) is not None:
            return ["p", kind.__name__, fields, *self.items("", tuple.__iter__(value))[1:]]
        base = _base(value)
        return self._borders.export(value) if base is None else self.value(base)

    def _numpy(self, value: Any) -> Node:
        import numpy as np

        if isinstance(value, np.ndarray) and value.dtype.kind in _NUMPY_KINDS:
            # In this order, whatever it is in memory: what comes out is contiguous.
            data = np.ascontiguousarray(value).tobytes().decode("latin-1")
            return ["a", value.dtype.str, list(value.shape), data]
        if isinstance(value, np.generic) and value.dtype.kind in _NUMPY_KINDS:
            return self.value(value.item())
        return self._borders.export(value)


class Decoder:
    """Decodes one message. `known` as for the encoder on the other side."""

    def __init__(self, borders: Borders, known: Iterable[object] = ()) -> None:
        self._borders = borders
        self.objects: list[object] = list(known)
        self._waiting: collections.deque[object] = collections.deque()

    def value(self, node: Node) -> Any:
        """The value of a tree. Raises Malformed, also for what is too deep."""
        try:
            return self._value(node)
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
        decoded = Decoder(self._borders, self.objects)
        decoded.objects, decoded._waiting = self.objects, self._waiting
        kind = type(target)
        try:
            tag, *rest = node
            if kind in _MUTABLE:
                if tag != _MUTABLE[kind]:
                    raise Malformed(f"{tag} is no {kind.__name__}")
                _REFILL[kind](self, target, rest)
            else:
                _set_attributes(target, self._pairs(rest))
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            raise Malformed(f"{type(error).__name__}: {error}") from None

    def _value(self, node: Node) -> Any:
        kind = type(node)
        if kind in _PLAIN or kind is int:
            return node
        if kind is not list:
            raise Malformed("an object")
        return _DECODE[node[0]](self, node)

    def _new(self, value: Any) -> Any:
        self.objects.append(value)
        return value

    def _items(self, nodes: Sequence[Node]) -> list[Any]:
        value = self._value
        return [node if type(node) in _PLAIN else value(node) for node in nodes]

    def _pairs(self, nodes: Sequence[Node]) -> list[tuple[Any, Any]]:
        sides = self._items(nodes)
        return list(zip(sides[::2], sides[1::2], strict=True))

    def _instance(self, node: Node) -> Any:
        shared = self._borders.shared_class(node[1])
        if shared is None:
            raise Malformed(f"no class {node[1]}")
        value = self._new(object.__new__(shared))
        self._waiting.append(value)
        return value

    def _filled(self, value: Any, nodes: Sequence[Node]) -> Any:
        """A new mutable object, numbered before what it holds."""
        self._new(value)
        _REFILL[type(value)](self, value, nodes)
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
    if type(value) in _MUTABLE:
        return list(value)
    return [side for pair in attributes(value) for side in pair]


def changed(value: Any, before: list[Any]) -> bool:
    """Whether a mutable object holds other objects than `before`, or in another order."""
    now = snapshot(value)
    return len(now) != len(before) or any(map(operator.is_not, now, before))


def _fields(value: Any) -> list[str] | None:
    """Names of a named tuple's items."""
    fields = getattr(value, "_fields", None)
    if type(fields) is tuple and len(fields) == len(value):
        return [field for field in fields if type(field) is str]
    return None


def _base(value: Any) -> Any:
    """The value of an instance of a subclass of a built-in type, without what the subclass adds;
    None where it is no such instance."""
    for base, reduce in _REDUCE:
        if isinstance(value, base):
            return reduce(value)
    return None


def _set_attributes(target: Any, pairs: list[tuple[Any, Any]]) -> None:
    kind = type(target)
    for name, _ in attributes(target):
        object.__delattr__(target, name)
    for name, value in pairs:
        # A method stays what its class makes it.
        of_class = getattr(kind, name, None)
        if not isinstance(of_class, types.FunctionType | types.MethodType | property):
            object.__setattr__(target, name, value)


def _refill_list(decoder: Decoder, target: Any, nodes: Sequence[Node]) -> None:
    target[:] = decoder._items(nodes)


def _refill_set(decoder: Decoder, target: set[Any], nodes: Sequence[Node]) -> None:
    target.clear()
    target.update(decoder._items(nodes))


def _refill_dict(decoder: Decoder, target: dict[Any, Any], nodes: Sequence[Node]) -> None:
    target.clear()
    for key, value in decoder._pairs(nodes):
        target[key] = value


def _refill_deque(decoder: Decoder, target: Any, nodes: Sequence[Node]) -> None:
    target.clear()
    target.extend(decoder._items(nodes[1:]))


def _refill_default(decoder: Decoder, target: Any, nodes: Sequence[Node]) -> None:
    target.default_factory = decoder._value(nodes[0])
    _refill_dict(decoder, target, nodes[1:])


def _refill_bytes(_: Decoder, target: bytearray, nodes: Sequence[Node]) -> None:
    target[:] = nodes[0].encode("latin-1")


_MUTABLE: dict[type, str] = {
    list: "l", set: "s", dict: "d", collections.deque: "q", collections.Counter: "C",
    collections.OrderedDict: "O", collections.defaultdict: "e", bytearray: "B",
}  # fmt: skip
_REFILL: dict[type, Callable[[Decoder, Any, Sequence[Node]], None]] = {
    list: _refill_list, set: _refill_set, dict: _refill_dict, collections.deque: _refill_deque,
    collections.Counter: _refill_dict, collections.OrderedDict: _refill_dict,
    collections.defaultdict: _refill_default, bytearray: _refill_bytes,
}  # fmt: skip


def _zone(zone: datetime.tzinfo | None) -> Node:
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        return zone.utcoffset(None).total_seconds()
    import zoneinfo

    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return zone.key
    raise TypeError("a time zone of its own making")


def _unzone(node: Node) -> datetime.tzinfo | None:
    if node is None:
        return None
    if type(node) is str:
        import zoneinfo

        return zoneinfo.ZoneInfo(node)
    return datetime.timezone(datetime.timedelta(seconds=node))


def _encode_moment(encoder: Encoder, value: Any) -> Node:
    """A datetime or a time, in the order of the constructor's arguments."""
    is_datetime = isinstance(value, datetime.datetime)
    try:
        zone = _zone(value.tzinfo)
    except TypeError:
        return encoder._borders.export(value)
    day = [value.year, value.month, value.day] if is_datetime else []
    clock = [value.hour, value.minute, value.second, value.microsecond]
    return ["w", "datetime" if is_datetime else "time", *day, *clock, zone, value.fold]


def _decode_moment(_: Decoder, node: Node) -> Any:
    kind, numbers = node[1], node[2:]
    if kind == "date":
        return datetime.date(*numbers)
    if kind == "timedelta":
        return datetime.timedelta(*numbers)
    if kind == "timezone":
        return _unzone(*numbers)
    *numbers, zone, fold = numbers
    made = {"datetime": datetime.datetime, "time": datetime.time}[kind]
    return made(*numbers, _unzone(zone), fold=fold)  # type: ignore[operator]


def _decode_array(_: Decoder, node: Node) -> Any:
    import numpy as np

    kind = np.dtype(str(node[1]))
    if kind.kind not in _NUMPY_KINDS:
        raise Malformed("an array of objects")
    return np.frombuffer(node[3].encode("latin-1"), kind).reshape(node[2]).copy()


def _decode_method(_: Decoder, node: Node) -> Any:
    name = node[2]
    method = TYPES[node[1]].__dict__[name]
    if not isinstance(method, _METHODS) or (name.startswith("_") and not name.endswith("__")):
        raise Malformed("no method")
    return method


def _decode_member(decoder: Decoder, node: Node) -> Any:
    shared = decoder._borders.shared_class(node[1])
    if shared is None or not issubclass(shared, enum.Enum):
        raise Malformed(f"no enumeration {node[1]}")
    return shared[node[2]]


def _decode_named(decoder: Decoder, node: Node) -> Any:
    """A class made for it here, of the same fields: it compares as a tuple does."""
    return collections.namedtuple(node[1], node[2])(*decoder._items(node[3:]))  # noqa: PYI024


def _decode_view(decoder: Decoder, node: Node) -> Any:
    held = dict(decoder._pairs(node[1:]))
    return {"K": held.keys, "V": held.values, "I": held.items}[node[0]]()


_ENCODE: dict[type, Callable[[Encoder, Any], Node]] = {
    list: lambda e, v: e.items("l", v),
    tuple: lambda e, v: e.items("t", v),
    set: lambda e, v: e.items("s", v),
    frozenset: lambda e, v: e.items("f", v),
    dict: lambda e, v: e.pairs("d", v.items()),
    collections.deque: lambda e, v: e.items("q", (v.maxlen, *v)),
    collections.Counter: lambda e, v: e.pairs("C", v.items()),
    collections.OrderedDict: lambda e, v: e.pairs("O", v.items()),
    collections.defaultdict: lambda e, v: [
        "e", e.value(v.default_factory), *e.pairs("", v.items())[1:]
    ],
    bytes: lambda e, v: ["b", v.decode("latin-1")],
    bytearray: lambda e, v: ["B", v.decode("latin-1")],
    complex: lambda e, v: ["c", v.real, v.imag],
    range: lambda e, v: e.items("g", (v.start, v.stop, v.step)),
    decimal.Decimal: lambda e, v: ["D", str(v)],
    fractions.Fraction: lambda e, v: e.items("F", (v.numerator, v.denominator)),
    datetime.date: lambda e, v: ["w", "date", v.year, v.month, v.day],
    datetime.timedelta: lambda e, v: ["w", "timedelta", v.days, v.seconds, v.microseconds],
    datetime.timezone: lambda e, v: ["w", "timezone", _zone(v)],
    datetime.datetime: _encode_moment,
    datetime.time: _encode_moment,
    type({}.keys()): lambda e, v: e.pairs("K", ((key, None) for key in v)),
    type({}.values()): lambda e, v: e.pairs("V", enumerate(v)),
    type({}.items()): lambda e, v: e.pairs("I", v),
    type(Ellipsis): lambda e, v: ["_", "Ellipsis"],
    type(NotImplemented): lambda e, v: ["_", "NotImplemented"],
}  # fmt: skip
_DECODE: dict[str, Callable[[Decoder, Node], Any]] = {
    "l": lambda d, n: d._filled([], n[1:]),
    "t": lambda d, n: tuple(d._items(n[1:])),
    "s": lambda d, n: d._filled(set(), n[1:]),
    "f": lambda d, n: frozenset(d._items(n[1:])),
    "d": lambda d, n: d._filled({}, n[1:]),
    "q": lambda d, n: d._filled(collections.deque(maxlen=d._value(n[1])), n[1:]),
    "C": lambda d, n: d._filled(collections.Counter(), n[1:]),
    "O": lambda d, n: d._filled(collections.OrderedDict(), n[1:]),
    "e": lambda d, n: d._filled(collections.defaultdict(), n[1:]),
    "b": lambda d, n: n[1].encode("latin-1"),
    "B": lambda d, n: d._filled(bytearray(), n[1:]),
    "i": lambda d, n: int(n[1], 16),
    "c": lambda d, n: complex(n[1], n[2]),
    "g": lambda d, n: range(*d._items(n[1:])),
    "D": lambda d, n: decimal.Decimal(n[1]),
    "F": lambda d, n: fractions.Fraction(*d._items(n[1:])),
    "w": _decode_moment,
    "K": _decode_view,
    "V": _decode_view,
    "I": _decode_view,
    "T": lambda d, n: TYPES[n[1]],
    "N": lambda d, n: _FUNCTIONS[n[1]],
    "m": _decode_method,
    "a": _decode_array,
    "r": lambda d, n: d.objects[n[1]],
    "n": lambda d, n: d._instance(n),
    "E": _decode_member,
    "p": _decode_named,
    "h": lambda d, n: d._borders.imported(n),
    "_": lambda d, n: {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[n[1]],
}
# In this order: a bool cannot be derived from; a datetime is a date.
_REDUCE: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, lambda v: int.__add__(v, 0)),
    (float, float.__pos__),
    (str, str.__str__),
    (bytes, lambda v: bytes.__getitem__(v, slice(None))),
    (tuple, lambda v: tuple(tuple.__iter__(v))),
    (list, lambda v: list(list.__iter__(v))),
    (collections.Counter, lambda v: collections.Counter(dict(dict.items(v)))),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (complex, complex.__pos__),
)
