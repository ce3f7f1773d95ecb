"""The arguments of the verifier `judge`."""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from winnow.pipeline.arguments import Arguments
from winnow.pipeline.verify.judge_prompt import NEEDS_REFERENCE, RUBRICS

MAX_VOTES = 31
_LABEL = re.compile(r"[^\W_](?:[\w +-]{0,38}[\w+-])?")


class JudgeArguments(Arguments):
    """How a model is asked about an answer."""

    rubric: str | None = Field(
        None,
        description="What makes an answer acceptable: the name of a built-in rubric "
        f"({', '.join(RUBRICS)}) or a text of several words. Default: equivalence (to the "
        "reference), with `compare` quality.",
    )
    criteria: list[str] = Field([], description="Further conditions, all of which must hold.")
    reference: Literal["required", "optional", "hidden"] | None = Field(
        None,
        description="Whether the judge sees the reference; where it is required and missing, the "
        "row is unjudged (bad_reference). Default: required for equivalence and `compare`, else "
        "optional.",
    )
    compare: bool = Field(
        False,
        description="Ask which is better, the answer or the reference answer, in both orders. A vote "
        "counts only where both orders prefer the same one.",
    )
    labels: list[str] = Field(
        ["CORRECT", "WRONG"], description="What the judge may say.", min_length=2, max_length=20
    )
    accept: list[str] = Field(
        ["CORRECT"], description="Those of `labels` that accept an answer.", min_length=1
    )
    scale: list[int] | None = Field(
        None,
        description="[lowest, highest]: ask for a whole number instead of a label. The reward is the "
        "median score, mapped to 0..1.",
        min_length=2,
        max_length=2,
    )
    threshold: int | None = Field(
        None, description="Lowest score of `scale` that accepts an answer; needed with `scale`."
    )
    n: int = Field(3, ge=1, le=MAX_VOTES, description="Votes, an odd number; the majority decides.")
    min_agreement: float = Field(
        0.5,
        ge=0.5,
        le=1.0,
        description="Share of all n votes that must agree; more than half must in any case.",
    )
    max_tokens: int = Field(512, ge=1, description="Length limit of one reply, tokens.")
    temperature: float = Field(0.7, ge=0.0, description="Temperature that replies are drawn at.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.n % 2 == 0:
            raise ValueError("n must be odd")
        if self.rubric is not None and self.rubric not in RUBRICS and len(self.rubric.split()) < 3:
            known = ", ".join(RUBRICS)
            raise ValueError(f"rubric is neither built in ({known}) nor a text of several words")
        if self.compare:
            self._fits_comparison()
        if self.rubric_name in NEEDS_REFERENCE and self.reference not in (None, "required"):
            raise ValueError(f"the rubric {self.rubric_name} needs the reference")
        self._fits_values()
        return self

    def _fits_comparison(self) -> None:
        if self.rubric in NEEDS_REFERENCE:
            raise ValueError(f"compare does not go with the rubric {self.rubric}")
        if self.reference not in (None, "required"):
            raise ValueError("compare needs the reference")
        given = self.model_fields_set & {"labels", "accept", "scale", "threshold"}
        if given:
            raise ValueError(f"compare asks for A, B or TIE: {', '.join(sorted(given))} has no use")

    def _fits_values(self) -> None:
        if self.scale is not None:
            if given := self.model_fields_set & {"labels", "accept"}:
                raise ValueError(f"scale asks for numbers: {', '.join(sorted(given))} has no use")
            low, high = self.scale
            if low >= high or max(-low, high) >= 10**9:
                raise ValueError("scale must be [lowest, highest]")
            if self.threshold is None or not low < self.threshold <= high:
                raise ValueError("threshold must be within scale, above its lowest score")
        elif self.threshold is not None:
            raise ValueError("threshold goes with scale")
        if not all(_LABEL.fullmatch(label) for label in self.labels):
            raise ValueError("labels must be short words")
        if len({label.casefold() for label in self.labels}) < len(self.labels):
            raise ValueError("labels must differ by more than letter case")
        if not set(self.accept) < set(self.labels):
            raise ValueError("accept must name some of the labels, and not all")

    @property
    def rubric_name(self) -> str:
        """Name of the built-in rubric, or the text that stands in for one."""
        return self.rubric or ("quality" if self.compare else "equivalence")

    @property
    def rubric_text(self) -> str:
        """The rubric with its criteria, as the judge reads it."""
        text = RUBRICS.get(self.rubric_name, self.rubric_name).strip()
        if not self.criteria:
            return text
        return "\n".join([text, "All of these must hold:", *(f"- {c}" for c in self.criteria)])

    @property
    def needs_reference(self) -> bool:
        """Whether a row without a reference cannot be judged."""
        return self.compare or self.rubric_name in NEEDS_REFERENCE or self.reference == "required"

    @property
    def form(self) -> str:
        """What may stand after `VERDICT:`, in words."""
        if self.scale is not None:
            return f"a whole number from {self.scale[0]} to {self.scale[1]}"
        return f"one of {', '.join(self.labels)}"
