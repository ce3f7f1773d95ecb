"""What a selector is.

A selector says which columns it reads and turns a pool of rows into a `Choice`: an order of
preference over the rows that qualify, and reasons for those that do not. `run.select` does the
rest, the same for all: it checks the input, presents the rows sorted by `row_id` with the declared
columns only (so that neither the order of the rows nor other columns can matter), sets aside rows
that lack a value, cuts the order at the budget, and gives one row of output per row of input. A table
without `row_id` has its rows named by their texts (`rows.TEXTS`), which then decide ties and draws.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool

Kind = Literal["number", "integer", "flag", "text", "vector", "numbers", "texts", "any"]


@dataclass(frozen=True)
class Column:
    """A column that a selector reads.

    A row that lacks the value (null, NaN, infinite) is not selected, with the reason `no_<name>`;
    where `nulls` are allowed the selector sees NaN or None instead. An `optional` column may be
    missing from the table (`pool.has`). Kinds, as `Pool` gives them: number float64, integer int64,
    flag bool, text str, vector float32 of one length, numbers a list of float64, texts a list of
    str, any whatever Arrow gives.
    """

    name: str
    kind: Kind
    meaning: str
    optional: bool = False
    nulls: bool = False


@dataclass(frozen=True, eq=False)
class Choice:
    """What a selector makes of a pool of n rows.

    `order`: indices of the rows that may be selected, best first; of a budget of k rows the first k
    are. `score` (n,) float64, NaN where a row has none. `count`: how many of `order` are selected
    where no budget is given (all, if None). `reason` (n,): a short code why a row does not qualify,
    or what speaks for it; None where there is nothing to say. `weight` (n,): training weight, 1 if
    None. `columns`: values (n,) of the selector's own columns. `unit`, as long as `order`: entries
    with one number stand together and are selected together or not at all (the two sides of a
    pair).
    """

    order: NDArray[np.int64]
    score: NDArray[np.float64]
    count: int | None = None
    reason: Sequence[str | None] | None = None
    weight: NDArray[np.float64] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    unit: NDArray[np.int64] | None = None


P = TypeVar("P", bound=Parameters)


class Selector(ABC, Generic[P]):
    """Chooses rows. The first line of the docstring is what `winnow selectors` lists.

    `own` is the schema of the columns that it adds beside the common ones; each field's metadata
    `meaning` says what it holds (`schema.column`). `needs_budget`: whether no rule of its own says
    how much to take. `version`: raise it whenever a choice could change.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    version: ClassVar[str] = "1"
    needs_budget: ClassVar[bool] = False
    own: ClassVar[pa.Schema] = pa.schema([])
    parameters: type[P]

    @abstractmethod
    def inputs(self, parameters: P) -> Sequence[Column]:
        """The columns that it reads under these parameters."""

    @abstractmethod
    def choose(self, pool: Pool, room: int | None, parameters: P) -> Choice:
        """Choose from a pool of at least one row, all of them usable.

        `room`: rows that the budget allows, at most len(pool); None where there is no budget. For a
        budget in tokens it is how many rows of mean length those buy: the first `room` rows of the
        order should be a good choice of that size, and the rest is cut or added in its order.
        Raises UsageError where the values admit no answer.
        """
