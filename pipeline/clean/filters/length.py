"""How long a prompt is, and how much of it says the same again."""

from winnow.pipeline.clean.filters.drop import Drop

_RUN = 10


def outside(unit: str, value: int | None, low: int | None, high: int | None) -> Drop | None:
    """`min_<unit>` or `max_<unit>`; both bounds are inside. None (unknown) is never outside."""
    if value is not None and low is not None and value < low:
        return Drop(f"min_{unit}", str(value), str(low))
    if value is not None and high is not None and value > high:
        return Drop(f"max_{unit}", str(value), str(high))
    return None


def repetition(text: str) -> float:
    """Share of the words that stand in a run of 10 which stood there before, in [0, 1].

    The duplicate n-gram fraction of Gopher (Rae et al., arXiv 2112.11446, A1.1), counted in words.
    """
    words = text.split()
    seen: set[tuple[str, ...]] = set()
    covered, end = 0, 0
    for start in range(len(words) - _RUN + 1):
        run = tuple(words[start : start + _RUN])
        if run in seen:
            covered += start + _RUN - max(start, end)
            end = start + _RUN
        seen.add(run)
    return covered / len(words) if words else 0.0


def repetitive(text: str, most: float) -> Drop | None:
    """`max_repetition` where the share is above `most`."""
    share = repetition(text)
    return Drop("max_repetition", f"{share:.3f}", f"{most:g}") if share > most else None
