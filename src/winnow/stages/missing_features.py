"""Features that selectors need and a pool does not hold, computed on demand."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from winnow.pipeline.errors import UsageError
from winnow.pipeline.models import MINILM
from winnow.pipeline.progress import Progress
from winnow.pipeline.recipe import VLLMEngine
from winnow.selectors.rows import ROW_ID, Rows
from winnow.stages.base import Context
from winnow.stages.row_features import COLUMNS, Need, Options, compute

Needs = Mapping[Need, Sequence[str]]  # columns that are missing, by the need that brings them


@dataclass(frozen=True)
class Models:
    """What features are computed with: `model` scores and `embedder` embeds; None: those features
    are not computed."""

    model: str | None = None
    embedder: str | None = None
    options: Options = field(default_factory=Options)


def recipe_models(ctx: Context) -> Models:
    """A recipe's own: the model of its scores (its engine's, where that is a model with weights
    here), and its embedder."""
    engine, uds = ctx.recipe.engine, ctx.recipe.uds
    own = engine.model if isinstance(engine, VLLMEngine) else None
    options = Options(
        uds_max_tokens=uds.max_tokens,
        uds_rows=uds.rows,
        projection=uds.projection,
        seed=ctx.recipe.seed,
        embed="prompt",
    )
    return Models(uds.model or own, ctx.recipe.embedding.model, options)


def missing_needs(
    source: Rows, features: Sequence[Rows], wanted: Sequence[Collection[str]], *, partly: bool
) -> dict[Need, list[str]]:
    """The columns of `wanted`, a collection for each who reads them, that stand nowhere, by the need
    that brings them. `partly`: columns of `source` that some of its rows lack count as well.

    Nothing is needed for one who lacks another column, which no model gives.
    """
    there = {name for rows in (source, *features) for name in rows.columns}
    made = {name for columns in COLUMNS.values() for name in columns}
    able = {name for each in wanted if made.union(there).issuperset(each) for name in each}
    elsewhere = {name for rows in features for name in rows.columns}
    found: dict[Need, list[str]] = {}
    for need, columns in COLUMNS.items():
        lacking = [
            name
            for name in columns
            if name in able
            and name not in elsewhere
            and (name not in source.columns or (partly and _holes(source, name)))
        ]
        if lacking:
            found[need] = lacking
    return found


def compute_missing(
    home: Path, source: Rows, needs: Needs, models: Models, progress: Progress
) -> list[pa.Table]:
    """Tables of `row_id` and the missing columns, as far as there is a model for them and the rows
    have what they are computed from; what is left out is noted. Stored in `home` for the next time.
    """
    able = [n for n in needs if (models.embedder if n == "embedding" else models.model)]
    if not able:
        return []
    try:
        return [_compute(home, source, able, needs, models, progress)]
    except UsageError:
        found = []
        for need in able:  # one of them alone may work
            try:
                found.append(_compute(home, source, [need], needs, models, progress))
            except UsageError as error:
                progress.note(f"{', '.join(needs[need])}: not computed: {error}")
        return found


def _compute(
    home: Path,
    source: Rows,
    asked: Sequence[Need],
    needs: Needs,
    models: Models,
    progress: Progress,
) -> pa.Table:
    columns = [name for need in asked for name in needs[need]]
    progress.note(f"{', '.join(columns)}: computing what is not stored, {source.num_rows:,} rows")
    found = compute(
        home,
        source,
        asked,
        model=models.model if list(asked) != ["embedding"] else None,
        embedder=models.embedder or MINILM,
        options=models.options,
        progress=progress,
    )
    return found.select([ROW_ID, *columns])


def _holes(rows: Rows, column: str) -> bool:
    return any(block.null_count for block in rows.blocks(column))
