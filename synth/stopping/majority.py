"""Self-consistency: the most frequent answer, which needs no reference (Wang et al. 2022, arXiv
2203.11171), drawn only until it is settled.

Equal answers are equal extracted texts. Of equally frequent ones the first seen leads. An answer from
which nothing was extracted is drawn but votes for nothing.
"""

from dataclasses import dataclass
from functools import cache

from winnow.synth.stopping.base import Tally


@dataclass(frozen=True)
class Majority:
    """Stops once the answer that leads would lead at `max_answers` too, whatever else is drawn.

    It changes no result of drawing them all. With `confidence` it also stops, as Adaptive-Consistency
    does (Aggarwal et al. 2023, arXiv 2305.11860), where the leader with L votes beats the runner-up
    with R surely enough:

        P(p > 1/2) >= confidence,  p ~ Beta(L + 1, R + 1)

    the posterior of the leader's share of the two under a uniform prior (published: 0.95). That can
    change a result.

    Raises ValueError for max_answers below 1, and a confidence not above 1/2 and below 1.
    """

    max_answers: int
    confidence: float | None = None

    def __post_init__(self) -> None:
        if self.max_answers < 1:
            raise ValueError(f"max_answers ({self.max_answers}) must be at least 1")
        if self.confidence is not None and not 0.5 < self.confidence < 1:
            raise ValueError(f"confidence ({self.confidence}) must be above 1/2 and below 1")

    def more(self, tally: Tally) -> int:
        """Soonest by answers that all vote for the leader."""
        left = self.max_answers - tally.drawn
        if left <= 0:
            return 0
        # One more vote for the leader, and one answer less for a rival: two steps at once.
        fewest = min(-(-_overtaking(tally, left) // 2), left)
        if self.confidence is not None:
            leader, runner_up = _leading_counts(tally)
            fewest = min(fewest, _votes_wanted(runner_up, self.confidence) - leader)
        return max(fewest, 0)

    def reason(self, tally: Tally) -> str:
        if tally.drawn >= self.max_answers:
            return "max_answers"
        if _overtaking(tally, self.max_answers - tally.drawn) <= 0:
            return "majority_settled"
        return "majority_confident" if self.more(tally) == 0 else ""


def leading(tally: Tally) -> str | None:
    """The most frequent answer, the first seen of equals; None where nothing was extracted."""
    return max(tally.answers, key=lambda answer: tally.answers[answer], default=None)


def _overtaking(tally: Tally, left: int) -> int:
    """How far rivals could get past the leader with all `left` answers; 0 or less: none can."""
    leader = leading(tally)
    if leader is None:
        return left
    votes, seen_leader = tally.answers[leader], False
    worst = left - votes  # by an answer that nobody has given yet
    for answer, count in tally.answers.items():
        if answer == leader:
            seen_leader = True
        else:
            # A rival that was seen first leads from a tie on.
            worst = max(worst, count + left - votes + (not seen_leader))
    return worst


def _leading_counts(tally: Tally) -> tuple[int, int]:
    first, second = 0, 0
    for count in tally.answers.values():
        if count > first:
            first, second = count, first
        elif count > second:
            second = count
    return first, second


@cache
def _votes_wanted(runner_up: int, confidence: float) -> int:
    """The fewest votes that beat the runner-up's with this posterior probability."""
    from scipy.special import betainc

    votes = runner_up
    # The probability that the leader's share is at most 1/2.
    while betainc(votes + 1, runner_up + 1, 0.5) > 1 - confidence:
        votes += 1
    return votes
