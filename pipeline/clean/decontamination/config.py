"""The settings of decontamination; the field descriptions are the documentation."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Rule = Literal["coverage", "ngram", "exact", "semantic"]
RULES: tuple[Rule, ...] = ("coverage", "ngram", "exact", "semantic")

_Share = Annotated[float, Field(ge=0, le=1)]


class DecontaminateConfig(BaseModel):
    """Which rules find evaluation items among training prompts, and how strictly."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    rules: list[Rule | Literal["all"]] = Field(
        default=["coverage", "exact"],
        min_length=1,
        description="rules that mark a prompt, each by itself: coverage, ngram, exact, semantic; "
        "all stands for the four",
    )
    coverage_n: int = Field(
        default=8, ge=1, description="coverage: words of an n-gram (8 in the TULU 3 rule)"
    )
    coverage_above: _Share = Field(
        default=0.5,
        description="coverage: a prompt is hit if more than this share of an evaluation item's "
        "words lies in shared n-grams",
    )
    ngram_n: int = Field(
        default=13,
        ge=1,
        description="ngram: words of an n-gram; any shared one is a hit (9, 10, 13 and 32 are "
        "customary)",
    )
    exact_min_chars: int = Field(
        default=20,
        ge=1,
        description="exact: letters that an item needs for the digit-free comparison; a shorter "
        "one must equal the whole prompt, digits and operators included",
    )
    boilerplate_items: int | None = Field(
        default=10,
        ge=1,
        description="an n-gram in more than this many different evaluation items is boilerplate; "
        "null: no n-gram is, on either side",
    )
    boilerplate_item_share: _Share = Field(
        default=0.5,
        description="an n-gram in more than this share of one evaluation set's different items "
        "(and in three at least) is boilerplate",
    )
    boilerplate_rows: int = Field(
        default=10,
        ge=1,
        description="an n-gram in more than this many different training prompts is boilerplate "
        "if the share below is passed too; prompts that differ only by numbers count once",
    )
    boilerplate_row_share: _Share = Field(
        default=0.0005, description="see boilerplate_rows: share of the training prompts"
    )
    boilerplate_weight: _Share = Field(
        default=0.1,
        description="weight in an item's score of a word that lies in a boilerplate n-gram",
    )
    semantic_cosine: float = Field(
        default=0.8,
        gt=-1,
        le=1,
        description="semantic: cosine from which an evaluation item is a neighbour",
    )
    semantic_confirm: _Share = Field(
        default=0.4,
        description="semantic: similarity of wording (0 to 1) that a neighbour must reach as well",
    )
    semantic_numbers: _Share = Field(
        default=0.5,
        description="semantic: share of numbers that must agree where both texts have numbers; "
        "0 marks problems of the same kind, too",
    )
    semantic_neighbours: int = Field(
        default=8, ge=1, description="semantic: nearest evaluation items looked at per prompt"
    )
    answers: Literal["report", "require"] = Field(
        default="report",
        description="where both sides bring answers: report says in the evidence whether they are "
        "equal; require drops hits whose answers are known and differ",
    )
    evidence_chars: int = Field(
        default=400, ge=20, description="longest quotation in the evidence, in characters"
    )

    @property
    def active(self) -> tuple[Rule, ...]:
        """The rules asked for, in the order of RULES."""
        return tuple(r for r in RULES if r in self.rules or "all" in self.rules)
