"""Dagster's entry point: one asset graph per recipe in `<home>/recipes/`.

Everything is built by `factory.recipe_definitions`; the home folder is $WINNOW_HOME, else ./data.
"""

from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from winnow.assets.factory import recipe_definitions
from winnow.assets.snapshot import RecipeFile, pinned
from winnow.pipeline.workspace import default_home


def build(files: Iterable[RecipeFile], home: Path) -> dg.Definitions:
    """The definitions of some recipes of a home folder."""
    parts = (recipe_definitions(file, home.absolute()) for file in files)
    return dg.Definitions.merge(dg.Definitions(), *parts)


defs = build(pinned(default_home()), default_home())
