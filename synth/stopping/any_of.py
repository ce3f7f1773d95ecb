"""Several rules at once: stop as soon as one of them stops."""

from dataclasses import dataclass

from winnow.synth.stopping.base import Rule, Tally


@dataclass(frozen=True)
class AnyOf:
    """Stops where any of the rules stops; the reason is that of the first one that does.

    Raises ValueError without rules.
    """

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("any_of needs at least one rule")

    def more(self, tally: Tally) -> int:
        return min(rule.more(tally) for rule in self.rules)

    def reason(self, tally: Tally) -> str:
        return next((reason for rule in self.rules if (reason := rule.reason(tally))), "")
