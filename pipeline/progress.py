"""How a stage tells what it is doing, whoever listens (a terminal, Dagster's log, nobody)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Step:
    """One report. `done` and `total` count `unit`; `numbers` are running figures by name."""

    stage: str
    done: int
    total: int
    unit: str = "rows"
    numbers: Mapping[str, float] = field(default_factory=dict)


def figure(name: str, value: float) -> str:
    """A running figure in words."""
    if name == "tokens_per_second":
        return f"{value:,.0f} tokens/s"
    if name == "pass_rate":
        return f"pass rate {value:.2f}"
    said = f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
    return f"{name.replace('_', ' ')} {said}"


class Progress(Protocol):
    """Listens to a run. A stage may report as often as it likes; the listener thins out."""

    def step(self, step: Step) -> None: ...

    def note(self, text: str) -> None:
        """One line worth telling (a model is being loaded, a lock is being waited for)."""
        ...


class Silent:
    """Tells nobody."""

    def step(self, step: Step) -> None:
        del step

    def note(self, text: str) -> None:
        del text
