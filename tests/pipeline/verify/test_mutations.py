"""Machine-made wrong answers are wrong for certain, and are judged so."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.verify.mutations import MUTATORS, _coefficients, _written, mutations
from winnow.pipeline.verify.self_test import Pair, read, tested
from winnow.pipeline.verify.worker_pool import judged


def made_of(answer: str, verifier: str = "math", **args: object) -> list[Pair]:
    return mutations(verifier, [Pair("r", "accept", "", answer, dict(args))])


@pytest.mark.parametrize("verifier", sorted(MUTATORS))
def test_every_mutation_of_the_labelled_pairs_is_rejected(verifier: str) -> None:
    made = mutations(verifier, read(verifier))
    assert len(made) >= 20
    accepted = [
        (pair.answer, pair.completion, pair.rule)
        for pair in made
        if judged(verifier, pair.completion, pair.task).verdict != "wrong"
    ]
    assert accepted == []
    assert {pair.label for pair in made} == {"reject"}


def test_math_is_changed_in_many_ways() -> None:
    kinds = {pair.rule.rpartition(": ")[2] for pair in mutations("math", read("math"))}
    assert kinds >= {
        "digit 1 changed", "sign flipped", "ten times", "a tenth", "numerator changed", "upside down",
        "radicand changed", "root dropped", "operator changed", "exponent changed", "variable renamed",
        "order changed", "low end swapped", "first dropped", "one added", "m for cm", "an inequality",
    }  # fmt: skip


def test_only_what_is_accepted_is_changed() -> None:
    assert mutations("math", [Pair("r", "reject", "", "5")]) == []
    assert mutations("math", [Pair("r", "accept", "", "5", verdict="unjudged")]) == []
    assert mutations("math", [Pair("r", "accept", "", None)]) == []
    assert mutations("sql", [Pair("r", "accept", "", "5")]) == []
    assert len(mutations("math", [Pair("r", "accept", "", "5")] * 3)) == len(made_of("5"))
    assert all(mutations(name, read(name)) == [] for name in tested() if name not in MUTATORS)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("12", ["-12", "120", "1.2", "13"]), ("0", ["1"]), (r"\frac{3}{4}", [r"\frac{4}{3}", r"\frac{4}{4}"]),
        (r"2\sqrt{3}", [r"2\sqrt{4}", r"3\sqrt{3}", "6"]), ("x^2+1", ["x^{3}+1", "x^2-1", "z^2+1"]),
        ("(1,2)", ["(2,1)", "[1,2]", "(1,2,1)"]), ("[0,1)", ["(0,1)", "[0,1]", "[-1,1)"]),
        ("1,2,3", ["2, 3", "1, 2", "1, 2, 3, 4"]), ("5 cm", [r"5\text{ m}"]), ("3+2i", ["3-2i"]),
    ],
)  # fmt: skip
def test_what_is_made(answer: str, wrong: list[str]) -> None:
    completions = {pair.completion for pair in made_of(answer)}
    assert {rf"Thus it is $\boxed{{{text}}}$." for text in wrong} <= completions


@pytest.mark.parametrize(
    "answer", ["(1,1)", "0", r"\frac{5}{5}", r"0\sqrt{3}", "1,1", "x", "e^2", "B"]
)
def test_what_could_be_the_same_is_not_made(answer: str) -> None:
    completions = {pair.completion for pair in made_of(answer)}
    assert rf"Thus it is $\boxed{{{answer}}}$." not in completions
    assert r"Thus it is $\boxed{-0}$." not in completions
    if answer == "(1,1)":
        assert not any("order" in pair.rule for pair in made_of(answer))
    if answer in ("e^2", "x", "B"):
        assert completions == set()


@settings(max_examples=200, deadline=None)
@given(st.fractions(max_denominator=50), st.fractions(max_denominator=50))
def test_numbers_that_are_made_differ_from_the_reference(value: Fraction, other: Fraction) -> None:
    answer = rf"{'-' if value < 0 else ''}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    for pair in made_of(answer):
        top, bottom = pair.completion.split("frac{")[1].split("}{")
        sign = -1 if r"{-\frac" in pair.completion else 1
        assert sign * Fraction(int(top), int(bottom.partition("}")[0])) != value


@given(st.integers(-(10**6), 10**6), st.integers(0, 6))
def test_decimals_are_written_exactly(digits: int, places: int) -> None:
    value = Fraction(digits, 10**places)
    assert Fraction(_written(value)) == value


def test_coefficients() -> None:
    assert _coefficients("3x^2-x+4x-7") == {2: 3, 1: 3, 0: -7}
    assert _coefficients("x-x") == {}
    assert _coefficients("2(x+1)") is None
    assert _coefficients("") is None
