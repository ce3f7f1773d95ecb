"""When a prompt has answers enough. `sampling.n` stays the most that a prompt gets."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from winnow.pipeline.recipe_sections.part import Part, Share

_Chance = Annotated[float, Field(gt=0, lt=1)]


class IntervalStop(Part):
    """Until the pass rate is known well enough.

    A prompt is decided when its pass rate lies surely inside or surely outside `band` (inclusive),
    when its credible interval is narrower than `width`, or when it is surely below `hopeless` or
    above `solved`. `error`: chance of a wrong decision; under `prior` (Beta) on average with mode
    calibrated, at every true pass rate and however often one looks with guaranteed.
    """

    type: Literal["interval"] = "interval"
    mode: Literal["calibrated", "guaranteed"] = "calibrated"
    band: tuple[Share, Share] | None = None
    width: _Chance | None = None
    hopeless: _Chance | None = None
    solved: _Chance | None = None
    error: _Chance = 0.05
    prior: tuple[PositiveFloat, PositiveFloat] = (0.5, 0.5)

    @field_validator("band", "prior", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _asks_something(self) -> "IntervalStop":
        if (
            self.band is None
            and self.width is None
            and self.hopeless is None
            and self.solved is None
        ):
            raise ValueError("needs a band, a width, hopeless or solved")
        if self.band is not None and self.band[0] > self.band[1]:
            raise ValueError(f"the band's lower end {self.band[0]} is above its upper end")
        return self


class UntilKCorrectStop(Part):
    """Until `k` answers are right (DART, arXiv 2407.13690); `official_strict` stops one right answer
    later, as its authors' code does."""

    type: Literal["until_k_correct"] = "until_k_correct"
    k: PositiveInt = 4
    official_strict: bool = False


class MajorityStop(Part):
    """Until no other answer can overtake the leading one within `sampling.n` (self-consistency); with
    `confidence` (0.95: arXiv 2305.11860) also once it leads surely enough."""

    type: Literal["majority"] = "majority"
    confidence: Annotated[float, Field(gt=0.5, lt=1)] | None = None


StopConfig = Annotated[IntervalStop | UntilKCorrectStop | MajorityStop, Field(discriminator="type")]


class BandFillSteering(Part):
    """Stop the run when `prompts` of them are surely in the band of the `interval` rule, those first
    that are likely to get there for few tokens. `window`: how many answers may be under way that the
    next choice does not know yet."""

    type: Literal["band_fill"] = "band_fill"
    prompts: PositiveInt
    window: PositiveInt = 512


class MoppsSteering(Part):
    """MoPPS (arXiv 2507.04632): in each of `rounds` rounds, `answers` more for the `prompts` whose
    pass rate, drawn from its posterior, is nearest `target`, out of `candidates` times as many.
    `discount` below 1 forgets, for a policy that learns. `window` as in band_fill, in prompts."""

    type: Literal["mopps"] = "mopps"
    prompts: PositiveInt
    rounds: PositiveInt
    answers: PositiveInt = 8
    candidates: PositiveInt = 8
    target: Share = 0.5
    discount: Share = 1.0
    prior: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    window: PositiveInt = 256

    @field_validator("prior", mode="before")
    @classmethod
    def _pair(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class Prop2DiffSteering(Part):
    """DARS-Prop2Diff (arXiv 2407.13690): right answers in proportion to how often a prompt's `pilot`
    answers fail, `k` for the hardest; with `cover` at least one. The pilot's answers count.
    `window` as in band_fill, in prompts."""

    type: Literal["prop2diff"] = "prop2diff"
    k: PositiveInt = 192
    pilot: PositiveInt = 8
    cover: bool = True
    window: PositiveInt = 256


SteeringConfig = Annotated[
    BandFillSteering | MoppsSteering | Prop2DiffSteering, Field(discriminator="type")
]


class Price(Part):
    """What a million tokens cost, in whatever currency: of prompts, as far as the recipe's tokenizer
    knows their length, and of answers."""

    prompt: NonNegativeFloat = 0.0
    answer: NonNegativeFloat = 0.0


class SamplingBudget(Part):
    """The most that is drawn: in the whole run, and for one prompt. null: without limit."""

    answers: NonNegativeInt | None = None
    tokens: NonNegativeInt | None = None
    tokens_per_prompt: PositiveInt | None = None
