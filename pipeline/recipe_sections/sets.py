"""The sets that a recipe publishes, and what each asks of its rows."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from winnow.pipeline.recipe_sections.part import Part, Share


class _Set(Part):
    """What every set can ask of its rows; each rule that drops a row is named in the ledger."""

    pass_rate: tuple[Share, Share] | None = None  # inclusive band
    pass_rate_column: Literal["pass_rate", "pass_rate_low"] = "pass_rate"
    min_judged: NonNegativeInt = 1
    suspects: Literal["keep", "drop"] = "keep"  # tasks whose reference the audit doubts
    per_cluster: PositiveInt | None = None
    budget: PositiveInt | None = None  # rows

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


class SFTSet(_Set):
    """`messages`, `weight`: verified answers."""

    type: Literal["sft"] = "sft"
    per_prompt: PositiveInt = 1
    uds: bool = True  # only what the UDS pass selected
    weighting: Literal["uniform", "per_prompt"] = "uniform"  # 1 a row, or 1 a prompt


class RLSet(_Set):
    """`prompt`, `answer`, `verifier`, `verifier_args`, `pass_rate`: prompts worth rolling out."""

    type: Literal["rl"] = "rl"


class PreferenceSet(_Set):
    """`prompt`, `chosen`, `rejected`: a verified right and a wrong answer of one prompt."""

    type: Literal["preference"] = "preference"
    pairs_per_prompt: PositiveInt = 1


SetConfig = Annotated[SFTSet | RLSet | PreferenceSet, Field(discriminator="type")]
