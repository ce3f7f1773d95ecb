"""`winnow build`: publish again from recorded signals."""

from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, Limit, RecipePath


def register(app: typer.Typer) -> None:
    app.command()(build)


def build(
    recipe: RecipePath,
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Choose only this set anew (repeatable); the others are linked from the latest "
            "version.",
            show_default=False,
        ),
    ] = None,
    home: Home = DEFAULT_HOME,
    limit: Limit = None,
) -> None:
    """Publish a recipe's sets from recorded signals, with its present thresholds; never samples.

    Answers, verdicts, clusters and scores are those of the recipe's last `winnow run`.
    """
    from winnow.assets.report import report_run
    from winnow.cli.run import summary
    from winnow.stages import chain
    from winnow.stages.base import Context

    ctx = Context.of(recipe, home, limit)
    report = chain.build(ctx, split)
    report_run(home, ctx, report.stages)
    summary(report)
