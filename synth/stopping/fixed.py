"""The same number of answers for every task, which all other rules are measured against."""

from dataclasses import dataclass

from winnow.synth.stopping.base import Tally


@dataclass(frozen=True)
class Fixed:
    """Stops at n drawn answers, judged or not. Raises ValueError for n below 1."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n ({self.n}) must be at least 1")

    def more(self, tally: Tally) -> int:
        return max(self.n - tally.drawn, 0)

    def reason(self, tally: Tally) -> str:
        return "enough_answers" if tally.drawn >= self.n else ""
