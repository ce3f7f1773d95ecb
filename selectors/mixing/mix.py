"""Sources in chosen proportions: by weight, by count, or flattened by a temperature.

With p_s the share of source s, the first T rows of the order hold about T p_s rows of s for every T,
and exactly so for the budget: quotas are whole, add up to the budget, and are dealt by largest
remainders. A source that has too few rows, or a cap, gives what it can; the others give the rest in
proportion to their shares (`redeal`).

The temperature form, p_s proportional to n_s^(1/T) with n_s the rows of a source, is that of
multilingual pre-training: T = 1 leaves the sources as they are, a large T makes them equal.

Without a budget, `counts` are taken as they are; otherwise as many rows as the shares allow before
the first source runs out. With a budget, counts are shares too: what matters is their ratio.
Shares are of rows; for a budget in tokens they hold as far as rows of the sources are alike in
length. The order within a source is a seeded draw, or its quality.
"""

from collections.abc import Mapping, Sequence
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
        "the budget (of all usable rows where there is none).",
    )
    cap: int | float | None = Field(None, description="The same for each source not named in caps.")
    redeal: bool = Field(
        True, description="Whether the others give what a source cannot; if not, it is missing."
    )
    repeat: float = Field(
        1.0, ge=1,
        description="How much more a row may weigh where its source has too few for its share: as if "
        "it stood up to this many times.",
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
        share = _shares(names, sizes, parameters)
        capacity = _capacities(names, sizes, room, parameters)
        capacity[share == 0] = 0
        total = _total(share, capacity, parameters) if room is None else room
        quota = deal(total, share, capacity)
        if not parameters.redeal:
            quota = np.minimum(deal(total, share, np.full(len(share), total)), capacity)
        score = pool[QUALITY.name] if parameters.within == "quality" else _draws(pool)
        place = _places(source, score)
        last = capacity if parameters.redeal else quota
        order = _interleaved(source, place, quota, last, share)
        unwanted, capped = share[source] == 0, place >= capacity[source]
        reason = np.full(len(pool), None, dtype=object)
        reason[place >= last[source]] = "over_quota"
        reason[capped] = "source_cap"
        reason[unwanted] = "source_not_wanted"
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.clip(np.nan_to_num(total * share / quota, posinf=1.0), 1, parameters.repeat)
        return Choice(
            order,
            score,
            count=int(quota.sum()),
            reason=reason.tolist(),
            weight=weight[source],
            columns={"share": share[source], "quota": quota[source]},
        )


def temperature_shares(sizes: NDArray[np.int64], temperature: float) -> NDArray[np.float64]:
    """n_s^(1/T) / sum of them, for sizes (s,) of at least 1."""
    logs = np.log(sizes) / temperature
    scaled = np.exp(logs - logs.max())  # a small temperature would overflow
    shares: NDArray[np.float64] = scaled / scaled.sum()
    return shares


def _shares(
    names: list[str], sizes: NDArray[np.int64], parameters: MixParameters
) -> NDArray[np.float64]:
    mapping: Mapping[str, float] | None = parameters.weights or parameters.counts
    if mapping is None:
        return temperature_shares(sizes, parameters.temperature or 1.0)
    _check_known("weights" if parameters.weights else "counts", mapping, names)
    given = np.array([float(mapping.get(name, 0)) for name in names])
    if not given.any():
        raise UsageError("weights: no source that is there has more than 0")
    given = given / given.max()
    shares: NDArray[np.float64] = given / given.sum()
    return shares


def _capacities(
    names: list[str], sizes: NDArray[np.int64], room: int | None, parameters: MixParameters
) -> NDArray[np.int64]:
    """What each source can give."""
    _check_known("caps", parameters.caps, names)
    whole = int(sizes.sum()) if room is None else room
    limits = []
    for name, size in zip(names, sizes.tolist(), strict=True):
        cap = parameters.caps.get(name, parameters.cap)
        if isinstance(cap, float):
            cap = int(cap * whole + 1e-9)  # 0.29 of 100 is a little below 29
        limits.append(size if cap is None else min(size, cap))
    return np.array(limits, dtype=np.int64)


def _total(
    share: NDArray[np.float64], capacity: NDArray[np.int64], parameters: MixParameters
) -> int:
    """How many rows there are in all where no budget says so."""
    if parameters.counts is not None:
        return sum(parameters.counts.values())
    able = capacity > 0
    return int((capacity[able] / share[able]).min() + 1e-9) if able.any() else 0


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
