"""Which prompts are left out before anything is sampled: filters, duplicates, evaluation items."""

from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator

from winnow.pipeline.clean.decontamination.config import DecontaminateConfig
from winnow.pipeline.clean.filters.config import FiltersConfig
from winnow.pipeline.recipe_sections.part import Name, Part, Share

Preference = Literal["longest_prompt", "longest_answer", "source"]


class Dedup(Part):
    """Duplicates among the prompts of all sources. Prompts that differ by a number are none: they
    share a template, of which `per_template` keeps so many (null: all). Prompts that show images are
    compared with those that show the same ones: one text may ask of any number of pictures.

    `prefer` says who survives; the first criterion counts most. `source`: the order of `sources`.
    """

    method: Literal["exact", "minhash", "semantic"] = "minhash"
    threshold: Share | None = None  # null: Jaccard 0.7 for minhash, cosine 0.9 for semantic
    per_template: PositiveInt | None = None
    prefer: tuple[Preference, ...] = ("longest_prompt",)

    @field_validator("prefer", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class EvaluationFile(Part):
    """A Parquet or JSON Lines file of evaluation items that must not be among the prompts."""

    name: Name
    path: str
    column: str = "prompt"
    answer: str | None = None


class Decontamination(DecontaminateConfig):
    """The evaluation files, and the rules that find their items among the prompts."""

    against: list[EvaluationFile] = Field(min_length=1)

    @field_validator("against")
    @classmethod
    def _named_apart(cls, value: list[EvaluationFile]) -> list[EvaluationFile]:
        names = [each.name for each in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two files are named {twice[0]!r}; give each its own `name`")
        return value


class Cleaning(Part):
    """Asked in this order: `filters`, `decontaminate`, `dedup`. Each drop is in the ledger, with its
    rule; a null section is not asked."""

    filters: FiltersConfig | None = None
    decontaminate: Decontamination | None = None
    dedup: Dedup | None = None
