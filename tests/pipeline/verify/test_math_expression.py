"""The reader of expressions and their comparison by value, against SymPy and mpmath."""

import random
import time
from fractions import Fraction

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.verify.expression import MAX_NESTING, CannotParse, parse
from winnow.pipeline.verify.notation import normalise
from winnow.pipeline.verify.numeric import Floats, Undefined, precise
from winnow.pipeline.verify.values import PRIME, equal, number, ratio

X, Y = sympy.symbols("x y")


def read(text: str):  # type: ignore[no-untyped-def]
    return parse(normalise(text))


def same(a: str, b: str) -> bool | str:
    return equal(read(a), read(b))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2^2", -4), ("2^3^2", 512), ("1/2*3", Fraction(3, 2)), ("6/2(1+2)", 9), ("2 1/2", Fraction(5, 2)),
        (r"2\frac{1}{2}", Fraction(5, 2)), (r"2\frac{3}{2}", 3), ("1,234.5", Fraction(2469, 2)),
        ("5!/3!", 20), (r"\binom{5}{2}", 10), ("8^{1/3}", 2), ("(-8)^{1/3}", -2), ("16^{-3/4}", Fraction(1, 8)),
        ("2^-1", Fraction(1, 2)), ("50%", Fraction(1, 2)), ("--3", 3), (r"\sqrt{\frac{4}{9}}", Fraction(2, 3)),
        (r"\sqrt[3]{27}", 3), ("gcd(12, 18)", 6), (r"\frac{\frac12}{\frac13}", Fraction(3, 2)), (".5", Fraction(1, 2)),
        ("3^{2}4", 36), ("x^0", None), ("2x", None),
    ],
)  # fmt: skip
def test_rational_numbers_are_worked_out_while_reading(
    text: str, value: int | Fraction | None
) -> None:
    node = read(text).node
    assert (node == ("num", value)) is (value is not None)


@pytest.mark.parametrize(
    "text",
    [
        "", "1 2", "2 + * 3", "(1", "1)", "x_", "apples", "f(", r"\frac12 3 4", r"\foo", "3!!", "|x",
        "1/0", "0^{-1}", "9^{9^{9}}", "20000!", "(" * 100 + "1" + ")" * 100, "x" * 700, "2,3", "a=b",
        r"\sqrt", r"\frac{1}", "x^", "@", r"\int_0^1 x dx", r"\text{cm}",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_not_read(text: str) -> None:
    with pytest.raises(CannotParse):
        parse(text)


def test_nesting_is_bounded() -> None:
    deep = "(" * (MAX_NESTING - 1) + "x" + ")" * (MAX_NESTING - 1)
    assert parse(deep).names == {"x"}
    with pytest.raises(CannotParse):
        parse(f"(({deep}))")


def test_names() -> None:
    assert read(r"x_1 + x_{1} + \theta + theta + a' + e + i + pi").names == {"x_1", "theta", "a'"}
    assert read("abcd").names == set("abcd")
    assert read("sin(x)cos(y)").functions == {"sin", "cos"}
    assert read("f(x+1) + f(1+x)").names == read("2f(x+1)").names | read("f(1+x)").names


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (r"\sin 2x y", r"\sin(2xy)", True), (r"\sin x \cos y", r"\cos(y)\sin(x)", True),
        (r"\sin x + 1", r"1 + \sin(x)", True), (r"\cos 2(x+1)", r"\cos(2x+2)", True),
        (r"\cos x (x+1)", r"(x+1)\cos x", True), (r"\sin^2 x", r"(\sin x)^2", True),
        (r"\sin x^2", r"\sin(x^2)", True), (r"\ln x/2", r"\frac{\ln x}{2}", True),
        ("x^-1y", "y/x", True), ("2^{x}3", r"3\cdot 2^x", True), ("e^x^2", "e^{x^2}", True),
        ("|x|y|z|", "|x| y |z|", True), ("1/2x", "x/2", True), ("x!y", "yx!", True),
    ],
)  # fmt: skip
def test_conventions(a: str, b: str, expected: bool) -> None:
    assert same(a, b) is expected


