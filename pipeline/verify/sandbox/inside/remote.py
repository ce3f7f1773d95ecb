"""Stand-ins for what stays on the other side: functions, classes, instances, iterators.

What crosses by value compares here, as built-in values do. A stand-in never equals such a value, and
no comparison or calculation with one can come out as the other side likes: an object whose `__eq__`
or `__sub__` is made to please passes no test. Between two stand-ins the other side decides, as
nothing else could.
"""

import operator
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol, cast

_FIRST, _CHUNK = 64, 256  # items of an iterator: one at a time at first, then so many at once
MAX_ITEMS = 1_000_000


class Line(Protocol):
    """What a stand-in asks of `peer.Peer`."""

    # Whether what is tested is a class: then its instances may say what they contain.
    knows_classes: bool

    def ask(self, operation: str, *operands: object, **keywords: object) -> Any: ...


class Remote:
    """An object of the other side."""

    __slots__ = ("_winnow_line", "_winnow_name", "_winnow_number")

    def __init__(self, line: Line, number: int, name: str) -> None:
        object.__setattr__(self, "_winnow_line", line)
        object.__setattr__(self, "_winnow_number", number)
        object.__setattr__(self, "_winnow_name", name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_winnow_"):
            raise AttributeError(name)
        if name == "__name__" and self._winnow_name:
            return self._winnow_name
        return _ask("getattr", self, name)

    def __setattr__(self, name: str, value: object) -> None:
        _ask("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        _ask("delattr", self, name)

    def __repr__(self) -> str:
        return str(_ask("repr", self))

    def __str__(self) -> str:
        return str(_ask("str", self))

    def __bool__(self) -> bool:
        return bool(_exactly(bool, _ask("bool", self)))

    def __len__(self) -> int:
        return cast(int, _exactly(int, _ask("len", self)))

    def __int__(self) -> int:
        return cast(int, _exactly(int, _ask("int", self)))

    def __float__(self) -> float:
        return cast(float, _exactly(float, _ask("float", self)))

    def __index__(self) -> int:
        return cast(int, _exactly(int, _ask("index", self)))

    def __hash__(self) -> int:
        return hash(("remote", self._winnow_number))

    def __iter__(self) -> Iterator[Any]:
        return cast(Iterator[Any], _exactly(RemoteIterator, _ask("iter", self)))

    def __contains__(self, item: object) -> bool:
        if self._winnow_line.knows_classes:
            return bool(_exactly(bool, _ask("contains", self, item)))
        return any(item is other or item == other for other in self)

    def __getitem__(self, key: object) -> Any:
        return _ask("getitem", self, key)

    def __setitem__(self, key: object, value: object) -> None:
        _ask("setitem", self, key, value)

    def __delitem__(self, key: object) -> None:
        _ask("delitem", self, key)

    def __enter__(self) -> Any:
        return _ask("enter", self)

    def __exit__(self, kind: object, error: object, traceback: object) -> bool:
        return bool(_ask("exit", self, None, None, None))

    def __copy__(self) -> Any:
        return _ask("copy", self)

    def __deepcopy__(self, memo: object) -> Any:
        return _ask("deepcopy", self)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, Remote) and bool(_ask("isinstance", instance, self))

    def __subclasscheck__(self, kind: object) -> bool:
        return isinstance(kind, Remote) and bool(_ask("issubclass", kind, self))

    def __eq__(self, other: object) -> Any:
        return _compared("eq", self, other)

    def __ne__(self, other: object) -> Any:
        return _compared("ne", self, other)

    def __lt__(self, other: object) -> Any:
        return _compared("lt", self, other)

    def __le__(self, other: object) -> Any:
        return _compared("le", self, other)

    def __gt__(self, other: object) -> Any:
        return _compared("gt", self, other)

    def __ge__(self, other: object) -> Any:
        return _compared("ge", self, other)


class RemoteCallable(Remote):
    """A function or a class of the other side."""

    __slots__ = ()

    def __call__(self, *args: object, **keywords: object) -> Any:
        return self._winnow_line.ask("call", self, *args, **keywords)


class RemoteCoroutine(Remote):
    """A coroutine of the other side, which is run there, all at once, when it is awaited."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, Any]:
        return _ask("run", self)
        yield  # what makes this a generator

    def send(self, value: object) -> Any:
        raise StopIteration(_ask("run", self))

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        """There is nothing to close."""


class RemoteIterator(Remote):
    """An iterator of the other side: taken one by one at first, so that one that never gives
    another item is asked for no more than the test wants."""

    __slots__ = ("_winnow_state",)

    def __init__(self, line: Line, number: int, name: str) -> None:
        super().__init__(line, number, name)
        object.__setattr__(self, "_winnow_state", [[], 0, False])  # ahead, taken, at its end

    def __iter__(self) -> "RemoteIterator":
        return self

    def __next__(self) -> Any:
        ahead, taken, ended = self._winnow_state
        if not ahead and not ended:
            items, ended = _ask("next", self, 1 if taken < _FIRST else _CHUNK)
            ahead.extend(reversed(items))
            self._winnow_state[2] = bool(ended)
        if not ahead:
            raise StopIteration
        if taken >= MAX_ITEMS:
            raise MemoryError(f"more than {MAX_ITEMS} items")
        self._winnow_state[1] += 1
        return ahead.pop()

    def __bool__(self) -> bool:
        return True


def _ask(operation: str, target: Remote, *operands: object) -> Any:
    return target._winnow_line.ask(operation, target, *operands)


def _exactly(kind: type, value: object) -> object:
    """What a special method must return: of that type, or it is an error of the other side."""
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _compared(operation: str, one: Remote, other: object) -> Any:
    if not isinstance(other, Remote):
        return NotImplemented
    return _ask(operation, one, other)


def _calculated(operation: str, one: object, other: object) -> Any:
    remote = one if isinstance(one, Remote) else other
    result = cast(Remote, remote)._winnow_line.ask(operation, one, other)
    if not (isinstance(one, Remote) and isinstance(other, Remote)) and not isinstance(
        result, Remote
    ):
        raise TypeError(f"unsupported operand types for {operation} between objects and values")
    return result


def _binary(operation: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: _calculated(operation, self, other)


def _reflected(operation: str) -> Callable[[Any, Any], Any]:
    return lambda self, other: _calculated(operation, other, self)


def _unary(operation: str) -> Callable[[Any], Any]:
    def method(self: Remote) -> Any:
        result = _ask(operation, self)
        if not isinstance(result, Remote):
            raise TypeError(f"unsupported operand type for {operation}")
        return result

    return method


BINARY = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor",
    "lshift", "rshift",
)  # fmt: skip
UNARY = ("neg", "pos", "abs", "invert")
ORDER = ("eq", "ne", "lt", "le", "gt", "ge")
for _name in BINARY:
    setattr(Remote, f"__{_name}__", _binary(_name))
    setattr(Remote, f"__r{_name}__", _reflected(_name))
for _name in UNARY:
    setattr(Remote, f"__{_name}__", _unary(_name))
OPERATORS: dict[str, Callable[..., Any]] = {
    name: getattr(operator, f"__{name}__") for name in (*BINARY, *UNARY, *ORDER)
}
