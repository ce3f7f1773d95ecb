"""A stage's progress in the log of a Dagster run."""

import time
from collections.abc import Callable

from winnow.pipeline.progress import Step, figure

EVERY_SECONDS = 10.0


class LogProgress:
    """Says at most every ten seconds per stage how far it is, and when the last row is done."""

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._clock = say, clock
        self._began: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def note(self, text: str) -> None:
        self._say(text)

    def step(self, step: Step) -> None:
        now = self._clock()
        began = self._began.setdefault(step.stage, now)
        last = self._told.setdefault(step.stage, began)
        if step.done < step.total and now - last < EVERY_SECONDS:
            return
        self._told[step.stage] = now
        self._say(_line(step, now - began))


def _line(step: Step, seconds: float) -> str:
    parts = [f"{step.stage}: {step.done:,} of {step.total:,} {step.unit}"]
    parts += [figure(name, value) for name, value in step.numbers.items()]
    if 0 < step.done < step.total:
        parts.append(f"{_duration(seconds / step.done * (step.total - step.done))} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{rest:02} min"
