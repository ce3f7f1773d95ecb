"""At most so many rows per template: rows that differ only by numbers and names teach alike.

`template_id` comes from the pipeline (`pipeline/clean/templates.py`). The cap is common practice and
no paper's rule; the order and the default of one row are our choice.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from winnow.pipeline.schema import column
from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import QUALITY, TEMPLATE_ID
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool


class TemplateParameters(Parameters):
    per_template: int = Field(
        1, ge=1, description="Rows of one template that qualify at most (our choice)."
    )
    by: Literal["random", "quality"] = Field(
        "random", description="Which ones: a random draw, or the highest `quality`."
    )


class Template(Selector[TemplateParameters]):
    """At most k rows of each group of prompts that differ only by numbers and names.

    Of every group the best row comes first, then of every group the second, and so on, each round
    best first. The rows beyond k do not qualify (`template_full`). Without a budget all that qualify
    are selected. `score` is the draw or the quality.
    """

    name = "template"
    paper = "common practice"
    parameters = TemplateParameters
    own = pa.schema(
        [
            column("place", pa.int64(), "Place of the row among those of its template, from 0.",
                   null="the row lacks a value"),
        ]
    )  # fmt: skip

    def inputs(self, parameters: TemplateParameters) -> Sequence[Column]:
        return (TEMPLATE_ID, QUALITY) if parameters.by == "quality" else (TEMPLATE_ID,)

    def choose(self, pool: Pool, room: int | None, parameters: TemplateParameters) -> Choice:
        group = pool.groups(TEMPLATE_ID.name)
        if parameters.by == "quality":
            score = np.asarray(pool[QUALITY.name], np.float64)
        else:
            score = pool.rng("template").random(len(pool))
        by_group = np.lexsort((-score, group))
        groups = group[by_group]
        place = np.empty(len(pool), np.int64)
        place[by_group] = np.arange(len(pool)) - np.searchsorted(groups, groups)
        order = np.lexsort((-score, place))
        full = place >= parameters.per_template
        return Choice(
            order[~full[order]],
            score,
            reason=["template_full" if f else None for f in full.tolist()],
            columns={"place": place},
        )
