"""The closed encoding: what goes in comes out, and nothing else can."""

import collections
import datetime
import decimal
import enum
import fractions
import json
import math
import zoneinfo
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.verify.sandbox.inside.forms import TYPES, Malformed
from winnow.pipeline.verify.sandbox.inside.values import Decoder, Encoder, changed, snapshot


class Node:
    def __init__(self, value: Any, next: Any = None) -> None:
        self.value = value
        self.next = next

    def length(self) -> int:
        return 1 if self.next is None else 1 + self.next.length()


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left: Any) -> None:
        self.left = left


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Borders:
    """Shares the classes of this module; hands nothing over by handle."""

    def export(self, value: object) -> Any:
        return ["h", repr(type(value))]

    def imported(self, handle: list[Any]) -> object:
        return f"handle of {handle[1]}"

    def shared_class(self, name: str) -> type | None:
        return {"Node": Node, "Slotted": Slotted, "Colour": Colour}.get(name)


def through(*values: Any) -> list[Any]:
    """`values` as they arrive on the other side of one message."""
    encoder = Encoder(Borders())
    message = json.dumps([[encoder.value(value) for value in values], encoder.states()])
    trees, states = json.loads(message)
    decoder = Decoder(Borders())
    found = [decoder.value(tree) for tree in trees]
    decoder.states(states)
    assert len(decoder.objects) == len(encoder.objects)
    return found


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(),
    st.complex_numbers(allow_nan=False), st.fractions(), st.decimals(allow_nan=False), st.dates(),
    st.datetimes(), st.times(), st.timedeltas(), st.integers(0, 10).map(range),
    st.binary().map(bytearray),
)  # fmt: skip
hashable = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.fractions()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=4)
    ),
    max_leaves=6,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(hashable, inner, max_size=5),
        st.sets(hashable, max_size=5),
        st.frozensets(hashable, max_size=5),
        st.lists(inner, max_size=5).map(lambda items: collections.deque(items, maxlen=9)),
        st.dictionaries(hashable, inner, max_size=4).map(collections.OrderedDict),
        st.dictionaries(hashable, inner, max_size=4).map(
            lambda items: collections.defaultdict(list, items)
        ),
        st.lists(hashable, max_size=5).map(collections.Counter),
    ),
    max_leaves=12,
)


def alike(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        keys = zip(one, other, strict=True)
        return all(alike(a, b) for a, b in keys) and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple | collections.deque):
        return all(alike(a, b) for a, b in zip(one, other, strict=True))
    return True


@given(values)
def test_values_arrive_as_they_were(value: Any) -> None:
    (found,) = through(value)
    assert alike(value, found)


@pytest.mark.parametrize(
    "value",
    [
        2**63, -(2**63), -(2**63) - 1, 10**4000, float("inf"), -0.0, "\ud800 lone", "\x00", b"\xff",
        Ellipsis, NotImplemented, int, collections.deque, type(None), ValueError, len, math.sqrt,
        str.upper, {1: 2}.keys(), {1: 2}.items(), datetime.timezone(datetime.timedelta(hours=-3)),
        datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC, fold=1),
        datetime.datetime(2024, 2, 29, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        collections.deque([1, 2], maxlen=2), Colour.BLUE, decimal.Decimal("1.50"),
    ],
    ids=repr,
)  # fmt: skip
def test_rare_values_arrive_as_they_were(value: Any) -> None:
    (found,) = through(value)
    assert type(found) is type(value)
    assert found == value
    assert repr(found) == repr(value)


def test_nan_and_views_arrive() -> None:
    nan, view = through(math.nan, {"a": 1, "b": [2]}.values())
    assert math.isnan(nan)
    assert type(view) is type({}.values())
    assert list(view) == [1, [2]]


def test_shared_and_cyclic_structures_keep_their_shape() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    twice = [[0]] * 2
    one, other, again = through(loop, twice, loop)
    assert one[1] is one and again is one
    assert other[0] is other[1]


def test_instances_of_shared_classes_arrive_whole() -> None:
    ring = Node(1, Node({"deep": (2,)}))
    ring.next.next = ring
    slotted = Slotted([3])
    found, other = through(ring, slotted)
    assert type(found) is Node and found.next.next is found and found.next.value == {"deep": (2,)}
    assert type(other) is Slotted and other.left == [3] and not hasattr(other, "right")


def test_a_long_chain_needs_no_deep_recursion() -> None:
    head = None
    for number in range(5_000):
        head = Node(number, head)
    (found,) = through(head)
    count = 0
    while found is not None:
        found, count = found.next, count + 1
    assert count == 5_000


def test_methods_stay_what_the_class_makes_them() -> None:
    node = Node(1)
    node.__dict__["length"] = 99
    (found,) = through(node)
    assert found.length() == 1


class AlwaysEqual:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


class Int(AlwaysEqual, int): ...


class Float(AlwaysEqual, float): ...


class Text(AlwaysEqual, str): ...


class Bytes(AlwaysEqual, bytes): ...


class Tuple(AlwaysEqual, tuple):  # type: ignore[type-arg]
    ...


class List(AlwaysEqual, list):  # type: ignore[type-arg, misc]
    ...


