"""What a recipe needs whose answers stand in its sources (`engine: {type: source}`)."""

from collections.abc import Sequence

from winnow.pipeline.recipe_sections.sources import ReasoningGymSource, SourceConfig


def check(sources: Sequence[SourceConfig], *, adaptive: bool) -> None:
    """Raises ValueError where a source brings no answers, or how many there are is to be decided
    while they are drawn."""
    for source in sources:
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
