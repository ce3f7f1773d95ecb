"""Sequences of answers, and what a rule promises about them by trying every continuation."""

from collections.abc import Callable, Iterable, Sequence

from winnow.synth.stopping.base import Answer, Tally

RIGHT, WRONG = Answer("correct"), Answer("wrong")
UNJUDGED, CUT = Answer("unjudged"), Answer("unjudged", truncated=True)


def tally_of(answers: Iterable[Answer]) -> Tally:
    tally = Tally()
    for answer in answers:
        tally = tally.add(answer)
    return tally


def counted(correct: int, wrong: int, unjudged: int = 0) -> Tally:
    return Tally(correct + wrong + unjudged, correct, wrong, unjudged)


def fewest(
    stops: Callable[[Tally], bool], tally: Tally, alphabet: Sequence[Answer], most: int
) -> int:
    """The length of the shortest continuation that stops, by breadth-first search; `most` + 1 where
    none of at most that length does."""
    front = [tally]
    for length in range(most + 1):
        if any(stops(each) for each in front):
            return length
        front = [each.add(answer) for each in front for answer in alphabet]
    return most + 1
