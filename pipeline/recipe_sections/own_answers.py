"""What a recipe needs whose answers stand in its sources (`engine: {type: source}`)."""

from collections.abc import Mapping, Sequence

from winnow.pipeline.recipe_sections.engines import EngineConfig, SourceEngine
from winnow.pipeline.recipe_sections.set_base import AnySet
from winnow.pipeline.recipe_sections.sources import (
    ReasoningGymSource,
    SourceConfig,
    TrajectoriesSource,
)


def check(sources: Sequence[SourceConfig], *, adaptive: bool) -> None:
    """Raises ValueError where a source brings no answers, or how many there are is to be decided
    while they are drawn."""
    for source in sources:
        if isinstance(source, TrajectoriesSource):
            continue
        columns = None if isinstance(source, ReasoningGymSource) else source.columns
        if columns is None:
            raise ValueError(
                f"engine source samples nothing, and source {source.name!r} brings no answers: "
                "tasks of reasoning_gym need an engine that answers them"
            )
        if columns.completion is None:
            raise ValueError(
                f"engine source needs `columns.completion` in source {source.name!r}: the column "
                "that holds the answers"
            )
    if adaptive:
        raise ValueError(
            "engine source samples nothing: leave out sampling.stop, sampling.steer and "
            "sampling.budget"
        )


def check_trajectories(
    sources: Sequence[SourceConfig], engine: EngineConfig, sets: Mapping[str, AnySet]
) -> None:
    """Raises ValueError where trajectories are brought and nobody takes them, or the other way round."""
    brought = [source.name for source in sources if isinstance(source, TrajectoriesSource)]
    if brought and not isinstance(engine, SourceEngine):
        raise ValueError(
            f"source {brought[0]!r} brings whole trajectories, which no engine can draw: write "
            f"`engine: {{type: source}}` (it is {engine.type})"
        )
    for name, each in sets.items():
        if "completions" in each.reads and not brought:
            raise ValueError(
                f"sets.{name}: takes trajectories, and no source brings any: one of `type: "
                "trajectories` does"
            )
