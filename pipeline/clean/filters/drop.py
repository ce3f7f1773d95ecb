"""What a filter says about a row that it drops."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Drop:
    """The ledger's columns: `value` is what was found, `threshold` what was asked for."""

    rule: str
    value: str | None = None
    threshold: str | None = None
    detail: str | None = None
