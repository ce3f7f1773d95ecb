"""Sets in the shape that one training method asks for."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator, model_validator

from winnow.pipeline.recipe_sections.part import Seed, Share
from winnow.pipeline.recipe_sections.set_base import AnySet, BandedSet, Form, Listed, Percent

Offer = Literal["recorded", "hinted", "answers", "solution"]
# Offers that are tables of their own, and what the tables are called.
TABLES = {"recorded": "recorded", "hinted": "hinted", "solution": "solutions"}


class GroupsSet(BandedSet):
    """`prompt`, `responses`, `r_hat`, `weight`: all answers of a task that has right and wrong ones (NFT,
    arXiv 2505.18116; also listwise reward models).

    r_hat is the share of right answers in the group; the question's weight is 1 - r_hat (nft) or
    (1 - r_hat) / r_hat (grpo). NFT counts truncated answers as wrong.
    """

    type: Literal["groups"] = "groups"
    answers: PositiveInt | None = None  # of a group, the first drawn; a task with fewer has none
    truncated: Literal["wrong", "apart"] = "wrong"  # apart: cut-off answers are in no group
    weighting: Literal["nft", "grpo"] = "nft"  # of the question


class UnpairedSet(BandedSet):
    """`prompt`, `completion`, `label`: single answers that are right or wrong (KTO, arXiv 2402.01306)."""

    type: Literal["unpaired"] = "unpaired"
    per_label: PositiveInt | None = None  # right ones, and wrong ones, of a prompt; likeliest first


class RankedSet(BandedSet):
    """`prompt`, `responses`: the answers of a task in the order of their rewards (listwise trainers).

    Answers of equal reward stand in the order of their log-probability per token.
    """

    type: Literal["ranked"] = "ranked"
    answers: Annotated[int, Field(ge=2)] | None = None  # the best, and the worst at the end


class CRlftSet(BandedSet):
    """`items`, `condition`, `weight`: answers with a class and its weight (OpenChat's C-RLFT, arXiv
    2309.11235).

    `classes` maps what an answer's quality is read from (`by`: its verdict, or its source's name) to a
    class, and `weights` a class to its weight. The published weights are 1.0 for experts' and 0.1 for
    sub-optimal answers.
    """

    type: Literal["c_rlft"] = "c_rlft"
    by: Literal["verdict", "source"] = "verdict"  # what an answer's quality is read from
    classes: dict[str, str] = Field(
        default_factory=lambda: {"correct": "expert", "wrong": "sub_optimal"},
        description="class of each quality; an answer whose quality has none is out",
    )
    weights: dict[str, NonNegativeFloat] = Field(
        default_factory=lambda: {"expert": 1.0, "sub_optimal": 0.1},
        description="weight of each class; every class needs one",
    )
    per_class: PositiveInt | None = None  # answers of one class to a prompt; likeliest first

    @model_validator(mode="after")
    def _every_class_has_a_weight(self) -> "CRlftSet":
        for quality, name in self.classes.items():
            if name not in self.weights:
                raise ValueError(
                    f"classes.{quality}: the class {name!r} has no weight in `weights`"
                )
        if self.by == "verdict" and (odd := set(self.classes) - {"correct", "wrong"}):
            raise ValueError(f"classes: {min(odd)!r} is no verdict; there are correct and wrong")
        return self


class CurriculumSet(BandedSet):
    """`prompt`, `answer`, `stage`: prompts in stages, each harder than the one before (Light-R1, arXiv
    2503.10460).

    A prompt is in stage k where its pass rate is below `cuts[k - 1]`. With `strong`, policies whose
    answers are in the store, there is one stage more: prompts of the last that none of them always
    solves.
    """

    type: Literal["curriculum"] = "curriculum"
    cuts: Annotated[tuple[Percent, ...], Listed, Field(min_length=1)] = (0.5,)  # falling
    strong: Annotated[tuple[str, ...], Listed] = ()  # policies, as `rollouts` calls them

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(["recorded"] if self.strong else [])

    @field_validator("cuts")
    @classmethod
    def _falling(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(b >= a for a, b in pairwise(value)):
            raise ValueError(
                f"cuts must fall, each stage being harder than the last; they are {value}"
            )
        return value


class HardestSet(AnySet):
    """`prompt`, `demonstration`: tasks whose answers all fail, with a verified answer from elsewhere, or
    a source's solution that nobody could judge, as `verdict` says (ReLIFT, arXiv 2506.07527).

    `offers` says where demonstrations may come from, the first that has one wins: recorded (answers of
    another policy or sampler that the store holds, judged correct), hinted (the table of `winnow
    hint-infer`), solution (the column `solution`, that the source keeps). A solution is judged by its
    row's verifier like any answer: one that is wrong is left out (`demonstration_wrong`), and one that
    nobody could judge is taken only where no other place has an answer. With `format_failures: apart` a
    task with a failure of form, or a truncated answer, is out; with `fail` those count as failed. Form is
    what `form` says; without it, answers with nothing to extract fail by their form. `min_judged` counts
    failed answers here.
    """

    type: Literal["hardest"] = "hardest"
    offers: Annotated[tuple[Literal["recorded", "hinted", "solution"], ...], Listed] = Field(
        default=("recorded",),
        min_length=1,
        description="where demonstrations may come from, in order",
    )
    solution: str | None = None  # a column that the source keeps
    max_demonstration_tokens: PositiveInt = 8192  # the published length
    format_failures: Literal["apart", "fail"] = "apart"  # or they count as failed answers
    form: Form | None = None  # what a failure of form is

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(TABLES[each] for each in self.offers if each in TABLES)

    @model_validator(mode="after")
    def _solution_is_named(self) -> "HardestSet":
        check_solution(self.offers, self.solution)
        return self


class DemonstrationsSet(BandedSet):
    """`prompt`, `demonstration`, `cut_points`: verified answers, or a source's solutions that nobody could
    judge, as `verdict` says, and where a prefix of one may end (Prefix-RFT, arXiv 2507.01679).

    `offers` as in `hardest`, and answers (the policy's own). Prefixes end where a sentence ends, inside
    `share` of the demonstration and never inside the final answer. With `token_features`, a file of
    `token_entropies` (`winnow features --need logprob`) whose rows are named by the answer, or by a
    conversation that ends with it, the `entropy_share` of tokens with the highest entropy is marked.
    """

    type: Literal["demonstrations"] = "demonstrations"
    offers: Annotated[tuple[Offer, ...], Listed] = Field(
        default=("recorded", "answers"),
        min_length=1,
        description="where demonstrations may come from, in order",
    )
    solution: str | None = None  # a column that the source keeps
    max_demonstration_tokens: PositiveInt | None = None  # the longest demonstration
    share: Annotated[tuple[Share, Share], Listed] = (0.0, 0.95)  # of it, that a prefix may be
    entropy_share: Percent = 0.2  # of its tokens, that are marked
    token_features: str | None = None  # path of the file

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(TABLES[each] for each in self.offers if each in TABLES)

    @property
    def token_features_read(self) -> tuple[str, tuple[str, ...]] | None:
        return (self.token_features, ("token_entropies",)) if self.token_features else None

    @model_validator(mode="after")
    def _sensible(self) -> "DemonstrationsSet":
        check_solution(self.offers, self.solution)
        if self.share[0] >= self.share[1]:
            raise ValueError(f"share: {self.share[0]} is not below {self.share[1]}")
        return self


class SureUnsureSet(BandedSet):
    """`messages`, `sure`: questions with an answer and whether the policy knows it (R-Tuning, arXiv
    2311.09677).

    Methods: unsure (the reference answer, then `question` and one of two replies, by the verdict on the
    policy's first answer), unknown (the reference answer, or one of `refusals` where the first answer
    is wrong), uncertain (as unsure, by the entropy of the policy's answers: the lower half is sure).
    The published question asks for accuracy by the model's internal knowledge; all sentences here are
    parameters.
    """

    type: Literal["sure_unsure"] = "sure_unsure"
    method: Literal["unsure", "unknown", "uncertain"] = "unsure"  # what tells, and what is said
    question: str = "Do you know that this answer is right?"  # put after the answer
    sure: str = "I am sure."  # the reply where the policy knows
    unsure: str = "I am unsure."  # and where it does not
    refusals: Annotated[tuple[str, ...], Listed] = Field(
        default=(
            "I do not know the answer.",
            "This is beyond what I know.",
            "I cannot answer this with any certainty.",
            "I would only be guessing.",
        ),
        min_length=1,
        description="answers where it does not know (method unknown), one drawn for each task",
    )
    min_answers: Annotated[int, Field(ge=2)] = 4  # judged answers that method uncertain needs
    seed: Seed | None = None  # of which refusal is drawn; null is 0


class StepValuesSet(BandedSet):
    """`prompt`, `completions`, `values`, `labels`: steps of solutions with their values (ReST-MCTS*,
    arXiv 2406.03816), from the table that `winnow rest-mcts` makes."""

    type: Literal["step_values"] = "step_values"
    paths: Literal["all", "correct"] = "all"  # correct: to right ends
    needs: Literal["values", "labels"] = "values"  # labels: paths without values stay
    per_prompt: PositiveInt | None = None  # paths; right ends and high values first

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(["stepwise"])


class FaitSet(BandedSet):
    """`prompt`, `correct`, `wrong`, `char_spans`: correct code, the most similar wrong code, and where
    they differ (FAIT, arXiv 2503.16913).

    Pairs that differ in more than `max_edit_ratio` of their lines, or in nothing but comments and white
    space, are out.
    """

    type: Literal["fait"] = "fait"
    max_edit_ratio: Percent = 0.5  # share of the lines of both that may differ


class CritiqueSet(BandedSet):
    """`messages`, `label`: a question and a solution, and a critique that ends in a verdict (CFT, arXiv
    2501.17703), from the judgements of the verifier `judge`.

    A critique whose own verdict is not the recorded one is out. `balance` keeps as many right as wrong
    solutions.
    """

    type: Literal["critique"] = "critique"
    balance: bool = True  # as many right as wrong solutions
    # What the critic is asked; both places must be in it.
    template: str = "Question:\n{question}\n\nSolution:\n{solution}\n\nIs the solution right?"

    @field_validator("template")
    @classmethod
    def _has_both(cls, value: str) -> str:
        for place in ("{question}", "{solution}"):
            if place not in value:
                raise ValueError(f"must contain {place}")
        return value


def check_solution(offers: tuple[str, ...], solution: str | None) -> None:
    """Raises ValueError where the column of the source's solution is missing, or of no use."""
    if ("solution" in offers) != (solution is not None):
        raise ValueError("`solution` (a kept column) and `solution` among `offers` go together")
