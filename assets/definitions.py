"""Dagster's entry point: one asset graph per recipe in `<home>/recipes/`.

Everything is built by `factory.recipe_definitions`; the home folder is $WINNOW_HOME, else ./data.
"""

import warnings
from pathlib import Path

import dagster as dg

from winnow.assets import snapshot
from winnow.assets.factory import recipe_definitions
from winnow.pipeline.workspace import default_home


def build(home: Path) -> dg.Definitions:
    """The definitions of all recipes of a home folder."""
    home = home.absolute()
    files = snapshot.current(home)
    merged = dg.Definitions.merge(
        dg.Definitions(), *(recipe_definitions(file, home) for file in files)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # said once here, not in every process
        return merged.with_reconstruction_metadata(snapshot.pin(files))


defs = build(default_home())
