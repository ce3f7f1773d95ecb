"""The verifier `none`: it judges nothing, and its pairs would notice a verifier that does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.pipeline.clean.normalise import is_blank
from winnow.pipeline.contracts import Task, Verdict
from winnow.pipeline.verify import get_verifier, needs_answer, self_test


@given(st.text(), st.none() | st.text())
def test_it_never_accepts(completion: str, answer: str | None) -> None:
    verdict = get_verifier("none").verify(completion, Task([], answer))
    assert verdict.verdict == ("wrong" if is_blank(completion) else "unjudged")
    assert not needs_answer("none")


def accepts(completion: str, task: Task) -> Verdict:
    return Verdict("correct", 1.0)


def takes_blank_for_text(completion: str, task: Task) -> Verdict:
    return Verdict.unjudged("no_verifier")


@pytest.mark.parametrize("judge", [accepts, takes_blank_for_text])
def test_the_pairs_guard_its_rules(judge: self_test.Judge) -> None:
    assert self_test.run_here("none").passed
    assert not self_test.run_here("none", judge).passed
