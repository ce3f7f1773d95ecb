"""`winnow keys`: what a recipe can say."""

from typing import Annotated

import typer

from winnow.cli.common import console


def register(app: typer.Typer) -> None:
    app.command()(keys)


def keys(
    section: Annotated[
        str | None,
        typer.Argument(
            help="A section, such as sampling or sampling.stop, or one of its types: sets.sft.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the sections of a recipe, or document the keys of one.

    Where sections of several types can stand, the name of a type after that of the section chooses
    one of them.

        winnow keys
        winnow keys sampling.stop
        winnow keys sets.sft
    """
    from rich.table import Table

    from winnow.pipeline.errors import UsageError
    from winnow.pipeline.recipe_reference import sections

    known = sections()
    if section is None:
        table = Table("section", "what it says", title_justify="left")
        for each in known:
            table.add_row(each.title, " ".join(each.text.split("\n\n")[0].split()))
        console().print(table)
        typer.echo("winnow keys SECTION documents one (recipe: the top level).")
        return
    wanted = "" if section == "recipe" else section
    found = [each for each in known if wanted in (each.place, f"{each.place}.{each.type}")]
    if not found:
        places = ", ".join(dict.fromkeys(each.place or "recipe" for each in known))
        raise UsageError(f"{section}: a recipe has no such section; it has: {places}")
    for each in found:
        table = Table("key", "type", "default", "meaning", title=each.title, title_justify="left")
        for key in each.keys:
            kind = f"{key.type}: {key.section}" if key.section else key.type
            table.add_row(key.name, kind, key.default, key.meaning)
        typer.echo(each.text)
        console().print(table)