class Dict(AlwaysEqual, dict):  # type: ignore[type-arg, misc]
    ...


class Set(AlwaysEqual, set):  # type: ignore[type-arg, misc]
    ...


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Int(7), 7), (Float(-0.0), -0.0), (Text("x"), "x"), (Bytes(b"x"), b"x"), (Tuple([1]), (1,)),
        (List([1]), [1]), (Dict(a=1), {"a": 1}), (Set([1]), {1}),
    ],
)  # fmt: skip
def test_subclasses_arrive_as_the_built_in_value(value: Any, plain: Any) -> None:
    assert value == "anything"
    (found,) = through(value)
    assert type(found) is type(plain)
    assert repr(found) == repr(plain)
    assert found != "anything"


def test_other_objects_arrive_as_handles_only() -> None:
    for value in (AlwaysEqual(), object(), iter([1]), lambda: 1, iter(()), open, eval):
        assert through([value]) == [[f"handle of {type(value)!r}"]]


class Point(NamedTuple):
    x: int
    y: int


def test_named_tuples_keep_their_names() -> None:
    (found,) = through(Point(1, 2))
    assert (found.x, found.y, found) == (1, 2, (1, 2))
    assert type(found) is not Point


def test_arrays_arrive() -> None:
    import numpy as np

    array = np.arange(6, dtype="<i4").reshape(2, 3).T
    found, number, text = through(array, np.float32(0.5), np.array(["ab", "c"]))
    assert found.dtype == array.dtype and (found == array).all()
    assert type(number) is float and number == 0.5
    assert text.tolist() == ["ab", "c"]
    assert through(np.array([object()], dtype=object))[0].startswith("handle")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 70), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=2), inner, max_size=2),
        st.tuples(st.sampled_from(list("ltsfdqCOebBicgDFwKVITNmarnhEp_")), inner, inner).map(list),
        st.tuples(st.sampled_from(list("ltsfdqCOebBicgDFwKVITNmarnhEp_")), inner).map(list),
    ),
    max_leaves=12,
)
BUILT_IN = {*TYPES.values(), Node, Slotted, Colour}


def built_in(value: Any, seen: set[int] | None = None) -> bool:
    """Whether a value, all the way down, is of types that this side has."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return True
    seen.add(id(value))
    kind = type(value)
    if kind.__module__ not in ("builtins", "collections", "datetime", "decimal", "fractions",
                               "numpy", "zoneinfo", __name__) and not hasattr(kind, "_fields"):  # fmt: skip
        return False
    if isinstance(value, dict):
        return all(built_in(k, seen) and built_in(v, seen) for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset | collections.deque):
        return all(built_in(item, seen) for item in value)
    return True


@given(json_values, st.lists(json_values, max_size=3))
def test_whatever_is_sent_is_a_value_or_malformed(tree: Any, states: Any) -> None:
    decoder = Decoder(Borders())
    try:
        value = decoder.value(json.loads(json.dumps(tree)))
        decoder.states(states)
    except Malformed:
        return
    assert built_in(value)


@pytest.mark.parametrize(
    "tree",
    [
        {"an": "object"}, [], ["?"], ["N", "builtins.eval"], ["N", "builtins.open"],
        ["N", "builtins.getattr"], ["N", "os.system"], ["T", "super"], ["m", "str", "__class__"],
        ["m", "object", "__reduce_ex__"], ["r", 5], ["n", "Unknown"], ["E", "Colour", "GREEN"],
        ["E", "Node", "value"], ["i", "zz"], ["F", 1, 0], ["s", ["l"]], ["d", 1], ["g", 1, 2, 0],
        ["a", "|O", [1], "x" * 8], ["a", "<i4", [2], "x" * 4], ["p", "Not a name", ["x"], 1],
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_value_is_malformed(tree: Any) -> None:
    with pytest.raises(Malformed):
        Decoder(Borders()).value(tree)


def test_nesting_without_end_is_malformed() -> None:
    tree: Any = 1
    for _ in range(100_000):
        tree = ["l", tree]
    with pytest.raises(Malformed):
        Decoder(Borders()).value(tree)


@given(
    st.one_of(
        st.lists(st.integers()), st.sets(st.integers()), st.dictionaries(st.integers(), st.text())
    )
)
def test_a_change_is_seen_and_can_be_repeated(value: Any) -> None:
    before = snapshot(value)
    assert not changed(value, before)
    copy = through(value)[0]
    if isinstance(value, list):
        value.append("new")
    elif isinstance(value, set):
        value.add("new")
    else:
        value["new"] = "new"
    assert changed(value, before)
    content = Encoder(Borders(), [value]).content(value)
    Decoder(Borders(), [copy]).refill(copy, json.loads(json.dumps(content)))
    assert copy == value


def test_a_changed_order_is_a_change() -> None:
    items = [1000, 2000]
    before = snapshot(items)
    items.reverse()
    assert changed(items, before)


def test_fractions_of_the_other_side_are_exact() -> None:
    third, tenth = through(fractions.Fraction(1, 3), decimal.Decimal("0.1"))
    assert third * 3 == 1 and tenth * 10 == 1
