from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.verify.notation import normalise
from winnow.pipeline.verify.plain_number import PlainNumber, plain_number, same_number
from winnow.pipeline.verify.units import unit as named


def read(text: str) -> PlainNumber | None:
    return plain_number(normalise(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", "42"),
        ("-7", "-7"),
        ("−7", "-7"),
        ("+3.50", "7/2"),
        (".5", "1/2"),
        ("1,234,567", "1234567"),
        (r"10,\!080", "10080"),
        (r"1\,000", "1000"),
        (r"\frac{3}{-4}", "-3/4"),
        (r"-\dfrac34", "-3/4"),
        (r"\frac 3 8", "3/8"),
        ("3/4", "3/4"),
        (r"1\frac{4}{5}", "9/5"),
        ("-2 1/2", "-5/2"),
        ("½", "1/2"),
        (r"1.5 \times 10^{-3}", "3/2000"),
        ("2e3", "2000"),
        ("3 million", "3000000"),
        ("5 hundred", "500"),
        ("٣٤", "34"),
        ("(5)", "5"),
        ("$12.50", "25/2"),
        ("-$3", "-3"),
        ("-€3", "-3"),
    ],
)
def test_values(text: str, value: str) -> None:
    number = read(text)
    assert number is not None
    assert number.value == Fraction(value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("5 cm", "cm"),
        ("5cm", "cm"),
        (r"5\text{ m}", "m"),
        ("90^\\circ", "degree"),
        ("90 degrees", "degree"),
        ("15 square feet", "square foot"),
        ("5 m", "m"),
        (r"15 \mbox{ cm}^2", "square cm"),
        ("$5", "dollar"),
        ("12 apples", None),
        ("1920\\text{ ways.}", None),
    ],
)
def test_units(text: str, unit: str | None) -> None:
    number = read(text)
    assert number is not None
    assert number.unit == (named(unit) if unit else None)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "2x", "2ab", "5m", "5 x", "3 or 4", "1,2", "1,23", "12,3456", "1 2", "1/0", "2/3/4",
        "5!", "2^3", "5 squared", "3 over 4", "1:30", r"\sqrt{2}", "0x10", "1e999",
        "1.2.3", "(1,200)", "3 at most", "infinity", "nan", "9" * 3000,
    ],
)  # fmt: skip
def test_what_is_no_plain_number(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("0.5", "50%", True),
        ("50", "50 percent", True),
        ("50%", "5000%", False),
        ("50%", "5", False),
        ("5 cm", "5 m", False),
        ("$5", "5 cents", False),
        ("$5", "5 dollars", True),
        ("5 cm", "5", True),
        ("1/3", "0.333333", True),
        ("0.333333", "1/3", True),
        ("1/3", "0.33333", False),
        ("1/3", "0.333334", False),
        ("2/3", "0.666667", True),
        ("1/3000000", "0.000000333333", True),
        ("1/3000000", "0.000000", False),
        ("0.3333333", "0.333333", False),
        ("1000000", "1000001", False),
    ],
)
def test_pairs(gold: str, answer: str, same: bool) -> None:
    numbers = read(gold), read(answer)
    assert numbers[0] is not None and numbers[1] is not None
    assert same_number(numbers[0], numbers[1]) is same


fractions = st.fractions(min_value=-(10**9), max_value=10**9, max_denominator=10**6)


def spellings(value: Fraction) -> list[str]:
    n, d = value.numerator, value.denominator
    sign, n = ("-" if n < 0 else ""), abs(n)
    out = [f"{sign}{n}/{d}", rf"{sign}\frac{{{n}}}{{{d}}}", rf"\dfrac{{{sign}{n}}}{{{d}}}"]
    if n > d > 1:
        out += [rf"{sign}{n // d}\frac{{{n % d}}}{{{d}}}", f"{sign}{n // d} {n % d}/{d}"]
    if d == 1:
        out += [f"{sign}{n}", f"{sign}{n:,}", f"{sign}{n}.00", f"{sign}${n:,}", f"{sign}{n} apples"]
    return out


@given(fractions)
def test_every_spelling_of_a_value_is_that_value(value: Fraction) -> None:
    for text in spellings(value):
        number = read(text)
        assert number is not None, text
        assert number.value == value, text


@given(fractions, fractions)
def test_fractions_are_the_same_only_where_they_are_equal(a: Fraction, b: Fraction) -> None:
    for x, y in zip(spellings(a), spellings(b), strict=False):
        numbers = read(x), read(y)
        assert numbers[0] is not None and numbers[1] is not None
        exact = numbers[0].places is None and numbers[1].places is None
        assert same_number(numbers[0], numbers[1]) is (a == b) or not exact


@given(st.decimals(min_value=-(10**6), max_value=10**6, places=4))
def test_decimals_are_exact(value: object) -> None:
    number = read(f"{value:f}")
    assert number is not None
    assert number.value == Fraction(f"{value:f}")
