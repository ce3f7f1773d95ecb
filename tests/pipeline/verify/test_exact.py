"""The verifier `exact`: what is compared, and that a text equals itself in every form."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.pipeline.contracts import Task
from winnow.pipeline.verify.exact import Exact
from winnow.pipeline.verify.plain_text import bare, without_punctuation
from winnow.pipeline.verify.worker_pool import judged

VERIFIER = Exact()
FORMS = ["%s", "Well.\n\n%s", "<answer>%s</answer>", r"So \boxed{%s}.", "#### %s", "**%s**", '"%s"',
         "The answer is %s.", "**Answer:** %s", "<think>no</think>\n%s"]  # fmt: skip
WORDS = st.lists(st.text("abcXYZ019", min_size=1, max_size=6), min_size=1, max_size=4).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(WORDS, st.sampled_from(FORMS))
def test_a_text_equals_itself_in_every_form(text: str, form: str) -> None:
    assert VERIFIER.verify(form % text, Task([], text)).verdict == "correct"


@settings(max_examples=200, deadline=None)
@given(WORDS, WORDS, st.sampled_from(FORMS))
def test_other_texts_are_wrong(text: str, other: str, form: str) -> None:
    verdict = VERIFIER.verify(form % other, Task([], text))
    assert (verdict.verdict == "correct") == (text == other)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("-5", "-5"), ("3.5", "3.5"), ("1/2", "1/2"), ("50%", "50%"), ("C#", "C#"), ("a-b, c!", "ab c"),
     ("¿Qué?", "Qué"), ("snake_case", "snakecase"), ("10:30", "10:30"), ("(x)", "x"), ("C++", "C++")],
)  # fmt: skip
def test_punctuation_that_carries_no_value(text: str, kept: str) -> None:
    assert without_punctuation(text) == kept


@pytest.mark.parametrize(
    ("text", "inner"),
    [("**a**", "a"), ("`a`", "a"), ('"a"', "a"), ('**"a"**', "a"), ('"a" and "b"', '"a" and "b"'),
     ("a*", "a*"), ("**", "**"), ("", "")],
)  # fmt: skip
def test_wrappers_around_all_of_a_text(text: str, inner: str) -> None:
    assert bare(text) == inner


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=100), st.text(max_size=30), st.booleans(), st.booleans())
def test_any_text_gets_a_verdict(text: str, answer: str, case: bool, punctuation: bool) -> None:
    args = {"case": case, "punctuation": punctuation}
    verdict = judged("exact", text, Task([], answer, args))
    assert not (verdict.detail or "").startswith("verifier_error")


@pytest.mark.parametrize("text", ["*" * 10_000, "`" * 10_000, "**" * 5_000 + "a", "-" * 100_000])
def test_hostile_answers_are_wrong(text: str) -> None:
    assert judged("exact", text, Task([], "a", {"punctuation": False})).verdict == "wrong"
