"""What every published set can ask of its rows."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator
from pydantic import model_validator as _model_validator

from winnow.pipeline.arguments import BadArguments
from winnow.pipeline.contracts import VerdictName
from winnow.pipeline.recipe_sections.part import Part, Share

# YAML gives lists where the sections hold tuples.
Listed = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)

# What a set's `verdicts` takes.
ACCEPTED: dict[str, tuple[VerdictName, ...]] = {
    "correct": ("correct",),
    "not_wrong": ("correct", "unjudged"),
    "any": ("correct", "unjudged", "wrong"),
}


class AnySet(Part):
    """What every set can ask of its rows; each rule that drops a row is named in the ledger."""

    min_judged: NonNegativeInt = 1  # judged answers that a task needs
    suspects: Literal["keep", "drop"] = "keep"  # tasks whose reference the audit doubts
    per_cluster: PositiveInt | None = None  # rows of one cluster of prompts
    budget: PositiveInt | None = None  # rows of the ledger: answers, or tasks

    @property
    def reads(self) -> frozenset[str]:
        """Tables that the set is chosen from, beside those that every run makes."""
        return frozenset()

    @property
    def token_features_read(self) -> tuple[str, tuple[str, ...]] | None:
        """Path of a file of token features, and which of its columns the set reads."""
        return None


class BandedSet(AnySet):
    """The same, and a band of pass rates."""

    pass_rate: tuple[Share, Share] | None = None  # inclusive band
    pass_rate_column: Literal["pass_rate", "pass_rate_low"] = "pass_rate"  # low: cut-off is wrong

    @field_validator("pass_rate", mode="before")
    @classmethod
    def _band(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            value = tuple(float(v) if isinstance(v, int) else v for v in value)
            if len(value) == 2 and all(isinstance(v, float) for v in value) and value[0] > value[1]:
                raise ValueError(
                    f"the band's lower end {value[0]} is above its upper end {value[1]}"
                )
        return value


class Form(Part):
    """What form an answer should have: a part of its verdict that must be 1 (`part`, such as format or
    tags), or what the verifier `format` asks for (`format`: tags, is_json, json_schema, pattern ...).
    """

    part: str | None = None
    format: dict[str, Any] = Field(default_factory=dict)

    @_model_validator(mode="after")
    def _one_of_them(self) -> "Form":
        from winnow.pipeline.verify.text_format import TextFormat

        if (self.part is None) == (not self.format):
            raise ValueError(
                "give `part` (of the verdict) or `format` (arguments of that verifier)"
            )
        try:
            TextFormat.Arguments.read(self.format)
        except BadArguments as error:
            raise ValueError(str(error).replace("verifier_args", "format")) from None
        return self


Percent = Annotated[float, Field(gt=0, le=1)]
