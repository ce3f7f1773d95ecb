"""Tallies, and walking a sequence to where a rule stops."""

from hypothesis import given
from hypothesis import strategies as st

from tests.synth.stopping.walks import CUT, RIGHT, UNJUDGED, WRONG, tally_of
from winnow.synth.stopping.base import Answer, Tally, stopped
from winnow.synth.stopping.fixed import Fixed

ANSWERS = st.builds(
    Answer,
    st.sampled_from(["correct", "wrong", "unjudged"]),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from([None, "a", "b", "c"]),
)


@given(st.lists(ANSWERS, max_size=20))
def test_a_tally_counts(answers: list[Answer]) -> None:
    tally = tally_of(answers)
    verdicts = [answer.verdict for answer in answers]
    assert tally.drawn == len(answers)
    assert (tally.correct, tally.wrong, tally.unjudged) == tuple(
        verdicts.count(v) for v in ("correct", "wrong", "unjudged")
    )
    assert tally.judged == len(answers) - tally.unjudged
    assert tally.truncated == sum(a.truncated and a.verdict == "unjudged" for a in answers)
    assert tally.tokens == sum(answer.n_tokens for answer in answers)
    extracted = [a.extracted for a in answers if a.extracted is not None]
    assert list(tally.answers.items()) == [
        (a, extracted.count(a)) for a in dict.fromkeys(extracted)
    ]


def test_adding_leaves_the_tally_as_it_was() -> None:
    before = Tally().add(Answer("correct", 5, extracted="a"))
    after = before.add(Answer("wrong", 2, extracted="a"))
    assert before == Tally(1, 1, 0, 0, 0, 5, {"a": 1})
    assert after == Tally(2, 1, 1, 0, 0, 7, {"a": 2})
    assert before.add(CUT) == Tally(2, 1, 0, 1, 1, 5, {"a": 1})


def test_stopped() -> None:
    answers = [RIGHT, UNJUDGED, WRONG, WRONG]
    assert stopped(Fixed(3), answers) == Tally(3, 1, 1, 1)
    assert stopped(Fixed(9), answers) == Tally(4, 1, 2, 1), "it goes on after the last"
    assert stopped(Fixed(1), []) == Tally()


def test_stopped_takes_no_more_than_it_needs() -> None:
    source = iter([RIGHT, WRONG, RIGHT])
    stopped(Fixed(2), source)
    assert list(source) == [RIGHT]
