"""The majority rule against every continuation, and Adaptive-Consistency's stop."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.synth.stopping.walks import tally_of
from winnow.synth.stopping.base import Answer, Tally
from winnow.synth.stopping.majority import Majority, leading


def votes(texts: str) -> Tally:
    """One answer for each character, nothing extracted for a dot."""
    return tally_of(Answer("unjudged", extracted=None if t == "." else t) for t in texts)


@given(st.text("abc.", max_size=7), st.integers(1, 8))
def test_settled_is_what_no_continuation_changes(seen: str, cap: int) -> None:
    tally = votes(seen)
    left = cap - len(seen)
    finals = {
        leading(votes(seen + "".join(rest)))
        for rest in itertools.product("abcd.", repeat=min(max(left, 0), 5))
    }
    if 0 < left <= 5:
        settled = Majority(cap).reason(tally) == "majority_settled"
        assert settled == (len(finals) == 1 and None not in finals)


def test_vectors() -> None:
    assert Majority(5).more(votes("")) == 3
    assert Majority(5).reason(votes("aaa")) == "majority_settled"
    assert Majority(5).more(votes("aab")) == 1
    assert Majority(5).reason(votes("aaab")) == "majority_settled"
    assert Majority(4).reason(votes("aab")) == "majority_settled", "a was seen first: it wins a tie"
    assert Majority(4).reason(votes("baa")) == "", "b may draw level, and was seen first"
    assert Majority(3).reason(votes("...")) == "max_answers"


def test_the_first_seen_of_equals_leads() -> None:
    assert leading(votes(".abba")) == "a"
    assert leading(votes("abb")) == "b"
    assert leading(votes("..")) is None


@given(st.text("abc.", max_size=9), st.sampled_from([0.8, 0.9, 0.95]))
def test_confidence_against_the_binomial_tail(seen: str, confidence: float) -> None:
    """P(p > 1/2) for p ~ Beta(L + 1, R + 1) is P(at most L of L + R + 1 fair coins are heads)."""
    tally = votes(seen)
    counts = sorted(tally.answers.values(), reverse=True)
    most, second = ([*counts, 0, 0])[:2]
    n = most + second + 1
    sure = sum(math.comb(n, i) for i in range(most + 1)) / 2**n
    found = Majority(1000, confidence).reason(tally) == "majority_confident"
    assert found == (sure >= confidence)


def test_confidence_vector() -> None:
    """Four equal answers: P = 1 - 2^-5 = 0.969; three: 0.9375."""
    assert Majority(40, 0.95).reason(votes("aaaa")) == "majority_confident"
    assert Majority(40, 0.95).reason(votes("aaa")) == ""
    assert Majority(40, 0.95).more(votes("aaa")) == 1
    assert Majority(40).more(votes("aaaa")) == 16


def test_parameters_without_sense() -> None:
    with pytest.raises(ValueError, match="max_answers"):
        Majority(0)
    for confidence in (0.5, 1.0):
        with pytest.raises(ValueError, match="confidence"):
            Majority(3, confidence)