integers = st.integers(min_value=-9, max_value=9)
polynomials = st.lists(
    st.tuples(integers, st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=5
)


def polynomial(terms: list[tuple[int, int, int]]) -> sympy.Expr:
    return sum((sympy.Integer(c) * X**i * Y**j for c, i, j in terms), sympy.Integer(0))


@settings(max_examples=150, deadline=None)
@given(polynomials, polynomials, st.integers(0, 2))
def test_polynomials_are_equal_where_sympy_says_so(
    a: list[tuple[int, int, int]], b: list[tuple[int, int, int]], shift: int
) -> None:
    product = polynomial(a) * polynomial(b)
    expanded = sympy.expand(product) + shift
    if expanded.free_symbols != product.free_symbols:
        return
    found = same(sympy.latex(product), sympy.latex(expanded))
    assert found is (shift == 0)
    assert same(str(product), str(expanded)) is found


@settings(max_examples=80, deadline=None)
@given(integers, integers, integers, integers, st.sampled_from([2, 3, 5, 7, 11]))
def test_products_of_surds(a: int, b: int, c: int, d: int, n: int) -> None:
    left = rf"({a}{b:+d}\sqrt{{{n}}})({c}{d:+d}\sqrt{{{n}}})"
    whole, part = a * c + b * d * n, a * d + b * c
    assert same(left, rf"{whole}{part:+d}\sqrt{{{n}}}") is True
    assert same(left, rf"{whole}{part + 1:+d}\sqrt{{{n}}}") is False


EXPRESSIONS = [
    sympy.sqrt(X) + 1 / X, sympy.sin(X) * sympy.exp(Y), sympy.log(X**2 + 1), sympy.atan(X / 3),
    (X + sympy.I * Y) ** 2, sympy.tan(X) ** 2 - sympy.pi, sympy.cbrt(X) / 7, abs(X - 2) * Y,
    sympy.sqrt(1 + sympy.sqrt(X**2 + 2)), sympy.exp(-(X**2)) / 3, sympy.cosh(X) - sympy.E,
    sympy.factorial(X) / X, sympy.asin(X / 9), X ** sympy.Rational(2, 5), sympy.floor(X * 3) + Y,
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_values_are_those_of_sympy(expression: sympy.Expr) -> None:
    """The printed LaTeX, read and evaluated with 40 digits, and in floats."""
    # SymPy prints the functions' names as LaTeX does.
    read_back = read(sympy.latex(expression))
    for x, y in [(Fraction(7, 5), Fraction(2, 3)), (Fraction(1, 3), Fraction(-5, 2))]:
        point = {"x": x, "y": y}
        exact = expression.subs(
            {
                X: sympy.Rational(x.numerator, x.denominator),
                Y: sympy.Rational(y.numerator, y.denominator),
            }
        ).evalf(45)
        value = precise(read_back.node, point, 192, mpmath.e).value
        with mpmath.workprec(192):
            expected = mpmath.mpc(*(mpmath.mpf(str(part)) for part in exact.as_real_imag()))
            assert abs(value - expected) < mpmath.mpf(10) ** -38
        floats = Floats(2.718281828459045)
        try:
            quick = floats.value_of(read_back.node, point)
        except (ValueError, ArithmeticError):
            continue  # a function that floats leave to the precise evaluation
        assert abs(complex(quick) - complex(exact)) < 1e-9 * max(1, abs(complex(exact)))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # near misses: what is compared with a fixed number of digits agrees
        (r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}", False), ("1/2004!", "1/2006!", False),
        (r"\sqrt{2^{2008}+1}", r"\sqrt{2^{2008}-1}", False), (r"\sqrt{10^{100}+1}", "10^{50}", False),
        (r"\sqrt{10^{40}+1}-10^{20}", "0", False), ("e^{-400}", "0", False), (r"\pi^{40}", r"\pi^{40}+10^{-30}", False),
        (r"\sin(10^{30})", r"\sin(10^{30}+1)", False), ("3.14159265358979323846264338327950288", r"\pi", False),
        (r"\sqrt{5+2\sqrt{6}}", r"\sqrt{2}+\sqrt{3}", True), (r"\sqrt[3]{2+\sqrt5}+\sqrt[3]{2-\sqrt5}", "1", True),
        (r"4\arctan\frac15-\arctan\frac{1}{239}", r"\frac{\pi}{4}", True), (r"\sin\pi", "0", True),
        (r"\cos\frac{\pi}{7}\cos\frac{2\pi}{7}\cos\frac{4\pi}{7}", r"-\frac18", True), ("i^i", r"e^{-\pi/2}", True),
        # functions on the real numbers
        ("x", r"\sqrt{x^2}", False), ("|x|", r"\sqrt{x^2}", True), (r"\ln x^2", r"2\ln x", True),
        (r"\ln|x|", r"\ln x", False), (r"\sqrt{xy}", r"\sqrt x\sqrt y", True), (r"\sqrt{1/n}", r"1/\sqrt n", True),
        (r"\sqrt[3]{x}", "x^{1/3}", True), (r"\frac{x^2-1}{x-1}", "x+1", True), ("(-1)^{n}", "(-1)^{n+2}", True),
        (r"\arcsin x+\arccos x", r"\frac{\pi}{2}", False), ("x+10^{-30}", "x", False), ("2^x 2^x", "4^x", True),
        (r"\log 8/\log 2", "3", True), (r"\log 1000", "3", True), (r"\log 100", r"\ln 100", True), (r"\lg e", r"\ln 10", False),
    ],
)  # fmt: skip
def test_equal_values(a: str, b: str, expected: bool) -> None:
    assert same(a, b) is expected
    assert same(b, a) is expected


