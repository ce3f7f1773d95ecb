"""Sources in chosen proportions: by weight, by count, or flattened by a temperature.

With p_s the share of source s, the first T rows of the order hold about T p_s rows of s for every T,
and exactly so for the budget: quotas are whole, add up to the budget, and are dealt by largest
remainders. A source that has too few rows, or a cap, gives what it can; the others give the rest in
proportion to their shares (`redeal`).

The temperature form, p_s proportional to n_s^(1/T) with n_s the rows of a source, is that of
multilingual pre-training: T = 1 leaves the sources as they are, a large T makes them equal, a small
one prefers the largest. A share too small for a float counts as the smallest, not as 0.

Without a budget, `counts` say how many rows there are in all (a source gives more than its count
only for what another lacks, see `redeal`); otherwise it is as many rows as the shares allow before
the first source runs out. With a budget, counts are shares too: what matters is their ratio.
Shares are of rows; for a budget in tokens they hold as far as rows of the sources are alike in
length. The order within a source is a seeded draw, or its quality.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.estimate.quotas import deal
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import QUALITY, SOURCE
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool

_LEAST_SHARE = 1e-290  # what is divided by it must stay finite


class MixParameters(Parameters):
    """Parameters of `mix`; of `weights`, `counts` and `temperature` at most one."""

    weights: dict[str, float] | None = Field(
        None, description="Weight of each source; one that is not named gives nothing."
    )
    counts: dict[str, int] | None = Field(
        None, description="Rows of each source; one that is not named gives nothing."
    )
    temperature: float | None = Field(
        None, gt=0,
        description="Shares in proportion to (rows of the source) ** (1 / temperature); 1, as the "
        "sources are, where neither weights nor counts are given.",
    )  # fmt: skip
    caps: dict[str, int | float] = Field(
        default_factory=dict,
        description="Most that a source may give: a number of rows, or with a decimal point a share of "
        "the budget, and at most of the usable rows (of these where there is no budget).",
    )
    cap: int | float | None = Field(None, description="The same for each source not named in caps.")
    redeal: bool = Field(
        True, description="Whether the others give what a source cannot; if not, it is missing."
    )
    repeat: float = Field(
        1.0, ge=1,
        description="How much more a row may weigh where its source has fewer rows than its share "
        "(or cap) asks for: as if it stood up to this many times.",
    )  # fmt: skip
    within: Literal["random", "quality"] = Field(
        "random", description="Which rows of a source go first: a seeded draw, or the best."
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [n for n in ("weights", "counts", "temperature") if getattr(self, n) is not None]
        if len(forms) > 1:
            raise ValueError(f"{forms[0]} and {forms[1]} exclude each other")
        for name in ("weights", "counts"):
            mapping: Mapping[str, float] | None = getattr(self, name)
            if mapping is not None and (
                min(mapping.values(), default=0) < 0 or not any(mapping.values())
            ):
                raise ValueError(f"{name}: must be at least 0, and one of them more")
        for cap in (*self.caps.values(), self.cap or 0):
            if cap < 0 or (isinstance(cap, float) and cap > 1):
                raise ValueError(
                    f"a cap of {cap}: must be a number of rows, or a share from 0.0 to 1.0"
                )
        return self


class Mix(Selector[MixParameters]):
    """Sources in given proportions, by weight, count or temperature, with caps."""

    name = "mix"
    paper = "temperature form: mBERT and XLM (Conneau and Lample, 2019); else none"
    parameters = MixParameters
    own = pa.schema(
        [
            column("share", pa.float64(), "Share of the row's source that was asked for.",
                   null="the row lacks a value"),
            column("quota", pa.int64(), "Rows dealt to the row's source.",
                   null="the row lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: MixParameters) -> Sequence[Column]:
        return (SOURCE, *((QUALITY,) if parameters.within == "quality" else ()))

    def choose(self, pool: Pool, room: int | None, parameters: MixParameters) -> Choice:
        names = sorted(set(pool[SOURCE.name]))
        source = pool.groups(SOURCE.name)
        sizes = np.bincount(source)
        weights = _weights(names, sizes, parameters)
        share = shares(weights)
        caps = _caps(names, int(sizes.sum()) if room is None else room, parameters)
        capacity = np.where(share > 0, np.minimum(sizes, caps), 0)
        if room is not None:
            total = room
        elif parameters.counts is not None:
            total = sum(parameters.counts.values())
        else:
            total = largest_total(weights, capacity.tolist())
        asked = np.minimum(deal(total, share, np.full(len(share), total)), caps)
        quota = deal(total, share, capacity) if parameters.redeal else np.minimum(asked, capacity)
        score = pool[QUALITY.name] if parameters.within == "quality" else _draws(pool)
        place = _places(source, score)
        last = capacity if parameters.redeal else quota
        order = _interleaved(source, place, quota, last, share)
        unwanted, capped = share[source] == 0, place >= capacity[source]
        reason = np.full(len(pool), None, dtype=object)
        reason[place >= last[source]] = "over_quota"
        reason[capped] = "source_cap"
        reason[unwanted] = "source_not_wanted"
        weight = np.clip(asked / sizes, 1, parameters.repeat)
        return Choice(
            order,
            score,
            count=int(quota.sum()),
            reason=reason.tolist(),
            weight=weight[source],
            columns={"share": share[source], "quota": quota[source]},
        )


def _weights(
    names: list[str], sizes: NDArray[np.int64], parameters: MixParameters
) -> list[Fraction]:
    """What the shares are in proportion to, as exact as it was given."""
    mapping: Mapping[str, float] | None = parameters.weights or parameters.counts
    if mapping is not None:
        _check_known("weights" if parameters.weights else "counts", mapping, names)
        weights = [Fraction(str(mapping.get(name, 0))) for name in names]
        if not any(weights):
            raise UsageError("weights: no source that is there has more than 0")
        return weights
    temperature = parameters.temperature or 1.0
    if temperature == 1:
        return [Fraction(size) for size in sizes.tolist()]
    powers = (sizes / sizes.max()) ** (1 / temperature)
    return [Fraction(power) for power in np.maximum(powers, _LEAST_SHARE).tolist()]


def shares(weights: Sequence[Fraction]) -> NDArray[np.float64]:
    """weights / sum of them; above 0 where the weight is."""
    whole = sum(weights)
    found = np.array([float(weight / whole) for weight in weights])
    return np.where([weight > 0 for weight in weights], np.maximum(found, _LEAST_SHARE), 0.0)


def largest_total(weights: Sequence[Fraction], capacity: Sequence[int]) -> int:
    """The largest whole number of which no source's share is above its capacity (0: it is left out)."""
    whole = sum(weights)
    limits = [
        whole * room // weight for weight, room in zip(weights, capacity, strict=True) if room
    ]
    return int(min(limits, default=0))


