"""Fixed n, DART's rule against `dart.stop_reason`, caps, and several rules at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.synth.stopping.walks import counted
from winnow.pipeline.estimate.dart import stop_reason
from winnow.synth.stopping.any_of import AnyOf
from winnow.synth.stopping.base import Tally
from winnow.synth.stopping.cap import Cap
from winnow.synth.stopping.fixed import Fixed
from winnow.synth.stopping.until_k_correct import UntilKCorrect

WORDS = {"max_n_trials": "max_answers", "max_n_corrects": "enough_correct", "": ""}
COUNT = st.integers(0, 12)


def test_fixed_counts_unjudged_answers() -> None:
    rule = Fixed(4)
    assert [rule.more(counted(1, 1, n)) for n in range(4)] == [2, 1, 0, 0]
    assert rule.reason(counted(1, 1, 1)) == ""
    assert rule.reason(counted(1, 1, 2)) == "enough_answers"


@given(COUNT, COUNT, COUNT, st.integers(1, 12), st.none() | st.integers(1, 30), st.booleans())
def test_until_k_is_darts_rule(
    correct: int, wrong: int, unjudged: int, k: int, most: int | None, strict: bool
) -> None:
    tally = counted(correct, wrong, unjudged)
    official = stop_reason(
        tally.drawn, correct, max_trials=most, min_correct=k, official_strict=strict
    )
    assert UntilKCorrect(k, most, strict).reason(tally) == WORDS[str(official)]


def test_until_k_vectors() -> None:
    assert UntilKCorrect(5).more(counted(3, 9)) == 2
    assert UntilKCorrect(5, 13).more(counted(3, 9)) == 1
    assert UntilKCorrect(5, official_strict=True).more(counted(3, 9)) == 3
    assert UntilKCorrect(0).reason(Tally()) == "enough_correct", "a target of 0 wants nothing"
    assert UntilKCorrect(0, official_strict=True).more(Tally()) == 0


def test_cap_vectors() -> None:
    cap = Cap(10, 100, 40)
    assert cap.more(Tally(drawn=2, tokens=0)) == 3, "two answers cannot hold 100 tokens"
    assert cap.more(Tally(drawn=2, tokens=20)) == 2
    assert cap.more(Tally(drawn=9, tokens=20)) == 1
    assert cap.more(Tally(drawn=2, tokens=99)) == 1
    assert cap.reason(Tally(drawn=2, tokens=99)) == ""
    assert cap.reason(Tally(drawn=2, tokens=100)) == "max_tokens"
    assert cap.reason(Tally(drawn=10, tokens=100)) == "max_answers"
    assert cap.more(Tally(drawn=12, tokens=300)) == 0


def test_any_of_gives_the_first_reason() -> None:
    rule = AnyOf((UntilKCorrect(2), Cap(3)))
    assert rule.more(counted(0, 0)) == 2
    assert rule.more(counted(0, 2)) == 1
    assert rule.reason(counted(2, 1)) == "enough_correct"
    assert rule.reason(counted(1, 2)) == "max_answers"
    assert rule.reason(counted(1, 1)) == ""


def test_parameters_without_sense() -> None:
    with pytest.raises(ValueError, match="n "):
        Fixed(0)
    with pytest.raises(ValueError, match="k "):
        UntilKCorrect(-1)
    with pytest.raises(ValueError, match="max_trials"):
        UntilKCorrect(1, 0)
    with pytest.raises(ValueError, match="max_answers or max_tokens"):
        Cap(longest=5)
    with pytest.raises(ValueError, match="longest"):
        Cap(max_tokens=5)
    with pytest.raises(ValueError, match="max_answers"):
        Cap(0)
    with pytest.raises(ValueError, match="at least one rule"):
        AnyOf(())
