"""ThinkLite-VL's rule: tree-search iterations as difficulty (arXiv 2504.07934); rows are prompts.

A prompt is kept if its search needed more than 5 iterations, or never solved it. The paper does not
say whether the count that is compared starts at 1 or, as what its code stores, at 0, and no filter
script was released: `counting` is our choice, one_based by default; zero_based keeps a prompt from
the 7th iteration on. `mcts_iterations` itself counts from 1, whichever is chosen.

A prompt is unsolved where `mcts_iterations` is null or `mcts_solved` is false; where there is a
column `mcts_solved` and both are null, it was never searched, and does not qualify (`not_searched`).

Order, ours: unsolved first, then the most iterations first. The score is the number of iterations,
from 1; an unsolved prompt's is one more than the search allows (`max_iterations`).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from winnow.selectors.base import Choice, Column, Selector
from winnow.selectors.columns import MCTS_ITERATIONS, MCTS_SOLVED, but
from winnow.selectors.difficulty.checks import refuse
from winnow.selectors.parameters import Parameters
from winnow.selectors.pool import Pool


class MctsParameters(Parameters):
    min_iterations_exclusive: int = Field(
        5, ge=0, description="Solved prompts need more iterations than this (published: 5)."
    )
    counting: Literal["one_based", "zero_based"] = Field(
        "one_based",
        description="The count that is compared: the first iteration is 1 or 0 (not stated in the "
        "paper; our choice).",
    )
    keep_unsolved: bool = Field(
        True, description="Keep prompts that the search never solved (published)."
    )
    max_iterations: int = Field(
        50, ge=1, description="Iterations that the search allows (published: 50)."
    )


class Mcts(Selector[MctsParameters]):
    """Prompts that a tree search solved late or never."""

    name = "mcts"
    paper = "ThinkLite-VL, arXiv 2504.07934"
    parameters = MctsParameters

    def inputs(self, parameters: MctsParameters) -> Sequence[Column]:
        return [but(MCTS_ITERATIONS, nulls=True), but(MCTS_SOLVED, optional=True, nulls=True)]

    def choose(self, pool: Pool, room: int | None, parameters: MctsParameters) -> Choice:
        iterations = np.asarray(pool[MCTS_ITERATIONS.name], np.float64)
        name = MCTS_ITERATIONS.name
        refuse(pool, iterations < 1, name, "iterations count from 1")
        refuse(
            pool, iterations > parameters.max_iterations, name,
            f"is above max_iterations ({parameters.max_iterations})",
        )  # fmt: skip
        unknown = np.isnan(iterations)
        unsolved, never = unknown, np.zeros(len(pool), dtype=bool)
        if pool.has(MCTS_SOLVED.name):
            said = np.array([-1 if s is None else s for s in pool[MCTS_SOLVED.name]])
            refuse(pool, (said == 1) & unknown, MCTS_SOLVED.name, "mcts_iterations is missing")
            never = unknown & (said == -1)
            unsolved = (unknown & ~never) | (said == 0)
        counted = iterations - (1 if parameters.counting == "zero_based" else 0)
        late = ~unsolved & (counted > parameters.min_iterations_exclusive)

        score = np.where(unsolved, parameters.max_iterations + 1.0, iterations)
        qualifies = late | unsolved if parameters.keep_unsolved else late
        order = np.flatnonzero(qualifies)
        reason = np.full(len(pool), "solved_early", dtype=object)
        reason[late], reason[unsolved], reason[never] = "solved_late", "unsolved", "not_searched"
        return Choice(
            order[np.argsort(-score[order], kind="stable")], score, reason=reason.tolist()
        )
