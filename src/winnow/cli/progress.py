"""A run on the terminal: one bar per stage that takes time, with what is left of it."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from winnow.cli.common import plain
from winnow.pipeline.progress import Step, figure


class TerminalProgress:
    """Shows bars with ETA, tokens/s and the running pass rate; plain lines where there is no tty."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True, markup=False, highlight=False)
        self._bars: Any = None
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<12}", markup=False),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}", markup=False),
                console=self._console,
            )
        self._tasks: dict[str, Any] = {}
        self._told: dict[str, float] = {}
        self._began: dict[str, tuple[float, int]] = {}  # when first told of, and what was done

    def __enter__(self) -> Self:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def note(self, text: str) -> None:
        self._console.print(f"· {plain(text)}", style="dim", soft_wrap=True)

    def step(self, step: Step) -> None:
        figures = "  ".join(figure(name, value) for name, value in step.numbers.items())
        if self._bars:
            if step.stage not in self._tasks:
                self._tasks[step.stage] = self._bars.add_task(
                    step.stage, total=step.total, unit=step.unit, figures=figures
                )
            self._bars.update(self._tasks[step.stage], completed=step.done, figures=figures)
            return
        now = time.monotonic()
        began, before = self._began.setdefault(step.stage, (now, step.done))
        if step.done < step.total and now - self._told.get(step.stage, 0.0) < 10:
            return
        self._told[step.stage] = now
        left = ""
        if before < step.done < step.total:
            seconds = (now - began) / (step.done - before) * (step.total - step.done)
            left = f", {seconds:.0f} s left"
        line = f"{step.stage}: {step.done}/{step.total} {step.unit}{left}  {figures}"
        print(line.rstrip(), file=sys.stderr)
