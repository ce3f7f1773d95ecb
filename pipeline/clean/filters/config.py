"""The recipe's section on filters: every key with its vetted default.

By default only what no one wants to train on is dropped: prompts that are blank, whose characters
are broken, or that hold the tokens of a chat template. Everything else is a policy of whoever makes
the set, and off until asked for.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from winnow.pipeline.recipe_sections.part import Part, Share

PersonalData = Literal["email", "phone", "iban", "card", "ip", "ssn"]


class FiltersConfig(Part):
    """Which prompts are dropped, by which rule. All turns of a prompt are looked at.

    Lengths count the characters and words of the whole prompt, and its tokens where the engine's
    tokenizer is known. `languages` are ISO 639-1 codes; a text with too few words to tell stays.
    Licences are compared without case. `personal_data` names the kinds that drop a prompt;
    `phone_region` is the country (such as "US") whose national numbers are looked for beside
    international ones.
    """

    unicode: bool = True
    residue: bool = True
    min_characters: PositiveInt | None = None
    max_characters: PositiveInt | None = None
    min_words: PositiveInt | None = None
    max_words: PositiveInt | None = None
    max_tokens: PositiveInt | None = None
    max_repetition: Share | None = None  # of the words, in a run of 10 that stood there before
    languages: tuple[str, ...] | None = None
    language_confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    licences: tuple[str, ...] | None = None  # null: any
    denied_licences: tuple[str, ...] = ()
    unknown_licence: Literal["keep", "drop"] = "keep"
    personal_data: tuple[PersonalData, ...] = ()
    phone_region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None

    @field_validator("languages", "licences", "denied_licences", "personal_data", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is None:
            return None
        from winnow.pipeline.clean.filters.language import known_languages

        for code in value:
            if code not in known_languages():
                raise ValueError(f"{code!r} is no language code that can be told, such as en or de")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "FiltersConfig":
        for unit in ("characters", "words"):
            low, high = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{unit} ({low}) is above max_{unit} ({high})")
        return self
