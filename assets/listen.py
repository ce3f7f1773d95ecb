"""A stage's progress in the log of a Dagster run."""

import logging
import time

from winnow.pipeline.progress import Step

EVERY_SECONDS = 10.0


class LogProgress:
    """Tells at most every ten seconds per stage, and when the last row is done."""

    def __init__(self, log: logging.Logger, every_seconds: float = EVERY_SECONDS) -> None:
        self._log, self._every = log, every_seconds
        self._began: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def note(self, text: str) -> None:
        self._log.info(text)

    def step(self, step: Step) -> None:
        now = time.monotonic()
        began = self._began.setdefault(step.stage, now)
        last = self._told.setdefault(step.stage, began)
        if step.done < step.total and now - last < self._every:
            return
        self._told[step.stage] = now
        self._log.info(_line(step, now - began))


def _line(step: Step, seconds: float) -> str:
    parts = [f"{step.stage}: {step.done:,} of {step.total:,} {step.unit}"]
    parts += [_figure(name, value) for name, value in step.numbers.items()]
    if 0 < step.done < step.total:
        parts.append(f"{_duration(seconds / step.done * (step.total - step.done))} left")
    return ", ".join(parts)


def _figure(name: str, value: float) -> str:
    if name == "tokens_per_second":
        return f"{value:,.0f} tokens/s"
    if name == "pass_rate":
        return f"pass rate {value:.2f}"
    return f"{name.replace('_', ' ')} {value:g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{rest:02} min"