def _caps(names: list[str], whole: int, parameters: MixParameters) -> NDArray[np.int64]:
    """Most rows that each source may give, of `whole`."""
    _check_known("caps", parameters.caps, names)
    given = [parameters.caps.get(name, parameters.cap) for name in names]
    return np.array(
        [
            np.iinfo(np.int64).max if cap is None
            else int(Fraction(str(cap)) * whole) if isinstance(cap, float)
            else min(cap, np.iinfo(np.int64).max)
            for cap in given
        ],
        dtype=np.int64,
    )  # fmt: skip


def _draws(pool: Pool) -> NDArray[np.float64]:
    return pool.rng("mix").random(len(pool))


def _places(source: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Each row's place (n,) within its source, from 0, the highest score first."""
    order = np.lexsort((-score, source))
    starts = np.concatenate([[0], np.cumsum(np.bincount(source))])
    place = np.empty(len(source), dtype=np.int64)
    place[order] = np.arange(len(source)) - starts[source[order]]
    return place


def _interleaved(
    source: NDArray[np.int64],
    place: NDArray[np.int64],
    quota: NDArray[np.int64],
    last: NDArray[np.int64],
    share: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Rows with a place below `last` of their source: first the quotas, then the rest, each spread so
    that every beginning of it is mixed as the whole."""
    rows = np.flatnonzero(place < last[source])
    of, at = source[rows], place[rows]
    spare = at >= quota[of]
    with np.errstate(divide="ignore", invalid="ignore"):
        key = np.where(spare, (at - quota[of] + 0.5) / share[of], (at + 0.5) / quota[of])
    order: NDArray[np.int64] = rows[np.lexsort((of, key, spare))]
    return order


def _check_known(label: str, mapping: Mapping[str, float], names: list[str]) -> None:
    unknown = sorted(set(mapping) - set(names))
    if unknown:
        raise UsageError(
            f"{label}: no usable row has the source {unknown[0]!r}; there are: {', '.join(names[:30])}"
        )
