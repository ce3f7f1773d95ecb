"""The sets that a recipe publishes, and what each asks of its rows.

`sft`, `rl` and `preference` stand here; those that one training method asks for in `method_sets`.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from winnow.pipeline.contracts import VerdictName
from winnow.pipeline.recipe_sections.method_sets import (
    CritiqueSet,
    CRlftSet,
    CurriculumSet,
    DemonstrationsSet,
    FaitSet,
    GroupsSet,
    HardestSet,
    RankedSet,
    StepValuesSet,
    SureUnsureSet,
    UnpairedSet,
)
from winnow.pipeline.recipe_sections.part import Part, Seed
from winnow.pipeline.recipe_sections.set_base import ACCEPTED, AnySet, BandedSet, Form, Percent
from winnow.pipeline.recipe_sections.trajectory_set import TrajectoriesSet


class TokenMasks(Part):
    """Q-Tuning (arXiv 2509.23873) over the rows of a set: which of them to keep, and which tokens of their
    answers to learn, by perplexity and entropy under the model to be tuned.

    `features` is what `winnow features --need logprob` has written of an earlier version of the set, or a
    file whose `row_id` is the name of the answer. An answer that is not in it is pending.
    """

    features: str  # path
    r_sample: Percent = 1.0  # share of the rows (published: 0.125, 0.25, 0.5)
    r_token: Percent = 0.5  # share of the tokens of a row that is pruned (published: 0.5, 0.7)


class SFTSet(BandedSet):
    """`messages`, `weight`: answers to learn, verified ones unless `verdicts` says otherwise.

    `verdicts` says which answers may be targets: correct ones, those that no verifier calls wrong
    (not_wrong), or any; for rows that nobody can judge. What is not judged stays unjudged: each row
    says its verdict. With another value than `correct`, `min_judged` is 0 where it is not given.
    """

    type: Literal["sft"] = "sft"
    verdicts: Literal["correct", "not_wrong", "any"] = "correct"
    per_prompt: PositiveInt = 1  # answers of a prompt
    uds: bool = True  # only what the UDS pass selected
    weighting: Literal["uniform", "per_prompt"] = "uniform"  # 1 a row, or 1 a prompt
    token_masks: TokenMasks | None = None

    @property
    def token_features_read(self) -> tuple[str, tuple[str, ...]] | None:
        if self.token_masks is None:
            return None
        return self.token_masks.features, ("token_logprobs", "token_entropies")

    @model_validator(mode="before")
    @classmethod
    def _unjudged_rows_need_no_judgement(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("verdicts", "correct") != "correct":
            return {"min_judged": 0, **data}
        return data

    @property
    def accepted(self) -> tuple[VerdictName, ...]:
        """The verdicts that an answer may have."""
        return ACCEPTED[self.verdicts]


class MCTSRule(Part):
    """How a tree search of the prompt went (ThinkLite-VL, arXiv 2504.07934; `winnow mcts RECIPE`
    searches): solved ones count that took `min_iterations` or more, the first being 1 (published: more
    than 5), and with `keep_unsolved` those that were never solved."""

    min_iterations: PositiveInt = 6
    keep_unsolved: bool = True


class RLSet(BandedSet):
    """`prompt`, `answer`, `verifier`, `verifier_args`, `pass_rate`: prompts worth rolling out.

    `majority: correct` keeps those whose commonest answer is right, `min_answer_tokens` those whose
    finished answers are so long on average (both: AceReason-Nemotron, arXiv 2505.16400).
    """

    type: Literal["rl"] = "rl"
    majority: Literal["any", "correct"] = "any"
    min_answer_tokens: NonNegativeInt = 0
    mcts: MCTSRule | None = None


class PreferenceSet(BandedSet):
    """`prompt`, `chosen`, `rejected`, `margin`: two answers of one prompt, one better than the other.

    `contrast` says in what: correctness (right and wrong), reward (more and less of it, whatever the
    verdicts), or form (one has the form asked for, the other has not, and both are right, or with
    `among: equal` of one verdict: the policy's own answers that differ in how they say a thing and not
    in what they say, as the cold start of SPECS, arXiv 2510.25801, takes them).

    `pairing` puts the better and the worse answers side by side: likeliest (both by log-probability
    per token, the likeliest first), or by reward as in RLHF Workflow (arXiv 2405.07863): the best
    against the worst (max_min), the next best (max_max) or one that is drawn (max_random). Answers of
    equal reward make no pair then. Default: likeliest, with contrast reward max_min.
    """

    type: Literal["preference"] = "preference"
    contrast: Literal["correctness", "reward", "form"] = "correctness"  # in what the two differ
    form: Form | None = None  # the form that the better one has
    among: Literal["correct", "equal"] | None = None  # contrast form; default correct
    pairing: Literal["likeliest", "max_min", "max_max", "max_random"] | None = None  # who meets
    min_margin: NonNegativeFloat | None = None  # least difference of the rewards
    iteration: NonNegativeInt | None = None  # of iterated DPO; written to the rows
    pairs_per_prompt: PositiveInt = 1  # an answer stands in one at most
    seed: Seed | None = None  # of what max_random draws; null is 0

    @model_validator(mode="after")
    def _contrast_is_whole(self) -> "PreferenceSet":
        if (self.form is not None) != (self.contrast == "form"):
            raise ValueError("`form` goes with `contrast: form`, and is needed there")
        if self.among is not None and self.contrast != "form":
            raise ValueError("`among` goes with `contrast: form`")
        if self.contrast == "reward" and self.pairing == "likeliest":
            raise ValueError(
                "contrast reward needs a pairing by reward: max_min, max_max, max_random"
            )
        return self

    @property
    def paired_by(self) -> Literal["likeliest", "max_min", "max_max", "max_random"]:
        """The pairing, with its default."""
        return self.pairing or ("max_min" if self.contrast == "reward" else "likeliest")


SetConfig = Annotated[
    SFTSet
    | RLSet
    | PreferenceSet
    | GroupsSet
    | UnpairedSet
    | RankedSet
    | CRlftSet
    | CurriculumSet
    | HardestSet
    | DemonstrationsSet
    | SureUnsureSet
    | StepValuesSet
    | FaitSet
    | CritiqueSet
    | TrajectoriesSet,
    Field(discriminator="type"),
]

# By the name that a recipe calls them by.
SET_TYPES: dict[str, type[AnySet]] = {
    each.model_fields["type"].default: each
    for each in (
        SFTSet, RLSet, PreferenceSet, GroupsSet, UnpairedSet, RankedSet, CRlftSet, CurriculumSet,
        HardestSet, DemonstrationsSet, SureUnsureSet, StepValuesSet, FaitSet, CritiqueSet,
        TrajectoriesSet,
    )
}  # fmt: skip
