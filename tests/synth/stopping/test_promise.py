"""What every rule promises: `more` is the length of the shortest continuation that stops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.synth.stopping.walks import RIGHT, UNJUDGED, WRONG, fewest, tally_of
from winnow.synth.stopping.any_of import AnyOf
from winnow.synth.stopping.base import Answer, Rule, Tally, stopped
from winnow.synth.stopping.calibrated import calibrated
from winnow.synth.stopping.cap import Cap
from winnow.synth.stopping.fixed import Fixed
from winnow.synth.stopping.guaranteed import guaranteed
from winnow.synth.stopping.majority import Majority
from winnow.synth.stopping.until_k_correct import UntilKCorrect

VERDICTS = (RIGHT, WRONG, UNJUDGED)
TOKENS = tuple(Answer("correct", n) for n in (0, 1, 3))
VOTES = tuple(Answer("unjudged", extracted=a) for a in ("a", "b", "c", None))

CALIBRATED = calibrated(12, band=(0.2, 0.8), error=0.16, hopeless=0.1, solved=0.9, surely=0.9)
NARROW = calibrated(12, prior=(1, 1), width=0.5)
GUARANTEED = guaranteed(12, alpha=0.5, band=(0.3, 0.7), width=0.7)

RULES: dict[str, tuple[Rule, tuple[Answer, ...]]] = {
    "fixed": (Fixed(5), VERDICTS),
    "until_k": (UntilKCorrect(3, 7), VERDICTS),
    "until_k_strict": (UntilKCorrect(2, official_strict=True), VERDICTS),
    "until_0": (UntilKCorrect(0, official_strict=True), VERDICTS),
    "cap": (Cap(6), VERDICTS),
    "cap_tokens": (Cap(max_tokens=7, longest=3), TOKENS),
    "cap_both": (Cap(4, 8, 3), TOKENS),
    "majority": (Majority(7), VOTES),
    "majority_confident": (Majority(9, confidence=0.9), VOTES),
    "calibrated": (CALIBRATED, VERDICTS),
    "narrow": (NARROW, VERDICTS),
    "guaranteed": (GUARANTEED, VERDICTS),
    "any_of": (AnyOf((UntilKCorrect(4), CALIBRATED, Cap(9))), VERDICTS),
    "any_of_tokens": (AnyOf((UntilKCorrect(5), Cap(max_tokens=9, longest=3))), TOKENS),
}
SEQUENCES = st.lists(st.integers(0, 3), max_size=14)


def stops(rule: Rule, tally: Tally) -> bool:
    return rule.reason(tally) != ""


@pytest.mark.parametrize("name", RULES)
@given(picks=SEQUENCES)
def test_no_stop_is_missed(name: str, picks: list[int]) -> None:
    rule, alphabet = RULES[name]
    answers = [alphabet[pick % len(alphabet)] for pick in picks]
    tallies = [tally_of(answers[:n]) for n in range(len(answers) + 1)]
    for n, tally in enumerate(tallies):
        more = rule.more(tally)
        assert more >= 0
        assert (more == 0) == stops(rule, tally)
        assert not any(stops(rule, each) for each in tallies[n : n + more])
    first = next((n for n, tally in enumerate(tallies) if stops(rule, tally)), len(answers))
    assert stopped(rule, answers) == tallies[first]


@pytest.mark.parametrize("name", RULES)
@given(picks=SEQUENCES)
def test_more_is_the_fewest(name: str, picks: list[int]) -> None:
    rule, alphabet = RULES[name]
    tally = tally_of(alphabet[pick % len(alphabet)] for pick in picks)
    found = fewest(lambda each: stops(rule, each), tally, alphabet, 5)
    assert min(rule.more(tally), 6) == found
