"""`winnow export` and `winnow formats`."""

from pathlib import Path
from typing import Annotated

import typer

from winnow.cli.common import DEFAULT_HOME, Home, console


def register(app: typer.Typer) -> None:
    app.command()(export)
    app.command()(formats)


def export(
    version: Annotated[
        str,
        typer.Argument(
            help="A folder, dataset@id (or the id's beginning), dataset@latest.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str,
        typer.Option(help="Name of the format; `winnow formats` lists them.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option(help="Folder to make; it must not exist yet.", show_default=False)
    ],
    set_name: Annotated[
        str | None,
        typer.Option(
            "--set", help="Which set; needed where several fit alike.", show_default=False
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            help="conversational or standard (plain text), for TRL's formats.", show_default=False
        ),
    ] = None,
    provenance: Annotated[
        bool,
        typer.Option(
            help="Say of each row which policy, template, sampler and verifier it is from."
        ),
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an export that stands there.")
    ] = False,
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a set of a version in the files of a trainer: JSON Lines, JSON or Parquet.

    The folder also opens with `datasets.load_dataset(FOLDER)`. To have a format in every version, name
    it in the recipe's `formats`.
    """  # fmt: skip
    from winnow.pipeline.publish.export import export as write
    from winnow.pipeline.publish.version import resolve

    done = write(
        resolve(version, home),
        format,
        output,
        set_name=set_name,
        style=style,
        provenance=provenance,
        overwrite=overwrite,
    )
    rows = ", ".join(f"{split} {count}" for split, count in done.rows.items())
    told = f"{format} ({done.style})" if done.style else format
    typer.echo(f"{done.path}: set {done.set} as {told}, rows: {rows}")


def formats() -> None:
    """List the formats: who reads them, which columns a set must have, and which ones come of it."""
    from rich.table import Column, Table

    from winnow.pipeline.publish.formats.registry import FORMATS, columns_of

    table = Table(
        Column("format", no_wrap=True), "what it holds", "read by", "from sets with",
        Column("its columns", overflow="fold"), "files", Column("styles", no_wrap=True),
    )  # fmt: skip
    for each in FORMATS.values():
        needs = "; or ".join(", ".join(group) for group in each.reads)
        table.add_row(each.name, each.meaning, each.consumer, needs, ", ".join(columns_of(each)),
                      each.layout, "\n".join(each.styles))  # fmt: skip
    console().print(table)
    typer.echo(
        "In a version's own configs (`formats:` in the recipe) every format is Parquet. Columns of "
        "policy, template, sampler and verifier, and the row's name, come with each, in openai_chat in a file "
        "beside, unless `provenance: false`."
    )
