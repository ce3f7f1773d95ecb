"""Stop once the pass rate is known well enough: a look-up in a table over (correct, wrong).

`calibrated.calibrated` and `guaranteed.guaranteed` make the table, in well under a second; all tasks
of a recipe share it. Unjudged answers count neither way, but they are drawn: `max_answers` counts
them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from winnow.synth.stopping.base import Tally
from winnow.synth.stopping.counts import Bools, check_cap, fewest_further

Side = Literal["below_band", "in_band", "above_band"]
Reason = Literal["hopeless", "solved", "below_band", "in_band", "above_band", "narrow"]

# Of several reasons the first is given. Tables hold their codes, 0 for none.
REASONS: tuple[Reason, ...] = (
    "hopeless", "solved", "below_band", "in_band", "above_band", "narrow",
)  # fmt: skip
_CODE = {reason: code for code, reason in enumerate(REASONS, start=1)}
_SIDES: dict[int, Side] = {
    _CODE["below_band"]: "below_band", _CODE["in_band"]: "in_band", _CODE["above_band"]: "above_band",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Interval:
    """A rule over the numbers of right and wrong answers.

    `stops` (max_answers + 1, max_answers + 1), indexed [judged, correct], holds the code of the
    reason to stop, 0 to go on; `sides` that of the band decision that would be taken there, 0 where
    there is none; `further` the fewest further judged answers until it could stop.
    """

    stops: NDArray[np.int8]
    sides: NDArray[np.int8]
    further: NDArray[np.int32]

    @classmethod
    def where(
        cls, max_answers: int, reasons: Mapping[Reason, Bools], sides: Mapping[Side, Bools]
    ) -> "Interval":
        """From tables of where each reason to stop holds, and each decision."""
        shape = (check_cap(max_answers) + 1,) * 2
        stops, decided = np.zeros(shape, np.int8), np.zeros(shape, np.int8)
        for reason in reversed(REASONS):
            if reason in reasons:
                stops[reasons[reason]] = _CODE[reason]
        for side, holds in sides.items():
            decided[holds] = _CODE[side]
        stops, decided = np.tril(stops), np.tril(decided)  # the rest means nothing
        return cls(stops, decided, fewest_further(stops != 0))

    @property
    def max_answers(self) -> int:
        return len(self.stops) - 1

    def says(self, side: Side) -> Bools:
        """Where the band decision would be this one."""
        return self.sides == _CODE[side]

    def stops_because(self, reason: Reason) -> Bools:
        """Where this is the reason to stop."""
        return self.stops == _CODE[reason]

    def more(self, tally: Tally) -> int:
        left = self.max_answers - tally.drawn
        if left <= 0:
            return 0
        return min(self.further.item(tally.judged, tally.correct), left)

    def reason(self, tally: Tally) -> str:
        """`max_answers` where it stops only because that many are drawn."""
        if tally.judged <= self.max_answers:
            code = self.stops.item(tally.judged, tally.correct)
            if code:
                return REASONS[code - 1]
        return "max_answers" if tally.drawn >= self.max_answers else ""

    def decision(self, tally: Tally) -> Side | None:
        """On which side the task is where the rule has stopped; None where that is not known.

        Raises ValueError for more judged answers than the table has.
        """
        if tally.judged > self.max_answers:
            raise ValueError(
                f"{tally.judged} judged answers, but the rule stops at {self.max_answers}"
            )
        return _SIDES.get(self.sides.item(tally.judged, tally.correct))
