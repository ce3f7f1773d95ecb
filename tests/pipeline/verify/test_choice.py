"""The verifier `choice` beyond its labelled pairs: properties, arguments, verdicts."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify.choice import LETTERS, Choice, reference
from winnow.pipeline.verify.choice_mentions import mentions, options_in, unwrapped
from winnow.pipeline.verify.mutations import mutations
from winnow.pipeline.verify.self_test import read
from winnow.pipeline.verify.worker_pool import judged

OPTIONS = {"A": "Paris", "B": "London", "C": "New York", "D": "York"}
FORMS = [
    "%s", "(%s)", "**%s**", "%s)", "%s.", "Answer: %s", "The answer is %s.", "the answer is (%s)",
    r"$\boxed{%s}$", r"\boxed{\text{(%s)}}", "I choose %s.", "Option %s is correct.", "#### %s",
    "<think>Perhaps C or D.</think>So the answer is **%s**.", "The correct choice is %s, of course.",
]  # fmt: skip
letters = st.sampled_from("ABCD")


def judge(answer: str | None, completion: str, **args: object) -> Verdict:
    return judged("choice", completion, Task([], answer, args))


@given(letters, letters, st.sampled_from(FORMS), st.booleans())
def test_a_letter_is_correct_where_it_is_the_reference(
    wanted: str, chosen: str, form: str, with_options: bool
) -> None:
    args = {"options": OPTIONS} if with_options else {}
    verdict = judge(wanted, form % chosen, **args)
    assert (verdict.verdict == "correct") is (wanted == chosen), (form, verdict)
    assert verdict.extracted == chosen


@given(letters, letters)
def test_an_options_text_is_its_letter(wanted: str, chosen: str) -> None:
    for form in ("%s", "The answer is %s.", r"\boxed{\text{%s}}", "I am sure that it is %s."):
        verdict = judge(wanted, form % OPTIONS[chosen], options=OPTIONS)
        assert (verdict.verdict == "correct") is (wanted == chosen), (form, verdict)


@given(st.sets(letters, min_size=2), st.sampled_from([", ", " and ", " or ", "/", " & "]))
def test_several_choices_are_wrong_for_one_and_a_set_for_several(
    chosen: set[str], between: str
) -> None:
    written = between.join(sorted(chosen))
    for letter in chosen:
        verdict = judge(letter, f"The answer is {written}.")
        assert (verdict.verdict, verdict.detail) == ("wrong", "several_choices")
    assert judge(", ".join(sorted(chosen, reverse=True)), f"The answer is {written}.").verdict == (
        "correct"
    )
    assert judge("A, B, C, D, E", f"The answer is {written}.").verdict == "wrong"


@given(st.text(max_size=300))
def test_any_text_gets_a_verdict(text: str) -> None:
    for args in ({}, {"options": OPTIONS}):
        assert judge("A", text, **args).verdict in ("correct", "wrong")


@pytest.mark.parametrize(
    "word", ["a", "I", "b", "Apple", "DNA", "X-ray A1", "vitamin", "e.g.", "A=1", "f(B)", "C^2"]
)
def test_letters_in_words_are_no_choice(word: str) -> None:
    assert judge("A", f"This is about {word} things").verdict == "wrong"
    assert [m.letter for m in mentions(f"about {word} things", LETTERS) if m.letter != "C"] == []


def test_the_longer_option_covers_what_it_contains() -> None:
    assert options_in("it is new york", OPTIONS) == [("C", 6)]
    assert options_in("it is york", OPTIONS) == [("D", 6)]
    assert options_in("it is not york but london", OPTIONS) == [("B", 19)]
    assert options_in("15 or 1.5 or -5", {"A": "5"}) == []


@pytest.mark.parametrize(
    ("answer", "letters_named"),
    [("B", "B"), ("(b)", "B"), ("B. London", "B"), ("London", "B"), ("A, C", "AC"), ("AC", "AC"),
     ("A and C", "AC"), ("Rome", ""), ("Z", ""), ("", ""), ("New York", "C")],
)  # fmt: skip
def test_references(answer: str, letters_named: str) -> None:
    assert reference(answer, frozenset(OPTIONS), OPTIONS) == frozenset(letters_named)


@pytest.mark.parametrize("options", [{"AB": "x"}, {"1": "x"}, {"A": "x", "(a)": "y"}, {"": "x"}])
def test_labels_that_are_no_letters_are_bad_arguments(options: dict[str, str]) -> None:
    verdict = judge("A", "A", options=options)
    assert verdict.verdict == "unjudged"
    assert verdict.detail is not None and verdict.detail.startswith("bad_arguments: options")


def test_verdicts_say_why() -> None:
    assert judge("A", "") == Verdict("wrong", 0.0, detail="no_answer")
    assert judge(None, "A").detail == "bad_reference"
    assert judge("A", r"\boxed{A}. The answer is B.").detail == "conflicting_answers"
    assert judge("A", "A. London", options=OPTIONS).detail == "conflicting_answers"


def test_wrappers_go() -> None:
    assert unwrapped(r"$\boxed{\textbf{(B)}\ \text{Rome}}$") == "(B) Rome"


def test_all_mutations_are_rejected() -> None:
    made = mutations("choice", read("choice"))
    assert len(made) >= 20
    accepted = [
        (pair.answer, pair.completion)
        for pair in made
        if judged("choice", pair.completion, pair.task).verdict != "wrong"
    ]
    assert accepted == []


def test_every_letter_of_the_alphabet_that_is_an_option_can_be_chosen() -> None:
    options = {letter: f"text {letter * 2}" for letter in string.ascii_uppercase}
    for letter in string.ascii_uppercase:
        assert judge(letter, f"The answer is ({letter}).", options=options).verdict == "correct"


@pytest.mark.parametrize("unit", ["A ", "(A) ", "The answer is A. ", "not A ", r"\boxed{A} ", "**"])
def test_repeated_marks_cost_no_more_than_linear_time(unit: str) -> None:
    """A quadratic reading of a megabyte would outlive the test's time limit by far."""
    Choice().verify(unit * (1_000_000 // len(unit)), Task([], "A", {"options": OPTIONS}))
