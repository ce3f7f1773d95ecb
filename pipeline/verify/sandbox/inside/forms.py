"""How each built-in type is written down and read back: the tables behind `values`."""

import builtins
import collections
import datetime
import decimal
import enum
import fractions
import math
import operator
import types
from collections.abc import Callable, Sequence
from typing import Any

Node = Any  # what JSON holds

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
TYPE_NAMES = {kind: name for name, kind in TYPES.items()}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    f"{module.__name__}.{name}": value
    for module in (builtins, operator, math)
    for name, value in vars(module).items()
    if isinstance(value, types.BuiltinFunctionType)
    and not name.startswith("_")
    and name not in _NOT_PURE
}
FUNCTION_NAMES = {value: name for name, value in _FUNCTIONS.items()}
METHODS = (types.MethodDescriptorType, types.WrapperDescriptorType)
_NUMPY_KINDS = "biufcSU"


class Malformed(Exception):
    """What came is not in the encoding."""


def field_names(value: Any) -> list[str] | None:
    """Names of a named tuple's items."""
    fields = getattr(value, "_fields", None)
    if type(fields) is tuple and len(fields) == len(value):
        return [field for field in fields if type(field) is str]
    return None


def base_value(value: Any) -> Any:
    """The value of an instance of a subclass of a built-in type, without what the subclass adds;
    None where it is no such instance."""
    for base, reduce in _REDUCE:
        if isinstance(value, base):
            return reduce(value)
    return None


def _refill_list(decoder: Any, target: Any, nodes: Sequence[Node]) -> None:
    target[:] = decoder.items(nodes)


def _refill_set(decoder: Any, target: set[Any], nodes: Sequence[Node]) -> None:
    target.clear()
    target.update(decoder.items(nodes))


def _refill_dict(decoder: Any, target: dict[Any, Any], nodes: Sequence[Node]) -> None:
    target.clear()
    for key, value in decoder.pairs(nodes):
        target[key] = value


def _refill_deque(decoder: Any, target: Any, nodes: Sequence[Node]) -> None:
    target.clear()
    target.extend(decoder.items(nodes[1:]))


def _refill_default(decoder: Any, target: Any, nodes: Sequence[Node]) -> None:
    target.default_factory = decoder.raw(nodes[0])
    _refill_dict(decoder, target, nodes[1:])


def _refill_bytes(_: Any, target: bytearray, nodes: Sequence[Node]) -> None:
    target[:] = nodes[0].encode("latin-1")


MUTABLE: dict[type, str] = {
    list: "l", set: "s", dict: "d", collections.deque: "q", collections.Counter: "C",
    collections.OrderedDict: "O", collections.defaultdict: "e", bytearray: "B",
}  # fmt: skip
REFILL: dict[type, Callable[[Any, Any, Sequence[Node]], None]] = {
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


def _encode_moment(encoder: Any, value: Any) -> Node:
    """A datetime or a time, in the order of the constructor's arguments."""
    is_datetime = isinstance(value, datetime.datetime)
    try:
        zone = _zone(value.tzinfo)
    except TypeError:
        return encoder.borders.export(value)
    day = [value.year, value.month, value.day] if is_datetime else []
    clock = [value.hour, value.minute, value.second, value.microsecond]
    return ["w", "datetime" if is_datetime else "time", *day, *clock, zone, value.fold]


def _decode_moment(_: Any, node: Node) -> Any:
    kind, numbers = node[1], node[2:]
    if kind == "date":
        return datetime.date(*numbers)
    if kind == "timedelta":
        return datetime.timedelta(*numbers)
    if kind == "timezone":
        return _unzone(*numbers)
    *numbers, zone, fold = numbers
    made = {"datetime": datetime.datetime, "time": datetime.time}[kind]
    return made(*numbers, _unzone(zone), fold=fold)


def is_numpy(value: object) -> bool:
    return type(value).__module__ == "numpy"


def write_numpy(encoder: Any, value: Any) -> Node:
    """An array of numbers or texts, or one of its items as Python has it; None for others."""
    import numpy as np

    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMPY_KINDS:
        # In this order, whatever it is in memory: what comes out is contiguous.
        data = np.ascontiguousarray(value).tobytes().decode("latin-1")
        return ["a", value.dtype.str, list(value.shape), data]
    if isinstance(value, np.generic) and value.dtype.kind in _NUMPY_KINDS:
        return encoder.value(value.item())
    return None


def _decode_array(_: Any, node: Node) -> Any:
    import numpy as np

    kind = np.dtype(str(node[1]))
    if kind.kind not in _NUMPY_KINDS:
        raise Malformed("an array of objects")
    return np.frombuffer(node[3].encode("latin-1"), kind).reshape(node[2]).copy()


def _decode_method(_: Any, node: Node) -> Any:
    name = node[2]
    method = TYPES[node[1]].__dict__[name]
    if not isinstance(method, METHODS) or name.startswith("_"):
        raise Malformed("no method")
    return method


def _decode_member(decoder: Any, node: Node) -> Any:
    shared = decoder.borders.shared_class(node[1])
    if shared is None or not issubclass(shared, enum.Enum):
        raise Malformed(f"no enumeration {node[1]}")
    return shared[node[2]]


def _decode_named(decoder: Any, node: Node) -> Any:
    """A class made for it here, of the same fields: it compares as a tuple does."""
    return collections.namedtuple(node[1], node[2])(*decoder.items(node[3:]))


def _decode_view(decoder: Any, node: Node) -> Any:
    held = dict(decoder.pairs(node[1:]))
    return {"K": held.keys, "V": held.values, "I": held.items}[node[0]]()


ENCODE: dict[type, Callable[[Any, Any], Node]] = {
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
DECODE: dict[str, Callable[[Any, Node], Any]] = {
    "l": lambda d, n: d.filled([], n[1:]),
    "t": lambda d, n: tuple(d.items(n[1:])),
    "s": lambda d, n: d.filled(set(), n[1:]),
    "f": lambda d, n: frozenset(d.items(n[1:])),
    "d": lambda d, n: d.filled({}, n[1:]),
    "q": lambda d, n: d.filled(collections.deque(maxlen=d.raw(n[1])), n[1:]),
    "C": lambda d, n: d.filled(collections.Counter(), n[1:]),
    "O": lambda d, n: d.filled(collections.OrderedDict(), n[1:]),
    "e": lambda d, n: d.filled(collections.defaultdict(), n[1:]),
    "b": lambda d, n: n[1].encode("latin-1"),
    "B": lambda d, n: d.filled(bytearray(), n[1:]),
    "i": lambda d, n: int(n[1], 16),
    "c": lambda d, n: complex(n[1], n[2]),
    "g": lambda d, n: range(*d.items(n[1:])),
    "D": lambda d, n: decimal.Decimal(n[1]),
    "F": lambda d, n: fractions.Fraction(*d.items(n[1:])),
    "w": _decode_moment,
    "K": _decode_view,
    "V": _decode_view,
    "I": _decode_view,
    "T": lambda d, n: TYPES[n[1]],
    "N": lambda d, n: _FUNCTIONS[n[1]],
    "m": _decode_method,
    "a": _decode_array,
    "r": lambda d, n: d.objects[n[1]],
    "n": lambda d, n: d.instance(n),
    "E": _decode_member,
    "p": _decode_named,
    "h": lambda d, n: d.borders.imported(n),
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