def test_what_has_no_value_is_not_equal_to_anything() -> None:
    assert same("0^0", "1") == "unknown"
    assert same(r"\ln 0", r"\ln 0 + 1") == "unknown"
    assert same(r"\infty", "5") is False
    with pytest.raises(Undefined):
        precise(read(r"\ln(x-x)").node, {"x": Fraction(2)}, 100, mpmath.e)


def test_the_modulus_is_the_prime_that_it_should_be() -> None:
    assert sympy.isprime(PRIME) and PRIME > 2**60
    # x^p and x agree modulo p (Fermat), and are different polynomials all the same.
    assert same("x^7", "x") is False
    assert ratio(read("2x+4y"), read("x+2y")) == 1
    assert ratio(read("2x+4y"), read("-x-2y")) == -1
    assert ratio(read("2x+4y"), read("x+3y")) is None
    assert number(read(r"\sqrt{2}")) ** 2 == pytest.approx(2)  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    ["9^{9^{9^9}}", r"\sqrt{9^{9^{5}}}", "(10000)!!", "x^{x^{x^{x^x}}}", r"\sin(e^{e^{e^{e}}})",
     "((200)!)!", "+".join(["9999!"] * 60), r"\binom{10000}{5000}^{20}", "(x+1)^{99999}"],
)  # fmt: skip
def test_hostile_expressions_cost_little(text: str) -> None:
    started = time.process_time()
    try:
        equal(parse(text), parse("x^2+1"))
        equal(parse(text), parse(r"\sqrt{2}"))
    except CannotParse:
        pass
    assert time.process_time() - started < 20


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=r"\frac{}()[]sqrt^_!|123xyei+-*/ ,.%'", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except CannotParse:
        return
    assert equal(found, found) is True


def test_reading_does_not_depend_on_the_order_of_texts() -> None:
    texts = [r"\frac{1}{x}", "x^2", r"\sin x", "2x+1", "|x|"]
    first = {text: parse(text) for text in texts}
    parse.cache_clear()
    random.Random(0).shuffle(texts)
    assert {text: parse(text) for text in texts} == first
