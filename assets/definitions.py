"""Dagster's entry point: one asset graph per recipe in `<home>/recipes/`.

The home folder is $WINNOW_HOME, else ./data. Only Dagster imports this module: it pins the recipes
for the processes that come from here (`snapshot.pinned`).
"""

from winnow.assets.factory import build
from winnow.assets.snapshot import pinned
from winnow.pipeline.workspace import default_home

defs = build(pinned(default_home()), default_home())
