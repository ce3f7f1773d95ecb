"""Selectors one after the other, each over what the one before has selected.

`steps` is a list of {name, budget, parameters}: the name of a selector, how much it may select (rows
as a whole number, a share of the rows that it sees with a decimal point, or text such as
"50000tok"; none: what its rule gives), and its parameters. A step sees the rows that the step
before selected, in canonical order, as if they were the whole table. The budget of the whole
replaces that of the last step.

The inputs are those of all steps; a row that lacks a value that any of them needs takes part in
none. Score, rank and weight are the last step's, the weights multiplied with those of the steps
before. The reason names the step, from 1: `1:pass_rate:below_band`; a row that qualified for a step
and fell to its budget has `1:kmeans:budget`, to its own rule's number `1:kmeans:not_chosen`. A row
that falls to the budget of the whole has `budget`, as with any selector.

All steps draw with the seed of the whole. A selector that stands in `steps` again draws with one made
from it: with the same numbers, its second draw would favour the first rows of the table.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.budget import Budget, read_budget
from winnow.selectors.columns import N_TOKENS, but
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool
from winnow.selectors.registry import get_selector
from winnow.selectors.run import allowed_rows, check_choice, cut


class Step(BaseModel):
    """One selector of a chain."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(description="The selector.")
    budget: int | float | str | None = Field(None, description="How much it may select.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Its parameters.")


class ComposeParameters(Parameters):
    """Parameters of `compose`."""

    steps: tuple[Step, ...] = Field(
        (),
        description="The selectors in order, each {name, budget, parameters}; budget: rows (100), a "
        'share of the rows that it sees (0.5), tokens ("50000tok") or none; parameters: by name. At least one is needed.',
    )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.steps:
            raise ValueError("steps: name at least one selector")
        return self


@dataclass(frozen=True, eq=False)
class _Step:
    """A step with what its description stands for. `label`: its place from 1 and its name."""

    label: str
    selector: Selector[Any]
    parameters: Any
    budget: Budget | None
    columns: tuple[Column, ...]
    repeats: int


class Compose(Selector[ComposeParameters]):
    """A chain of selectors, each over what the one before has selected."""

    name = "compose"
    paper = "none"
    parameters = ComposeParameters
    own = pa.schema(
        [
            column("steps_passed", pa.int64(), "Steps that selected the row; under a budget of the "
                   "whole the last one counts where its rule lets the row through.", null="the row lacks a value")
        ]
    )  # fmt: skip

    def inputs(self, parameters: ComposeParameters) -> Sequence[Column]:
        return _merged(_read(parameters))

    def choose(self, pool: Pool, room: int | None, parameters: ComposeParameters) -> Choice:
        *before, last = _read(parameters)
        n = len(pool)
        rows = np.arange(n)
        passed = np.zeros(n, dtype=np.int64)
        reason = np.full(n, None, dtype=object)
        weight = np.ones(n)
        for step in before:
            seen, choice = _run(step, pool, rows, allowed=None)
            taken = cut(choice, step.budget, len(rows), seen)
            kept = np.zeros(len(rows), dtype=bool)
            kept[choice.order[taken]] = True
            reason[rows[~kept]] = _reasons(step, choice)[~kept]
            weight[rows] *= 1.0 if choice.weight is None else choice.weight
            rows = rows[kept]
            passed[rows] += 1
        seen, choice = _run(last, pool, rows, allowed=room)
        left = np.ones(len(choice.order), dtype=bool)
        if room is None:
            left = cut(choice, last.budget, len(rows), seen)
        through = np.zeros(len(rows), dtype=bool)
        through[choice.order[left]] = True
        passed[rows[through]] += 1
        reason[rows] = np.where(through, _said(last, choice), _reasons(last, choice))
        weight[rows] *= 1.0 if choice.weight is None else choice.weight
        score = np.full(n, np.nan)
        score[rows] = choice.score
        return Choice(
            rows[choice.order[left]],
            score,
            reason=reason.tolist(),
            weight=weight,
            columns={"steps_passed": passed},
            unit=None if choice.unit is None else choice.unit[left],
        )


