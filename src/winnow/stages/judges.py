"""How many workers judge answers."""

import os

from winnow.stages.base import Context


def pool_size(ctx: Context) -> int:
    """The recipe's number of verifier workers, else one per usable core, at most 8."""
    return ctx.recipe.verify.workers or min(len(os.sched_getaffinity(0)), 8)
