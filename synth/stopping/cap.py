"""A task's budget in answers and tokens."""

from dataclasses import dataclass

from winnow.synth.stopping.base import Tally


@dataclass(frozen=True)
class Cap:
    """Stops at `max_answers` drawn answers, or once they hold `max_tokens` tokens or more.

    `longest` is the limit on the tokens of one answer: so many answers as cannot spend the budget
    yet may be drawn at once. The last answer may go over `max_tokens`, by less than `longest`.

    Raises ValueError for no limit at all, a limit below 1, and max_tokens without longest.
    """

    max_answers: int | None = None
    max_tokens: int | None = None
    longest: int | None = None

    def __post_init__(self) -> None:
        if self.max_answers is None and self.max_tokens is None:
            raise ValueError("a cap needs max_answers or max_tokens")
        if self.max_tokens is not None and self.longest is None:
            raise ValueError("max_tokens needs longest, the limit on the tokens of one answer")
        for name in ("max_answers", "max_tokens", "longest"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} ({value}) must be at least 1")

    def more(self, tally: Tally) -> int:
        left: list[int] = []
        if self.max_answers is not None:
            left.append(self.max_answers - tally.drawn)
        if self.max_tokens is not None and self.longest is not None:
            left.append(-((tally.tokens - self.max_tokens) // self.longest))  # rounded up
        return max(min(left), 0)

    def reason(self, tally: Tally) -> str:
        if self.max_answers is not None and tally.drawn >= self.max_answers:
            return "max_answers"
        if self.max_tokens is not None and tally.tokens >= self.max_tokens:
            return "max_tokens"
        return ""
