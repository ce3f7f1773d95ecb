"""`winnow run` of the recipe tiny, and the Dagster home that it reports to."""

from pathlib import Path

import dagster as dg

from winnow.assets import report
from winnow.stages import chain
from winnow.stages.base import Context


def context(home: Path) -> Context:
    return Context.of(home / "recipes" / "tiny.yaml", home)


def run_and_report(home: Path) -> None:
    ctx = context(home)
    report.report_run(home, ctx, chain.run(ctx).stages)


def ask_for_another_set(home: Path) -> None:
    """Edit the recipe, so that the next run publishes another version."""
    recipe = home / "recipes" / "tiny.yaml"
    recipe.write_text(recipe.read_text().replace("[0.1, 0.9]", "[0.3, 0.7]"))


def instance_of(home: Path) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(report.dagster_home(home)))
