"""Sets of whole trajectories of agents."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from winnow.pipeline.contracts import VerdictName
from winnow.pipeline.recipe_sections.set_base import ACCEPTED, BandedSet


class TrajectoriesSet(BandedSet):
    """`messages`, `tools`, `loss_mask`: conversations of agents that call tools, with the messages to train
    on (EEF, arXiv 2504.13145), from a source of type trajectories.

    `train_on` makes the mask. marked: what the trajectory itself says, which is its `loss_mask`; without
    one, the student's actions where `origin` names any; else those from `branch_point` on; else all.
    student: the student's actions, or those from the branch point on; a trajectory that tells neither
    is out. The column `trajectory` keeps all of it, which the format adp gives back.

    `verdicts` says which answers may be taken, as in `sft`; most sources have no verifier, so that
    the default is those that none calls wrong. `min_reward` is about the final reward that a trajectory
    brings; one without is out then.
    """

    type: Literal["trajectories"] = "trajectories"
    verdicts: Literal["correct", "not_wrong", "any"] = "not_wrong"
    min_judged: NonNegativeInt = 0  # judged answers that a task needs
    train_on: Literal["marked", "all_actions", "student"] = "marked"  # which actions count
    min_reward: float | None = None  # least final reward
    max_actions: PositiveInt | None = None  # most actions of a trajectory
    per_prompt: PositiveInt | None = None  # trajectories of a prompt, those of most reward first

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(["completions"])

    @property
    def accepted(self) -> tuple[VerdictName, ...]:
        """The verdicts that an answer may have."""
        return ACCEPTED[self.verdicts]
