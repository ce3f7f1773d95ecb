"""How much may be selected: rows, a share of the rows, or tokens."""

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Literal, SupportsIndex

from winnow.pipeline.errors import UsageError

_ROUNDING = 2.0**-51  # relative: 0.29 of 100 rows comes out a little below 29

Unit = Literal["rows", "share", "tokens"]


@dataclass(frozen=True)
class Budget:
    """`amount` of `unit`: a number of rows, a share of all rows of the input, or a number of tokens."""

    amount: float
    unit: Unit

    def __post_init__(self) -> None:
        if not 0 <= self.amount < math.inf:
            raise UsageError(f"a budget of {self.amount} {self.unit} makes no sense")
        if self.unit == "share" and self.amount > 1:
            raise UsageError(
                f"a budget of {self.amount} is a share (it has a decimal point) above 1.0; "
                f"write {self.amount:.0f} for a number of rows"
            )

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """`1000` is rows, `0.1` a share (`1.0` is all), `50000tok` tokens. Raises UsageError."""
        word = text.strip().replace("_", "")
        try:
            if word.endswith("tok"):
                return cls(int(word.removesuffix("tok")), "tokens")
            if "." in word or "e" in word.lower():
                return cls(float(word), "share")
            return cls(int(word), "rows")
        except ValueError:
            raise UsageError(
                f"budget {text!r}: write a number of rows (1000), a share with a decimal point (0.1), "
                "or tokens (50000tok)"
            ) from None

    def rows(self, pool: int) -> int | None:
        """Rows that it allows of an input of `pool` rows; None for tokens."""
        if self.unit == "tokens":
            return None
        if self.unit == "share":
            share = self.amount * pool
            return math.floor(share + share * _ROUNDING)
        return int(self.amount)


def read_budget(budget: "Budget | str | float | SupportsIndex | None") -> Budget | None:
    """A budget as people write it: text, an int (numpy's too) for rows, a float for a share."""
    if budget is None or isinstance(budget, Budget):
        return budget
    if isinstance(budget, str):
        return Budget.parse(budget)
    if isinstance(budget, bool):
        raise UsageError(f"a budget of {budget} makes no sense")
    if isinstance(budget, Integral):
        return Budget(int(budget), "rows")
    return Budget(float(budget), "share")
