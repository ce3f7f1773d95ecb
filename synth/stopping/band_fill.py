"""Stop the whole run once enough tasks are in the band, the cheapest first (for RL sets).

Each task has its own `interval` rule. Of a task about which it is still undecided the rule's table
tells, under the prior,

    S(c, w)   the chance that it ends in the band
    A(c, w)   how many further judged answers that takes, in the mean

and the tasks with the fewest expected tokens per task that ends in the band come first:
A t / S, where t is what a judged answer of this task costs. A task whose answers turn out bad falls
behind others by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from winnow.synth.stopping.base import Tally
from winnow.synth.stopping.counts import Floats, Prior, check_prior, next_correct
from winnow.synth.stopping.interval import Interval


@dataclass(frozen=True, eq=False)
class BandFill:
    """`wanted` tasks in the band; `expected_answers` and `chance_inside` are the tables A and S."""

    wanted: int
    rule: Interval
    expected_answers: Floats
    chance_inside: Floats

    @classmethod
    def of(cls, wanted: int, rule: Interval, prior: Prior) -> "BandFill":
        """`prior` is that of the tasks' pass rates. Raises ValueError for fewer than one task, and a
        rule that never says that a task is in the band."""
        if wanted < 1:
            raise ValueError(f"wanted ({wanted}) must be at least 1")
        answers, inside = forecast(rule, check_prior(prior))
        if inside[0, 0] == 0:
            raise ValueError("the rule never finds a task in the band: give it a band")
        return cls(wanted, rule, answers, inside)

    def filled(self, decisions: Sequence[str]) -> bool:
        """Whether enough tasks are surely in the band. `decisions` holds each task's reason to stop,
        "" where it goes on; a task that only ran out of answers is not surely in."""
        return sum(reason == "in_band" for reason in decisions) >= self.wanted

    def cost(self, tally: Tally, tokens_per_answer: float) -> float:
        """Expected further tokens for each task in the band, of tasks like this one; infinite where
        none can end there. It changes with the task's own answers alone, as a heap needs it.

        `tokens_per_answer`, of all tasks, stands for one judged answer of this task beside its own;
        what unjudged answers cost is charged to the judged ones.
        """
        if tally.judged >= self.rule.max_answers:
            return np.inf
        chance = self.chance_inside.item(tally.judged, tally.correct)
        answers = self.expected_answers.item(tally.judged, tally.correct)
        tokens = (tally.tokens + tokens_per_answer) / (tally.judged + 1)
        return answers * tokens / chance if chance > 0 else np.inf

    def order(
        self, tallies: Sequence[Tally], decisions: Sequence[str], tokens_per_answer: float
    ) -> list[int]:
        """Indices of the undecided tasks, the cheapest first, equal ones in their order.

        Which is cheapest can change with any answer, sooner than the rule could stop.
        """
        open_ = [i for i, reason in enumerate(decisions) if not reason]
        return sorted(open_, key=lambda i: self.cost(tallies[i], tokens_per_answer))


def forecast(rule: Interval, prior: Prior) -> tuple[Floats, Floats]:
    """Tables A and S: with q the posterior mean of the pass rate, where the rule goes on

        A[n, c] = 1 + q A[n + 1, c + 1] + (1 - q) A[n + 1, c],   S the same without the 1

    and where it stops A = 0, and S = 1 where it stops because the task is in the band, else 0.
    """
    stops = rule.stops != 0
    inside = rule.stops_because("in_band").astype(np.float64)
    answers = np.zeros(stops.shape)
    q = next_correct(rule.max_answers, prior)
    for n in range(rule.max_answers - 1, -1, -1):
        row, right = slice(0, n + 1), slice(1, n + 2)
        on = ~stops[n, row]
        for table, step in ((answers, 1.0), (inside, 0.0)):
            ahead = step + q[n, row] * table[n + 1, right] + (1 - q[n, row]) * table[n + 1, row]
            table[n, row] = np.where(on, ahead, table[n, row])
    return answers, inside
