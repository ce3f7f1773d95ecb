"""`winnow gc`."""

from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home


def register(app: typer.Typer) -> None:
    app.command()(gc)


def gc(
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove it; without this, only say what would go.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Remove what is stored and needed by no version and no recipe's last run: answers, verdicts,
    features, steps and judgements of tree searches."""
    from winnow.pipeline import upkeep

    garbage = upkeep.collect(home) if delete else upkeep.find(home)
    verb = "removed" if delete else "would go"
    for name, rows in garbage.rows.items():
        typer.echo(f"{name}: {len(rows)} {verb}, {garbage.kept[name]} kept")
    for path in garbage.leftovers:
        typer.echo(f"left over by a killed process, {verb}: {path}")
    if garbage.empty:
        typer.echo("nothing to remove")
    elif not delete:
        typer.echo("Nothing was removed; `winnow gc --delete` does it.")
