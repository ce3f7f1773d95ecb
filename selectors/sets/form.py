"""Whether answers have the form that a set asks for."""

import json

import polars as pl

from winnow.pipeline.contracts import Task
from winnow.pipeline.recipe_sections.set_base import Form
from winnow.pipeline.verify.text_format import TextFormat


def has_form(answers: pl.DataFrame, form: Form) -> pl.Series:
    """Of each answer (columns completion, parts): true, false, or null where that cannot be told."""
    if form.part is not None:
        values = [_part(parts, form.part) for parts in answers["parts"].to_list()]
    else:
        values = [_obeys(text, form) for text in answers["completion"].to_list()]
    return pl.Series(values, dtype=pl.Boolean)


def _part(parts: str | None, name: str) -> bool | None:
    """Whether a named reward is whole; null where the verdict has none of that name."""
    value = json.loads(parts or "{}").get(name)
    return None if value is None else value >= 1


def _obeys(text: str, form: Form) -> bool | None:
    verdict = TextFormat().verify(text, Task([], None, form.format)).verdict
    return None if verdict == "unjudged" else verdict == "correct"
