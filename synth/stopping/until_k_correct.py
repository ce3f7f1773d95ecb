"""DART's rejection sampling: until k answers are right (arXiv 2407.13690).

The targets k come from outside: `winnow.pipeline.estimate.dart.uniform_targets`, or
`prop2diff_targets` of a pilot's fail rates; the pilot's answers are the first of the tally and so
count towards k and the trials. The rule is that of `dart.stop_reason`, here with the number of
answers that must still come: at least k less those that are right, as every answer might be.
"""

from dataclasses import dataclass

from winnow.synth.stopping.base import Tally


@dataclass(frozen=True)
class UntilKCorrect:
    """Stops at `max_trials` drawn answers, or at k right ones.

    With `official_strict` at k + 1, the comparison (more than k) of the authors' code. k = 0, a target
    of Prop2Diff without cover, wants nothing and stops at once; in the authors' code 0 is no limit.
    Without `max_trials` a task that is never solved goes on for ever: combine it with a cap.

    Raises ValueError for a k below 0 and max_trials below 1.
    """

    k: int
    max_trials: int | None = None
    official_strict: bool = False

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"k ({self.k}) must be at least 0")
        if self.max_trials is not None and self.max_trials < 1:
            raise ValueError(f"max_trials ({self.max_trials}) must be at least 1")

    def more(self, tally: Tally) -> int:
        missing = self._wanted() - tally.correct
        if self.max_trials is not None:
            missing = min(missing, self.max_trials - tally.drawn)
        return max(missing, 0)

    def reason(self, tally: Tally) -> str:
        if self.max_trials is not None and tally.drawn >= self.max_trials:
            return "max_answers"
        return "enough_correct" if tally.correct >= self._wanted() else ""

    def _wanted(self) -> int:
        return self.k + 1 if self.official_strict and self.k > 0 else self.k
