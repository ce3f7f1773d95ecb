"""Stage 4: pass rates with their posterior, per task."""

from winnow.pipeline.estimate.difficulty import difficulty
from winnow.stages.base import Context, StageResult, fingerprint, timed

VERSION = "1"
_COLUMNS = ["rollout_id", "policy", "template", "sampler", "finish_reason"]


def mark(ctx: Context) -> str:
    """Fingerprint of what this stage's table is made from, as the recipe and its inputs are now."""
    work = ctx.workspace
    prior = ctx.recipe.difficulty.prior
    return fingerprint(
        ctx,
        "difficulty",
        VERSION,
        {
            "rollouts": work.data_version("rollouts"),
            "verdicts": work.data_version("verdicts"),
            "prior": list(prior),
        },
    )


def run(ctx: Context) -> StageResult:
    """Write `difficulty`."""
    work = ctx.workspace
    prior = ctx.recipe.difficulty.prior
    mark_now = mark(ctx)
    skipped = work.holds("difficulty", mark_now)
    with timed() as clock:
        if not skipped:
            table = difficulty(work.read("rollouts", _COLUMNS), work.read("verdicts"), prior=prior)
            work.write("difficulty", table, mark_now)
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