def _read(parameters: ComposeParameters) -> list[_Step]:
    """The steps. Raises UsageError naming the one that makes no sense."""
    seen: Counter[str] = Counter()
    steps = []
    for at, given in enumerate(parameters.steps, 1):
        label = f"{at}:{given.name}"
        try:
            selector = get_selector(given.name)
            read = selector.parameters.read(given.parameters)
            budget = read_budget(given.budget)
            columns = tuple(selector.inputs(read))
        except UsageError as error:
            raise UsageError(f"step {label}: {error}") from None
        if budget is not None and budget.unit == "tokens":
            if N_TOKENS.name not in {c.name for c in columns}:
                columns += (N_TOKENS,)
        # Steps inside a step count their own: the chain as a whole is set apart.
        repeats = seen[given.name] + (given.name == Compose.name)
        seen[given.name] += 1
        steps.append(_Step(label, selector, read, budget, columns, repeats))
    return steps


def _merged(steps: Sequence[_Step]) -> list[Column]:
    """Each column once: optional, or with nulls, only where it is so for all steps that read it."""
    found: dict[str, Column] = {}
    for step in steps:
        for each in step.columns:
            known = found.setdefault(each.name, each)
            if known.kind != each.kind:
                raise UsageError(
                    f"step {step.label}: reads {each.name} as {each.kind}, a step before as {known.kind}"
                )
            found[each.name] = but(
                known,
                optional=known.optional and each.optional,
                nulls=known.nulls and each.nulls,
            )
    return list(found.values())


def _run(
    step: _Step, pool: Pool, rows: NDArray[np.int64], allowed: int | None
) -> tuple[Pool, Choice]:
    """What the step sees of `rows`, and what it makes of it; `allowed` goes before its own budget."""
    cut_out = pool.take(rows, [c.name for c in step.columns])
    columns = {
        c.name: _as_declared(cut_out[c.name], c) for c in step.columns if cut_out.has(c.name)
    }
    seen = Pool(cut_out.ids, columns, _seed(pool.seed, step.repeats), pool.progress)
    room = allowed_rows(step.budget, len(rows), seen) if allowed is None else allowed
    if room is None and step.selector.needs_budget:
        raise UsageError(
            f"step {step.label}: needs a budget: rows (1000), a share (0.1) or 50000tok"
        )
    if not len(rows):
        return seen, Choice(np.zeros(0, np.int64), np.zeros(0))
    try:
        choice = step.selector.choose(
            seen, None if room is None else min(room, len(rows)), step.parameters
        )
    except UsageError as error:
        raise UsageError(f"step {step.label}: {error}") from None
    check_choice(step.selector, choice, len(rows))
    return seen, choice


def _as_declared(values: Any, column: Column) -> Any:
    """Where another step needs the value, a column comes without nulls; its form here has room for
    them."""
    if column.nulls and isinstance(values, np.ndarray):
        if column.kind == "integer":
            return values.astype(np.float64)
        if column.kind == "flag":
            return values.tolist()
    return values


def _seed(seed: int, repeats: int) -> int:
    if not repeats:
        return seed
    return int(np.random.SeedSequence([seed, repeats]).generate_state(1, np.uint64)[0])


def _said(step: _Step, choice: Choice) -> NDArray[np.object_]:
    """What the step says of its rows, under its name; None where it says nothing."""
    said = [None] * len(choice.score) if choice.reason is None else choice.reason
    return np.array([code and f"{step.label}:{code}" for code in said], dtype=object)


def _reasons(step: _Step, choice: Choice) -> NDArray[np.object_]:
    """Why each row is not selected, were it not."""
    qualifies = np.zeros(len(choice.score), dtype=bool)
    qualifies[choice.order] = True
    fell = "not_chosen" if step.budget is None else "budget"
    default = np.where(qualifies, f"{step.label}:{fell}", f"{step.label}:rule").astype(object)
    said = _said(step, choice)
    own = ~qualifies & np.array([code is not None for code in said], dtype=bool)
    return np.where(own, said, default)
