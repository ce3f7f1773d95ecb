"""OpenChat's C-RLFT: every row of a class trains, weighted by that class (arXiv 2309.11235).

A row's `weight` is that of its `class`; the class is also written out as `condition`, which a trainer
puts into the role prefixes, so that at inference the best class can be asked for. Published are the
classes expert (GPT-4) at 1.0 and sub-optimal (GPT-3.5) at 0.1; the names of the classes are ours. A
class without a weight in `weights` is an error, as in the original, never a silent 1 or 0; a row
whose class is null is set aside (reason `no_class`).

The method drops nothing else. Under a budget, ours: the heaviest first. The score is the weight.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from winnow.pipeline.errors import UsageError
from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import CLASS
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool


class CRlftParameters(Parameters):
    weights: Mapping[str, float] = Field(
        {"expert": 1.0, "sub_optimal": 0.1},
        description="Training weight of each class, at least 0 (published: 1.0 and 0.1).",
    )

    @model_validator(mode="after")
    def _sensible(self) -> "CRlftParameters":
        for name, weight in self.weights.items():
            if weight < 0:
                raise ValueError(f"weights: {name}: {weight} is below 0")
        return self


class CRlft(Selector[CRlftParameters]):
    """Every row, with a training weight by the quality class of its source."""

    name = "c_rlft"
    paper = "OpenChat (C-RLFT), arXiv 2309.11235"
    parameters = CRlftParameters
    own = pa.schema([column("condition", pa.string(), "Class that the row is conditioned on.")])

    def inputs(self, parameters: CRlftParameters) -> Sequence[Column]:
        return [CLASS]

    def choose(self, pool: Pool, room: int | None, parameters: CRlftParameters) -> Choice:
        classes: Sequence[str] = pool[CLASS.name]
        weights = parameters.weights
        unknown = next((at for at, name in enumerate(classes) if name not in weights), None)
        if unknown is not None:
            known = ", ".join(weights) or "none"
            raise UsageError(
                f"row {pool.ids[unknown]}: class {classes[unknown]!r} has no weight; the parameter "
                f"weights holds: {known}"
            )
        weight = np.array([weights[name] for name in classes])
        return Choice(
            np.argsort(-weight, kind="stable"),
            weight,
            weight=weight,
            columns={"condition": list(classes)},
        )
