"""Stage 4: pass rates with their posterior, per task."""

from winnow.pipeline.estimate.difficulty import difficulty
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "1"


def run(ctx: Context) -> StageResult:
    """Write `difficulty`."""
    work = ctx.workspace
    prior = ctx.recipe.difficulty.prior
    mark = fingerprint(
        ctx,
        "difficulty",
        VERSION,
        {
            "rollouts": work.data_version("rollouts"),
            "verdicts": work.data_version("verdicts"),
            "prior": list(prior),
        },
    )
    skipped = work.holds("difficulty", mark)
    with timed() as clock:
        if not skipped:
            table = difficulty(work.read("rollouts"), work.read("verdicts"), prior=prior)
            work.write("difficulty", table, mark)
    rates = work.read("difficulty", ["pass_rate"])["pass_rate"].to_pylist()
    counts = {
        "tasks": len(rates),
        "hopeless": sum(rate == 0 for rate in rates),
        "solved": sum(rate == 1 for rate in rates),
        "between": sum(rate is not None and 0 < rate < 1 for rate in rates),
        "unjudged": rates.count(None),
    }
    return StageResult(
        "difficulty", work.data_version("difficulty"), skipped, counts, {"seconds": clock.seconds}
    )
