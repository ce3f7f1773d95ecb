"""Sets of real numbers against membership, point by point."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.verify.notation import normalise
from winnow.pipeline.verify.real_sets import RealSet, real_set, same_set

ENDS = range(-3, 4)
GRID = [Fraction(k, 4) for k in range(-20, 21)]


def contains(found: RealSet, x: Fraction) -> bool:
    return any(
        (part.low is None or part.low < x or (part.low == x and part.low_closed))
        and (part.high is None or x < part.high or (part.high == x and part.high_closed))
        for part in found.intervals
    )


@st.composite
def interval(draw: st.DrawFn) -> tuple[str, set[Fraction]]:
    """An interval as it may be written, and the grid points that belong to it."""
    low = draw(st.sampled_from([None, *ENDS]))
    high = draw(st.sampled_from([None, *(e for e in ENDS if low is None or e > low)]))
    low_closed, high_closed = draw(st.booleans()), draw(st.booleans())
    inside = {
        x
        for x in GRID
        if (low is None or low < x or (x == low and low_closed))
        and (high is None or x < high or (x == high and high_closed))
    }
    left = r"(-\infty" if low is None else f"{'[' if low_closed else '('}{low}"
    right = r"\infty)" if high is None else f"{high}{']' if high_closed else ')'}"
    forms = [f"{left},{right}", rf"x \in {left}, {right}"]
    less, at_most = " < ", r" \le "
    if low is not None and high is not None:
        forms.append(
            f"{low}{at_most if low_closed else less}x{at_most if high_closed else less}{high}"
        )
    elif low is not None:
        forms.append(f"x {'>=' if low_closed else '>'} {low}")
    elif high is not None:
        forms += [
            f"x {'<=' if high_closed else '<'} {high}",
            f"{high} {'≥' if high_closed else '>'} x",
        ]
    return draw(st.sampled_from(forms)), inside


@settings(max_examples=300, deadline=None)
@given(st.lists(interval(), min_size=1, max_size=3))
def test_a_union_contains_what_its_parts_contain(parts: list[tuple[str, set[Fraction]]]) -> None:
    text = " or ".join(written for written, _ in parts)
    found = real_set(normalise(text))
    assert found is not None, text
    assert {x for x in GRID if contains(found, x)} == set().union(*(inside for _, inside in parts))


@settings(max_examples=300, deadline=None)
@given(st.lists(interval(), min_size=1, max_size=2), st.lists(interval(), min_size=1, max_size=2))
def test_sets_are_equal_where_they_have_the_same_members(
    first: list[tuple[str, set[Fraction]]], second: list[tuple[str, set[Fraction]]]
) -> None:
    a, b = (normalise(" or ".join(written for written, _ in parts)) for parts in (first, second))
    members = [set().union(*(inside for _, inside in parts)) for parts in (first, second)]
    assert same_set(a, b) is (members[0] == members[1])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (r"(0,1] \cup (1,2)", "(0,2)", True), (r"(0,1) \cup (1,2)", "(0,2)", False),
        (r"\{1\} \cup (1,2]", "[1,2]", True), (r"\mathbb{R}", r"(-\infty,\infty)", True),
        (r"\mathbb{R} \setminus \{0,2\}", r"(-\infty,0)\cup(0,2)\cup(2,\infty)", True),
        (r"x \ne 3", r"x<3 \text{ or } x>3", True), (r"\{x : x > 2\}", r"(2,\infty)", True),
        ("x > 1 and x < 3", "(1,3)", True), ("x>1, x<3", "(1,3)", True), ("x<1, x>3", "x<1 or x>3", True),
        (r"[\sqrt{2}, \infty)", r"x \ge 2/\sqrt{2}", True), (r"(\sqrt{2},3)", "(1.41421356,3)", False),
        ("x>3", "y>3", False), (r"-80 \le g(x) \le 82", "[-80,82]", True), (r"\emptyset", r"\{\}", True),
        ("x > 3", "x", None), ("5", "5", None), ("(1,2,3)", "(1,2)", None), ("(2,1)", "(2,1)", None),
        ("x+y<3", "x<3", None), ("(a,b)", "(a,b)", None),
    ],
)  # fmt: skip
def test_sets(a: str, b: str, expected: bool | None) -> None:
    assert same_set(normalise(a), normalise(b)) is expected
